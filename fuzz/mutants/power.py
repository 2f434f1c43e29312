#!/usr/bin/env python3
"""power.py TREE [options] [PATCH...]: plants bugs and measures how soon they are found.

Run by scripts/fuzz power. Each of fuzz/mutants/*.patch (or those named) is applied to a copy of
TREE, which is built, and each way of looking for bugs runs on it:

  ops, threads, interleave, ordering, api   the harness with fresh inputs, no corpus, no coverage
  attacker, units, modules, options   the same
  score                      fuzz_score: known ways to an attacker's aims, and their chances
  random                     interleave by coin tosses alone
  explore                    every interleaving of the programs of fuzz_explore
  unit                       the unit tests, until one fails (only if asked for)

  --seconds S    processor time of a search (10)
  --seeds N      searches with as many seeds (3)
  --ways LIST    of the ways above, by commas; all but unit
  --csv FILE     the results; doc/benchmarks/fuzz-power.csv
  --anew         what stands in FILE for these bugs is measured again

A line of FILE for each bug, way and seed: killed (1 or 0), the seconds of processor time until
then, and what was said. What stands there is not measured again, so a run that was interrupted goes
on where it was, and one with more seeds adds those. fuzz/mutants/matrix.py makes the table and the
picture of it. One process at a time; "unit" needs a run of its own (--ways unit).
"""

import argparse
import contextlib
import csv
import fcntl
import glob
import os
import resource
import shutil
import signal
import subprocess
import sys

FIELDS = ["bug", "way", "seed", "seconds", "killed", "took", "said"]
COPIED = ["CMakeLists.txt", "README.md", "CHANGELOG.md", "LICENSE", "cmake", "src", "include", "fuzz",
          "corpus", "tools", "test", "doc"]
SEARCHES = {
    "ops": ["fuzz_ops_replay"],
    "threads": ["fuzz_threads_replay"],
    "interleave": ["fuzz_interleave_replay"],
    "ordering": ["fuzz_ordering_replay"],
    "api": ["fuzz_api_replay"],
    "attacker": ["fuzz_attacker_replay"],
    "units": ["fuzz_units_replay"],
    "modules": ["fuzz_modules_replay"],
    "options": ["fuzz_options_replay"],
    "random": ["fuzz_interleave_replay", "--scheduler", "random"],
}
PROGRAMS = ["fuzz_ops_replay", "fuzz_threads_replay", "fuzz_interleave_replay",
            "fuzz_ordering_replay", "fuzz_api_replay", "fuzz_attacker_replay",
            "fuzz_units_replay", "fuzz_modules_replay", "fuzz_options_replay", "fuzz_explore",
            "fuzz_score"]
BATCH = 8
EXPLORE_SECONDS = 60
UNIT_SECONDS = 300


