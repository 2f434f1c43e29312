#!/usr/bin/env python3
"""What the models of bench/models cost the kernel under moat, held to bounds.csv: page faults, peak memory, system calls about
memory. Time depends on what else the machine does; these hardly do.

    costs.py --program BENCH-MODEL --library LIBMOAT.SO            a table
    costs.py ... --check     fails if a model costs more than its bound (the CTest tests `costs.*`)
    costs.py ... --update    writes the bounds from a new measurement
    --only MODEL             this model alone; may be repeated

A row of bounds.csv is a model with its scale and threads, and the most that it may cost. How threads meet, and when the clock
says that memory is due, moves the figures: a bound is the greatest of five runs and a quarter on top, for faults 2000 at least (a
thread that waits long for a processor gives back what it had), and a model is over its bound only if the least of five runs is.
A peak below 15 MiB is the peak of this program, which the kernel counts for its children.
System calls are counted by strace, of these: mmap, munmap, mprotect, madvise, mremap.
Exit status: 0, 1 a model over its bound, 2 a wrong argument, 77 skipped with its reason. Standard library only.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BOUNDS = os.path.join(HERE, "bounds.csv")
SKIPPED = 77
RUNS = 5
SLACK = 1.25
LEAST_SLACK = {"faults": 2000}
MEASURES = ["faults", "peak_kib", "memory_calls"]
CALLS = ["mmap", "munmap", "mprotect", "madvise", "mremap"]


def stop(text):
    print("costs.py: %s" % text, file=sys.stderr)
    sys.exit(2)


def skip(text):
    if os.environ.get("MOAT_TEST_REQUIRE_ALL") == "1":
        print("failed: %s (and MOAT_TEST_REQUIRE_ALL=1 allows no skip)" % text)
        sys.exit(1)
    print("skipped: %s" % text)
    sys.exit(SKIPPED)


def command_of(arguments, row):
    return [arguments.program, row["model"], "--scale", row["scale"], "--threads", row["threads"]]


def environment_of(arguments):
    environment = dict(os.environ, LC_ALL="C", LD_PRELOAD=os.path.realpath(arguments.preloaded))
    environment.pop("MOAT_OPTIONS", None)
    return environment


def run(arguments, row):
    """Faults and peak of one run."""
    child = subprocess.Popen(command_of(arguments, row), env=environment_of(arguments), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, text=True)
    output = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = status
    if status != 0:
        stop("%s ended with status %d" % (" ".join(command_of(arguments, row)), status))
    if "allocator,%s\n" % os.path.realpath(arguments.preloaded) not in output:
        stop("%s is not the allocator of %s" % (arguments.preloaded, arguments.program))
    return {"faults": used.ru_minflt, "peak_kib": used.ru_maxrss}


def count_calls(arguments, row):
    with tempfile.NamedTemporaryFile(mode="r", prefix="moat-costs-") as summary:
        command = ["strace", "-f", "-c", "-U", "calls,name", "-e", "trace=" + ",".join(CALLS), "-o", summary.name, "-E",
                   "LD_PRELOAD=" + os.path.realpath(arguments.preloaded)] + command_of(arguments, row)
        environment = environment_of(arguments)
        environment.pop("LD_PRELOAD")
        result = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            skip("strace cannot follow a process here: %s" % result.stderr.strip())
        cells = [line.split() for line in summary.read().splitlines()]
    return sum(int(cell[0]) for cell in cells if len(cell) == 2 and cell[1] in CALLS)


def measure(arguments, row):
    found = run(arguments, row)
    found["memory_calls"] = count_calls(arguments, row)
    return found


def read_bounds():
    with open(BOUNDS, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    return list(reader.fieldnames), rows


def update(arguments, heading, rows):
    for row in rows:
        if arguments.only and row["model"] not in arguments.only:
            continue
        runs = [measure(arguments, row) for _ in range(RUNS)]
        for which in MEASURES:
            found = [one[which] for one in runs]
            before, row[which] = row[which], str(max(int(max(found) * SLACK), max(found) + LEAST_SLACK.get(which, 0)))
            print("%-12s %-13s %8d  (%d to %d)  was %s" % (row["model"], which, int(row[which]), min(found), max(found), before),
                  flush=True)
    with open(BOUNDS, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, heading, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def check_row(arguments, row):
    """Prints a line for each measure; False if each of some runs is over the bound of one."""
    least = measure(arguments, row)
    for _ in range(RUNS - 1):
        if all(least[which] <= int(row[which]) for which in MEASURES):
            break
        again = measure(arguments, row)
        least = {which: min(least[which], again[which]) for which in MEASURES}
    for which in MEASURES:
        print("%s  %-12s %-13s %8d  bound %s" % ("ok  " if least[which] <= int(row[which]) else "FAIL", row["model"], which,
                                                 least[which], row[which]), flush=True)
    return all(least[which] <= int(row[which]) for which in MEASURES)


def check(arguments, rows):
    if arguments.only and not any(row["model"] in arguments.only for row in rows):
        stop("there is no bound for %s" % ", ".join(arguments.only))
    good = [check_row(arguments, row) for row in rows if not arguments.only or row["model"] in arguments.only]
    return 0 if all(good) else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the built bench-model")
    parser.add_argument("--library", dest="preloaded", metavar="LIBRARY", required=True, help="the libmoat.so to preload")
    parser.add_argument("--only", action="append", metavar="MODEL", help="this model alone; may be repeated")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--update", action="store_true")
    arguments = parser.parse_args()
    if shutil.which("strace") is None:
        skip("strace is not installed")
    heading, rows = read_bounds()
    if arguments.update:
        update(arguments, heading, rows)
    elif arguments.check:
        sys.exit(check(arguments, rows))
    else:
        for row in rows:
            if not arguments.only or row["model"] in arguments.only:
                print(row["model"], measure(arguments, row), flush=True)


if __name__ == "__main__":
    main()
