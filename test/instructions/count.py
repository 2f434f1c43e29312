#!/usr/bin/env python3
"""Counts libmoat.so's instructions per operation on each path, by valgrind's callgrind, and compares them with bounds.csv.

    count.py --program PATHS --library LIBMOAT.SO --compiler gcc-12.2            a table of the counts
    count.py ... --check     fails if a path takes more than its bound (the CTest test `instructions`)
    count.py ... --update    writes this compiler's column of the bounds from a new measurement
    count.py ... --show      the counts by function
    --only PATH              this path alone; may be repeated

PATHS is the program of paths.c. Its own instructions, the C library's and the kernel's are not counted. Random numbers move some
counts a little: a bound is the greatest of five runs, the width of their spread and half a thousandth on top, and a path is over
its bound only if the least of three runs is. Exit status: 0, 1 a path over its bound, 2 a wrong argument, 77 skipped with its
reason. Standard library only.
"""

import argparse
import csv
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BOUNDS = os.path.join(HERE, "bounds.csv")
SKIPPED = 77
UPDATE_RUNS = 5
CHECK_RUNS = 3
SLACK = 0.0005
LOOSE = 0.05  # a bound that is further above the count than this is worth lowering

# The same on every machine: no memory goes back by the clock in the middle of a path; the memory of the machine does not choose
# how much address space is searched, nor the kernel's version how guards are made.
STRICT = "strict-"  # what paths of the strict level are called
OPTIONS = "purge_delay=3600000:region=16G:guards=mprotect"
BEGINS, ENDS = "counting_begins", "counting_ends"


def stop(text):
    print("count.py: %s" % text, file=sys.stderr)
    sys.exit(2)


def skip(text, missing=False):
    """Ends the test as skipped; as failed if something is missing where nothing may be."""
    if missing and os.environ.get("MOAT_TEST_REQUIRE_ALL") == "1":
        print("failed: %s (and MOAT_TEST_REQUIRE_ALL=1 allows no skip)" % text)
        sys.exit(1)
    print("skipped: %s" % text)
    sys.exit(SKIPPED)


# --- Counting --------------------------------------------------------------------------------------------------------------


def callgrind(program, path, output):
    """Runs a path; returns its operations. What callgrind found is in the file `output`."""
    level = ":level=strict" if path.startswith(STRICT) else ""
    environment = dict(os.environ, LC_ALL="C", MOAT_OPTIONS=OPTIONS + level)
    for name in ("LD_PRELOAD", "LD_LIBRARY_PATH"):
        environment.pop(name, None)
    command = ["valgrind", "--command-line-only=yes", "--tool=callgrind", "--callgrind-out-file=" + output,
               "--combine-dumps=yes", "--compress-strings=no", "--compress-pos=no", "--zero-before=" + BEGINS,
               "--dump-before=" + ENDS, program, path]
    result = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    lines = [line for line in result.stdout.splitlines() if line.startswith("operations,")]
    if result.returncode != 0 or len(lines) != 1:
        stop("%s %s under callgrind ended with status %d:\n%s%s"
             % (program, path, result.returncode, result.stdout, result.stderr))
    return int(lines[0].split(",")[1])


def counted_lines(lines):
    """The lines of those dumps alone that counting_ends made."""
    counted = False
    for line in lines:
        if line.startswith("desc: Trigger:"):
            counted = line.rstrip().endswith("=" + ENDS)
        elif counted:
            yield line


def costs_by_function(lines, library):
    """{function: instructions} of the functions of `library`, without what they call."""
    costs, here, function, of_callee = {}, False, None, False
    for line in lines:
        if line.startswith("ob="):
            here = os.path.realpath(line[3:].rstrip("\n")) == library
        elif line.startswith("fn="):
            function = line[3:].rstrip("\n")
        elif line.startswith("calls="):
            of_callee = True  # the next line has what the callee took
        elif line[0:1].isdigit():
            if here and not of_callee:
                costs[function] = costs.get(function, 0) + int(line.split()[1])
            of_callee = False
    return costs


def measure(arguments, path):
    """{function: instructions per operation} on a path."""
    with tempfile.TemporaryDirectory(prefix="moat-instructions-") as folder:
        output = os.path.join(folder, "callgrind.out")
        operations = callgrind(arguments.program, path, output)
        with open(output, encoding="utf-8", errors="replace") as file:
            costs = costs_by_function(counted_lines(file), os.path.realpath(arguments.counted))
    if not costs:
        stop("%s: callgrind saw no instruction of %s" % (path, arguments.counted))
    return {function: cost / operations for function, cost in costs.items()}


def count(arguments, path):
    return sum(measure(arguments, path).values())


# --- Bounds ----------------------------------------------------------------------------------------------------------------


