#!/bin/bash
# redis-server over a unix socket on this machine: what is set is read back, before and after a load by redis-benchmark, through
# expiry, a background save (a fork while clients write), and a restart from the file. Debian's server also loads jemalloc, so
# that two allocators stand in one process.
source "$(dirname "$0")/lib.sh"
need redis-server redis-server
need redis-benchmark redis-tools
need redis-cli redis-tools
cat >workload.sh <<'SH'
set -eu
cli() { redis-cli -s redis.sock "$@"; }
start() {
    redis-server --port 0 --unixsocket redis.sock --daemonize no --save '' --appendonly no --dir . --dbfilename dump.rdb \
        --loglevel warning --enable-debug-command local --io-threads 2 --logfile server.log &
    server=$!
    for _ in $(seq 1 200); do
        if [ "$(cli ping 2>/dev/null)" = PONG ]; then return; fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.05
    done
    echo "the server does not answer:" >&2
    cat server.log >&2
    exit 1
}
check() {
    cli dbsize
    cli --raw get key777 | sha256sum
    cli --raw hlen hash
    cli --raw lrange list 100 110 | tr '\n' ' '
    cli --raw zrange zset 50 60 | tr '\n' ' '
    cli debug digest
}
start
cli ping
awk 'BEGIN { for (i = 0; i < 20000; i++) {
    s = "v" i; while (length(s) < i % 700) s = s s
    print "set key" i " " s; print "hset hash f" i " " i
    print "rpush list " i; print "zadd zset " (i * 7919 % 20000) " m" i
    if (i % 3 == 0) print "append key" i " tail"; if (i % 5 == 0) print "del key" i - 1 } }' >commands.txt
redis-cli -s redis.sock --pipe <commands.txt >pipe.log
grep '^errors: 0' pipe.log
check
# Four kinds of requests by 50 clients; then every key that was set has its full length, and no push was lost.
redis-benchmark -s redis.sock -q -n 10000 -c 50 -P 8 --threads 2 -r 5000 -d 300 -t ping,set,get,lpush --csv | cut -d, -f1
cli --raw type mylist
cli llen mylist
cli --raw eval "local bad = 0 for _, k in ipairs(redis.call('keys', 'key:0*')) do
    if redis.call('strlen', k) ~= 300 then bad = bad + 1 end end return 'wrong lengths: ' .. bad" 0
redis-benchmark -s redis.sock -q -n 10000 -c 20 -r 200000 -d 100 set 'bg:__rand_int__' __data__ >load.log 2>&1 &
load=$!
cli bgsave
wait "$load"
for _ in $(seq 1 200); do
    if [ "$(cli --raw info persistence | tr -d '\r' | grep -c '^rdb_bgsave_in_progress:0')" = 1 ]; then break; fi
    sleep 0.05
done
cli --raw info persistence | tr -d '\r' | grep -E '^rdb_last_bgsave_status'
cli --raw eval "for _, k in ipairs(redis.call('keys', 'bg:*')) do redis.call('del', k) end return 'cleared'" 0
cli --raw eval "for _, k in ipairs(redis.call('keys', 'key:*')) do redis.call('del', k) end return 'cleared'" 0
cli --raw del mylist
check >before
cat before
cli --raw memory doctor >/dev/null
cli --raw save
cli shutdown nosave 2>/dev/null || true
wait "$server"
start
check >after
cmp before after && echo "the same after a restart"
cli flushall async
cli dbsize
cli shutdown nosave 2>/dev/null || true
wait "$server"
echo stopped
SH
twice bash ../workload.sh
printed PONG 10000 "wrong lengths: 0" "errors: 0, replies: 90667" "the same after a restart" rdb_last_bgsave_status:ok stopped
under_moat 'redis-.*'
passed
