"""redis and nginx for bench/run-programs: a server on the allocator, a client on the system's own,
a fixed amount of requests.

The server is started before the clock and ended after it: its time is that of the client's run, its
processor time and page faults are what they grew by meanwhile, its peak is that of its whole life,
summed over its processes. Where there are two processors the server has one and the client another,
so that they do not wait for each other. Everything of theirs lies in the directory of the inputs;
nothing of the machine's own servers is touched.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time

from lib import outside, peers
from programs import inputs, real_programs

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PATIENCE_S = 20


def processors():
    """(the server's, the client's)"""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return set(allowed), set(allowed)
    return {allowed[0]}, {allowed[1]}


@contextlib.contextmanager
def staying_on(chosen):
    """What is started meanwhile stays on these processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def spent(processes):
    """Processor time in seconds and minor faults of these processes until now."""
    ticks = faults = 0
    for pid in processes:
        fields = peers.read("/proc/%d/stat" % pid, "").rpartition(")")[2].split()
        if fields:
            faults += int(fields[7])
            ticks += int(fields[11]) + int(fields[12])
    return ticks * TICK_S, faults


def peak_kib(processes):
    total = 0
    for pid in processes:
        status = peers.read("/proc/%d/status" % pid, "")
        found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.M)
        total += int(found.group(1)) if found else 0
    return total


class Running:
    """A server that runs: context manager; ends it, and by force if it does not end by itself."""

    def __init__(self, server, allocator, directory):
        self.server, self.allocator, self.directory = server, allocator, directory
        self.preloaded = allocator.preloaded or server.instead_of_own()
        self.pid, self.members = None, []

    def __enter__(self):
        with open(os.path.join(self.directory, self.server.name + ".err"), "wb") as errors, \
                staying_on(processors()[0]):
            environment = self.allocator.environment()
            environment.pop("LD_PRELOAD", None)
            self.pid, _ = outside.start(self.preloaded, self.server.command, environment, {
                "cwd": self.directory, "stdin": subprocess.DEVNULL, "stdout": errors,
                "stderr": errors})
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def processes(self):
        found = outside.family(self.pid)
        self.members = list(dict.fromkeys(self.members + found))
        return found

    def kill(self):
        """By force, with its workers, also those that a dead parent has left: they are this
        process's children now."""
        self.processes()
        for pid in self.members:
            outside.kill(pid)

    def wait_until_ready(self):
        end = time.monotonic() + PATIENCE_S
        while not self.server.is_ready(self.directory):
            if os.waitpid(self.pid, os.WNOHANG)[0] or time.monotonic() > end:
                self.server.fail(self.allocator, self.directory, "did not start")
            time.sleep(0.02)
        processes = self.processes()
        if self.preloaded and not outside.has_loaded(processes, self.preloaded):
            self.server.fail(self.allocator, self.directory, "runs without %s" % self.preloaded)

    def __exit__(self, kind, *_):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        end = time.monotonic() + PATIENCE_S
        ended, status = 0, 0
        while not ended and time.monotonic() < end:
            time.sleep(0.01)
            ended, status = os.waitpid(self.pid, os.WNOHANG)
        if not ended or status != 0:
            self.kill()
        if kind is None and (not ended or status != 0):
            what = "did not end"
            if ended:
                what = "ended with status %d" % os.waitstatus_to_exitcode(status)
            self.server.fail(self.allocator, self.directory, what)

    def watch(self, client):
        """Until the client has ended: the mean of the server's resident memory."""
        total, samples = 0, 0
        while True:
            processes = self.processes()
            total, samples = total + outside.resident_kib(processes), samples + 1
            with contextlib.suppress(subprocess.TimeoutExpired):
                client.wait(outside.PERIOD_S)
                return processes, total / samples


