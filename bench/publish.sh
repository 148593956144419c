#!/usr/bin/env bash
# Measures what docs/performance.md reports and rewrites its tables: half an hour on an otherwise idle machine. Given ops (the
# second form of arguments), it measures those and leaves the rows of the others as they are.
#   bench/publish.sh [BUILD_FOLDER [ATTEND_BENCH ARGUMENTS]]     default: build/bench, configured and built when missing
# The previous figures are in tools/results/performance.json; what got slower since is printed at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${1:-build/bench}
results=build/results
mkdir -p "$results"

[ -f "$build/build.ninja" ] || cmake --preset release -B "$build" -DATTEND_BUILD_TESTS=OFF >/dev/null
cmake --build "$build" --target attend_bench attend_decoding attend_program >/dev/null
if [ ! -x bench/peers/.venv/bin/python ]; then
  python3 -m venv bench/peers/.venv
  bench/peers/.venv/bin/pip install -q --disable-pip-version-check -r bench/peers/requirements.txt
fi

load=$(cut -d' ' -f1 /proc/loadavg)
if awk -v l="$load" 'BEGIN { exit !(l > 0.5) }'; then
  echo "publish.sh: note: load average is $load: other work disturbs the figures" >&2
fi
cores=$(nproc)
threads=$([ "$cores" -gt 1 ] && echo "1,$cores" || echo 1)
# Root may go before other processes, so that their slices do not land in our timings; both sides of a row run alike.
first=$([ "$(id -u)" = 0 ] && echo "nice -n -20" || true)
# shellcheck disable=SC2086  # a command and its arguments, or nothing
$first "$build/bin/attend_bench" --json --peers --threads "$threads" --patience 15 "${@:2}" \
  > "$results/performance.new.json"
mv "$results/performance.new.json" "$results/performance.json"
cp tools/results/performance.json "$results/performance.before.json" 2>/dev/null || true
python3 tools/results/performance.py "$results/performance.json"
if [ -f "$results/performance.before.json" ]; then
  python3 bench/compare.py "$results/performance.before.json" tools/results/performance.json || true
fi
