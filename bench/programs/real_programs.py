"""The real programs that bench/run-programs measures: how each gets its input and is started.

What runs one is in program.py, for servers in servers.py. Inputs come from inputs.py, the scripts
of the interpreters lie beside it; servers are in stores.py and web.py.
"""

import os
import subprocess

from lib import peers
from programs import inputs, stores, web
from programs.program import Program, Workload, digest


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
    """Every program, in the order of the tables."""
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
    return [each.name for each in table()]


def packages():
    return sorted({package for each in table() for package in each.packages.values()})


def installed(only):
    """The programs asked for (all if `only` is empty); those that lack a package are named and left
    out."""
    found = []
    for each in table():
        if only and each.name not in only:
            continue
        missing = each.missing()
        if missing:
            peers.complain("%s is left out: install the Debian package%s %s" % (
                each.name, "s" if len(missing) > 1 else "", ", ".join(missing)))
        else:
            found.append(each)
    return found
