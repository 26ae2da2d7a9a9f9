#!/usr/bin/env bash
# Installs the library from BUILD below PREFIX, builds the project EXAMPLE against it in both ways, and runs that.
#   try_installed.sh BUILD EXAMPLE PREFIX COMPILER
set -euo pipefail
build=$1 example=$2 prefix=$3 compiler=$4

rm -rf "$prefix"
cmake --install "$build" --component library --prefix "$prefix" >"$prefix.log"

cmake -S "$example" -B "$prefix/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$compiler" >>"$prefix.log"
cmake --build "$prefix/cmake" >>"$prefix.log"
"$prefix/cmake/tiny_vmm"

package=$(find "$prefix" -name vmigrate.pc)
PKG_CONFIG_PATH=$(dirname "$package")
export PKG_CONFIG_PATH
library=$(pkg-config --variable=libdir vmigrate)
# shellcheck disable=SC2046  # flags are words
"$compiler" "$example/tiny_vmm.cpp" $(pkg-config --cflags --libs vmigrate) -pthread -Wl,-rpath,"$library" \
  -o "$prefix/by_pkg_config"
"$prefix/by_pkg_config"
