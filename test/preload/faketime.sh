#!/bin/bash
# libfaketime, which puts its own clocks, sleeps and waits in front of the C library's, beside the
# library: in both orders, with a clock that stands, one of long ago, one that races; in programs
# with and without threads.
source "$(dirname "$0")/lib.sh"
need faketime faketime
need python3 python3
need perl perl
limit=60
fake=$(find /usr/lib /usr/lib64 -name 'libfaketimeMT.so.1' 2>/dev/null | head -n 1)
[ -n "$fake" ] || skip "libfaketimeMT.so.1 is not here (Debian package libfaketime)"
export FAKE=$fake
cat >threads.py <<'PY'
import threading, time

def work(name):
    kept = []
    for i in range(300):
        kept.append(bytes((i * 37) % 20000))
        if i % 3 == 0:
            kept.pop(0)
        time.time(), time.monotonic(), time.localtime()
    sizes.append(sum(map(len, kept)))

sizes = []
for round in range(5):
    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
big = [bytearray(30_000_000) for _ in range(5)]
print(time.strftime("%Y-%m-%d"), len(sizes), set(sizes), sum(map(len, big)))
PY
cat >workload.sh <<'SH'
set -eu
awk 'BEGIN { for (i = 0; i < 60000; i++) print i * 7919 % 60013, i }' >numbers
all() {
    date -u +%Y-%m-%d
    python3 ../threads.py
    perl -e 'my @t = map { { t => [localtime], s => "x" x ($_ % 500) } } 1 .. 30000;
        print $t[99]{t}[5] + 1900, "\n"'
    sort --parallel=2 -S 4M -n numbers | md5sum
    xz -T2 --block-size=100000 <numbers | xz -d | cmp - numbers
    bash -c 'for i in {1..20}; do (date +%Y); done' | sort | uniq -c
}
moat=${LD_PRELOAD:-}
for order in moat-first fake-first; do
    case $order in
    moat-first) export LD_PRELOAD=${moat:+$moat:}$FAKE ;;
    fake-first) export LD_PRELOAD=$FAKE${moat:+:$moat} ;;
    esac
    echo "$order"
    FAKETIME='2020-12-24 20:30:00' all
    FAKETIME='@2001-02-03 04:05:06 x200' all
    FAKETIME='-30y' bash -c 'test "$(date +%Y)" -lt 2010 && echo long ago'
done
# its own command sets the environment itself
LD_PRELOAD=$moat faketime -f '@1999-12-31 23:00:00' python3 ../threads.py
SH
twice bash ../workload.sh
printed "1999-12-31 40 {1476300} 150000000" "2020-12-24" "     20 2001" "long ago"
under_moat 'python3.*' perl sort xz bash
passed
