#!/bin/bash
# limits.sh TREE: files and functions stay as short as CONTRIBUTING.md asks, say what they are for, and hide no unfinished work.
set -euo pipefail
cd -- "$1"
mapfile -d '' files < <(find src include tools fuzz test bench -name '*.[ch]' -print0 | sort -z)
[ ${#files[@]} -gt 20 ] || { echo "found only ${#files[@]} sources: looked in the wrong place?" && exit 1; }
bad=0
complain() {
    echo "$*"
    bad=1
}
for file in "${files[@]}"; do
    lines=$(wc -l <"$file")
    [ "$lines" -le 700 ] || complain "$file: $lines lines; at most 700"
    # a room's essay stands in its header
    [ -f "${file%.c}.h" ] && [[ $file == *.c ]] || [ "$(head -c 2 "$file")" = '/*' ] || complain "$file: does not begin with a comment that says what it owns"
    # with the tree's formatting a function begins on a line that is not indented and ends at the next } in column one
    awk -v file="$file" '
        /^[a-zA-Z_].*\) \{$/ { start = NR; name = $0 }
        /^}/ && start { if (NR - start + 1 > 80) { print file ":" start ": " NR - start + 1 " lines; at most 80: " name; bad = 1 } start = 0 }
        END { exit bad }
    ' "$file" || bad=1
done
if grep -nE '\b(TO''DO|FIX''ME|X''XX|HA''CK)\b' "${files[@]}"; then complain "unfinished work, above"; fi
[ "$bad" = 0 ] && echo "${#files[@]} sources keep the limits"
