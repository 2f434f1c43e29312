"""cache_client.py SOCKET BATCHES: BATCHES batches of a hundred commands to memcached on a Unix
socket: values of 10 to 8000 bytes are set, replaced, extended, read and deleted, over eight
connections in turn; prints the digest of the answers.

The client of memcached in bench/run-programs.
"""

import hashlib
import random
import socket
import sys

BATCH = 100
KEYS = 20000
CONNECTIONS = 8


def size(rng):
    """Most values are small."""
    return rng.randint(10, 400) if rng.random() < 0.8 else rng.randint(400, 8000)


def store(rng, verb, length):
    key = rng.randrange(KEYS)
    return b"%s k%d 0 0 %d\r\n%s\r\n" % (verb, key, length, b"v%07d" % key * (length // 8)
                                         + b"w" * (length % 8))


def command(rng):
    chance = rng.random()
    if chance < 0.3:
        return store(rng, b"set", size(rng))
    if chance < 0.4:
        return store(rng, b"append", rng.randint(1, 40))
    if chance < 0.45:
        return b"delete k%d\r\n" % rng.randrange(KEYS)
    return b"get %s\r\n" % b" ".join(b"k%d" % rng.randrange(KEYS) for _ in range(5))


def connect(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(path)
    return connection


def talk(connection, commands, digest):
    """The last command's answer is known by its text."""
    connection.sendall(b"".join(commands) + b"mn\r\n")
    tail = b""
    while not tail.endswith(b"MN\r\n"):
        received = connection.recv(1 << 20)
        if not received:
            raise SystemExit("memcached has closed a connection")
        digest.update(received)
        tail = (tail + received)[-4:]


def main():
    rng, digest = random.Random(7), hashlib.sha256()
    connections = [connect(sys.argv[1]) for _ in range(CONNECTIONS)]
    for number in range(int(sys.argv[2])):
        commands = [command(rng) for _ in range(BATCH)]
        talk(connections[number % CONNECTIONS], commands, digest)
    print(digest.hexdigest())


main()
