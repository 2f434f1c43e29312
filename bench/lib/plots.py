"""The plots of a run of the benchmark suite, as SVG, by gnuplot (bench/make-plots).

They are drawn from a folder's CSV files of the groups (micro.csv, latency.csv, models.csv,
memory.csv, programs.csv, ...), as bench/run-suite leaves them; a plot whose CSV is not there is
left out. Written beside them:
    groups.svg    time of each group, geometric mean, relative to mimalloc
    programs.svg  time of each real program, relative to mimalloc
    models.svg    time of each model, likewise
    latency.svg   percentiles of the time of one malloc and one free
    peak.svg      peak memory of each real program, relative to mimalloc
    memory.svg    the figures of the group memory that are in KiB, relative to mimalloc
bench/run-suite also takes its table of geometric means from here. Standard library only.
"""

import os
import shutil
import subprocess

from lib import figures, peers

GROUPS = ["micro", "models", "programs", "thread-churn"]  # those with times to divide
PERCENTILES = ["p50", "p99", "p99.9", "p99.99", "max"]
# The ends of measures' names; a name without one of them is a time in the groups that measure
# nothing else.
TIME_UNITS = ("wall_s", "wall", "seconds", "ns", "us")
OTHER_UNITS = ("cpu_s", "peak_kib", "mean_kib", "minor_faults", "kib", "cpu", "faults", "calls",
               "dirty", "mappings", "locks", "small")
COLOURS = {"system": "#7f7f7f", "mimalloc": "#1f77b4", "jemalloc": "#2ca02c",
           "tcmalloc": "#9467bd", "scudo": "#8c564b", "moat-baseline": "#ffbb78",
           "moat": "#d62728"}
SPARE_COLOURS = ["#17becf", "#bcbd22", "#e377c2", "#393b79", "#637939"]
CEILING = 3.0  # a bar that is longer is cut, and its figure written on it


def read_medians(directory, group):
    """{allocator: {measure: median}} of a group's CSV, in the file's order; empty without one."""
    results = figures.read_spreads(os.path.join(directory, group + ".csv"))
    return {name: {measure: one.median for measure, one in measures.items()}
            for name, measures in results.items()}


def unit_of(measure):
    return measure.split()[-1]


def is_time(measure):
    return unit_of(measure).endswith(TIME_UNITS) or not unit_of(measure).endswith(OTHER_UNITS)


def relative(medians, wanted):
    """{allocator: {measure: ratio to the reference}} of the measures that wanted() accepts and all
    allocators have."""
    if peers.REFERENCE not in medians:
        return {}
    base = medians[peers.REFERENCE]
    names = [measure for measure in base if wanted(measure) and all(
        measures.get(measure, 0) > 0 for measures in medians.values())]
    return {name: {measure: measures[measure] / base[measure] for measure in names}
            for name, measures in medians.items()} if names else {}


def group_means(directory):
    """{group: {allocator: geometric mean of the times, relative to the reference}}"""
    found = {}
    for group in GROUPS:
        ratios = relative(read_medians(directory, group), is_time)
        if ratios:
            found[group] = {name: figures.geometric_mean(list(row.values()))
                            for name, row in ratios.items()}
    return found


def colour(name, others):
    return COLOURS.get(name) or SPARE_COLOURS[others.index(name) % len(SPARE_COLOURS)]


def quoted(text):
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"').replace("_", "\\\\_")


def data_block(categories, columns):
    """columns: {allocator: [value for each category]}"""
    lines = ["$data << END", " ".join(["x"] + [quoted(name) for name in columns])]
    for index, category in enumerate(categories):
        values = ["%.6g" % values[index] for values in columns.values()]
        lines.append(" ".join([quoted(category)] + values))
    return lines + ["END"]


def heading(path, title, categories, columns):
    width = max(760, 260 + 14 * len(categories) * len(columns))
    return ["set terminal svg size %d,460 font 'sans-serif,12' background 'white'" % width,
            "set output '%s'" % path.replace("'", "''"), "set title %s" % quoted(title),
            "set style data histograms", "set style histogram clustered gap 1.5",
            "set style fill solid 0.9 noborder", "set grid ytics lc rgb '#dddddd'", "set border 3",
            "set tics nomirror out", "set key outside right top"]


