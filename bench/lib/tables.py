"""The tables of each group, made from its measures: the runners print them, make-tables writes them
into the documents.

`results` is what figures.read_spreads or figures.spreads gives: {allocator: {measure: Spread}}. A
table is (heading, rows) of texts. A measure that an allocator lacks is "-".
"""

from lib import figures, peers

HEADLINE = ["pair", "batch", "random"]  # the patterns whose mean the target of micro speaks of
HEADLINE_MEAN = "mean(p,b,r)"

CALLS = ["malloc", "free"]
CONTROLS = ["timer", "empty"]  # rows that do not run on an allocator
PERCENTILES = ["p50", "p99", "p99.99", "max", "undisturbed"]
JUDGED_PERCENTILE = "p99.99"

PROCESS_MEASURES = [  # title, measure, form, divisor
    ("seconds", "wall_s", "%.2f", 1), ("processor seconds", "cpu_s", "%.2f", 1),
    ("peak MiB", "peak_kib", "%.1f", 1024), ("mean MiB", "mean_kib", "%.1f", 1024),
    ("minor faults, thousands", "minor_faults", "%.1f", 1000),
    ("locks per 1000 operations", "locks", "%.3f", 1)]
CLOCKS = {"wall": ("wall_s", "time"), "processor": ("cpu_s", "processor time")}
TINY = 1e-9  # stands for a measure of 0 in a ratio


def of(results, name, measure):
    """The median, or None."""
    one = results.get(name, {}).get(measure)
    return one.median if one else None


def grid(corner, rows, names, cell):
    """A row for each of `rows`, (title, key), and a column for each allocator: cell(name, key)."""
    table = []
    for title, key in rows:
        cells = [cell(name, key) for name in names]
        table.append([title] + ["-" if text is None else text for text in cells])
    return [corner] + list(names), table


def transposed(heading, rows):
    columns = list(zip(*([heading] + rows)))
    return list(columns[0]), [list(column) for column in columns[1:]]


def measures_of(results):
    """All measures, as the first allocator has them; then those that it had to leave out."""
    return list(dict.fromkeys(measure for measures in results.values() for measure in measures))


def subjects(results, measure):
    """The programs or models that have the measure: "NAME measure"."""
    return [name[:-len(measure) - 1] for name in measures_of(results)
            if name.endswith(" " + measure)]


def bounds(form, low, high):
    return "%s-%s" % (form % low, form % high)


# --- micro -----------------------------------------------------------------------------------


def headline_mean(measures):
    """The geometric mean of pair, batch and random, where all three were run."""
    if not all(pattern in measures for pattern in HEADLINE):
        return None
    return figures.geometric_mean([measures[pattern].median for pattern in HEADLINE])


def pattern_value(measures, pattern):
    if pattern == HEADLINE_MEAN:
        return headline_mean(measures)
    return measures[pattern].median if pattern in measures else None


def pattern_rows(results):
    names = measures_of(results)
    names += [HEADLINE_MEAN] * any(headline_mean(measures) for measures in results.values())
    return [(name, name) for name in names]


def micro(results, with_bounds=False, what="operation"):
    def cell(name, pattern):
        value = pattern_value(results[name], pattern)
        if value is None:
            return None
        one = results[name].get(pattern)
        return "%.1f" % value + (
            " (%s)" % bounds("%.1f", one.least, one.greatest) if with_bounds and one else "")
    return grid("ns per %s" % what, pattern_rows(results), results, cell)


def micro_relative(results):
    def cell(name, pattern):
        value = pattern_value(results[name], pattern)
        base = pattern_value(results[peers.REFERENCE], pattern)
        return None if value is None or base is None else "%.2f" % (value / base)
    return grid("relative to %s" % peers.REFERENCE, pattern_rows(results), results, cell)


def growth(results):
    """The cost of an operation by the size of the heap; a touch has no allocator in it."""
    names = [name for name, measures in results.items()
             if any(measure.startswith("growth-") for measure in measures)]
    heading, rows = grid("live heap, ns", [
        (measure[len("growth-"):].replace("MiB", " MiB").replace("GiB", " GiB"), measure)
        for measure in measures_of(results) if measure.startswith("growth-")],
        names, lambda name, measure: value_text(of(results, name, measure)))
    for row in rows:
        touch = "touch-" + row[0].replace(" ", "")
        ones = [measures[touch] for measures in results.values() if touch in measures]
        ends = [value_text(min(one.least for one in ones)),
                value_text(max(one.greatest for one in ones))] if ones else ["-"]
        row.append(" to ".join(dict.fromkeys(ends)))
    return heading + ["touch"], rows


def value_text(value):
    return None if value is None else "%.3g" % value if value < 1000 else "%.0f" % value


# --- latency ---------------------------------------------------------------------------------


def duration(value):
    if value >= 1e6:
        return "%.2f ms" % (value / 1e6)
    return "%.0f" % value if value < 1e4 else "%.1f us" % (value / 1e3)


def latency_ratio(results, name, call):
    measure = "%s %s" % (call, JUDGED_PERCENTILE)
    return of(results, name, measure) / of(results, peers.REFERENCE, measure)


def control_row(results, control):
    """All processes together: the control tells about the machine."""
    row = ["(%s)" % control]
    for percentile in PERCENTILES:
        values = [of(results, name, "%s %s" % (control, percentile)) for name in results]
        row.append(duration(figures.spread([one for one in values if one is not None]).median))
    return row


