#!/usr/bin/env bash
# build_example.sh CMAKE BUILD SCRATCH SOURCE COMPILER: installs what BUILD built below SCRATCH, builds examples/ against it
# by its package config and by pkg-config, and runs both on a checkpoint that has lost its statistics.
set -euo pipefail
cmake=$1 build=$2 scratch=$3 source=$4 compiler=$5
rm -rf "$scratch/prefix" "$scratch/example"
"$cmake" --install "$build" --prefix "$scratch/prefix" --component development >/dev/null
pc=$(find "$scratch/prefix" -name ckpt.pc)

# The example stands apart from this tree, so that nothing of it can be found by accident.
mkdir -p "$scratch/example"
cp "$source"/examples/* "$scratch/example"
"$cmake" -S "$scratch/example" -B "$scratch/example/build" -DCMAKE_PREFIX_PATH="$scratch/prefix" \
  -DCMAKE_CXX_COMPILER="$compiler" >/dev/null
"$cmake" --build "$scratch/example/build" >/dev/null

finds() {  # finds PROGRAM: it must find that the statistics are missing (BN001) and end with 1
  local said code=0
  said=$("$1" "$source/testdata/tf1/mnist/trainable_only") || code=$?
  [ "$code" -eq 1 ] && grep -q '^BN001 ' <<<"$said" && return
  printf '%s: exit code %s\n%s\n' "$1" "$code" "$said" >&2
  exit 1
}
finds "$scratch/example/build/audit_in_twenty_lines"

command -v pkg-config >/dev/null || exit 0
read -ra flags <<<"$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --cflags --libs ckpt)"
# shellcheck disable=SC2086
"$compiler" ${CXXFLAGS:-} "$scratch/example/audit_in_twenty_lines.cc" "${flags[@]}" -o "$scratch/example/by_pkg_config"
finds "$scratch/example/by_pkg_config"
