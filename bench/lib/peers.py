"""What the runners share: their options, which allocators there are, and running them in turn.

Allocators are always run interleaved (A B C, A B C, ...), after one round that is thrown away, and
compared by the median of their rounds: a machine that gets slower or faster meanwhile then does so
for all of them. Standard library only.
"""

import argparse
import csv
import os
import platform
import re
import subprocess
import sys

BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TREE = os.path.dirname(BENCH)

# Name, and where Debian puts it. The first that exists is taken.
MACHINE = {"x86_64": "x86_64", "aarch64": "aarch64"}.get(platform.machine(), platform.machine())
LIBRARY_DIRECTORY = "/usr/lib/%s-linux-gnu/" % MACHINE
SCUDO = "/usr/lib/llvm-%s/lib/clang/%s/lib/linux/libclang_rt.scudo_standalone-%s.so"
PEERS = {
    "mimalloc": ["libmimalloc.so.2.0", "libmimalloc.so.2"],
    "jemalloc": ["libjemalloc.so.2"],
    "tcmalloc": ["libtcmalloc_minimal.so.4"],
    "scudo": [SCUDO % (llvm, clang, MACHINE) for llvm, clang in (
        ("14", "14.0.6"), ("14", "14"), ("16", "16"), ("19", "19"))],
}
PACKAGES = {"mimalloc": "libmimalloc2.0", "jemalloc": "libjemalloc2",
            "tcmalloc": "libtcmalloc-minimal4", "scudo": "libclang-rt-14-dev"}
REFERENCE = "mimalloc"  # what ratios are to


def complain(text):
    print("%s: %s" % (os.path.basename(sys.argv[0]), text), file=sys.stderr)


def stop(text):
    complain(text)
    sys.exit(2)


def progress(text):
    """One line on a terminal that the next one overwrites; "" clears it."""
    if sys.stderr.isatty():
        print("\r\033[K%s" % text, end="", file=sys.stderr, flush=True)


class Allocator:
    """A name and the library to preload for it; None is the system's own."""

    def __init__(self, name, library):
        self.name, self.preloaded = name, os.path.realpath(library) if library else None

    def environment(self):
        environment = dict(os.environ, LC_ALL="C")
        environment.pop("LD_PRELOAD", None)
        if self.preloaded:
            environment["LD_PRELOAD"] = self.preloaded
        return environment