def latency(results, call):
    heading = ["%s, ns" % call] + PERCENTILES
    rows = [control_row(results, control) for control in CONTROLS]
    for name in results:
        if of(results, name, "%s p50" % call) is not None:
            rows.append([name] + [duration(of(results, name, "%s %s" % (call, percentile)))
                                  for percentile in PERCENTILES])
    if peers.REFERENCE in results:
        heading.append("%s to %s's" % (JUDGED_PERCENTILE, peers.REFERENCE))
        for row in rows:
            row.append("%.2f" % latency_ratio(results, row[0], call) if row[0] in results else "")
    return heading, rows


# --- models and programs ---------------------------------------------------------------------


def process_tables(results, chosen):
    """A table for each measure, median and bounds."""
    tables = []
    for title, measure, form, divisor in PROCESS_MEASURES:
        def cell(name, subject, measure=measure, form=form, divisor=divisor):
            one = results[name].get("%s %s" % (subject, measure))
            if one is None:
                return None
            text = form % (one.median / divisor)
            return text + (" (%s)" % bounds(form, one.least / divisor, one.greatest / divisor)
                           if one.rounds > 1 else "")
        names = [name for name in results
                 if any("%s %s" % (subject, measure) in results[name] for subject in chosen)]
        if names:
            tables.append(grid(title, [(subject, subject) for subject in chosen], names, cell))
    return tables


def reference_of(results):
    return peers.REFERENCE if peers.REFERENCE in results else "system"


def ratios(results, chosen, measure):
    """{allocator: {program or model: ratio to the reference}}"""
    base = reference_of(results)
    return {name: {subject: max(of(results, name, "%s %s" % (subject, measure)), TINY)
                   / max(of(results, base, "%s %s" % (subject, measure)), TINY)
                   for subject in chosen} for name in results}


def means(found, chosen):
    """{allocator: geometric mean of the ratios of those chosen}"""
    return {name: figures.geometric_mean([row[subject] for subject in chosen])
            for name, row in found.items()}


def ratio_table(results, chosen, measure, title, parts=None):
    """parts: {title of a row: the programs that it is the geometric mean of}; default: of all."""
    found = ratios(results, chosen, measure)
    heading, rows = grid(
        "%s, to %s" % (title, reference_of(results)), [(subject, subject) for subject in chosen],
        results, lambda name, subject: "%.2f" % found[name][subject])
    for part, members in (parts or {"geometric mean": chosen}).items():
        if members:
            rows.append([part] + ["%.3f" % value for value in means(found, members).values()])
    return heading, rows


def locks(results):
    names = [name for name, measures in results.items()
             if any(measure.endswith(" locks") for measure in measures)]
    return grid("locks per 1000 operations",
                [(model, "%s locks" % model) for model in subjects(results, "locks")],
                names, lambda name, measure: "%.3f" % of(results, name, measure))


def small_programs(results):
    """Those that run-programs found small on the system's allocator."""
    return [program for program in subjects(results, "small")
            if of(results, "system", "%s small" % program)]


def programs_peak(results, chosen, small):
    return ratio_table(results, chosen, "peak_kib", "peak memory", {
        "geometric mean, 20 MiB and more": [name for name in chosen if name not in small],
        "geometric mean, under 20 MiB": [name for name in chosen if name in small]})


# --- memory ----------------------------------------------------------------------------------


def scene_rows(results, scene):
    return [(measure[len(scene) + 1:], measure) for measure in measures_of(results)
            if measure.startswith(scene + " ")]


def scene(results, name):
    def cell(allocator, measure):
        value = of(results, allocator, measure)
        return None if value is None else "%.0f" % value if value >= 1000 else "%.4g" % value
    return grid(name, scene_rows(results, name), results, cell)


def beside_segments(results):
    """Of the scene many-segments, what the documents show: before the segments and beside them."""
    rows = [("%s, %s" % (size, title), "many-segments %s_%s_ns" % (size, when))
            for size in ("small", "large")
            for when, title in (("before", "before"), ("with", "beside them"))]
    names = [name for name in results if of(results, name, rows[0][1]) is not None]
    return grid("ns per operation", rows, names,
                lambda name, measure: value_text(of(results, name, measure)))


# --- startup, thread-churn -------------------------------------------------------------------


def startup(results, command):
    """The system's own line is absolute, the others are what they add to it."""
    heading = ["", "time us", "quartiles", "processor us", "system calls", "private dirty KiB",
               "mappings"]
    rows = []
    for name in results:
        time = results[name].get("%s us" % command)
        if not time:
            continue
        form = "%.0f" if name == "system" else "%+.0f"
        quartiles = "%s..%s" % (form % time.lower, form % time.upper) if name != "system" else ""
        rows.append([name, form % time.median, quartiles] + [
            form % of(results, name, "%s %s" % (command, what))
            for what in ("cpu us", "calls", "dirty", "mappings")])
    return heading, rows


def thread_churn(results):
    rows = [[name, "%.2f" % measures["churn"].median,
             bounds("%.2f", measures["churn"].least, measures["churn"].greatest),
             "%+.2f" % (measures["churn"].median - of(results, "system", "churn"))]
            for name, measures in results.items()]
    return ["", "us", "least-greatest", "more than the system"], rows


# --- price list ------------------------------------------------------------------------------


def price_list(results):
    """Relative to the whole of moat; the choices are the rows."""
    return transposed(*grid(
        "relative to the whole", [(measure, measure) for measure in results["moat"]], results,
        lambda name, measure: "%.2f" % (
            of(results, name, measure) / max(of(results, "moat", measure), TINY))))
