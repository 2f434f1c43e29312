#!/usr/bin/env python3
"""matrix.py TREE [--check]: the tables and the picture of doc/fuzzing.md, from what was measured.

doc/benchmarks/fuzz-power.csv (scripts/fuzz power) becomes the kill matrix and fuzz-power.svg,
fuzz-sweep.csv (fuzz_sweep --csv) the table of bugs by rule, fuzz-attacker.csv (fuzz_score --csv) the
scores of attackers. Each replaces what stands between
its two marks in the document. --check: compares instead, and says what differs. The picture needs
gnuplot and is left alone without.
"""

import csv
import os
import re
import shutil
import statistics
import subprocess
import sys

KINDS = ["branch", "try", "order"]
WAYS = ["ops", "threads", "interleave", "ordering", "api", "attacker", "score", "units", "modules",
        "options", "random", "explore", "unit"]
DRAWN = ["ops", "threads", "interleave", "ordering", "api", "attacker", "units"]


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def cell(rows, budget_too):
    """Killed with how many of the seeds, and the median of the seconds until then."""
    if not rows:
        return "not run"
    times = [float(row["took"]) for row in rows if row["killed"] == "1"]
    if times:
        return "%d/%d %.2f" % (len(times), len(rows), statistics.median(times))
    return "- in %s" % max(int(row["seconds"]) for row in rows) if budget_too else "-"


def matrix(rows):
    ways = [way for way in WAYS if any(row["way"] == way for row in rows)]
    lines = ["| bug | %s | seen as |" % " | ".join(ways), "|---" * (len(ways) + 2) + "|"]
    survivors = []
    for bug in sorted({row["bug"] for row in rows}):
        mine = [row for row in rows if row["bug"] == bug]
        cells = [cell([row for row in mine if row["way"] == way], way != "explore") for way in ways]
        said = [row["said"] for row in mine if row["killed"] == "1" and row["way"] != "unit"]
        seen = re.sub(r" at 0x.*| \(offset.*|, expected.*|: 0x.*", "", said[0]) if said else ""
        if not said:
            survivors.append(bug)
        lines.append("| %s | %s | %s |" % (bug, " | ".join(cells), seen.replace("|", "\\|")))
    bugs = len({row["bug"] for row in rows})
    sums = []
    for way in ways:
        found = {row["bug"] for row in rows if row["way"] == way and row["killed"] == "1"}
        tried = {row["bug"] for row in rows if row["way"] == way}
        sums.append("%s %d of %d" % (way, len(found), len(tried)))
    lines += ["", "Found by %s; by one of the fuzzers at least %d of %d. Not found: %s." % (
        ", ".join(sums), bugs - len(survivors), bugs, ", ".join(survivors) or "none")]
    return "\n".join(lines)


def sweep(rows):
    """A row for each file and kind: how many were found, how soon, and the places of those that were not."""
    lines = ["| file | kind | found | median s | not found |", "|---|---|---|---|---|"]
    for kind in KINDS:
        for file in sorted({row["place"].split(":")[0] for row in rows if row["kind"] == kind}):
            mine = [row for row in rows if row["kind"] == kind and row["place"].split(":")[0] == file]
            times = [float(row["seconds"]) for row in mine if row["found"] == "1"]
            left = [row["place"].split(":", 1)[1] for row in mine if row["found"] == "0"]
            lines.append("| %s | %s | %d of %d | %s | %s |" % (
                file, kind, len(times), len(mine), "%.2f" % statistics.median(times) if times else "-",
                ", ".join(dict.fromkeys(left))))
    sums = ["%s %d of %d" % (kind, sum(row["found"] == "1" for row in rows if row["kind"] == kind),
                             sum(row["kind"] == kind for row in rows)) for kind in KINDS]
    return "\n".join(lines + ["", "Found: %s." % ", ".join(sums)])


def chance(row):
    """In hundredths, with the interval where it is no certainty."""
    tried, reached = int(row["tried"]), int(row["reached"])
    if reached == tried:
        return "always"
    low, high = (100 * float(row[end]) for end in ("low", "high"))
    return "never (to %.2f)" % high if reached == 0 else "%.1f (%.1f to %.1f)" % (
        100 * reached / tried, low, high)


def scores(rows):
    """A row for each way to an aim: how often it got there at both levels, and how it was stopped."""
    lines = ["| way | aim | default, % | stopped, % | after | strict, % | stopped, % | after |",
             "|---" * 8 + "|"]
    for key in dict.fromkeys((row["exploit"], row["aim"]) for row in rows):
        cells = []
        for level in ("default", "strict"):
            row = next(row for row in rows
                       if (row["exploit"], row["aim"], row["level"]) == key + (level,))
            stopped = int(row["stopped"])
            bound = float(row["promised"])
            text = chance(row) + (", at most %.2g" % (100 * bound) if 0 < bound < 1 else "")
            cells += [text, "%.0f" % (100 * stopped / int(row["tried"])),
                      row["moves"] if stopped else "-"]
        lines.append("| `%s` | %s | %s |" % (*key, " | ".join(cells)))
    return "\n".join(lines)


def replaced(text, mark, content):
    begin, end = "<!-- %s -->\n" % mark, "<!-- end of %s -->" % mark
    before, rest = text.split(begin, 1)
    return before + begin + content + "\n" + end + rest.split(end, 1)[1]


def draw(rows, path):
    """How many bugs are found after so many seconds, by each way."""
    if shutil.which("gnuplot") is None:
        return
    lines, data = [], ""
    for way in DRAWN:
        best = {}
        for row in rows:
            if row["way"] == way and row["killed"] == "1":
                best.setdefault(row["bug"], []).append(float(row["took"]))
        times = sorted(max(statistics.median(taken), 0.01) for taken in best.values())
        if times:
            points = ["%g %d" % (time, number) for number, time in enumerate(times, 1)]
            data += "$%s << EOD\n%s\nEOD\n" % (way, "\n".join(points))
            lines.append("$%s using 1:2 with steps lw 2 title '%s'" % (way, way))
    script = ("set terminal svg size 720,360 font 'sans-serif,12'\nset output '%s'\n%s"
              "set logscale x\nset xlabel 'seconds of processor time'\nset ylabel 'bugs found'\n"
              "set key left top\nset grid\nset yrange [0:*]\nplot %s\n" % (
                  path, data, ", ".join(lines)))
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def main():
    tree = sys.argv[1]
    folder, document = os.path.join(tree, "doc/benchmarks"), os.path.join(tree, "doc/fuzzing.md")
    power = rows_of(os.path.join(folder, "fuzz-power.csv"))
    with open(document) as file:
        old = file.read()
    new = replaced(old, "kill matrix", matrix(power))
    new = replaced(new, "sweep", sweep(rows_of(os.path.join(folder, "fuzz-sweep.csv"))))
    new = replaced(new, "scores", scores(rows_of(os.path.join(folder, "fuzz-attacker.csv"))))
    if "--check" in sys.argv:
        if new != old:
            sys.exit("doc/fuzzing.md is not what was measured: run fuzz/mutants/matrix.py")
        return
    with open(document, "w") as file:
        file.write(new)
    draw(power, os.path.join(folder, "fuzz-power.svg"))


if __name__ == "__main__":
    main()
