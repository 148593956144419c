#!/usr/bin/env bash
# BUILD WORK SOURCE: installs BUILD into an empty prefix, builds the consumer against it and by pkg-config, and runs all of
# it without a single environment variable.
set -euo pipefail
build=$1 work=$2 source=$3
rm -rf "$work" && mkdir -p "$work"
cmake --install "$build" --prefix "$work/prefix" >/dev/null
cmake -S "$source/tests/package/consumer" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/build"
env -i "$work/build/consumer"
env -i "$work/prefix/bin/attend" recipes | grep -q guide/sentiment-lstm-attention
if [ -x "$build/bin/attend-hdf5" ]; then   # built where libhdf5 is, installed out of PATH
  env -i "$work/prefix/bin/attend" import "$source/tests/golden/mobilenet.h5" --out "$work/network" >/dev/null
fi
flags=$(PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name attend.pc)") pkg-config --define-variable=prefix="$work/prefix" \
  --cflags --libs attend)
# shellcheck disable=SC2086  # a list of flags
c++ "$source/tests/package/consumer.cpp" -o "$work/by_pkg_config" $flags
env -i "$work/by_pkg_config"
