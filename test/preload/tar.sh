#!/bin/bash
# tar: an archive of some thousand files with long names and links, made, listed, extracted and compared.
source "$(dirname "$0")/lib.sh"
need tar tar
need gzip gzip
mkdir tree
for d in $(seq 1 40); do
    mkdir -p "tree/d$d/a directory with a rather long name/$d"
    for f in $(seq 1 50); do printf '%s\n' "$d $f" >"tree/d$d/a directory with a rather long name/$d/file $f"; done
    ln -s "d$d" "tree/link$d"
done
name=$(printf 'n%.0s' $(seq 1 150))
echo long >"tree/$name"
ln "tree/$name" tree/hard
find tree -exec touch -h -d @1000000000 {} +
cat >workload.sh <<'SH'
set -eu
tar --sort=name --owner=0 --group=0 --numeric-owner --format=gnu -C .. -cf gnu.tar tree
tar --sort=name --owner=0 --group=0 --numeric-owner --format=posix --pax-option=delete=atime,delete=ctime -C .. -czf pax.tgz tree
tar -tvf gnu.tar | sha256sum
mkdir out
tar -xf gnu.tar -C out
diff -r --no-dereference ../tree out/tree
tar -xOzf pax.tgz --wildcards 'tree/d1*/*/file 7' | sort -V
tar -C .. --compare -f gnu.tar --no-same-owner 2>/dev/null | grep -v -E 'Uid|Gid' || true
echo compared
SH
twice bash ../workload.sh
same_file gnu.tar
printed compared
under_moat tar gzip diff
passed
