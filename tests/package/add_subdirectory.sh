#!/usr/bin/env bash
# WORK SOURCE: builds a project that holds attend as a subfolder, then runs its program without environment variables.
set -euo pipefail
work=$1 source=$2
launcher=()
command -v ccache >/dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG")
cmake -S "$source/tests/package/embedded" -B "$work" -G Ninja -DATTEND_SOURCE="$source" "${launcher[@]}" >/dev/null
cmake --build "$work" --target consumer
env -i "$work/consumer"
