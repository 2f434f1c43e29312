#!/bin/bash
# whose_malloc.sh MOAT PROGRAM OWN: PROGRAM has a malloc of its own and no free, OWN a whole family. The report of the first names
# the program; of the second verbose=1 says at the start that moat does not serve it, and nothing is said without.
set -u
moat=$1 half=$2 own=$3
ulimit -c 0
output=$(mktemp)
trap 'rm -f "$output"' EXIT
fail() {
    echo "failed: $1"
    cat "$output"
    exit 1
}
LD_PRELOAD=$moat "$half" >"$output" 2>&1
[ $? -eq 134 ] || fail "no report"
grep -q '^moat: fatal: invalid-free: free of an address outside the heap at ' "$output" || fail "another report"
grep -qF "moat: the name malloc leads to $half (r-xp), not to moat" "$output" || fail "it does not say whose malloc it is"
MOAT_OPTIONS=verbose=1 LD_PRELOAD=$moat "$own" >"$output" 2>&1 || fail "the program with its own family"
grep -qxF "moat: warning: the name malloc leads to $own (r-xp), not to moat" "$output" || fail "not a word at the start"
LD_PRELOAD=$moat "$own" >"$output" 2>&1 || fail "the program with its own family"
[ ! -s "$output" ] || fail "a word though nobody asked"
MOAT_OPTIONS=verbose=1 LD_PRELOAD=$moat /bin/true >"$output" 2>&1 || fail "/bin/true"
grep -q 'leads to' "$output" && fail "a word about moat's own malloc"
exit 0
