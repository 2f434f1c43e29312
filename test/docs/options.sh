#!/bin/bash
# options.sh ROWS-PROGRAM TREE: each option of src/meta/options.def has its key, its values and its default in both tables of
# doc/options.md and in doc/moat.7, and neither page has a key more.
set -euo pipefail

table=$("$1" options)
[ "$(wc -l <<<"$table")" -ge 6 ] || { echo "options: the table has too few rows" && exit 1; }
awk -F '\t' '
    function complain(text) { print file ": " text; bad = 1 }
    # "16777216" as a page says it: 16 and the unit.
    function mebibytes(bytes) { return bytes / 1048576 }
    FNR == 1 { file = FILENAME }
    FILENAME == ARGV[1] {
        order[++rows] = $1
        form[$1] = $2
        count[$1] = split($3, value, " ")
        for (i = 1; i <= count[$1]; i++) values[$1, i] = value[i]
        fallback[$1] = $4
        # two numbers side by side are two words
        if (form[$1] == "number" && value[2] == value[1] + 1) form[$1] = "word"
        next
    }
    FILENAME == ARGV[2] {
        if ($0 ~ /^\|[- |]+\|$/) tables++
        if (split($0, cell, / *\| */) < 5 || cell[2] !~ /^`[a-z_]+`$/) next
        key = substr(cell[2], 2, length(cell[2]) - 2)
        if (!(key in form)) complain("`" key "` is no key of the table")
        shown[tables, key] = cell[3] "|" cell[4]
        next
    }
    # The entries of OPTIONS: "guards=auto | mprotect | off" or "purge_delay= milliseconds", and a text.
    /^\.SH/ { inside = $0 == ".SH OPTIONS"; next }
    inside && $0 == ".TP" { heading = 1; next }
    inside && heading {
        heading = 0
        line = $0
        sub(/^\.B[RI] /, "", line)
        key = line
        sub(/=.*/, "", key)
        if (!(key in form)) { file = FILENAME; complain(key " is no key of the table") }
        headline[key] = line
        next
    }
    inside {
        line = $0
        sub(/^\.[A-Z]+ /, "", line)
        text[key] = text[key] " " line
    }
    END {
        file = ARGV[2]
        for (i = 1; i <= rows; i++) {
            key = order[i]
            if (form[key] == "word") {
                wanted = "`" values[key, 1] "`"
                for (j = 2; j <= count[key]; j++) wanted = wanted ", `" values[key, j] "`"
            } else if (form[key] == "kinds") wanted = "`abort`, `report`, `WORD,KIND=WORD`"
            else if (form[key] == "number") {
                wanted = "`" values[key, 1] "` to `" values[key, 2] "`"
                for (j = 3; j <= count[key]; j++) wanted = wanted ", `" values[key, j] "`"
            }
            else wanted = "a size, " mebibytes(values[key, 1]) " MiB or more; `0`"
            wanted = wanted "|`" fallback[key] "`"
            if (shown[1, key] != wanted) complain(key ": values and default are " shown[1, key] ", in the table " wanted)
            if (!((2, key) in shown)) complain(key ": not in the table of privileged processes")
        }
        file = ARGV[3]
        for (i = 1; i <= rows; i++) {
            key = order[i]
            wanted = key "="
            if (form[key] == "word")
                for (j = 1; j <= count[key]; j++) wanted = wanted (j == 1 ? "" : " | ") values[key, j]
            if (form[key] == "word" ? headline[key] != wanted : index(headline[key], wanted " ") != 1)
                complain(key ": its heading is \"" headline[key] "\", by the table \"" wanted "\"")
            if (form[key] == "number" && index(text[key], values[key, 1] " to " values[key, 2]) == 0)
                complain(key ": does not say " values[key, 1] " to " values[key, 2])
            if (form[key] == "size" && index(text[key], "at least " mebibytes(values[key, 1]) "M") == 0)
                complain(key ": does not say at least " mebibytes(values[key, 1]) "M")
            if (text[key] !~ ("[Dd]efault " fallback[key] "[ .]") && text[key] !~ (" " fallback[key] " \\([^)]*default\\)"))
                complain(key ": does not say default " fallback[key])
        }
        if (!bad) print "options: " rows " options stand in both pages"
        exit bad
    }
' <(printf '%s\n' "$table") "$2/doc/options.md" "$2/doc/moat.7"
