#!/bin/bash
# layers.sh SOURCE-FOLDER: fails if a file there includes a room of a higher layer than its own, a room without a layer, or has
# no layer itself. layers.txt, beside this script, says which room is where.
set -euo pipefail

table=$(dirname -- "${BASH_SOURCE[0]}")/layers.txt
shopt -s nullglob
files=("$1"/*/*.[ch])
[ ${#files[@]} -gt 0 ] || { echo "layers: no sources in $1" && exit 1; }

awk '
    function room(path) {
        sub(/.*\//, "", path)
        if (!(path in layer)) sub(/\.[ch]$/, "", path)
        return path
    }
    function complain(text) { print FILENAME ":" FNR ": " text; bad = 1 }
    FILENAME == ARGV[1] {
        if ($1 ~ /^[0-9]+$/) for (i = 2; i <= NF; i++) layer[$i] = $1
        next
    }
    FNR == 1 {
        files++
        own = room(FILENAME)
        if (!(own in layer)) complain("room " own " has no layer: put it into test/layers/layers.txt")
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        includes++
        split($0, part, "\"")
        other = room(part[2])
        if (!(other in layer)) complain("includes " other ", which has no layer: put it into test/layers/layers.txt")
        else if ((own in layer) && layer[other] + 0 > layer[own] + 0)
            complain("layer " layer[own] " (" own ") includes layer " layer[other] " (" other ")")
    }
    END {
        if (!includes) { print "layers: no #include found at all"; bad = 1 }
        if (!bad) print "layers: " includes " includes of " files " files respect the layers"
        exit bad
    }
' "$table" "${files[@]}"
