#!/bin/bash
# reports.sh ROWS-PROGRAM TREE: each kind of src/report/kinds.def has a heading in doc/reports.md, and stands in doc/moat.7 and
# SECURITY.md; each end that is no misuse has its row in doc/reports.md. No heading or row is left over. The row of `on` in
# doc/options.md names the kinds that can go on, and no others.
set -euo pipefail

table=$("$1" reports)
[ "$(wc -l <<<"$table")" -ge 14 ] || { echo "reports: the table has too few rows" && exit 1; }
awk -F '\t' '
    function complain(text) { print file ": " text; bad = 1 }
    FNR == 1 { file = FILENAME }
    FILENAME == ARGV[1] {
        if ($1 == "kind") kind[$2] = $3
        else stop[$2] = 0
        next
    }
    FILENAME == ARGV[2] {
        if ($0 ~ /^## /) section = substr($0, 4)
        else if (section == "Kinds" && $0 ~ /^### /) {
            count = split(substr($0, 5), heading, ", ")
            for (i = 1; i <= count; i++) {
                if (!(heading[i] in kind)) complain(heading[i] " is no kind of the table")
                headed[heading[i]] = 1
            }
        } else if (section == "Ends that are no misuse" && $0 ~ /^\| `/) {
            split($0, part, "`")
            row = part[2]
            sub(/ …$/, "", row)
            sub(/<[a-z ]+>/, "<detail>", row)
            found = 0
            for (text in stop)
                if (index(text, row) == 1) { stop[text]++; found++ }
            if (found != 1) complain("the row \"" row "\" is the beginning of " found " stops of the table")
        }
        next
    }
    FILENAME == ARGV[5] {
        if (index($0, "| `on` |") != 1 || match($0, /The kinds .* can go on;/) == 0) next
        count = split(substr($0, RSTART, RLENGTH), word, "`")
        for (i = 2; i <= count; i += 2) {
            if (kind[word[i]] != "MAY_GO_ON") complain(word[i] " is no kind that can go on")
            said[word[i]] = 1
        }
        next
    }
    { whole[FILENAME] = whole[FILENAME] " " $0 " " }
    END {
        file = ARGV[2]
        for (name in kind) if (!(name in headed)) complain(name " has no heading")
        for (text in stop) if (stop[text] != 1) complain(stop[text] " rows for \"" text "\"")
        file = ARGV[3]
        for (name in kind) if (whole[file] !~ ("[ ,]" name "[ ,]")) complain(name " is not there")
        file = ARGV[4]
        for (name in kind) if (index(whole[file], "`" name "`") == 0) complain("`" name "` is not there")
        file = ARGV[5]
        for (name in kind) if (kind[name] == "MAY_GO_ON" && !(name in said)) complain(name " can go on, and is not named")
        if (!bad) print "reports: all kinds and stops are described"
        exit bad
    }
' <(printf '%s\n' "$table") "$2/doc/reports.md" "$2/doc/moat.7" "$2/SECURITY.md" "$2/doc/options.md"
