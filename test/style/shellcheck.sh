#!/bin/bash
# Argument: the tree. Checks every shell script of the tree, known by its first line or its name.
set -euo pipefail
cd -- "$1"
scripts=()
while IFS= read -r -d '' file; do
    if [[ $file == *.sh ]] || head -n 1 "$file" | grep -qE '^#!/bin/(ba)?sh'; then scripts+=("$file"); fi
done < <(find .ci .clusterfuzzlite bench fuzz scripts test tools -type f ! -name '*.[ch]' ! -name '*.py' -print0)
[ ${#scripts[@]} -gt 10 ] || { echo "found only ${#scripts[@]} scripts: looked in the wrong place?" && exit 1; }
# every sh that the tests may meet knows ulimit -c
shellcheck -S warning -e SC3045 -x -P SCRIPTDIR "${scripts[@]}"
echo "${#scripts[@]} scripts are clean"
