#!/bin/bash
# refused.sh TREE CC CMAKE: a build without the hardening, and a sanitized one, cannot be installed and say why.
set -euo pipefail
tree=$1 cc=$2 cmake=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

refused() {
    local text=$1
    shift
    "$cmake" -S "$tree" -B "$work/build" -DCMAKE_C_COMPILER="$cc" "$@" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
    if "$cmake" --install "$work/build" --prefix "$work/prefix" >"$work/log" 2>&1; then
        echo "FAIL: installed with $*" && exit 1
    fi
    tr -s ' \n' ' ' <"$work/log" | grep -F "$text" >/dev/null || { echo "FAIL: does not say '$text' with $*:" && cat "$work/log" && exit 1; }
    [ ! -e "$work/prefix" ] || { echo "FAIL: left files behind with $*" && find "$work/prefix" && exit 1; }
    rm -rf "$work/build"
}
refused "moat is not installed: this build has no hardening (MOAT_HARDENING=OFF)" -DMOAT_HARDENING=OFF
refused "moat is not installed: a sanitized build has no library" -DMOAT_SANITIZE=undefined

# The bare allocator must still be one: it builds, and a program runs on it.
"$cmake" -S "$tree" -B "$work/build" -DCMAKE_C_COMPILER="$cc" -DMOAT_HARDENING=OFF >"$work/log" 2>&1
"$cmake" --build "$work/build" -j 2 --target moat-run word-count >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
"$work/build/moat-run" "$work/build/test/demo/word-count" "$tree"/src/*/*.h | grep "memory served by $work/build/libmoat.so"
echo "builds that must not leave the tree are refused"
