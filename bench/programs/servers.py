"""Servers for bench/run-programs: a server on the allocator, a client on the system's own, a fixed
amount of requests. The servers themselves are in stores.py and web.py.

The server is started before the clock and ended after it: its time is that of the client's run, its
processor time and page faults are what they grew by meanwhile, with those of processes that ended;
its peak is the greatest sum of its processes' peaks at a time. Where there are two processors the
server has one and the client another, so that they do not wait for each other. Everything of theirs
lies in the directory of the inputs; nothing of the machine's own servers is touched.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time

from lib import outside, peers
from programs import program

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
    """Processor time in seconds and minor faults until now of these processes, and of children that
    they had and waited for."""
    ticks = faults = 0
    for pid in processes:
        fields = peers.read("/proc/%d/stat" % pid, "").rpartition(")")[2].split()
        if fields:
            faults += int(fields[7]) + int(fields[8])
            ticks += sum(int(field) for field in fields[11:15])
    return ticks * TICK_S, faults


def peak_kib(processes):
    total = 0
    for pid in processes:
        status = peers.read("/proc/%d/status" % pid, "")
        found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.M)
        total += int(found.group(1)) if found else 0
    return total


def listens(path):
    """Whether a server takes connections at a Unix socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(path)
        return True
    return False


class Running:
    """A server that runs: context manager; ends it, and by force if it does not end by itself."""

    def __init__(self, server, allocator, directory):
        self.server, self.allocator, self.directory = server, allocator, directory
        self.preloaded = allocator.preloaded or server.instead_of_own()
        self.pid, self.members, self.peak_kib = None, [], 0

    def __enter__(self):
        with open(os.path.join(self.directory, self.server.name + ".err"), "wb") as errors, \
                staying_on(processors()[0]):
            environment = dict(self.allocator.environment(), **self.server.environment)
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
            os.kill(self.pid, self.server.END_BY)
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
            self.peak_kib = max(self.peak_kib, peak_kib(processes))
            with contextlib.suppress(subprocess.TimeoutExpired):
                client.wait(outside.PERIOD_S)
                return total / samples


class Server(program.Program):
    """What they share. A subclass says how to start, what to ask, and what the answer shows."""

    END_BY = signal.SIGTERM

    def __init__(self, name, packages, environment=None):
        super().__init__(name, packages, [], environment=environment)
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
        """One client on the system's allocator, while the server is watched: what it said, and the
        server's mean."""
        system = peers.Allocator("system", None).environment()
        answer_path = os.path.join(directory, self.name, "client")
        with staying_on(processors()[1]), open(answer_path, "w+") as answer, \
                subprocess.Popen(command, cwd=directory, env=system, stdin=subprocess.DEVNULL,
                                 stdout=answer, stderr=subprocess.STDOUT) as client:
            mean = running.watch(client)
            answer.seek(0)
            said = answer.read()
            if client.returncode != 0:
                self.fail(allocator, directory, "left its client with status %d: %s" % (
                    client.returncode, said))
            return said, mean

    def run(self, allocator, directory):
        with Running(self, allocator, directory) as running:
            before, start = spent(running.processes()), time.monotonic()
            answers = [self.ask(allocator, directory, running, command)
                       for command in self.client_commands()]
            wall = time.monotonic() - start
            cpu, faults = (now - then
                           for now, then in zip(spent(running.processes()), before))
            measures = {"wall_s": wall, "cpu_s": cpu, "peak_kib": running.peak_kib,
                        "mean_kib": sum(mean for _, mean in answers) / len(answers),
                        "minor_faults": faults}
            result = self.judge(allocator, directory, [said for said, _ in answers], measures)
        with open(os.path.join(directory, self.name + ".err"), "rb") as errors:
            log = errors.read().decode(errors="replace")
        program.refuse_broken_preload(self.name, allocator, self.complaints(log))
        return measures, result

    def complaints(self, log):
        """Of what the server wrote, the lines that it should not write."""
        bad = re.compile(r"preload|moat|\b(fatal|crit|alert|emerg)\b", re.I)
        return "\n".join(line for line in log.splitlines() if bad.search(line))