class Server(real_programs.Program):
    """What the two share. A subclass says how to start, what to ask, and what the answer shows."""

    def __init__(self, name, packages):
        super().__init__(name, packages, [])
        self.scale = 1.0

    def prepare(self, directory, scale):
        self.scale = scale
        os.makedirs(os.path.join(directory, self.name), exist_ok=True)

    def fail(self, allocator, directory, what):
        said = peers.read(os.path.join(directory, self.name + ".err"), "")
        # redis writes much more after one
        reports = [line for line in said.splitlines() if line.startswith("moat: ")]
        peers.stop("%s on %s %s\n%s" % (
            self.name, allocator.name, what, "\n".join(reports[:20]) or said[-2000:]))

    def instead_of_own(self):
        """The library to preload for the system's line, if the program brings an allocator of its
        own."""
        return None

    def ask(self, allocator, directory, running, command):
        """One client on the system's allocator, while the server is watched: what it said, the
        server's processes, their mean."""
        system = peers.Allocator("system", None).environment()
        answer_path = os.path.join(directory, self.name, "client")
        with staying_on(processors()[1]), open(answer_path, "w+") as answer, \
                subprocess.Popen(command, cwd=directory, env=system, stdin=subprocess.DEVNULL,
                                 stdout=answer, stderr=subprocess.STDOUT) as client:
            seen, mean = running.watch(client)
            answer.seek(0)
            said = answer.read()
            if client.returncode != 0:
                self.fail(allocator, directory, "left its client with status %d: %s" % (
                    client.returncode, said))
            return said, seen, mean

    def run(self, allocator, directory):
        with Running(self, allocator, directory) as running:
            before, start = spent(running.processes()), time.monotonic()
            answers = [self.ask(allocator, directory, running, command)
                       for command in self.client_commands()]
            wall = time.monotonic() - start
            seen = answers[-1][1]
            cpu, faults = (now - then for now, then in zip(spent(seen), before))
            measures = {"wall_s": wall, "cpu_s": cpu, "peak_kib": peak_kib(seen),
                        "mean_kib": sum(mean for _, _, mean in answers) / len(answers),
                        "minor_faults": faults}
            result = self.judge(allocator, directory, [said for said, _, _ in answers], measures)
        with open(os.path.join(directory, self.name + ".err"), "rb") as errors:
            log = errors.read().decode(errors="replace")
        real_programs.refuse_broken_preload(self.name, allocator, self.complaints(log))
        return measures, result

    def complaints(self, log):
        """Of what the server wrote, the lines that it should not write."""
        bad = re.compile(r"preload|moat|\b(fatal|crit|alert|emerg)\b", re.I)
        return "\n".join(line for line in log.splitlines() if bad.search(line))


class Redis(Server):
    """SET with values of two sizes over one set of keys, lists grown and read, hashes: pipelined,
    over a Unix socket.

    Debian's redis-server is linked with jemalloc. For the system's line the C library is preloaded
    itself: its malloc then comes before jemalloc's in the order of the symbols, like that of any
    other library that is preloaded.
    """

    def __init__(self):
        super().__init__("redis", {"redis-server": "redis-server",
                                   "redis-benchmark": "redis-tools", "redis-cli": "redis-tools"})

    def prepare(self, directory, scale):
        super().prepare(directory, scale)
        self.command = [real_programs.find("redis-server"), "--port", "0",
                        "--unixsocket", "redis/socket", "--save", "", "--appendonly", "no",
                        "--daemonize", "no", "--loglevel", "warning"]

    def instead_of_own(self):
        return re.search(r"(/\S+/libc[.-]\S+)$", peers.read("/proc/self/maps"), re.M).group(1)

    def cli(self, directory, *arguments):
        command = [real_programs.find("redis-cli"), "-s", "redis/socket"] + list(arguments)
        return subprocess.run(command, cwd=directory, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                              text=True).stdout

    def is_ready(self, directory):
        return (os.path.exists(os.path.join(directory, "redis", "socket"))
                and self.cli(directory, "ping") == "PONG\n")

    def client_commands(self):
        keys = str(inputs.count(200000, self.scale))
        parts = [("set", 250000, ["-d", "64", "-r", keys]),
                 ("set", 150000, ["-d", "300", "-r", keys]),
                 ("lpush", 250000, ["-d", "40"]), ("lrange_100", 8000, []),
                 ("hset", 250000, ["-d", "48", "-r", keys])]
        return [[real_programs.find("redis-benchmark"), "-s", "redis/socket", "-q", "-P", "16",
                 "-c", "20", "-t", test, "-n", str(inputs.count(number, self.scale))] + more
                for test, number, more in parts]

    def judge(self, allocator, directory, said, measures):
        """Keys are drawn anew in each run; the commands, the lists and the hashes' sum are
        counted."""
        errors = self.cli(directory, "info", "errorstats").replace("# Errorstats", "").strip()
        if errors or any("rror" in text for text in said):
            self.fail(allocator, directory, "answered with errors: %s %s" % (errors, said))
        calls = re.findall(r"^cmdstat_(set|lpush|lrange|hset):calls=(\d+)",
                           self.cli(directory, "info", "commandstats"), re.M)
        return "%s %s" % (sorted(calls), self.cli(directory, "llen", "mylist").strip())


