#!/bin/bash
# layers.sh SOURCE-FOLDER: fails if a file there includes one of a later folder than its own. The order is the numbered list in the
# README.md of that folder: nothing else says it.
set -euo pipefail

shopt -s nullglob
files=("$1"/*/*.[ch])
[ ${#files[@]} -gt 0 ] || { echo "layers: no sources in $1" && exit 1; }

awk '
    function folder(path) {
        sub(/\/[^\/]*$/, "", path)
        sub(/.*\//, "", path)
        return path
    }
    function complain(text) { print FILENAME ":" FNR ": " text; bad = 1 }
    FILENAME == ARGV[1] {
        if ($0 ~ /^[0-9]+\. `[a-z]+\/`/) {
            split($0, part, /[`\/]/)
            layer[part[2]] = ++layers
        }
        next
    }
    FNR == 1 {
        files++
        own = folder(FILENAME)
        if (!(own in layer)) complain("folder " own " is not in the list of src/README.md")
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, part, "\"")
        if (part[2] == "moat.h") next # the public header, which includes nothing of ours
        includes++
        if (part[2] !~ /\//) complain("includes " part[2] " without its folder")
        else if (!(folder(part[2]) in layer)) complain("includes " part[2] ", of no folder in the list of src/README.md")
        else if ((own in layer) && layer[folder(part[2])] > layer[own])
            complain(own "/ includes " part[2] ", and comes before it")
    }
    END {
        if (!includes) { print "layers: no #include found at all"; bad = 1 }
        if (!bad) print "layers: " includes " includes of " files " files go down " layers " folders"
        exit bad
    }
' "$1/README.md" "${files[@]}"
