#!/bin/bash
# sort --parallel=2: 400 000 lines in memory with threads, through temporary files, by number and by field; and its kin.
source "$(dirname "$0")/lib.sh"
need sort coreutils
awk 'BEGIN { for (i = 0; i < 400000; i++) {
    x = (x * 16807 + 11) % 2147483647
    printf "%d %s%d field%d\n", x, (x % 2 ? "a" : "b"), x % 77777, i % 1000 } }' \
    >input.txt
cat >workload.sh <<'SH'
set -eu
sort --parallel=2 ../input.txt >whole
sort --parallel=2 -S 4M -T . -k2,2 -k1,1n ../input.txt >merged
sort --parallel=2 -u -k3,3V ../input.txt >unique
sort -c whole
shuf --random-source=../input.txt -n 1000 ../input.txt >shuffled
cut -d' ' -f2 ../input.txt | sort --parallel=2 | uniq -c | sort --parallel=2 -rn -k1,1 -k2 | head -n 500 >counted
join -j 1 <(head -n 5000 whole) <(head -n 9000 whole) >joined
wc -l whole merged unique joined
SH
twice bash ../workload.sh
same_file whole merged unique shuffled counted joined
cmp -s plain/merged <(sort -k2,2 -k1,1n input.txt) || fail "the merge through files is not what one sort gives"
under_moat sort uniq cut join shuf
passed
