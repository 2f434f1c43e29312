#!/bin/bash
# calls.sh OBJECT…: fails if an object of the library needs a name from outside that calls.txt, beside this script, does not
# grant to its room: the library calls no stdio, no dlsym and nothing that allocates.
set -euo pipefail

table=$(dirname -- "${BASH_SOURCE[0]}")/calls.txt
[ $# -gt 10 ] || { echo "calls: only $# objects: called with the wrong list?" && exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
nm -g --defined-only "$@" | awk 'NF == 3 { print $3 }' | sort -u >"$work/own"
bad=0 seen=0
for object in "$@"; do
    room=$(basename "$object" | sed 's/\.c\.o$//')
    awk -v room="$room" '$1 == room || $1 == "any" { for (i = 2; i <= NF; i++) print $i }' "$table" | sort -u >"$work/granted"
    nm -u "$object" | awk '{ print $2 }' | sort -u | comm -23 - "$work/own" >"$work/needed"
    seen=$((seen + $(wc -l <"$work/needed")))
    while read -r name; do
        echo "src/$room.c calls $name, which test/layers/calls.txt does not grant it"
        bad=1
    done < <(comm -23 "$work/needed" "$work/granted")
done
[ "$seen" -gt 0 ] || { echo "calls: no object needs anything: nm is not understood" && exit 1; }
[ "$bad" = 0 ] && echo "calls: $# objects call only what they may"
