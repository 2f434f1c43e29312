#!/usr/bin/env python3
"""coverage.py TREE BUILD [options]: which lines and branches of src/ the corpora reach.

Run by scripts/fuzz coverage, which makes BUILD with clang's source-based coverage. Every harness
replays its corpus and, where it has system calls that may fail, tortures it; forked children count,
because the counters lie in a file that they share with their parent. Prints lines and branches by
folder of src/, those that no input reaches, and functions that none enters.

  --lines        each line that is not reached, too
  --only PART    of files whose path has PART
  --update       the table of doc/fuzzing.md is written anew

Branches of a MOAT_CHECK that never fails are counted apart: it fails where memory was damaged, and
the harnesses that damage memory choose few places of it.
"""

import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile

FOLDERS = ["base", "meta", "heap", "process", "alloc", "api", "os", "report"]
BARRED = ["base", "meta", "heap", "process", "alloc"]
BAR_LINES, BAR_BRANCHES = 95, 85
HARNESSES = ["ops", "threads", "interleave", "options", "api", "units", "modules",
             "attacker"]
WITHOUT_FAULTS = ["options", "units", "modules", "attacker"]
BEGIN, END = "<!-- coverage -->\n", "<!-- end of coverage -->\n"


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="scripts/fuzz coverage", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree")
    parser.add_argument("build")
    parser.add_argument("--lines", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--update", action="store_true")
    return parser.parse_args(arguments)


def tool(name):
    for candidate in (name, name + "-14", name + "-16", name + "-19"):
        if shutil.which(candidate):
            return candidate
    sys.exit(f"coverage.py: {name} is missing (Debian: llvm)")


def replay(tree, build, harness, folder):
    """Runs the corpus; what was counted is in a file of `folder`."""
    program = os.path.join(build, "fuzz", f"fuzz_{harness}_replay")
    corpus = os.path.join(tree, "corpus", harness)
    ways = [["--repeat", "1"]] + ([["--torture"]] if harness not in WITHOUT_FAULTS else [])
    for number, way in enumerate(ways):
        environment = dict(os.environ,
                           LLVM_PROFILE_FILE=f"{folder}/{harness}-{number}%c.profraw")
        done = subprocess.run([program, *way, corpus], env=environment, capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"coverage.py: {harness} {' '.join(way)} failed:\n{done.stderr[-2000:]}")
    return program


def measure(tree, build):
    """The text of llvm-cov's lcov format, for all harnesses together."""
    with tempfile.TemporaryDirectory() as folder:
        programs = [replay(tree, build, harness, folder) for harness in HARNESSES]
        raw = [os.path.join(folder, name) for name in os.listdir(folder)]
        profile = os.path.join(folder, "all.profdata")
        subprocess.run([tool("llvm-profdata"), "merge", "-o", profile, *raw], check=True)
        objects = [programs[0]]
        for program in programs[1:]:
            objects += ["-object", program]
        done = subprocess.run([tool("llvm-cov"), "export", "-format=lcov",
                               f"-instr-profile={profile}", *objects,
                               os.path.join(tree, "src")],
                              capture_output=True, text=True, check=True)
        return done.stdout


class File:
    def __init__(self, path, tree):
        self.path = os.path.relpath(path, tree)
        self.folder = self.path.split("/")[1]
        self.lines = {}
        self.branches = {}
        self.functions = {}
        with open(path, encoding="utf-8") as text:
            self.text = text.read().splitlines()

    def checks(self):
        """The lines that belong to a MOAT_CHECK."""
        inside, numbers = False, set()
        for number, line in enumerate(self.text, 1):
            inside = inside or re.search(r"\bMOAT_CHECK\(", line) is not None
            if inside:
                numbers.add(number)
                inside = not line.rstrip().endswith(";")
        return numbers


def read(text, tree):
    files, current, starts = [], None, {}
    for line in text.splitlines():
        tag, _, rest = line.partition(":")
        if tag == "SF":
            current, starts = File(rest, tree), {}
            if current.path.startswith("src/") and current.folder in FOLDERS:
                files.append(current)
        elif tag == "FN":
            number, name = rest.split(",")
            starts[name] = int(number)
        elif tag == "FNDA":
            count, name = rest.split(",")
            # the same function of two files has one line
            key = (starts[name], name.rpartition(":")[2])
            current.functions[key] = current.functions.get(key, 0) + int(count)
        elif tag == "DA":
            number, count = rest.split(",")[:2]
            current.lines[int(number)] = int(count)
        elif tag == "BRDA":
            number, block, branch, taken = rest.split(",")
            key = (int(number), block, branch)
            count = 0 if taken == "-" else int(taken)
            current.branches[key] = current.branches.get(key, 0) + count
    return files


def share(part, whole):
    return f"{100 * part / whole:.1f}" if whole else "-"


class Sum:
    def __init__(self):
        self.lines = self.lines_reached = 0
        self.branches = self.branches_taken = self.held = 0

    def add(self, file):
        checks = file.checks()
        self.lines += len(file.lines)
        self.lines_reached += sum(count > 0 for count in file.lines.values())
        self.branches += len(file.branches)
        self.branches_taken += sum(count > 0 for count in file.branches.values())
        self.held += sum(count == 0 and key[0] in checks for key, count in file.branches.items())

    def row(self, name):
        return (f"| {name} | {self.lines} | {share(self.lines_reached, self.lines)} "
                f"| {self.branches} | {share(self.branches_taken, self.branches)} "
                f"| {share(self.branches_taken, self.branches - self.held)} |")


def table(files):
    sums, barred = collections.defaultdict(Sum), Sum()
    for file in files:
        sums[file.folder].add(file)
        if file.folder in BARRED:
            barred.add(file)
    rows = ["| folder | lines | reached, % | branches | taken, % | but for checks that hold, % |",
            "|---|---|---|---|---|---|"]
    rows += [sums[folder].row(f"`{folder}`") for folder in FOLDERS]
    rows += [barred.row("the first five"), f"| aim | | {BAR_LINES} | | {BAR_BRANCHES} | |"]
    return "\n".join(rows) + "\n"


def ranges(numbers):
    parts = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return parts


def print_missing(files, options):
    for file in files:
        if options.only not in file.path:
            continue
        never = sorted(key for key, count in file.functions.items() if count == 0)
        for number, name in never:
            print(f"never entered: {file.path}:{number} {name}")
        if not options.lines:
            continue
        for first, last in ranges(n for n, count in file.lines.items() if count == 0):
            for number in range(first, last + 1):
                print(f"{file.path}:{number}: {file.text[number - 1]}")


def update(tree, text):
    path = os.path.join(tree, "doc", "fuzzing.md")
    with open(path, encoding="utf-8") as old:
        before, _, rest = old.read().partition(BEGIN)
    with open(path, "w", encoding="utf-8") as new:
        new.write(before + BEGIN + text + END + rest.partition(END)[2])


def main():
    options = parse_arguments(sys.argv[1:])
    tree = os.path.realpath(options.tree)
    files = read(measure(tree, options.build), tree)
    if not files:
        sys.exit("coverage.py: nothing of src/ was counted")
    print_missing(files, options)
    print(table(files), end="")
    if options.update:
        update(tree, table(files))


main()
