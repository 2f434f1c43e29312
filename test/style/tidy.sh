#!/bin/bash
# tidy.sh TREE: clang-tidy over the library and its tools, with the checks of .clang-tidy.
#
# MOAT_TIDY_NODES: states that the analyzer follows in a function. Its own default, 225000, takes three times as long as 40000; the
# daily job has it.
set -euo pipefail
cd -- "$1"
shopt -s nullglob
files=(src/*/*.c tools/*.c)
[ ${#files[@]} -gt 10 ] || { echo "found only ${#files[@]} sources: looked in the wrong place?" && exit 1; }
tidy_one() {
    local flags=(-std=gnu11 -O2 -Iinclude -Isrc -D_GNU_SOURCE=)
    flags+=(-Xclang -analyzer-config -Xclang "max-nodes=${MOAT_TIDY_NODES:-40000}")
    case $1 in
    src/harness/*) flags+=(-DMOAT_HARNESS=1 -DMOAT_DEBUG=1) ;;
    tools/*) flags+=('-DMOAT_LIBRARY="libmoat.so"' '-DMOAT_LIBDIR_FROM_BINDIR="../lib"' '-DMOAT_VERSION="0"') ;;
    esac
    clang-tidy --quiet "$1" -- "${flags[@]}" 2> >(grep -vE 'warnings? generated|Suppressed|Use -header-filter' >&2)
}
export -f tidy_one
# shellcheck disable=SC2016  # expanded by the inner shell
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P 2 bash -c 'tidy_one "$1"' tidy
echo "${#files[@]} sources are clean"