def draw(script):
    done = subprocess.run(["gnuplot", "-"], input="\n".join(script) + "\n", text=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode != 0:
        peers.complain("gnuplot: %s" % done.stderr.strip()[:600])
    return done.returncode == 0


def plotted(columns):
    others = [name for name in columns if name not in COLOURS]
    return "plot " + ", ".join(
        "$data using (column(%d)):xtic(1) title columnheader(%d) lc rgb '%s'" % (
            number, number, colour(name, others)) for number, name in enumerate(columns, 2))


def labels_of_cut_bars(columns, ceiling):
    """Their figures. A cluster of n bars with gap 1.5 is n + 1.5 wide, and the clusters are 1
    apart."""
    lines, wide = [], len(columns) + 1.5
    for number, values in enumerate(columns.values()):
        for index, value in enumerate(values):
            if value > ceiling:
                place = index + (number - (len(columns) - 1) / 2) / wide
                lines.append(
                    "set label '%.1f' at %.3f,%.3f right rotate by 90 front font ',9' tc rgb "
                    "'white'" % (value, place, ceiling * 0.99))
    return lines


def bars(path, title, categories, columns):
    """A cluster of bars for each category, one for each allocator; 1 is the reference."""
    top = min(CEILING, max(1.2, 1.05 * max(max(values) for values in columns.values())))
    script = heading(path, title, categories, columns)
    script += ["set ylabel 'relative to %s'" % peers.REFERENCE, "set yrange [0:%.3f]" % top,
               "set xtics rotate by -30",
               "set arrow from graph 0,first 1 to graph 1,first 1 nohead lc rgb 'black' dt 2 front"]
    script += labels_of_cut_bars(columns, top) + data_block(categories, columns)
    return draw(script + [plotted(columns)])


def ratio_plot(directory, file, title, ratios, wanted_end=""):
    if not ratios:
        return None
    categories = [name[:-len(wanted_end)].strip() if wanted_end and name.endswith(wanted_end)
                  else name for name in next(iter(ratios.values()))]
    path = os.path.join(directory, file)
    columns = {name: list(row.values()) for name, row in ratios.items()}
    return path if bars(path, title, categories, columns) else None


def groups_plot(directory):
    means = group_means(directory)
    if not means:
        return None
    names = [name for name in next(iter(means.values()))
             if all(name in row for row in means.values())]
    path = os.path.join(directory, "groups.svg")
    columns = {name: [row[name] for row in means.values()] for name in names}
    title = "Time, geometric mean of each group (less is better)"
    return path if bars(path, title, list(means), columns) else None


def latency_plot(directory):
    medians = read_medians(directory, "latency")
    categories = ["%s %s" % (call, percentile)
                  for call in ("malloc", "free") for percentile in PERCENTILES]
    medians = {name: measures for name, measures in medians.items() if categories[0] in measures}
    categories = [name for name in categories if medians and all(
        measures.get(name, 0) > 0 for measures in medians.values())]
    if not categories:
        return None
    columns = {name: [measures[category] for category in categories]
               for name, measures in medians.items()}
    path = os.path.join(directory, "latency.svg")
    script = heading(path, "Time of one call, two threads (less is better)", categories, columns)
    script += ["set logscale y", "set format y '%.0f'", "set ylabel 'nanoseconds'",
               "set xtics rotate by -30"]
    script += data_block(categories, columns)
    return path if draw(script + [plotted(columns)]) else None


def draw_all(directory):
    """The paths of the plots that were made; says what is missing."""
    if not shutil.which("gnuplot"):
        peers.complain("gnuplot is not installed (Debian package gnuplot-nox): no plots")
        return []
    programs, models, memory = (
        read_medians(directory, group) for group in ("programs", "models", "memory"))
    made = [
        groups_plot(directory),
        ratio_plot(directory, "programs.svg", "Time of real programs (less is better)",
                   relative(programs, lambda name: name.endswith("wall_s")), "wall_s"),
        ratio_plot(directory, "models.svg", "Time of the models of programs (less is better)",
                   relative(models, is_time), "wall_s"),
        latency_plot(directory),
        ratio_plot(directory, "peak.svg",
                   "Peak resident memory of real programs (less is better)",
                   relative(programs, lambda name: name.endswith("peak_kib")), "peak_kib"),
        ratio_plot(directory, "memory.svg", "Memory workloads: resident memory (less is better)",
                   relative(memory, lambda name: name.endswith("_kib")), "_kib"),
    ]
    return [path for path in made if path]
