"""fastcgi.py SOCKET SCRIPT COUNT CONNECTIONS: COUNT requests of a script to a FastCGI server, with
so many at a time; prints the digest of the answers.

The client of php-fpm in bench/run-programs. The protocol is that of the FastCGI specification 1.0.
"""

import hashlib
import queue
import socket
import struct
import sys
import threading

BEGIN, END, PARAMS, STDIN, STDOUT, STDERR = 1, 3, 4, 5, 6, 7
RESPONDER = 1
HEADER = struct.Struct(">BBHHBx")


def record(kind, content):
    return HEADER.pack(1, kind, 1, len(content), 0) + content


def parameters(script, seed):
    pairs = {"SCRIPT_FILENAME": script, "QUERY_STRING": "seed=%d" % seed, "REQUEST_METHOD": "GET"}
    return b"".join(struct.pack(">II", len(name) | 1 << 31, len(value) | 1 << 31)
                    + name.encode() + value.encode() for name, value in pairs.items())


def ask(path, script, seed):
    """The answer, without its headers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(path)
        connection.sendall(record(BEGIN, struct.pack(">HB5x", RESPONDER, 0))
                           + record(PARAMS, parameters(script, seed)) + record(PARAMS, b"")
                           + record(STDIN, b""))
        with connection.makefile("rb") as file:
            answer = b""
            while True:
                _, kind, _, length, padding = HEADER.unpack(file.read(HEADER.size))
                content = file.read(length)
                file.read(padding)
                if kind == STDERR:
                    raise SystemExit("the script says: %s" % content.decode(errors="replace"))
                if kind == STDOUT:
                    answer += content
                if kind == END:
                    return answer.partition(b"\r\n\r\n")[2]


def main():
    path, script, count, connections = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    seeds = queue.SimpleQueue()
    for seed in range(count):
        seeds.put(seed)
    answers = {}

    def work():
        while True:
            try:
                seed = seeds.get_nowait()
            except queue.Empty:
                return
            answers[seed] = ask(path, script, seed)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(answers) != count:
        raise SystemExit("%d of %d requests were answered" % (len(answers), count))
    print(hashlib.sha256(b"".join(answers[seed] for seed in range(count))).hexdigest())


main()
