#!/bin/bash
# tidy.sh TREE: clang-tidy over the library and its tools, with the checks of .clang-tidy.
set -euo pipefail
cd -- "$1"
shopt -s nullglob
files=(src/*.c tools/*.c)
[ ${#files[@]} -gt 10 ] || { echo "found only ${#files[@]} sources: looked in the wrong place?" && exit 1; }
printf '%s\0' "${files[@]}" | xargs -0 -n 4 -P 2 bash -c 'clang-tidy --quiet "$@" -- -std=gnu11 -O2 -Iinclude -Isrc -D_GNU_SOURCE= \
    -DMOAT_LIBRARY="\"libmoat.so\"" -DMOAT_LIBDIR_FROM_BINDIR="\"../lib\"" -DMOAT_VERSION="\"0\"" \
    2> >(grep -vE "warnings? generated|Suppressed|Use -header-filter" >&2)' tidy
echo "${#files[@]} sources are clean"
