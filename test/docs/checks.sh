#!/bin/bash
# checks.sh TREE: each text of a MOAT_CHECK in src/ has a row in doc/debugging.md, "What a check says", that names the files which
# have it; and no row there has a text or a file more. A row is | `text` | … | `folder/file.c` … |.
set -euo pipefail

cd -- "$1"
shopt -s nullglob
sources=(src/*/*.[ch])
[ ${#sources[@]} -gt 20 ] || { echo "checks: found only ${#sources[@]} sources: looked in the wrong place?" && exit 1; }

# The string literals from the word MOAT_CHECK to the end of its statement are its text.
in_source() {
    awk '
        FNR == 1 { open = 0 }
        /^[ \t]*#/ { next }
        /(MOAT_CHECK|moat_check_failed)\(/ { open = 1; text = "" }
        open {
            rest = $0
            while (match(rest, /"[^"]*"/)) {
                text = text substr(rest, RSTART + 1, RLENGTH - 2)
                rest = substr(rest, RSTART + RLENGTH)
            }
            if (rest ~ /;[^;]*$/) {
                file = FILENAME
                sub(/^src\//, "", file)
                if (text != "") print text "\t" file
                open = 0
            }
        }
    ' "$@"
}

in_document() {
    awk '
        /^#/ { inside = $0 == "## What a check says" }
        inside && /^\| `/ {
            cells = split($0, cell, /[ \t]*\|[ \t]*/)
            text = substr(cell[2], 2, length(cell[2]) - 2)
            files = split(cell[cells - 1], file, " ")
            for (i = 1; i <= files; i++) print text "\t" substr(file[i], 2, length(file[i]) - 2)
        }
    ' doc/debugging.md
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
in_source "${sources[@]}" | sort -u >"$work/source"
in_document | sort >"$work/document"
[ "$(wc -l <"$work/source")" -ge 15 ] || { echo "checks: too few texts: MOAT_CHECK is not understood" && exit 1; }
diff -u --label "MOAT_CHECK in src/" --label doc/debugging.md "$work/source" "$work/document" || {
    echo "checks: the table \"What a check says\" of doc/debugging.md has other texts or files than src/"
    exit 1
}
echo "checks: $(cut -f 1 "$work/source" | sort -u | wc -l) texts of MOAT_CHECK are explained"