def options(arguments):
    parser = argparse.ArgumentParser(prog="scripts/fuzz power", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", default=",".join([*SEARCHES, "explore", "score"]))
    parser.add_argument("--csv")
    parser.add_argument("--anew", action="store_true")
    parser.add_argument("patches", nargs="*")
    chosen = parser.parse_intermixed_args(arguments)
    chosen.ways = chosen.ways.split(",")
    for way in chosen.ways:
        if way not in [*SEARCHES, "explore", "score", "unit"]:
            parser.error("no way '%s'" % way)
    chosen.csv = chosen.csv or os.path.join(chosen.tree, "doc/benchmarks/fuzz-power.csv")
    chosen.patches = chosen.patches or sorted(
        glob.glob(os.path.join(chosen.tree, "fuzz/mutants/*.patch")))
    return chosen


class Results:
    """What was measured, in a file that is written after each measurement."""

    def __init__(self, path, again):
        self.path = path
        self.rows = []
        if os.path.exists(path):
            with open(path, newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if row["bug"] not in again]

    def has(self, bug, way, seed, seconds):
        """Whether that was measured: with as much time, or killed in less."""
        for row in self.rows:
            if (row["bug"], row["way"], row["seed"]) == (bug, way, str(seed)):
                if row["killed"] == "1" or int(row["seconds"]) >= seconds:
                    return True
        return False

    def add(self, row):
        key = ("bug", "way", "seed")
        self.rows = [old for old in self.rows if [old[k] for k in key] != [str(row[k]) for k in key]]
        self.rows.append({name: str(value) for name, value in row.items()})
        self.rows.sort(key=lambda kept: (kept["bug"], kept["way"], int(kept["seed"])))
        with open(self.path + ".new", "w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(self.path + ".new", self.path)


class Place:
    """The copy of the tree, its build, and where programs run."""

    def __init__(self, tree, with_tests):
        self.root = os.path.join(tree, "build-fuzz/power")
        self.tree = os.path.join(self.root, "tree")
        self.build = os.path.join(self.root, "build-tests" if with_tests else "build")
        self.runs = os.path.join(self.root, "runs")
        self.kept = os.path.join(self.root, "programs")
        shutil.rmtree(self.tree, ignore_errors=True)
        os.makedirs(self.runs, exist_ok=True)
        for name in COPIED:
            source, target = os.path.join(tree, name), os.path.join(self.tree, name)
            os.makedirs(self.tree, exist_ok=True)
            # with times of now: what an earlier run's last bug was in is built anew
            if os.path.isdir(source):
                shutil.copytree(source, target, copy_function=shutil.copy)
            else:
                shutil.copy(source, target)
        command = ["cmake", "-S", self.tree, "-B", self.build, "-G", "Ninja",
                   "-DCMAKE_BUILD_TYPE=Release", "-DMOAT_FUZZ=replay", "-DMOAT_WERROR=OFF",
                   "-DCMAKE_C_COMPILER_LAUNCHER=" + os.environ.get("MOAT_COMPILER_LAUNCHER", "")]
        if with_tests:
            command += ["-DMOAT_BUILD_TESTS=ON", "-DMOAT_TEST_FOLDERS=unit"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        self.with_tests = with_tests

    def patch(self, path, back=False):
        command = ["patch", "-d", self.tree, "-p1", "-s", "-f"] + (["-R"] if back else [])
        with open(path) as text:
            return subprocess.run(command, stdin=text, stdout=subprocess.DEVNULL).returncode == 0

    def make(self):
        command = ["ninja", "-C", self.build, *(["test/unit/all"] if self.with_tests else PROGRAMS)]
        made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return made.returncode == 0, made.stdout

    def plant(self, bug, path):
        """Builds with the bug and keeps the programs; a complaint if that fails."""
        folder = os.path.join(self.kept, bug)
        applies = self.patch(path)
        made, text = self.make() if applies else (False, "")
        self.patch(path, back=True)
        if not made:
            return "does not compile:\n" + text[-2000:] if applies else "does not apply any more"
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        source = os.path.join(self.build, "test/unit" if self.with_tests else "fuzz")
        for name in os.listdir(source):
            program = os.path.join(source, name)
            wanted = name.startswith("test_") if self.with_tests else name in PROGRAMS
            if wanted and os.path.isfile(program) and os.access(program, os.X_OK):
                shutil.copy2(program, folder)
        return None

    def run(self, program, arguments, seconds):
        """Whether it failed, its processor time, and the first words about it. Who takes twice the
        time has failed: something spins."""

        def limits():
            resource.setrlimit(resource.RLIMIT_CPU, (2 * seconds + 20, 2 * seconds + 30))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        said = os.path.join(self.runs, "said")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with open(said, "w") as out:
            try:
                status = subprocess.run([program, *arguments], stdout=out, stderr=out,
                                        cwd=self.runs, preexec_fn=limits,
                                        timeout=30 * seconds + 300).returncode
            except subprocess.TimeoutExpired:
                status = -signal.SIGXCPU
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        for name in glob.glob(os.path.join(self.runs, "found-*")):
            os.remove(name)
        return status, took, first_words(said) if status != -signal.SIGXCPU else "does not end"


def first_words(path):
    with open(path, errors="replace") as file:
        for line in file:
            for mark in ("fuzz: failure: ", "moat harness: ", "moat: "):
                if line.startswith(mark):
                    return line[len(mark):].strip()[:80]
            if "MORE THAN PROMISED" in line:
                return "%s: more than promised" % line.split()[0]
            if ":F:" in line or ":E:" in line:
                return line.split(":")[4].strip()[:80]
    return ""


def measure(place, bug, way, seed, seconds):
    folder = os.path.join(place.kept, bug)
    if way == "explore":
        status, took, said = place.run(os.path.join(folder, "fuzz_explore"), [], EXPLORE_SECONDS)
        return status < 0, took, said
    if way == "score":
        status, took, said = place.run(os.path.join(folder, "fuzz_score"),
                                       ["--runs", "200", "--drawn", "0", "--seed", str(seed)], 60)
        return status != 0, took, said
    if way == "unit":
        total = 0.0
        for test in sorted(os.listdir(folder)):
            status, took, said = place.run(os.path.join(folder, test), [], UNIT_SECONDS)
            total += took
            if status != 0:
                return True, total, test
        return False, total, ""
    program, *arguments = SEARCHES[way]
    status, took, said = place.run(os.path.join(folder, program),
                                   [*arguments, "--search", str(seconds), str(seed)], seconds)
    return status < 0, took, said


@contextlib.contextmanager
def held(path):
    """Where several builds share a machine: one at a time."""
    if not path:
        yield
        return
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_batch(place, chosen, results, batch):
    complaints = 0
    with held(os.environ.get("MOAT_BUILD_LOCK")):
        for bug, path, wanted in batch:
            complaint = place.plant(bug, path)
            if complaint:
                print("%s %s" % (bug, complaint), flush=True)
                complaints += 1
                wanted.clear()
    for bug, _, wanted in batch:
        for way, seed in wanted:
            killed, took, said = measure(place, bug, way, seed, chosen.seconds)
            results.add({"bug": bug, "way": way, "seed": seed, "seconds": chosen.seconds,
                         "killed": int(killed), "took": "%.2f" % took,
                         "said": said if killed else ""})
            print("%s %s %d: %s after %.2f s %s" % (bug, way, seed, "found" if killed else "nothing",
                                                  took, said if killed else ""), flush=True)
        shutil.rmtree(os.path.join(place.kept, bug), ignore_errors=True)
    return complaints


def main():
    chosen = options(sys.argv[1:])
    bugs = [os.path.basename(path)[:-len(".patch")] for path in chosen.patches]
    results = Results(chosen.csv, bugs if chosen.anew else [])
    place = Place(chosen.tree, "unit" in chosen.ways)
    work = []
    for bug, path in zip(bugs, chosen.patches):
        wanted = []
        for way in chosen.ways:
            seeds = 1 if way in ("explore", "unit") else chosen.seeds
            wanted += [(way, seed) for seed in range(1, seeds + 1)
                       if not results.has(bug, way, seed, chosen.seconds)]
        if wanted:
            work.append((bug, path, wanted))
    complaints = sum(run_batch(place, chosen, results, work[at:at + BATCH])
                     for at in range(0, len(work), BATCH))
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