def read_bounds():
    """The heading and {path: {column: text}}."""
    with open(BOUNDS, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = {row["path"]: row for row in reader}
    for path, row in rows.items():
        if None in row or None in row.values():
            stop("%s: the row of %s has too many or too few cells: a comment with a comma needs quotes" % (BOUNDS, path))
    return list(reader.fieldnames), rows


def write_bounds(heading, rows):
    with open(BOUNDS, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, heading, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)


def bound_of(rows, path, compiler):
    text = rows.get(path, {}).get(compiler) or ""
    return float(text) if text else None


def new_bound(counts):
    """In hundredths. The slack on top of the spread is for what rarely happens; it is far from one instruction on a fast path."""
    bound = max(counts) + (max(counts) - min(counts)) + SLACK * max(counts)
    return math.ceil(round(bound * 100, 6)) / 100


def still_good(bound, counts):
    """Whether a bound differs from a new one by no more than chance: it stays, so that a change shows only what it changed."""
    spread = max(counts) - min(counts)
    return bound is not None and max(counts) <= bound <= new_bound(counts) + 2 * spread + SLACK * bound


def update(arguments, paths):
    heading, rows = read_bounds()
    if arguments.compiler not in heading:
        heading.insert(len(heading) - 1, arguments.compiler)
    for path in paths:
        counts = [count(arguments, path) for _ in range(UPDATE_RUNS)]
        before = bound = bound_of(rows, path, arguments.compiler)
        if not still_good(bound, counts):
            bound = new_bound(counts)
            rows.setdefault(path, {"path": path})[arguments.compiler] = "%.2f" % bound
        change = "" if before == bound else "  new" if before is None else "  was %.2f" % before
        print("%-20s %11.2f  (%.2f to %.2f)%s" % (path, bound, min(counts), max(counts), change), flush=True)
    order = every_path(arguments)  # a path that is gone leaves the file
    write_bounds(heading, [rows[path] for path in order if path in rows])


def check_path(arguments, path, bound):
    """Prints a line on the path; False if it is over its bound."""
    least = count(arguments, path)
    for _ in range(CHECK_RUNS - 1):
        if bound is None or least <= bound:
            break
        least = min(least, count(arguments, path))
    if bound is None:
        print("FAIL  %-20s %11.2f  has no bound: add one (--update), and say why in its commit" % (path, least), flush=True)
        return False
    if least > bound:
        print("FAIL  %-20s %11.2f  is %.2f (%.1f %%) over its bound %.2f: raise the bound in the same commit and say why"
              % (path, least, least - bound, 100 * (least / bound - 1), bound), flush=True)
        return False
    note = ""
    if least < bound * (1 - LOOSE):
        note = "  note: %.1f %% below its bound: lower it" % (100 * (1 - least / bound))
    print("ok    %-20s %11.2f  bound %.2f%s" % (path, least, bound, note), flush=True)
    return True


def check(arguments, paths):
    heading, rows = read_bounds()
    known = [name for name in heading if name not in ("path", "comment")]
    if arguments.compiler not in known:
        skip("the bounds hold for what %s make of the source, not for %s" % (" and ".join(known), arguments.compiler))
    good = [check_path(arguments, path, bound_of(rows, path, arguments.compiler)) for path in paths]
    return 0 if all(good) else 1


# --- The command -----------------------------------------------------------------------------------------------------------


def every_path(arguments):
    try:
        result = subprocess.run([arguments.program, "--list"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        stop("%s: %s" % (arguments.program, error))
    return result.stdout.split()


def show(arguments, paths):
    for path in paths:
        costs = measure(arguments, path)
        print("%-32s %11.2f" % (path, sum(costs.values())))
        for function in sorted(costs, key=costs.get, reverse=True):
            print("    %-28s %11.2f" % (function, costs[function]), flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the built paths.c")
    parser.add_argument("--library", dest="counted", metavar="LIBRARY", required=True, help="the libmoat.so it is linked with")
    parser.add_argument("--compiler", required=True, help="what built it, as the columns of bounds.csv are called: gcc-12.2")
    parser.add_argument("--only", action="append", metavar="PATH", help="this path alone; may be repeated")
    what = parser.add_mutually_exclusive_group()
    for name in ("check", "update", "show"):
        what.add_argument("--" + name, action="store_true")
    return parser.parse_args()


def main():
    arguments = parse()
    if platform.machine() != "x86_64":
        skip("the bounds are for x86-64, this is %s" % platform.machine())
    if not shutil.which("valgrind"):
        skip("valgrind is not installed (Debian package valgrind)", missing=True)
    known = every_path(arguments)
    paths = arguments.only or known
    for path in paths:
        if path not in known:
            stop("no path is called %s: %s" % (path, " ".join(known)))
    if arguments.check:
        return check(arguments, paths)
    if arguments.update:
        update(arguments, paths)
    elif arguments.show:
        show(arguments, paths)
    else:
        for path in paths:
            print("%-20s %11.2f" % (path, count(arguments, path)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
