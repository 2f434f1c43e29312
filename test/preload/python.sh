#!/bin/bash
# python3 with its own allocator switched off: objects, strings, json, compression, threads and processes.
source "$(dirname "$0")/lib.sh"
need /usr/bin/python3 python3
cat >work.py <<'PY'
import bz2, collections, hashlib, json, lzma, os, re, subprocess, sys, threading, zlib

with open("/proc/self/maps") as maps:
    preload = os.environ.get("LD_PRELOAD")
    assert not preload or preload in maps.read(), "not in the process's own maps"


class Node:
    def __init__(self, key, parent):
        self.key, self.parent, self.children = key, parent, []


def tree(depth, key=1, parent=None):
    node = Node(key, parent)
    if depth:
        node.children = [tree(depth - 1, key * 3 + i, node) for i in range(3)]
    return node


def total(node):
    return node.key + sum(total(child) for child in node.children)


print("tree", [total(tree(depth)) for depth in range(9)])
words = [hashlib.md5(str(i).encode()).hexdigest() for i in range(60000)]
count = collections.Counter(re.sub(r"[0-9]+", "-", word)[:6] for word in words)
print("words", count.most_common(5), len(set(words)))
text = json.dumps({word: [len(word), word[::-1], {word[:3]: None}] for word in words}, sort_keys=True)
again = json.dumps(json.loads(text), sort_keys=True)
print("json", len(text), text == again)
for module in (zlib, bz2, lzma):
    packed = module.compress(text[:1 << 20].encode())
    print(module.__name__, len(packed), module.decompress(packed) == text[:1 << 20].encode())

results, lock = {}, threading.Lock()


def worker(number):
    mine = {}
    for i in range(3000):
        mine[i] = ("%d:%d" % (number, i)) * (i % 50)
        mine.pop(i - 200, None)
    with lock:
        results[number] = sum(map(len, mine.values()))


for generation in range(4):
    threads = [threading.Thread(target=worker, args=(generation * 8 + i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("threads", sorted(results.items())[-3:], sum(results.values()))

for i in range(8):
    child = os.fork()
    if child == 0:
        os._exit(len([bytearray(n) for n in range(2000)]) % 251)
    print("fork", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
code = "print(sum(len(str(i)) for i in range(50000)))"
print("subprocess", subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip())
grown = bytearray()
for i in range(64):
    grown += bytes([i]) * 100001
print("realloc", len(grown), hashlib.sha256(grown).hexdigest())
PY
export PYTHONMALLOC=malloc PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1
twice /usr/bin/python3 ../work.py
printed "subprocess 238890"
under_moat 'python3\..*'
[ "$(awk -F'\t' '$2 ~ "python3" && $3 == "mapped"' moat.record | wc -l)" -ge 10 ] || fail "the forked children were not seen"
passed
