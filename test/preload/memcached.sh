#!/bin/bash
# memcached.sh [-k]: memcached on a Unix socket, with clients that write and read at once: values up
# to the largest, more of them than fit, a table of keys that has to grow, hundreds of connections.
# With -k its memory is locked: it must start as fast, and be as locked, as without the preload.
source "$(dirname "$0")/lib.sh"
need memcached memcached
need python3 python3
need setpriv util-linux
limit=60
cat >client.py <<'PY'
import os, socket, sys, threading

class Client:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect("memcached.sock")
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        return self.file.readline().rstrip(b"\r\n")

    def ask(self, data):
        self.send(data)
        return self.line()

    def set(self, key, value):
        return self.ask(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))

    def get(self, *keys):
        self.send(b"get " + b" ".join(keys) + b"\r\n")
        found = {}
        while True:
            line = self.line()
            if line == b"END":
                return found
            _, key, _, size = line.split()
            found[key] = self.file.read(int(size))
            self.file.read(2)

    def stats(self):
        self.send(b"stats\r\n")
        found = {}
        while True:
            words = self.line().split()
            if words == [b"END"]:
                return found
            found[words[1]] = words[2]

def value(name, number, size):
    return (b"%s%d," % (name, number) * (size // 4 + 1))[:size]

wrong = []

def work(name):
    one = Client()
    for i in range(3000):
        size = (i * 7919) % 9000
        if one.set(b"%s:%d" % (name, i), value(name, i, size)) != b"STORED":
            wrong.append("set")
        if i % 3 == 0:
            one.ask(b"append %s:%d 0 0 4\r\ntail\r\n" % (name, i))
        if i % 7 == 0:
            one.ask(b"delete %s:%d\r\n" % (name, i))
    for i in range(0, 3000, 10):
        keys = [b"%s:%d" % (name, j) for j in range(i, i + 10)]
        found = one.get(*keys)
        for j, key in zip(range(i, i + 10), keys):
            right = value(name, j, (j * 7919) % 9000) + (b"tail" if j % 3 == 0 else b"")
            if (j % 7 == 0) == (key in found) or found.get(key, right) != right:
                wrong.append(key)

def at_once(function, names):
    threads = [threading.Thread(target=function, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

one = Client()
print(one.set(b"counter", b"41"), one.ask(b"incr counter 1\r\n"))
# More keys than the first table has room for.
one.send(b"".join(b"set key%d 0 0 3 noreply\r\nabc\r\n" % i for i in range(120000)))
hundreds = ([b"key%d" % j for j in range(i, i + 100)] for i in range(0, 120000, 100))
print("keys:", sum(len(one.get(*keys)) for keys in hundreds))

at_once(work, [b"a", b"b", b"c"])
print("wrong after many clients:", len(wrong))

# The largest values, four times as much as fits; what is still there is right.
for i in range(256):
    one.set(b"large%d" % i, value(b"large", i, 1000000))
kept = 0
for i in range(256):
    for found in one.get(b"large%d" % i).values():
        kept += 1
        if found != value(b"large", i, 1000000):
            wrong.append(i)
print("some are kept:", 0 < kept < 256, "wrong:", len(wrong))
many = [Client() for _ in range(300)]
print("connections:", sum(c.ask(b"version\r\n").startswith(b"VERSION") for c in many))
del many
print("evictions:", int(one.stats()[b"evictions"]) > 0)
print(one.ask(b"flush_all\r\n"), one.get(b"counter"))
PY
cat >workload.sh <<'SH'
source ../server.sh
locked() { awk '/^VmLck/ { print ($2 > 0 ? "locked" : "not locked") }' "/proc/$server/status"; }
begin=${EPOCHREALTIME/./}
start server.log "$@"
wait_until "listening" test -S memcached.sock
if [ $((${EPOCHREALTIME/./} - begin)) -lt 2000000 ]; then echo "started in time"; fi
locked
if [ -n "$CLIENT" ]; then python3 "$CLIENT"; fi
locked
stop
cat server.log >&2
SH
export CLIENT=../client.py
command=(memcached -s memcached.sock -t 3 -m 64 -c 512)
if [ "$(id -u)" = 0 ]; then command+=(-u root); fi
if [ "${1:-}" = -k ]; then
    test_name=memcached-locked
    command+=(-k)
    # Whoever may not lock what it needs is told so, and served. (The second run may be that, too.)
    if [ "$(id -u)" = 0 ]; then
        CLIENT="" twice bash ../workload.sh setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock \
            "${command[@]}"
        printed "started in time" "ended cleanly"
        under_moat memcached
    fi
fi
twice bash ../workload.sh "${command[@]}"
printed "started in time" "wrong after many clients: 0" "keys: 120000" "connections: 300" \
    "evictions: True" "ended cleanly"
under_moat memcached 'python3.*'
passed