def positive(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def names_of(what, known):
    """The type of an option that is A,B out of the known ones."""
    def names(text):
        found = text.split(",")
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(
                    "there is no %s '%s', but %s" % (what, name, ", ".join(known)))
        return found
    return names


def parser(description, wanted_rounds):
    """With the options that all runners have; None: no number of rounds of its own."""
    result = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = result.add_argument
    add("--build", default=os.path.join(TREE, "build"), metavar="DIR",
        help="where moat and the benchmarks were built (cmake -DMOAT_BUILD_BENCH=ON); "
             "default: build")
    add("--moat", metavar="LIB", help="libmoat.so, if not the one in the build directory")
    add("--baseline", metavar="LIB",
        help="libmoat.so of a build with -DMOAT_HARDENING=OFF, to price the hardening")
    add("--with", dest="others", action="append", default=[], metavar="NAME=LIB",
        help="any other allocator")
    add("--without", action="append", default=[], metavar="NAME", help="leave one out")
    add("--no-moat", action="store_true", help="the others alone, before moat is built")
    add("--rounds", type=positive, default=wanted_rounds, metavar="N",
        help="rounds that count; default %(default)s")
    add("--quick", action="store_true",
        help="a first impression in seconds; not for publication")
    add("--csv", metavar="FILE", help="write every single measurement there")
    add("--check", action="store_true", help="fail (status 1) if moat misses its targets")
    return result


def add_only(result, what, known):
    result.add_argument("--only", action="extend", type=names_of(what, known), default=[],
                        metavar=what.upper(),
                        help="these %ss of %s; may be repeated, or A,B" % (what, ", ".join(known)))


def add_clock(result, what):
    result.add_argument("--clock", choices=["wall", "processor"], default="wall",
                        help="%s; default %%(default)s" % what)


def program(arguments, name):
    for path in (os.path.join(arguments.build, name), os.path.join(arguments.build, "bench", name)):
        if os.access(path, os.X_OK):
            return os.path.abspath(path)
    stop("%s is not built in %s: cmake -S . -B build -DMOAT_BUILD_BENCH=ON && cmake --build build"
         % (name, arguments.build))


def installed_peers(without):
    """Says which are missing and how to get them."""
    found = []
    for name, places in PEERS.items():
        paths = [path for path in (os.path.join(LIBRARY_DIRECTORY, place) for place in places)
                 if os.path.exists(path)]
        if name in without:
            continue
        if paths:
            found.append(Allocator(name, paths[0]))
        else:
            complain("%s is not installed (Debian package %s): left out" % (name, PACKAGES[name]))
    return found


def allocators(arguments, needed=()):
    """System first, then the peers that are installed, then moat. --check wants those needed."""
    if "system" in arguments.without:
        stop("the system's allocator is the reference and cannot be left out")
    found = [Allocator("system", None)] + installed_peers(arguments.without)
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
    names = {allocator.name for allocator in found}
    if len(names) != len(found):
        stop("two allocators have one name")
    if arguments.check and not names >= set(needed):
        stop("--check needs %s" % ", ".join(needed))
    return found


def measure(allocator, command):
    """One run of a measuring program: its rows, after the proof that it ran on this allocator."""
    done = subprocess.run(command, env=allocator.environment(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        stop("%s: status %d from %s\n%s" % (
            allocator.name, done.returncode, " ".join(command), done.stderr.strip()))
    if done.stderr:
        complain("%s: %s" % (allocator.name, done.stderr.strip()))
    return proven_rows(allocator, done.stdout)


def proven_rows(allocator, text):
    """The rows that a measuring program printed, if it ran on the allocator that was asked for."""
    rows = list(csv.reader(text.splitlines()))
    where = os.path.realpath(rows[0][1])
    right = (where == allocator.preloaded if allocator.preloaded
             else re.match(r"libc[.-]", os.path.basename(where)))
    if rows[0][0] != "allocator" or not right:
        stop("%s: malloc comes from %s" % (allocator.name, where))
    return rows[2:]


def interleave(found, rounds, once):
    """{allocator name: {measure: [values]}} without the first round, of once(allocator), which
    gives {measure: value}."""
    values = {allocator.name: {} for allocator in found}
    for number in range(rounds + 1):
        for allocator in found:
            progress("round %d of %d: %s" % (number, rounds, allocator.name))
            result = once(allocator)
            if number:
                for name, value in result.items():
                    values[allocator.name].setdefault(name, []).append(value)
    progress("")
    return values


def read(path, otherwise="unknown"):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return otherwise


def surroundings():
    """What a figure means nothing without."""
    models = re.findall(r"^model name\s*:\s*(.*)$", read("/proc/cpuinfo"), re.M)
    chosen = re.search(r"\[(\w+)\]",
                       read("/sys/kernel/mm/transparent_hugepage/enabled", "[unknown]"))
    load = os.getloadavg()[0]
    lines = ["machine: %s, %d processors, Linux %s; transparent huge pages: %s; "
             "load at start: %.2f" % (
                 models[0] if models else platform.machine(), len(os.sched_getaffinity(0)),
                 platform.release(), chosen.group(1) if chosen else "unknown", load)]
    if load > 0.5:
        lines.append("warning: the machine is busy: compare ratios only, and run again when it is "
                     "quiet")
    return lines


def how(arguments, rounds, spread="", warm_up=True):
    """The line above a runner's tables: what a figure is."""
    parts = ["one round" if rounds == 1 else "median of %d rounds%s" % (
        rounds, spread and " (%s)" % spread), "interleaved"]
    parts += ["after a warm-up round"] * warm_up
    return ", ".join(parts) + "; QUICK: a first impression only" * arguments.quick
