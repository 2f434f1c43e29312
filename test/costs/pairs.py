#!/usr/bin/env python3
"""How many system calls a pair of malloc and free makes, of blocks that have a run of their own, held to pairs.csv.

    pairs.py --program PAIRS --library LIBMOAT.SO [--only NAME]     (the CTest tests `costs.pair.*`)

A row is the options, the blocks (see pairs.c) and the most calls that a pair may make, counted by strace: what a run makes beyond
one with fewer pairs. Nothing in it is of chance, but that a run which has waited for a second goes back: so a tenth more is let
pass. Where the kernel has no guard markers the rows that need them are skipped.
Exit status: 0, 1 a pair over its bound, 2 a wrong argument, 77 skipped with its reason. Standard library only.
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile

from costs import HERE, skip, stop

BOUNDS = os.path.join(HERE, "pairs.csv")
FEW, MANY = 200, 1200
LET_PASS = 0.1
MARKER = ", 0x66) = 0"  # MADV_GUARD_INSTALL, of -X raw


def count_calls(arguments, row, pairs):
    """All calls of a run, and whether it has set a marker."""
    command = [arguments.program, row["least"], row["most"], row["live"], str(pairs)]
    with tempfile.NamedTemporaryFile(mode="r", prefix="moat-pairs-") as trace:
        library = os.path.realpath(arguments.preloaded)
        strace = ["strace", "-f", "-X", "raw", "-o", trace.name,
                  "-E", "LD_PRELOAD=" + library, "-E", "MOAT_OPTIONS=" + row["options"]]
        result = subprocess.run(strace + command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if result.returncode in (1, 2) and "strace:" in result.stderr:
            skip("strace cannot follow a process here: %s" % result.stderr.strip())
        if result.returncode != 0:
            stop("%s ended with status %d" % (" ".join(command), result.returncode))
        lines = trace.read().splitlines()
    return len(lines), any(MARKER in line for line in lines)


def check(arguments, row):
    few, _ = count_calls(arguments, row, FEW)
    many, markers = count_calls(arguments, row, MANY)
    if not markers and "guards=" not in row["options"]:
        skip("the kernel has no guard markers")
    calls = (many - few) / (MANY - FEW)
    good = calls <= float(row["calls"]) + LET_PASS
    print("%s  %-24s %6.2f system calls a pair, bound %s" % ("ok  " if good else "FAIL", row["name"], calls, row["calls"]))
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the built costs-pairs")
    parser.add_argument("--library", dest="preloaded", required=True, help="the libmoat.so to preload")
    parser.add_argument("--only", metavar="NAME", help="this row alone")
    arguments = parser.parse_args()
    if shutil.which("strace") is None:
        skip("strace is not installed")
    with open(BOUNDS, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if arguments.only in (None, row["name"])]
    if not rows:
        stop("there is no bound for %s" % arguments.only)
    good = [check(arguments, row) for row in rows]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
