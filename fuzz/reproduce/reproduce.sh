#!/bin/bash
# reproduce.sh BUILD PROGRAM.c [ARGUMENT]: compiles a program that fuzz_HARNESS_replay --c has
# written, against moat.h or the harness, and runs it. With an argument one against the harness
# prints each step; one against moat.h runs up to thirty times, since its random numbers are new in
# each. BUILD: a build folder that has the harness. CC, CFLAGS: of that build.
set -euo pipefail

[ $# -ge 2 ] || { sed -n '2,6s/^# //p' "$0" >&2 && exit 2; }
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
build=$1 program=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
harness=$(sed -n 's/^ \* .* input of fuzz_\([a-z]*\)[.,].*/\1/p' "$program" | head -n 1)
read -r -a flags <<<"${CFLAGS:-}"
read -r -a with <<<"${REPRODUCE_WITH:-}" # a test plants something

command=("${CC:-cc}" -std=gnu11 -O1 -g "${flags[@]}" -I "$root/include" -I "$root/fuzz/reproduce")
libraries=() runs=30
if grep -q '"engine/target.h"' "$program"; then
    kind="" runs=1
    if [ "$harness" = ordering ] && [ -f "$build/fuzz/libmoat_harness_watched.a" ]; then kind=_watched; fi
    command+=(-D_GNU_SOURCE= -DMOAT_HARNESS=1 -DMOAT_DEBUG=1 -I "$root/fuzz" -I "$root/src"
        "$root/fuzz/harnesses/fuzz_$harness.c")
    [ -z "$kind" ] || command+=(-DUNDER_THREAD_SANITIZER=0 -DMOAT_WATCHED=1 -DMOAT_SWEPT=1)
    harness_library=$build/libmoat_harness.a
    [ -z "$kind" ] || harness_library=$build/fuzz/libmoat_harness_watched.a
    libraries+=("$build/fuzz/libmoat_fuzz_engine$kind.a" "$build/fuzz/libmoat_fuzz_named.a" "$harness_library")
elif [ -f "$build/libmoat_prefixed.a" ]; then
    libraries+=("$build/libmoat_prefixed.a")
else
    libraries+=("$build/libmoat.a")
fi
"${command[@]}" "$program" "${with[@]}" "${libraries[@]}" -lpthread -o "$work/program"
for ((run = 0; run < runs; run++)); do "$work/program" "${@:3}"; done
