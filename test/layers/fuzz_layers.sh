#!/bin/bash
# fuzz_layers.sh FUZZ-FOLDER OBJECT…: fails if a file of the fuzzing engine includes, or calls a
# function of, a file behind it in the table of FUZZ-FOLDER/README.md, or if that table has not
# exactly the engine's files. Files of the other folders may include the engine's alone. OBJECT…:
# the engine's.
set -euo pipefail

[ $# -gt 8 ] || { echo "fuzz_layers: only $# arguments: called with the wrong list?" && exit 1; }
symbols=$(nm -A -g "${@:2}")
cd -- "$1"
shopt -s nullglob
files=(*/*.[ch])
[ ${#files[@]} -gt 0 ] || { echo "fuzz_layers: no sources in $1" && exit 1; }

awk '
    function complain(text) { print "fuzz/" text; bad = 1 }
    function unit(path) {
        sub(/.*\//, "", path)
        sub(/\.[cho.]+$/, "", path)
        return path
    }
    function is_behind(other, own) {
        return (other in place) && (own in place) && place[other] > place[own]
    }
    # a row of the table: | `engine/NAME` | what it owns |
    FILENAME == "README.md" {
        if (match($0, /^\| `engine\/[a-z_]+` \|/)) place[unit(substr($0, 4, RLENGTH - 6))] = ++rows
        next
    }
    # what nm prints: object: [value] type name
    FILENAME == "-" {
        own = unit(substr($1, 1, index($1, ":") - 1))
        if ($(NF - 1) == "U") needs[own, $NF] = 1
        else definer[$NF] = own
        next
    }
    FNR == 1 {
        own = unit(FILENAME)
        engine = FILENAME ~ /^engine\//
        if (engine) seen[own] = 1
        if (engine && !(own in place)) complain(FILENAME ": has no row in README.md")
    }
    /^[ \t]*#[ \t]*include[ \t]*"(engine|harnesses|drivers|seeds)\// {
        includes++
        split($0, part, "\"")
        here = FILENAME ":" FNR ": includes " part[2]
        if (part[2] !~ /^engine\//) complain(here ", which is not of the engine")
        else if (engine && is_behind(unit(part[2]), own))
            complain(here ", which README.md has behind it")
    }
    END {
        for (name in place)
            if (!(name in seen)) complain("README.md: has a row for engine/" name ", which is gone")
        for (pair in needs) {
            split(pair, part, SUBSEP)
            if (!(part[2] in definer)) continue
            calls++
            if (is_behind(definer[part[2]], part[1]))
                complain("engine/" part[1] ".c: needs " part[2] " of engine/" definer[part[2]] \
                         ".c, which README.md has behind it")
        }
        if (!rows || !includes || !calls) complain("README.md, includes or nm are not understood")
        if (!bad)
            print "fuzz_layers: " includes " includes and " calls " calls respect the order of " \
                  rows " files"
        exit bad
    }
' README.md - "${files[@]}" <<<"$symbols"
