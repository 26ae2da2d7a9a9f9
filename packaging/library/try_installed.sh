#!/usr/bin/env bash
# Installs the library from BUILD somewhere else, and there builds a copy of the project EXAMPLE against it in both ways
# and runs that: it has nothing but what was installed.
#   try_installed.sh BUILD EXAMPLE COMPILER
set -euo pipefail
build=$1 compiler=$3
elsewhere=$(mktemp -d)
trap 'rm -rf "$elsewhere"' EXIT
prefix=$elsewhere/installed
cp -r "$2" "$elsewhere/example"
cd "$elsewhere/example"

cmake --install "$build" --component library --prefix "$prefix" >"$elsewhere/log"
cmake -B "$elsewhere/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$compiler" >>"$elsewhere/log"
cmake --build "$elsewhere/cmake" >>"$elsewhere/log"
"$elsewhere/cmake/tiny_vmm"

package=$(find "$prefix" -name vmigrate.pc)
PKG_CONFIG_PATH=$(dirname "$package")
export PKG_CONFIG_PATH
library=$(pkg-config --variable=libdir vmigrate)
# shellcheck disable=SC2046  # flags are words
"$compiler" tiny_vmm.cpp $(pkg-config --cflags --libs vmigrate) -pthread -Wl,-rpath,"$library" \
  -o "$elsewhere/by_pkg_config"
"$elsewhere/by_pkg_config"

# What an example may cost its reader.
lines=$(wc -l <tiny_vmm.cpp)
if ((lines >= 200)); then
  echo "the example has $lines lines" >&2
  exit 1
fi
