#!/bin/bash
# reproduce_test.sh REPLAY BUILD HARNESS BUG WORDS LINK...: a bug is planted in a harness, REPLAY (planted.c), and searched for;
# what is found is made small, twice and alike, and written as C, which is compiled, and must find the same. CC: the build's.
set -euo pipefail

replay=$1 build=$2 harness=$3 words=$5
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
export MOAT_PLANTED=$4 REPRODUCE_WITH="$here/planted.c ${*:6}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "$harness, $MOAT_PLANTED: $*"
    exit 1
}
# finds COMMAND...: it ends the process, with these words
finds() {
    if "$@" >said 2>&1; then cat said && fail "nothing is found: $*"; fi
    grep -qF -- "$words" said || { cat said && fail "something else is found: $*"; }
}
operations() { "$replay" --text "$1" | grep -cE '^ +[0-9]+ ' || true; }

# A bug has several faces: which one a search meets first is a matter of its seed.
for seed in 1 2 3 4 5 6 7 8; do
    rm -f found-*
    if "$replay" --search 20 $seed >said 2>&1; then cat said && fail "nothing is found"; fi
    if grep -qF -- "$words" said; then break; fi
done
found=$(ls found-*)
"$replay" --minimise "$found" >small
cp "$found.small" first.small
"$replay" --minimise "$found" >/dev/null
cmp -s first.small "$found.small" || fail "made small twice it is not the same"
grep -qF -- "$words" small || fail "the report does not have the words: $(cat small)"
before=$(operations "$found") after=$(operations "$found.small")
if [ "$after" -gt "$before" ] || [ "$after" -gt 12 ]; then fail "$after operations of $before: $(cat small)"; fi
finds "$replay" --verbose "$found.small"

"$replay" --c "$found.small" >program.c
if [ "$MOAT_PLANTED" = nudged ]; then
    grep -q 'failpoint [a-z-]* at passing' small || fail "the text names no failpoint: $(cat small)"
elif [ "$harness" = ops ]; then
    grep -q '"judged.h"' program.c || fail "the program is not of calls alone: $(cat program.c)"
fi
finds "$here/reproduce.sh" "$build" program.c
"$replay" --c-of-harness "$found.small" >program.c
finds "$here/reproduce.sh" "$build" program.c
echo "$harness, $MOAT_PLANTED: $after operations of $before, and the same as C"
