#!/bin/bash
# xz -T2 in blocks, and back with threads; the compressed files are the same, byte for byte. gzip and bzip2 beside it.
source "$(dirname "$0")/lib.sh"
need xz xz-utils
need bzip2 bzip2
awk 'BEGIN { for (i = 0; i < 100000; i++) {
    x = (x * 16807 + 11) % 2147483647
    printf "%d line %x of some text, %s\n", i, x, (x % 3 ? "again and again" : "once") } }' \
    >input.txt
cat >workload.sh <<'SH'
set -eu
xz -T2 -3 --block-size=512KiB -c ../input.txt >file.xz
xz -T2 -dc file.xz | cmp - ../input.txt
xz -T1 -2 -c ../input.txt >single.xz
xz --list --robot file.xz | cut -f1-8
gzip -9nc ../input.txt >file.gz
gzip -dc file.gz | cmp - ../input.txt
bzip2 -c ../input.txt >file.bz2
bzip2 -dc file.bz2 | cmp - ../input.txt
echo same
SH
twice bash ../workload.sh
same_file file.xz single.xz file.gz file.bz2
printed same
blocks=$(xz --list --robot moat/file.xz | awk '$1 == "totals" { print $3 }')
[ "$blocks" -ge 4 ] || fail "the file has too few blocks for two threads"
under_moat xz gzip bzip2
passed
