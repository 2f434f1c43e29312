"""What the benchmark runners share: which allocators there are, running them in turn, and the sums.

Allocators are always run interleaved (A B C, A B C, ...), after one round that is thrown away, and compared by the median of
their rounds: a machine that gets slower or faster meanwhile then does so for all of them. Standard library only.
"""

import argparse
import csv
import math
import os
import platform
import re
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# Name, and where Debian puts it. The first that exists is taken.
MACHINE = {"x86_64": "x86_64", "aarch64": "aarch64"}.get(platform.machine(), platform.machine())
LIBRARY_DIRECTORY = "/usr/lib/%s-linux-gnu/" % MACHINE
PEERS = {
    "mimalloc": ["libmimalloc.so.2.0", "libmimalloc.so.2"],
    "jemalloc": ["libjemalloc.so.2"],
    "tcmalloc": ["libtcmalloc_minimal.so.4"],
    "scudo": ["/usr/lib/llvm-%s/lib/clang/%s/lib/linux/libclang_rt.scudo_standalone-%s.so" % (llvm, clang, MACHINE)
              for llvm, clang in (("14", "14.0.6"), ("14", "14"), ("16", "16"), ("19", "19"))],
}
PACKAGES = {"mimalloc": "libmimalloc2.0", "jemalloc": "libjemalloc2", "tcmalloc": "libtcmalloc-minimal4",
            "scudo": "libclang-rt-14-dev"}


def complain(text):
    print("%s: %s" % (os.path.basename(sys.argv[0]), text), file=sys.stderr)


def stop(text):
    complain(text)
    sys.exit(2)


class Allocator:
    """A name and the library to preload for it; None is the system's own."""

    def __init__(self, name, library):
        self.name, self.library = name, os.path.realpath(library) if library else None

    def environment(self):
        environment = dict(os.environ, LC_ALL="C")
        environment.pop("LD_PRELOAD", None)
        if self.library:
            environment["LD_PRELOAD"] = self.library
        return environment


def parser(description, wanted_rounds):
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--build", default=os.path.join(HERE, "..", "build"), metavar="DIR",
                        help="where moat and the benchmarks were built (cmake -DMOAT_BUILD_BENCH=ON); default: build")
    result.add_argument("--moat", metavar="LIB", help="libmoat.so, if not the one in the build directory")
    result.add_argument("--baseline", metavar="LIB",
                        help="libmoat.so of a build with -DMOAT_HARDENING=OFF, to price the hardening")
    result.add_argument("--with", dest="others", action="append", default=[], metavar="NAME=LIB", help="any other allocator")
    result.add_argument("--without", action="append", default=[], metavar="NAME", help="leave one out")
    result.add_argument("--no-moat", action="store_true", help="the others alone, before moat is built")
    result.add_argument("--rounds", type=int, default=wanted_rounds, metavar="N", help="rounds that count; default %(default)s")
    result.add_argument("--quick", action="store_true", help="a first impression in seconds; not for publication")
    result.add_argument("--csv", metavar="FILE", help="write every single measurement there")
    result.add_argument("--check", action="store_true", help="fail (status 1) if moat misses its targets")
    return result


def program(arguments, name):
    for path in (os.path.join(arguments.build, name), os.path.join(arguments.build, "bench", name)):
        if os.access(path, os.X_OK):
            return os.path.abspath(path)
    stop("%s is not built in %s: cmake -S . -B build -DMOAT_BUILD_BENCH=ON && cmake --build build" % (name, arguments.build))


