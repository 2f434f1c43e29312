#!/bin/bash
# calls.sh SOURCE-FOLDER OBJECT…: fails if an object of the library
#   - needs a name from outside that calls.txt, beside this script, does not grant to its file: the library calls no stdio, no
#     dlsym and nothing that allocates;
#   - needs a name that an object of a later folder defines, unless the name is a hook. Order and hooks stand in the README.md of
#     the source folder.
# And if a function that another library may stand in front of is not in the library of tests that does so (test/field/in_front.c).
set -euo pipefail

readme=$1/README.md
shift
table=$(dirname -- "${BASH_SOURCE[0]}")/calls.txt
in_front=$(dirname -- "${BASH_SOURCE[0]}")/../field/in_front.c
[ $# -gt 10 ] || { echo "calls: only $# objects: called with the wrong list?" && exit 1; }
nm -A -g "$@" | awk '
    FILENAME == ARGV[1] {
        if ($0 ~ /^[0-9]+\. `[a-z]+\/`/) {
            split($0, part, /[`\/]/)
            layer[part[2]] = ++layers
        } else if ($0 ~ /^\| `[a-z_]+` \| `/) {
            split($0, part, "`")
            hook[part[2]] = 1
        }
        next
    }
    FILENAME == ARGV[2] {
        if ($1 ~ /^#/) next
        if ($2 !~ /^(data|part|program|open)$/) { print "test/layers/calls.txt: how is " $1 " to use " $3 "?"; bad = 1 }
        for (i = 3; i <= NF; i++) {
            granted[$1, $i] = 1
            if ($2 == "open") open[$i] = 1
        }
        next
    }
    # IN_FRONT(result, name, …) defines a function
    FILENAME == ARGV[3] {
        if (match($0, /^IN_FRONT\([^,]*, [A-Za-z0-9_]+/)) {
            name = substr($0, RSTART, RLENGTH)
            sub(/.*, /, "", name)
            front[name] = 1
        }
        next
    }
    {
        path = $1
        sub(/:.*/, "", path)
        sub(/\.[cS]\.o$/, "", path)
        file = path
        sub(/.*\//, "", file)
        sub(/\/[^\/]*$/, "", path)
        sub(/.*\//, "", path)
        folder[file] = path
        name = $NF
        if ($(NF - 1) ~ /^[Uwv]$/) needed[file, name] = 1
        else defined[name] = file
    }
    END {
        for (pair in needed) {
            split(pair, part, SUBSEP)
            file = part[1]; name = part[2]
            if (name in defined) {
                inside++
                if (layer[folder[defined[name]]] > layer[folder[file]] && !(name in hook)) {
                    print folder[file] "/" file ".c calls up: " name " of " folder[defined[name]] "/" defined[name] ".c"
                    bad = 1
                }
                continue
            }
            outside++
            if (!(pair in granted) && !(("any", name) in granted)) {
                print "src/" folder[file] "/" file ".c calls " name ", which test/layers/calls.txt does not grant it"
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
        for (name in open)
            if (!(name in front)) { print "test/field/in_front.c does not stand in front of " name; bad = 1 }
        if (!outside || !inside || layers < 5) { print "calls: nothing found: nm or src/README.md is not understood"; bad = 1 }
        if (!bad) print "calls: " inside " calls inside go down, " outside " outside are granted"
        exit bad
    }
' "$readme" "$table" "$in_front" -
