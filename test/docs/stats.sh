#!/bin/bash
# stats.sh ROWS-PROGRAM TREE: doc/moat.3 and include/moat.h have the fields of src/alloc/stats.def, in its order and words.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$1" stats >"$work/table"
[ "$(wc -l <"$work/table")" -ge 12 ] || { echo "stats: the table has too few rows" && exit 1; }

# The entries after "struct moat_stats": a name in italics, then its meaning.
awk '
    /^\.IR? "?struct moat_stats/ { inside = 1 }
    inside && /^\.RE/ { exit }
    inside && /^\.I [a-z_]+$/ { name = $2; next }
    name != "" { print name "\t" $0; name = "" }
' "$2/doc/moat.3" >"$work/manual"
awk '
    /^struct moat_stats \{/ { inside = 1; next }
    inside && /^\}/ { exit }
    inside {
        split($0, part, /[ ;]+|\/\*/)
        meaning = $0
        sub(/.*\/\* /, "", meaning)
        sub(/ \*\/$/, "", meaning)
        print part[3] "\t" meaning
    }
' "$2/include/moat.h" >"$work/header"
status=0
for page in manual header; do
    diff -u --label src/alloc/stats.def --label "the $page" "$work/table" "$work/$page" || status=1
done
[ $status -ne 0 ] || echo "stats: $(wc -l <"$work/table") fields are the same in the table, the manual and the header"
exit $status
