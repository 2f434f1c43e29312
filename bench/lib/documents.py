"""The measured tables of the documents, made from the CSV files under doc/benchmarks/.

A document marks where a table stands:

    <!-- table: NAME -->
    ...
    <!-- end -->

What is between is made anew from the CSV files by TABLES[NAME]; nobody writes there by hand. Only
the units, the words and the choice of rows are here: every number comes from a file.
"""

import os
import re

from lib import figures, peers, tables

CSV_DIRECTORY = os.path.join(peers.TREE, "doc", "benchmarks")
DOCUMENTS = ["README.md", "SECURITY.md", "doc/benchmarks.md"]
# Written by the runners; neighbours.csv and apart.csv are written by hand, run.csv by run-suite.
GROUPS = ["micro", "growth", "latency", "models", "memory", "programs", "startup", "thread-churn",
          "price-list"]
REGION = re.compile(r"^(<!-- table: (\S+) -->\n).*?^(<!-- end -->)$", re.S | re.M)
MARK = re.compile(r"^<!-- (?:table: .*|end) -->$", re.M)
DEFENCES = {"map": "live and claim map", "links": "encoded links",
            "busy": "mark for signal handlers", "order": "random order",
            "ro": "read-only structure, sized frees"}
# Of the price list the documents show these; the peak of `server` is not steady.
PRICED = ["pair", "batch", "random", "interpreter", "interpreter peak", "server"]


class Measures:
    """The CSV files, each read once: measures["micro"] is what tables.py takes."""

    def __init__(self, directory):
        self.directory, self.known = directory, {}

    def __getitem__(self, group):
        if group not in self.known:
            path = os.path.join(self.directory, group + ".csv")
            self.known[group] = figures.read_spreads(path)
            if not self.known[group]:
                peers.stop("%s is not there, or empty" % path)
        return self.known[group]

    def run(self):
        path = os.path.join(self.directory, "run.csv")
        return [[row["what"], row["value"]] for row in figures.read_rows(path)]


# --- README.md: what it costs ----------------------------------------------------------------


def mean_of_patterns(measures):
    micro = measures["micro"]
    mean = {name: tables.headline_mean(of_one) for name, of_one in micro.items()}
    return "%.2f times mimalloc, %.2f of Scudo, %.2f of the C library" % tuple(
        mean["moat"] / mean[name] for name in ("mimalloc", "scudo", "system"))


def pattern_ratio(measures, pattern, name):
    return (tables.of(measures["micro"], "moat", pattern)
            / tables.of(measures["micro"], name, pattern))


def wide(measures):
    text = "%.2f times mimalloc" % pattern_ratio(measures, "wide", "mimalloc")
    quiet = measures["apart"]["moat"].get("wide, the machine quiet")
    return text + ("; %.2f to %.2f where the machine is quiet" % (quiet.least, quiet.greatest)
                   if quiet else "")


def remote(measures):
    return "%.2f of mimalloc, %.2f of Scudo" % tuple(
        pattern_ratio(measures, "remote", name) for name in ("mimalloc", "scudo"))


def mean_and_worst(results, measure, subjects):
    ratios = [tables.ratios(results, subjects, measure)["moat"][name] for name in subjects]
    return figures.geometric_mean(ratios), max(ratios)


def models(measures):
    results = measures["models"]
    subjects = tables.subjects(results, "wall_s")
    time = mean_and_worst(results, "wall_s", subjects)
    peak = mean_and_worst(results, "peak_kib", subjects)
    return "%.2f times mimalloc (mean of %d), none above %.2f; peak memory %.2f" % (
        time[0], len(subjects), time[1], peak[0])


def programs(measures):
    results = measures["programs"]
    subjects, small = tables.subjects(results, "wall_s"), tables.small_programs(results)
    big = [name for name in subjects if name not in small]
    time, worst_time = mean_and_worst(results, "wall_s", subjects)
    return ("time %.2f times mimalloc (mean of %d), none above %.2f; peak memory of those of 20 "
            "MiB and more %.2f, none above %.2f" % ((time, len(subjects), worst_time)
                                                + mean_and_worst(results, "peak_kib", big)))


def percentiles(measures):
    return "%.2f, %.2f of mimalloc's" % tuple(
        tables.latency_ratio(measures["latency"], "moat", call) for call in tables.CALLS)


def start_of(measures, command, name):
    """System calls, KiB, milliseconds more."""
    added = [tables.of(measures["startup"], name, "%s %s" % (command, what))
             for what in ("calls", "dirty", "us")]
    return added[0], added[1], added[2] / 1000


def start_true(measures):
    return ("%d system calls, %d KiB of private memory and %.2f ms more (%d, %d and %.2f are any "
            "preloaded library's)" % (start_of(measures, "/bin/true", "moat")
                                      + start_of(measures, "/bin/true", "(empty library)")))


def start_echo(measures):
    return ("%d system calls, %d KiB and %.2f ms more (Scudo %d, %d, %.2f; mimalloc %d, %d, %.2f)"
            % sum((start_of(measures, "/bin/echo", name)
                   for name in ("moat", "scudo", "mimalloc")), ()))


def thread(measures):
    churn = measures["thread-churn"]
    return "%.1f µs more (mimalloc %.1f)" % tuple(
        tables.of(churn, name, "churn") - tables.of(churn, "system", "churn")
        for name in ("moat", "mimalloc"))


def size_text(kib):
    return "%.0f MiB" % (kib / 1024) if kib < 1 << 20 else "%.1f GiB" % (kib / (1 << 20))


