"""The real programs that bench/run-programs measures: how each gets its input, is started, and
shows that its work was done.

A program is run once per call of run(allocator, directory): a dictionary of measures (wall_s,
cpu_s, peak_kib, mean_kib, minor_faults) and a digest of what it put out, which must be the same on
every allocator. A run that fails, or in which the allocator's library was not mapped, ends the
runner with a message: it is never a figure. Inputs come from inputs.py, the scripts of the
interpreters lie beside it; servers are in stores.py and web.py.
"""

import hashlib
import os
import shutil
import subprocess

from lib import outside, peers
from programs import inputs

HERE = os.path.dirname(os.path.abspath(__file__))
MEASURES = ["wall_s", "cpu_s", "peak_kib", "mean_kib", "minor_faults"]
# Debian's own programs come first: another build of one in front of them need not use the C
# library's malloc.
SEARCH = os.pathsep.join(["/usr/bin", "/usr/sbin", "/bin", "/sbin", os.environ.get("PATH", "")])


def find(executable):
    return shutil.which(executable, path=SEARCH)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def refuse_broken_preload(name, allocator, errors):
    if "cannot be preloaded" in errors:
        peers.stop("%s: %s" % (name, errors.strip().splitlines()[0]))
    if errors.strip():
        peers.complain("%s on %s says: %s" % (name, allocator.name, errors.strip()[:600]))


class Program:
    """A command that runs to its end by itself. `arguments` has file names relative to the
    directory of the inputs.

    packages: {executable: Debian package}, the first is the program itself. make: [(function of
    inputs.py, file name)]. rounds: for a workload of its own, the count that stands for {} in the
    arguments. output: the file it writes its result to, if not standard output; into: a file for
    standard output, where that is long or no text.
    """

    def __init__(self, name, packages, arguments, make=(), rounds=0, environment=None, output=None,
                 into=None):
        self.name, self.packages, self.arguments, self.make = name, packages, arguments, make
        self.rounds, self.environment = rounds, environment or {}
        self.output, self.into = output, into
        self.command = []

    def missing(self):
        """The packages to install first."""
        return sorted({package for executable, package in self.packages.items()
                       if not find(executable)})

    def prepare(self, directory, scale):
        for function, file in self.make:
            function(os.path.join(directory, file), scale)
        rounds = str(inputs.count(self.rounds, scale))
        self.command = [find(next(iter(self.packages)))]
        self.command += [argument.replace("{}", rounds) for argument in self.arguments]

    def run(self, allocator, directory):
        error_path = os.path.join(directory, self.name + ".err")
        options = {"cwd": directory, "env": self.environment}
        into_path = os.path.join(directory, self.into or os.devnull)
        with open(error_path, "w+b") as errors, open(into_path, "wb") as into:
            if self.into:
                options["stdout"] = into
            outcome = outside.run_outside(allocator, self.command, stderr=errors, **options)
            errors.seek(0)
            said = errors.read().decode(errors="replace")
        if outcome["status"] != 0:
            peers.stop("%s on %s: status %d\n%s" % (
                self.name, allocator.name, outcome["status"], said.strip()[-2000:]))
        refuse_broken_preload(self.name, allocator, said)
        return {name: outcome[name] for name in MEASURES}, self.result(directory, outcome["stdout"])

    def result(self, directory, stdout):
        if self.output or self.into:
            with open(os.path.join(directory, self.output or self.into), "rb") as file:
                return digest(file.read())
        return digest(stdout.encode())


class Workload(Program):
    """An interpreter with one of the scripts that lie here."""

    def __init__(self, name, packages, script, rounds, environment=None):
        super().__init__(name, packages, [os.path.join(HERE, script), "{}"], rounds=rounds,
                         environment=environment)