NGINX = """daemon off; worker_processes 1; pid nginx/pid; error_log stderr warn; %(user)s
events { worker_connections 256; }
http {
    access_log off; types { text/plain txt; } gzip on; gzip_min_length 500; keepalive_requests 100;
    client_body_temp_path nginx/body; proxy_temp_path nginx/proxy;
    fastcgi_temp_path nginx/fastcgi; uwsgi_temp_path nginx/uwsgi; scgi_temp_path nginx/scgi;
    server { listen 127.0.0.1:%(port)d; root %(root)s; }
}
"""


class Nginx(Server):
    """A master and one worker with 32 connections that last a hundred requests; half of the answers
    are compressed.

    wrk runs for a time, not for a number of requests: the figures are those of REQUESTS requests.
    """

    REQUESTS = 20000

    def __init__(self):
        super().__init__("nginx", {"nginx": "nginx", "wrk": "wrk"})
        self.port = 0

    def prepare(self, directory, scale):
        super().prepare(directory, scale)
        inputs.pages(os.path.join(directory, "nginx", "pages"), scale)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        with open(os.path.join(directory, "nginx", "conf"), "w") as file:
            file.write(NGINX % {"port": self.port,
                                "root": os.path.join(directory, "nginx", "pages"),
                                "user": "user root root;" if os.geteuid() == 0 else ""})
        self.command = [real_programs.find("nginx"), "-p", directory, "-c", "nginx/conf",
                        "-e", "stderr"]

    def is_ready(self, _directory):
        address = ("127.0.0.1", self.port)
        with contextlib.suppress(OSError), socket.create_connection(address, 1):
            return True
        return False

    def client_commands(self):
        seconds = max(1, round(2 * self.scale))
        return [[real_programs.find("wrk"), "-t", "1", "-c", "32", "-d", "%ds" % seconds, "-s",
                 os.path.join(real_programs.HERE, "requests.lua"),
                 "http://127.0.0.1:%d" % self.port]]

    def judge(self, allocator, directory, said, measures):
        found = re.search(r"^requests,(\d+),(\d+)$", said[0], re.M)
        seconds = re.search(r" requests in ([0-9.]+)s", said[0])
        if not found or not seconds or int(found.group(2)) or not int(found.group(1)):
            self.fail(allocator, directory, "answered with errors: %s" % said[0])
        share = self.REQUESTS / int(found.group(1))
        measures.update(wall_s=float(seconds.group(1)) * share, cpu_s=measures["cpu_s"] * share,
                        minor_faults=measures["minor_faults"] * share)
        return self.page(directory)

    def page(self, directory):
        """One file as the server gives it, compressed and not, for the comparison."""
        parts = []
        for encoding in ("identity", "gzip"):
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as connection:
                connection.sendall(b"GET /31.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: %s\r\n"
                                   b"Connection: close\r\n\r\n" % encoding.encode())
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
            parts.append(answer.partition(b"\r\n\r\n")[2])
        return real_programs.digest(b"".join(parts))
