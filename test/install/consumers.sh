#!/bin/bash
# consumers.sh BUILD CC CXX CMAKE: installs to a folder of its own, moves it, and builds and runs programs against it.
set -euo pipefail
build=$1 cc=$2 cxx=$3 cmake=$4
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
programs=0

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

# The program says ok, and reports nothing but the misuse that it provokes in a child.
runs() {
    local output
    output=$("$@" 2>"$work/stderr") || fail "$* ended with status $?: $(cat "$work/stderr")"
    [[ $output == ok* ]] || fail "$* printed '$output'"
    if ! awk '/^moat: / && !seen++ && !/^moat: fatal: double-free: / { exit 1 }' "$work/stderr"; then
        fail "$* was reported: $(cat "$work/stderr")"
    fi
    programs=$((programs + 1))
}

"$cmake" --install "$build" --prefix "$work/first" >"$work/log" || fail "cmake --install: $(cat "$work/log")"
mv "$work/first" "$work/prefix" # an installation may be moved
prefix=$work/prefix
libdir=$(dirname "$(find "$prefix" -name libmoat.so)")
for file in "$prefix/bin/moat-run" "$prefix/bin/moat-report" "$prefix"/share/man/man{1/moat-report.1,3/moat.3,7/moat.7} \
    "$prefix/include/moat.h" "$libdir/libmoat.so" "$libdir/libmoat.a" "$libdir/moat.o"; do
    [ -e "$file" ] || fail "not installed: ${file#"$prefix"/}"
done
if grep -rl -- "$build" "$prefix"; then fail "the build folder's path is in the files above"; fi

# find_package(moat)
"$cmake" -S "$here/consumer" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_BUILD_TYPE=Release >"$work/log" 2>&1 || fail "find_package: $(cat "$work/log")"
"$cmake" --build "$work/consumer" -j 2 >"$work/log" 2>&1 || fail "building the consumer: $(cat "$work/log")"
for form in shared static object; do
    for language in c cxx late; do runs "$work/consumer/${language}_$form"; done
done
for form in static object; do
    for language in c cxx; do runs "$work/consumer/full_${language}_$form"; done
done
if readelf -d "$work/consumer/c_static" | grep libmoat >/dev/null; then fail "moat::static linked the shared library"; fi
readelf -d "$work/consumer/c_shared" | grep libmoat >/dev/null || fail "moat::shared did not link the shared library"

# pkg-config moat, also where the linker drops what looks unused
export PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir
[ "$(pkg-config --modversion moat)" = "$("$prefix/bin/moat-run" --version | sed 's/moat //')" ] || fail "versions differ"
pkg() { pkg-config "$@" moat; }
# shellcheck disable=SC2046  # flags are several words
{
    "$cc" $(pkg --cflags) "$here/consumer/consumer.c" -o "$work/pkg_c" $(pkg --libs)
    "$cxx" $(pkg --cflags) -std=c++17 "$here/consumer/consumer.cc" -o "$work/pkg_cxx" $(pkg --libs)
    "$cc" "$here/consumer/indirect.c" -o "$work/pkg_late" -Wl,--as-needed $(pkg --libs)
    "$cc" $(pkg --cflags) -static "$here/consumer/consumer.c" -o "$work/pkg_static" $(pkg --static --libs)
}
for program in pkg_c pkg_cxx pkg_late pkg_static; do runs "$work/$program"; done

# moat.o by hand, and moat-run of the installation
"$cc" -I"$prefix/include" "$here/consumer/consumer.c" "$libdir/moat.o" -o "$work/by_hand" -pthread
runs "$work/by_hand"
"$cc" "$here/consumer/indirect.c" -o "$work/plain"
runs "$prefix/bin/moat-run" "$work/plain"
if "$work/plain" >/dev/null 2>&1; then fail "indirect.c cannot tell moat from the C library"; fi
echo "$programs programs run with the installed moat"
