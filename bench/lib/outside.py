"""Measuring a program from outside: time, processor time, peak and mean resident memory and page
faults of one run of any command under one allocator.

The kernel counts into a process's peak what its forking parent had resident before the execve,
which for a parent in Python hides every program under some 12 MiB. So the program is started by a
small shell that ends at once; this process adopts the program (PR_SET_CHILD_SUBREAPER) and waits
for it itself. Used by run-models, run-memory, run-programs and run-price-list.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import subprocess
import tempfile
import time

from lib import peers

PR_SET_CHILD_SUBREAPER = 36
PERIOD_S = 0.020  # between two samples of resident memory
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024

# $1: the library to preload or nothing; $2: the descriptor that the process number is written to;
# $3: the one on which the program waits for its start; then the command. A shell gives a background
# process /dev/null for its input: the real one is kept as 3.
STARTER = """
exec 3<&0
preload=$1 number=$2 go=$3
shift 3
(
    read -r go </dev/fd/"$go"
    [ -z "$preload" ] || { LD_PRELOAD=$preload; export LD_PRELOAD; }
    exec "$@"
) <&3 3<&- &
echo $! >/dev/fd/"$number"
"""


def above_nine(descriptor):
    """The shell's own redirections take the descriptors of one digit."""
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10)
    os.close(descriptor)
    return high


def start(library, command, environment, options):
    """Starts the command as a child of this process, although a shell forks it; returns its number
    and the time of its start."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        peers.stop("this system does not let a process adopt others: %s"
                   % os.strerror(ctypes.get_errno()))
    ours, theirs = os.pipe()
    waiting, starting = os.pipe()
    with contextlib.ExitStack() as descriptors:
        theirs, waiting = above_nine(theirs), above_nine(waiting)
        for descriptor in (ours, theirs, waiting, starting):
            descriptors.callback(os.close, descriptor)
        starter = ["/bin/sh", "-c", STARTER, "sh", library or "", str(theirs), str(waiting)]
        subprocess.run(starter + list(command), check=True, env=environment,
                       pass_fds=(theirs, waiting), **options)
        pid = int(os.read(ours, 32))
        began = time.monotonic()
        os.write(starting, b"\n")
        return pid, began


def family(pid):
    """The process and all its descendants of this moment."""
    found = [pid]
    for member in found:
        with contextlib.suppress(OSError):
            for task in os.listdir("/proc/%d/task" % member):
                path = "/proc/%d/task/%s/children" % (member, task)
                with contextlib.suppress(OSError), open(path) as children:
                    found += map(int, children.read().split())
    return found


def resident_kib(processes):
    total = 0
    for pid in processes:
        with contextlib.suppress(OSError), open("/proc/%d/statm" % pid) as statm:
            total += int(statm.read().split()[1]) * PAGE_KIB
    return total


def has_loaded(processes, library):
    for pid in processes:
        with contextlib.suppress(OSError), open("/proc/%d/maps" % pid) as maps:
            if any(line.rstrip("\n").endswith(library) for line in maps):
                return True
    return False


class Sampler:
    """Looks at the process every 20 ms, more often while the library is not loaded yet. The mean is
    weighted by time."""

    def __init__(self, pid, library):
        self.pid, self.preloaded = pid, library
        self.seen = library is None
        self.sum = self.time = 0.0

    def watch(self):
        """Returns when the process has ended; it is not waited for yet."""
        handle = os.pidfd_open(self.pid)
        try:
            ended = select.poll()
            ended.register(handle, select.POLLIN)
            last = time.monotonic()
            while not ended.poll(1 if not self.seen and self.time < 1 else PERIOD_S * 1000):
                processes = family(self.pid)
                now = time.monotonic()
                self.sum += resident_kib(processes) * (now - last)
                self.time += now - last
                last = now
                self.seen = self.seen or has_loaded(processes, self.preloaded)
        finally:
            os.close(handle)

    def mean_kib(self, otherwise):
        return self.sum / self.time if self.time else otherwise


def kill(pid):
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def run_outside(allocator, command, **popen_options):
    """Runs a command to its end on a peers.Allocator; ends the runner if the allocator's library
    was not loaded.

    popen_options are subprocess.Popen's, for cwd, stdin (default: nothing to read), stdout
    (default: captured, as text) and stderr; env is added to the allocator's environment. The
    result's status is negative for a signal, 126 or 127 where there is no such program. cpu_s,
    peak_kib and minor_faults are those of the process and of the children it waited for (the peak:
    of the largest); mean_kib is the sum over all that ran at a time.
    """
    environment = allocator.environment()
    environment.update(popen_options.pop("env", None) or {})
    environment.pop("LD_PRELOAD", None)
    captured = None if "stdout" in popen_options else tempfile.TemporaryFile("w+")
    options = dict({"stdin": subprocess.DEVNULL, "stdout": captured}, **popen_options)
    with captured or contextlib.nullcontext():
        pid, began = start(allocator.preloaded, command, environment, options)
        sampler = Sampler(pid, allocator.preloaded)
        try:
            sampler.watch()
        except BaseException:
            kill(pid)
            raise
        wall = time.monotonic() - began
        _, status, usage = os.wait4(pid, 0)
        output = None
        if captured:
            captured.seek(0)
            output = captured.read()
    said = (output or "").partition("\n")[0]
    if not sampler.seen and said != "allocator,%s" % allocator.preloaded:
        peers.stop("%s: %s was not seen in %s (status %d)" % (
            allocator.name, allocator.preloaded, command[0], os.waitstatus_to_exitcode(status)))
    return {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_kib": usage.ru_maxrss, "mean_kib": sampler.mean_kib(usage.ru_maxrss),
            "minor_faults": usage.ru_minflt,
            "status": os.waitstatus_to_exitcode(status), "stdout": output}