def give_back(measures):
    return "%s resident (mimalloc %s)" % tuple(
        size_text(tables.of(measures["memory"], name, "give-back resident_2s_kib"))
        for name in ("moat", "mimalloc"))


COSTS = [  # what, its figures, the runner
    ("time of a `malloc` and `free` (pair, batch, random: geometric mean)", mean_of_patterns,
     "micro"),
    ("the same, missing the cache (100 000 blocks)", wide, "micro"),
    ("the same across threads", remote, "micro"),
    ("models of programs with threads", models, "models"),
    ("real programs", programs, "programs"),
    ("the 99.99th percentile of `malloc`, of `free`", percentiles, "latency"),
    ("start of `/bin/true`", start_true, "startup"),
    ("start of `/bin/echo`, which allocates", start_echo, "startup"),
    ("a thread's birth and end", thread, "thread-churn"),
    ("after a peak of 2 GiB, 2 s of ordinary activity", give_back, "memory"),
]


def costs(measures):
    return ["", "moat", "measured by"], [
        [what, figure(measures), "`bench/run-%s`" % runner] for what, figure, runner in COSTS]


# --- SECURITY.md -----------------------------------------------------------------------------


def choice_title(name):
    """Of a choice of defences of run-price-list."""
    if name in ("bare", "moat"):
        return {"bare": "none", "moat": "all: moat"}[name]
    if name.startswith("moat, "):
        return "all, `%s`" % name[len("moat, "):]
    kind, defence = name.rsplit(" ", 1)
    return "%s %s" % (kind, DEFENCES[defence])


def price_list(measures):
    results = {name: {what: one for what, one in of_one.items() if what in PRICED}
               for name, of_one in measures["price-list"].items()}
    heading, rows = tables.price_list(results)
    titles = ["its peak" if what.endswith(" peak") else what for what in heading[1:]]
    return ["defences"] + titles, [[choice_title(row[0])] + row[1:] for row in rows]


def neighbours(measures):
    found = measures["neighbours"]["moat"]
    return ["block size"] + list(found), [
        ["next is the one above"] + ["%.2f" % one.median for one in found.values()]]


# --- doc/benchmarks.md -----------------------------------------------------------------------


def ratio_or_range(one):
    if one.median is None:
        return "%.2f to %.2f" % (one.least, one.greatest)
    return "%.3g" % one.median


def apart(measures):
    return ["moat, to mimalloc", "ratio"], [
        [what, ratio_or_range(one)] for what, one in measures["apart"]["moat"].items()]


def programs_peak(measures):
    results = measures["programs"]
    return tables.programs_peak(results, tables.subjects(results, "peak_kib"),
                                tables.small_programs(results))


def times(results):
    return tables.ratio_table(results, tables.subjects(results, "wall_s"), "wall_s", "time")


TABLES = {
    "costs": costs,
    "price-list": price_list,
    "neighbours": neighbours,
    "run": lambda measures: (["what", "measured with"], measures.run()),
    "micro": lambda measures: tables.micro(measures["micro"]),
    "micro-relative": lambda measures: tables.micro_relative(measures["micro"]),
    "apart": apart,
    "latency-malloc": lambda measures: tables.latency(measures["latency"], "malloc"),
    "latency-free": lambda measures: tables.latency(measures["latency"], "free"),
    "models-time": lambda measures: times(measures["models"]),
    "models-peak": lambda measures: tables.ratio_table(
        measures["models"], tables.subjects(measures["models"], "peak_kib"), "peak_kib",
        "peak memory"),
    "models-locks": lambda measures: tables.locks(measures["models"]),
    "programs-time": lambda measures: times(measures["programs"]),
    "programs-peak": programs_peak,
    "give-back": lambda measures: tables.scene(measures["memory"], "give-back"),
    "births": lambda measures: tables.scene(measures["memory"], "births"),
    "many-segments": lambda measures: tables.beside_segments(measures["memory"]),
    "growth": lambda measures: tables.growth(measures["growth"]),
    "startup-true": lambda measures: tables.startup(measures["startup"], "/bin/true"),
    "startup-echo": lambda measures: tables.startup(measures["startup"], "/bin/echo"),
    "thread-churn": lambda measures: tables.thread_churn(measures["thread-churn"]),
}


def renew(text, document, measures, used):
    """The document with its tables made anew; the names of these are added to `used`."""
    def table(match):
        name = match.group(2)
        if name not in TABLES:
            peers.stop("%s: there is no table '%s', but %s" % (document, name, ", ".join(TABLES)))
        used.add(name)
        try:
            made = figures.markdown_table(*TABLES[name](measures))
        except (KeyError, TypeError) as error:
            peers.stop("the CSV files lack what the table '%s' shows (%s)" % (name, error))
        return "%s%s\n%s" % (match.group(1), made, match.group(3))
    renewed = REGION.sub(table, text)
    if 2 * len(REGION.findall(text)) != len(MARK.findall(text)):
        peers.stop("%s: a table has no end, or begins within another" % document)
    return renewed


def renewed_documents(directory, tree=peers.TREE):
    """{path: (text as it is, text as it should be)}; every table is in some document."""
    measures, used, found = Measures(directory), set(), {}
    for document in DOCUMENTS:
        path = os.path.join(tree, document)
        with open(path) as file:
            text = file.read()
        found[path] = text, renew(text, document, measures, used)
    if used != set(TABLES):
        peers.stop("no document has the table '%s'" % "', '".join(sorted(set(TABLES) - used)))
    return found
