#!/bin/bash
# calls.sh OBJECT…: fails if an object of the library needs a name from outside that calls.txt, beside this script, does not
# grant to its room: the library calls no stdio, no dlsym and nothing that allocates.
set -euo pipefail

table=$(dirname -- "${BASH_SOURCE[0]}")/calls.txt
[ $# -gt 10 ] || { echo "calls: only $# objects: called with the wrong list?" && exit 1; }
nm -A -g "$@" | awk '
    FILENAME == ARGV[1] {
        if ($1 !~ /^#/) for (i = 2; i <= NF; i++) granted[$1, $i] = 1
        next
    }
    {
        room = $1
        sub(/:.*/, "", room)
        sub(/.*\//, "", room)
        sub(/\.c\.o$/, "", room)
        name = $NF
        if ($(NF - 1) ~ /^[Uwv]$/) needed[room, name] = 1
        else defined[name] = 1
    }
    END {
        for (pair in needed) {
            split(pair, part, SUBSEP)
            if (part[2] in defined) continue
            outside++
            if (!(pair in granted) && !(("any", part[2]) in granted)) {
                print "src/" part[1] ".c calls " part[2] ", which test/layers/calls.txt does not grant it"
                bad = 1
            }
        }
        for (pair in granted) {
            split(pair, part, SUBSEP)
            if (part[1] != "any" && !(pair in needed)) {
                print "test/layers/calls.txt grants " part[2] " to " part[1] ", which does not call it"
                bad = 1
            }
        }
        if (!outside) { print "calls: no object needs anything: nm is not understood"; bad = 1 }
        if (!bad) print "calls: the objects call only what they may"
        exit bad
    }
' "$table" -