def allocators(arguments, peers=True):
    """System first, then the peers that are installed, then moat. Says which are missing and how to get them."""
    if "system" in arguments.without:
        stop("the system's allocator is the reference and cannot be left out")
    found = [Allocator("system", None)]
    for name, places in PEERS.items() if peers else ():
        paths = [path for path in (os.path.join(LIBRARY_DIRECTORY, place) for place in places) if os.path.exists(path)]
        if name in arguments.without:
            continue
        if paths:
            found.append(Allocator(name, paths[0]))
        else:
            complain("%s is not installed (Debian package %s): left out" % (name, PACKAGES[name]))
    wanted = [other.partition("=")[::2] for other in arguments.others]
    if arguments.baseline:
        wanted.append(("moat-baseline", arguments.baseline))
    if not arguments.no_moat:
        wanted.append(("moat", arguments.moat or os.path.join(arguments.build, "libmoat.so")))
    for name, path in wanted:
        if not name or not os.path.exists(path):
            stop("no library for '%s': '%s'" % (name, path))
        found.append(Allocator(name, path))
    found = [allocator for allocator in found if allocator.name not in arguments.without]
    if len({allocator.name for allocator in found}) != len(found):
        stop("two allocators have one name")
    return found


def measure(allocator, command):
    """One run of a measuring program: its rows, after the proof that it ran on the allocator that was asked for."""
    done = subprocess.run(command, env=allocator.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        stop("%s: status %d from %s\n%s" % (allocator.name, done.returncode, " ".join(command), done.stderr.strip()))
    if done.stderr:
        complain("%s: %s" % (allocator.name, done.stderr.strip()))
    return proven_rows(allocator, done.stdout)


def proven_rows(allocator, text):
    """The rows that a measuring program printed, if it ran on the allocator that was asked for."""
    rows = list(csv.reader(text.splitlines()))
    where = os.path.realpath(rows[0][1])
    right = where == allocator.library if allocator.library else re.match(r"libc[.-]", os.path.basename(where))
    if rows[0][0] != "allocator" or not right:
        stop("%s: malloc comes from %s" % (allocator.name, where))
    return rows[2:]


def interleave(found, rounds, once):
    """once(allocator) gives {measure: value}; the result is {allocator name: {measure: [values]}}, without the first round."""
    values = {allocator.name: {} for allocator in found}
    for number in range(rounds + 1):
        for allocator in found:
            if sys.stderr.isatty():
                print("\r\033[Kround %d of %d: %s" % (number, rounds, allocator.name), end="", file=sys.stderr, flush=True)
            result = once(allocator)
            if number:
                for name, value in result.items():
                    values[allocator.name].setdefault(name, []).append(value)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return values


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def read(path, otherwise="unknown"):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return otherwise


def surroundings():
    """What a figure means nothing without."""
    models = re.findall(r"^model name\s*:\s*(.*)$", read("/proc/cpuinfo"), re.M)
    chosen = re.search(r"\[(\w+)\]", read("/sys/kernel/mm/transparent_hugepage/enabled", "[unknown]"))
    load = os.getloadavg()[0]
    lines = ["machine: %s, %d processors, Linux %s; transparent huge pages: %s; load at start: %.2f" % (
        models[0] if models else platform.machine(), len(os.sched_getaffinity(0)), platform.release(),
        chosen.group(1) if chosen else "unknown", load)]
    if load > 0.5:
        lines.append("warning: the machine is busy: compare ratios only, and run again when it is quiet")
    return lines


def table(heading, rows):
    widths = [max(len(str(row[column])) for row in [heading] + rows) for column in range(len(heading))]
    lines = []
    for row in [heading] + rows:
        cells = [str(cell).ljust(width) if column == 0 else str(cell).rjust(width)
                 for column, (cell, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)


def write_csv(path, values):
    if not path:
        return
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["allocator", "measure", "round", "value"])
        for name, measures in values.items():
            for measure_name, numbers in measures.items():
                for number, value in enumerate(numbers, 1):
                    writer.writerow([name, measure_name, number, "%.4f" % value])


def medians(values):
    return {name: {measure_name: statistics.median(numbers) for measure_name, numbers in measures.items()}
            for name, measures in values.items()}


def check(targets):
    """targets: [(text, value, limit)]. Prints a verdict for each; True if all are met."""
    good = True
    for text, value, limit in targets:
        met = value <= limit
        good = good and met
        print("%s: %s: %.3f, target at most %.3f" % ("met" if met else "MISSED", text, value, limit))
    return good
