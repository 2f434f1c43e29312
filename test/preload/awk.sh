#!/bin/bash
# awk, sed, grep, find, xargs and make: many small processes, each with its own start and end, and awk's strings and arrays.
source "$(dirname "$0")/lib.sh"
need awk mawk
need make make
awk 'BEGIN { for (i = 0; i < 50000; i++) {
    x = (x * 16807 + 11) % 2147483647
    printf "%d,%s,%d\n", i, "w" x % 3000, x % 100 } }' >input.csv
cat >Makefile.in <<'MK'
all: $(patsubst %,out.%,$(shell seq 1 120))
out.%: ../input.csv
	@sed -n '$*~120p' $< | tr a-z A-Z >$@
MK
cat >workload.sh <<'SH'
set -eu
awk -F, '{ n[$2]++; s[$2] = s[$2] $3 ";" } END { for (k in n) if (n[k] > 24) print k, n[k], length(s[k]) }' ../input.csv | sort
awk -F, '{ gsub(/[13579]/, "<&>", $3); t = t substr($0, 1, 9) }
    length(t) > 5000 { print length(t), toupper(substr(t, 1, 20)); t = "" }' ../input.csv
sed -E 's/([0-9]+),(w[0-9]+)/\2-\1/g; s/w(.)/W\1/' ../input.csv | md5sum
grep -cE ',w(1[0-9]{2}|2),' ../input.csv || true
make -s -j2 -f ../Makefile.in all
find . -name 'out.*' | sort -V | xargs -n 20 -P 2 cat | wc -l
find . -name 'out.*' | sort -V | xargs cat | md5sum
i=0
while [ $i -lt 150 ]; do
    /bin/echo "$i" | tr 0-9 a-j
    i=$((i + 1))
done
SH
twice bash ../workload.sh
under_moat '.*awk' sed grep make find xargs tr echo
[ "$(wc -l <moat.record)" -ge 500 ] || fail "too few processes were seen"
passed
