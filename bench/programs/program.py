"""What a real program is, and how one that runs to its end by itself is run.

run(allocator, directory) returns a dictionary of measures (wall_s, cpu_s, peak_kib, mean_kib,
minor_faults) and a digest of what the program put out, which must be the same on every allocator. A
run that fails, or in which the allocator's library was not mapped, ends the runner with a message:
it is never a figure.
"""

import hashlib
import os
import shutil

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