class GitGc(Program):
    """git gc, which starts git repack, git pack-objects and others: the library is preloaded into
    all of them.

    It looks for deltas anew in each run (--aggressive), so that every run has the same work to do.
    Two threads search at a time and share the work by chance: packs differ in a few bytes. What
    must be the same is every object in them.
    """

    def __init__(self):
        settings = {"user.name": "A", "user.email": "a@example.org", "pack.threads": "2",
                    "gc.aggressiveWindow": "40"}
        environment = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull,
                       "GIT_CONFIG_COUNT": str(len(settings))}
        for number, (key, value) in enumerate(settings.items()):
            environment["GIT_CONFIG_KEY_%d" % number] = key
            environment["GIT_CONFIG_VALUE_%d" % number] = value
        super().__init__("git", {"git": "git"},
                         ["-C", "git", "gc", "--quiet", "--aggressive", "--prune=now"],
                         [(inputs.history, "history")], environment=environment)

    def git(self, directory, *arguments, **options):
        environment = dict(peers.Allocator("system", None).environment(), **self.environment)
        return subprocess.run([self.command[0]] + list(arguments), cwd=directory, env=environment,
                              check=True, **options)

    def prepare(self, directory, scale):
        super().prepare(directory, scale)
        self.git(directory, "init", "--quiet", "--bare", "git")
        with open(os.path.join(directory, "history")) as history:
            self.git(directory, "-C", "git", "fast-import", "--quiet", stdin=history)
        self.git(directory, *self.command[1:])

    def result(self, directory, stdout):
        objects = self.git(directory, "-C", "git", "cat-file", "--batch-check",
                           "--batch-all-objects", stdout=subprocess.PIPE)
        self.git(directory, "-C", "git", "fsck", "--connectivity-only", stdout=subprocess.DEVNULL,
                 stderr=subprocess.DEVNULL)
        return digest(objects.stdout)


def table():
    """Every program, in the order of the tables. The servers are imported here: their classes
    derive from Program."""
    from programs import stores, web  # pylint: disable=import-outside-toplevel

    compile_c = ["-O2", "-S", "-w", "-x", "c", "source.c", "-o", "-"]
    return [
        stores.Redis(),
        Program("sqlite3", {"sqlite3": "sqlite3"}, ["-batch", ":memory:", ".read rows.sql"],
                [(inputs.sql, "rows.sql")]),
        Workload("python3", {"python3": "python3"}, "mix.py", 45,
                 {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}),
        Workload("perl", {"perl": "perl"}, "mix.pl", 45,
                 {"PERL_HASH_SEED": "0", "PERL_PERTURB_KEYS": "0"}),
        Workload("lua", {"lua5.4": "lua5.4"}, "mix.lua", 55),
        Program("gcc", {"gcc": "gcc"}, compile_c, [(inputs.c_source, "source.c")]),
        Program("g++", {"g++": "g++"}, ["-O2", "-S", "-w", "-std=c++17", "source.cc", "-o", "-"],
                [(inputs.cxx_source, "source.cc")]),
        Program("clang", {"clang": "clang"}, compile_c, [(inputs.c_source, "source.c")]),
        GitGc(),
        Program("gs", {"gs": "ghostscript"},
                ["-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", "-sDEVICE=ppmraw", "-r72",
                 "-sOutputFile=page%d.ppm", "pages.ps"],
                [(inputs.postscript, "pages.ps")], output="page1.ppm"),
        Program("z3", {"z3": "z3"}, ["-smt2", "holes.smt2"], [(inputs.pigeonholes, "holes.smt2")]),
        Program("xz", {"xz": "xz-utils"}, ["-T2", "-1", "--stdout", "--keep", "text"],
                [(inputs.text, "text")], into="text.xz"),
        web.Nginx(),
        web.PhpFpm(),
        web.Haproxy(),
        stores.Memcached(),
        stores.Mariadb(),
        stores.Postgres(),
    ]


def names():
    return [program.name for program in table()]


def packages():
    return sorted({package for program in table() for package in program.packages.values()})


def installed(only):
    """The programs asked for (all if `only` is empty); those that lack a package are named and left
    out."""
    found = []
    for program in table():
        if only and program.name not in only:
            continue
        missing = program.missing()
        if missing:
            peers.complain("%s is left out: install the Debian package%s %s" % (
                program.name, "s" if len(missing) > 1 else "", ", ".join(missing)))
        else:
            found.append(program)
    return found
