"""What is done with measurements: the sums, the CSV files, tables as text and as Markdown,
verdicts.

Two kinds of CSV are read alike. A runner writes every single measurement (allocator, measure,
round, value). The files under doc/benchmarks/ have one line for all rounds of a measure, the fields
of Spread: small enough to be kept with the documents that are made from them. Standard library
only.
"""

import collections
import csv
import math
import os
import statistics

# Of all rounds of one measure: how many, the least, the quartiles, the greatest.
Spread = collections.namedtuple("Spread", "rounds least lower median upper greatest")


def spread(numbers):
    numbers = sorted(numbers)
    count = len(numbers)
    return Spread(count, numbers[0], numbers[count // 4], statistics.median(numbers),
                  numbers[count * 3 // 4], numbers[-1])


def spreads(values):
    """{allocator: {measure: Spread}} of {allocator: {measure: [values]}}."""
    return {name: {measure: spread(numbers) for measure, numbers in measures.items()}
            for name, measures in values.items()}


def medians(values):
    """{allocator: {measure: median}} of {allocator: {measure: [values]}}."""
    return {name: {measure: statistics.median(numbers) for measure, numbers in measures.items()}
            for name, measures in values.items()}


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def write_csv(path, values):
    """Every single measurement; nothing without a path."""
    if not path:
        return
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["allocator", "measure", "round", "value"])
        for name, measures in values.items():
            for measure, numbers in measures.items():
                for number, value in enumerate(numbers, 1):
                    writer.writerow([name, measure, number, "%.4f" % value])


def write_spreads(path, results, comment):
    with open(path, "w", newline="") as file:
        file.writelines("# %s\n" % line for line in comment)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["allocator", "measure"] + list(Spread._fields))
        for name, measures in results.items():
            for measure, one in measures.items():
                numbers = ["" if number is None else "%.10g" % number for number in one[1:]]
                writer.writerow([name, measure, one.rounds] + numbers)


def write_rows(path, heading, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([heading] + list(rows))


def read_rows(path):
    """A dictionary for each line of a CSV file, without the comments at its head."""
    if not os.path.exists(path):
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def read_spreads(path):
    """{allocator: {measure: Spread}} of a CSV file of either kind, in its order; empty without
    it."""
    values, results = {}, {}
    for row in read_rows(path):
        if "value" in row:
            measures = values.setdefault(row["allocator"], {})
            measures.setdefault(row["measure"], []).append(float(row["value"]))
        else:
            numbers = [float(row[field]) if row[field] else None for field in Spread._fields[1:]]
            results.setdefault(row["allocator"], {})[row["measure"]] = Spread(
                int(row["rounds"]), *numbers)
    return results or spreads(values)


def text_table(heading, rows):
    widths = [max(len(str(row[column])) for row in [heading] + rows)
              for column in range(len(heading))]
    lines = []
    for row in [heading] + rows:
        cells = [str(cell).rjust(width) if column else str(cell).ljust(width)
                 for column, (cell, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)


def markdown_table(heading, rows):
    lines = ["| %s |" % " | ".join(row) for row in [heading] + rows]
    lines.insert(1, "|---" * len(heading) + "|")
    return "\n".join(lines)


def check(targets):
    """targets: [(text, value, limit)]. Prints a verdict for each; True if all are met."""
    good = True
    for text, value, limit in targets:
        met = value <= limit
        good = good and met
        print("%s: %s: %.3f, target at most %.3f" % (
            "met" if met else "MISSED", text, value, limit))
    return good
