#!/usr/bin/env python3
"""moat-report: reads a log, finds moat's reports in it, and prints them for people.

  moat-report [OPTION...] [FILE...]

Frames get functions, source files, lines and inlined calls from addr2line or llvm-symbolizer; the
block is drawn with its neighbours. What a log says is not trusted: nothing of it reaches a terminal
but printable characters, and a module's file is used only if it is the build that ran.
"""
import argparse
import json
import os
import re
import shutil
import struct
import subprocess
import sys

VERSION = "@PROJECT_VERSION@"
JSON_VERSION = 1
# Of a log that is no log, or was made by somebody else.
LINE_MAX = 1 << 16
FRAMES_MAX = 256
KEPT_MAX = 2  # stacks beside that of the misuse: who allocated the block, and who freed it
ALONE = ("huge", "sample")
KEPT_LINE = re.compile(r"moat: stack of its (allocation|free), by thread (\d+):")
TOOL_SECONDS = 120

FIRST_LINE = re.compile(r"moat: (fatal|error): ([a-z-]+): (.*) at (0x[0-9a-f]+)$")
STOP_LINE = re.compile(r"moat: fatal: (.*)$")
BLOCK_LINE = re.compile(
    r"moat: block(?: (0x[0-9a-f]+))?(?: of ([0-9]+) bytes?)?(?:, state: (.*))?$")
PAGE_LINE = re.compile(r"moat: page (0x[0-9a-f]+)(?: \((.*?)\))?(?: in segment .*)?$")
THREAD_LINE = re.compile(r"moat: thread ([0-9]+) of process ([0-9]+)$")
JSON_LINE = re.compile(r'\{"version":[0-9]+,"kind":".*\}')
WRITTEN_LINE = re.compile(r"moat: the first byte written is (0x[0-9a-f]+), ")
BESIDE_LINE = re.compile(r"moat: (before|behind) it: (0x[0-9a-f]+), (.*)$")
FRAME_LINE = re.compile(
    r"moat:   #([0-9]+) (.+?)(?:\(([^\s()]+)\+(0x[0-9a-f]+)\))?\+(0x[0-9a-f]+)"
    r"(?: build-id ([0-9a-f]+))?$")
SIZE = re.compile(r"([0-9]+) (bytes?|KiB|MiB|GiB)$")
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def printable(text):
    """What a terminal cannot be steered by."""
    return "".join(c if c.isprintable() else "?" for c in text)


class Failure(Exception):
    """What went wrong, for the user."""


# --- Reports --------------------------------------------------------------------------------------


class Frame:
    """A call: where it is, and what is known of it."""

    def __init__(self, number, module, offset):
        self.number = number
        self.module = module  # a path, or "[unknown]", "[vdso]", …
        self.offset = offset
        self.build_id = ""
        self.function = ""  # by the report itself, with what follows it: "free+0x44"
        self.calls = []  # by a symbolizer: (function, place), innermost inlined call first

    def file(self):
        """The module's file as it was called, if it has one that can be looked for."""
        path = self.module
        if path.endswith(" (deleted)"):
            path = path[:-len(" (deleted)")]
        return path if path.startswith("/") else None


class Report:
    """One report, as far as the log has it."""

    def __init__(self, line, ends, kind, what, address):
        self.line = line
        self.ends = ends
        self.kind = kind
        self.what = what
        self.address = address
        self.block = None
        self.size = None
        self.state = ""
        self.page = None
        self.page_size = None
        self.is_alone = False  # a page of its own: a huge block
        self.beside = {}
        self.written = None  # the first byte that somebody wrote
        self.thread = None  # of the process
        self.process = None
        self.notes = []
        self.frames = []
        self.kept = []  # (whose, frames)

    def all_frames(self):
        return self.frames + [frame for _, frames in self.kept for frame in frames]


def find_first_line(text, number):
    found = FIRST_LINE.match(text)
    if found:
        level, kind, what, address = found.groups()
        return Report(number, level == "fatal", kind, what, int(address, 16))
    found = STOP_LINE.match(text)
    if found:
        return Report(number, True, "", found.group(1), None)
    return None


def parse_page(report, found):
    report.page = int(found.group(1), 16)
    parts = (found.group(2) or "").split(", ")
    report.is_alone = parts[0] in ALONE
    for part in parts:
        size = SIZE.match(part)
        if size:
            report.page_size = int(size.group(1)) * UNITS.get(size.group(2), 1)


def add_line(report, text):
    """A line behind the first; what is not understood is for people anyway."""
    found = FRAME_LINE.match(text)
    if found:
        number, module, function, into, offset, build_id = found.groups()
        frame = Frame(int(number), module, int(offset, 16))
        frame.build_id = build_id or ""
        frame.function = f"{function}+{into}" if function else ""
        frames = report.kept[-1][1] if report.kept else report.frames
        if len(frames) < FRAMES_MAX:
            frames.append(frame)
        return
    found = KEPT_LINE.match(text)
    if found:
        if len(report.kept) < KEPT_MAX:
            report.kept.append((f"{found.group(1)}, by thread {found.group(2)}", []))
        return
    found = BLOCK_LINE.match(text)
    if found:
        report.block = int(found.group(1), 16) if found.group(1) else None
        report.size = int(found.group(2)) if found.group(2) else None
        report.state = found.group(3) or ""
    found = PAGE_LINE.match(text)
    if found:
        parse_page(report, found)
    found = THREAD_LINE.match(text)
    if found:
        report.thread, report.process = int(found.group(1)), int(found.group(2))
    found = WRITTEN_LINE.match(text)
    if found:
        report.written = int(found.group(1), 16)
    found = BESIDE_LINE.match(text)
    if found:
        report.beside[found.group(1)] = (int(found.group(2), 16), found.group(3))
    if not text.startswith("moat: stack, "):
        report.notes.append(text[len("moat: "):])


# --- The same from a line of JSON (doc/reports.md) ----------------------------------------------


def text_of(value):
    return printable(value) if isinstance(value, str) else ""


def number_of(value):
    return value if isinstance(value, int) and value >= 0 else None


def address_of(value):
    if isinstance(value, str) and re.fullmatch(r"0x[0-9a-f]{1,16}", value):
        return int(value, 16)
    return None


def part_of(data, name):
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def frames_of(data):
    stack = data.get("stack")
    frames = stack[:FRAMES_MAX] if isinstance(stack, list) else []
    return [frame_of(i, frame) for i, frame in enumerate(frames) if isinstance(frame, dict)]


def frame_of(number, data):
    frame = Frame(number, text_of(data.get("module")) or "[unknown]",
                  address_of(data.get("offset")) or 0)
    frame.build_id = text_of(data.get("build_id"))
    if "function" in data:
        frame.function = f"{text_of(data['function'])}+{number_of(data.get('into')) or 0:#x}"
    return frame


def place_beside(address, start, end):
    """Where an address lies from a block."""
    if None in (address, start, end):
        return "at a place unknown"
    if address < start:
        return f"{start - address} bytes before the block"
    if address < end:
        return f"{address - start} bytes into the block"
    return f"{address - end} bytes behind its end"


def places_of_json(data, block):
    """What was written or touched, as the text says it: an overflow begins where that ends which
    was asked for."""
    start, size = address_of(block.get("address")), number_of(block.get("size"))
    if "written" in data:
        asked = number_of(block.get("asked_for")) if data.get("kind") == "overflow" else None
        size = asked or size
    end = start + size if None not in (start, size) else None
    if "written" in data:
        written = address_of(data["written"])
        yield (f"the first byte written is {text_of(data['written'])}, "
               f"{place_beside(written, start, end)}")
    if data.get("kind") == "guard-hit":
        access = text_of(data.get("access")) or "access"
        yield f"the {access} is {place_beside(address_of(data.get('address')), start, end)}"


def notes_of_json(data):
    block, segment, nearest = (part_of(data, name) for name in ("block", "segment", "nearest"))
    if "given" in data:
        yield f"given: {number_of(data['given'])}, expected: {number_of(data.get('expected'))}"
    if "allocated_by" in data:
        yield (f"allocated by {text_of(data['allocated_by'])}, freed by "
               f"{text_of(data.get('freed_by'))}")
    if block:
        yield (f"block {text_of(block.get('address'))} of {number_of(block.get('size'))} bytes, "
               f"state: {text_of(block.get('state'))}")
    if "asked_for" in block:
        yield (f"of it {number_of(block['asked_for'])} bytes were asked for by "
               f"{text_of(block.get('asked_by'))}")
    yield from places_of_json(data, block)
    if segment:
        thread = number_of(segment.get("owner_thread"))
        name = text_of(segment.get("owner_name"))
        number = f" ({thread}{', ' if name else ''}{name})" if thread else ""
        yield (f"segment {text_of(segment.get('address'))}, owner: "
               f"{text_of(segment.get('owner'))}{number}")
    if nearest:
        yield (f"the nearest block in use is {text_of(nearest.get('address'))} of "
               f"{number_of(nearest.get('size'))} bytes")
    if "place" in data:
        yield f"the address lies in {text_of(data['place'])}"
    yield f"thread {number_of(data.get('thread'))} of process {number_of(data.get('process'))}"
    names = [f"{what} {text_of(data[name])}" for name, what in
             (("program", "program"), ("thread_name", "thread name")) if name in data]
    if names:
        yield ", ".join(names)
    if number_of(data.get("omitted")):
        yield f"{data['omitted']} calls had no room in the log"


def report_of_json(text, line):
    """A report; None: the line is none."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.get("version") != JSON_VERSION:
        return None
    report = Report(line, data.get("ends") is not False, text_of(data.get("kind")),
                    text_of(data.get("what")), address_of(data.get("address")))
    block, page = part_of(data, "block"), part_of(data, "page")
    report.block, report.size = address_of(block.get("address")), number_of(block.get("size"))
    report.state = text_of(block.get("state"))
    report.page, report.page_size = address_of(page.get("address")), number_of(page.get("size"))
    report.is_alone = page.get("kind") in ALONE
    report.written = address_of(data.get("written"))
    report.thread, report.process = number_of(data.get("thread")), number_of(data.get("process"))
    for name in ("before", "behind"):
        beside = part_of(data, name)
        if beside:
            report.beside[name] = (address_of(beside.get("address")), text_of(beside.get("state")))
    report.frames = frames_of(data)
    for name in ("allocation", "free"):
        kept = part_of(data, name)
        if kept:
            thread = number_of(kept.get("thread"))
            report.kept.append((f"{name}, by thread {thread}", frames_of(kept)))
    report.notes = list(notes_of_json(data))
    return report


def is_same(one, other):
    """Text and JSON of one report, which a log of all services has both. Two sites differ in their
    calls, of which either may have lost some."""
    return all(getattr(one, name) == getattr(other, name)
               for name in ("process", "thread", "kind", "what", "address")) and all(
        a.offset == b.offset for a, b in zip(one.frames, other.frames))


# --- Logs -----------------------------------------------------------------------------------------


def read_reports(lines):
    """The reports of a log, whatever stands before "moat:" on its lines, and between them."""
    current, told = None, []
    for number, raw in enumerate(lines, 1):
        text = raw.decode("utf-8", "replace").rstrip("\r\n")
        found = JSON_LINE.search(text)
        other = report_of_json(found.group(), number) if found else None
        if other:
            if not any(is_same(other, one) for one in [current, *told] if one):
                yield other
            continue
        at = text.find("moat: ")
        if at < 0:
            continue
        text = printable(text[at:])
        first = find_first_line(text, number)
        if first:
            if current:
                yield current
                told.append(current)
            current = first
        elif current and not text.startswith(("moat: warning: ", "moat: options: ")):
            add_line(current, text)
    if current:
        yield current


# --- Files of modules -----------------------------------------------------------------------------


def notes_of(data, alignment):
    at = 0
    while at + 12 <= len(data):
        name_size, size, kind = struct.unpack_from("<III", data, at)
        name = at + 12
        start = name + (name_size + 3) // 4 * 4
        yield kind, data[name:name + name_size], data[start:start + size]
        step = start + (size + 3) // 4 * 4 - at
        at += (step + alignment - 1) // alignment * alignment


def build_id_of(path):
    """The build id of an ELF file, in hex; empty if it has none."""
    with open(path, "rb") as file:
        header = file.read(64)
        if len(header) < 64 or header[:4] != b"\x7fELF" or header[4:6] != b"\x02\x01":
            return ""
        table = struct.unpack_from("<Q", header, 32)[0]
        entry_size, count = struct.unpack_from("<HH", header, 54)
        for i in range(min(count, 64)):
            file.seek(table + i * entry_size)
            entry = file.read(56)
            if len(entry) < 56:
                return ""
            kind, _, offset, _, _, size, _, alignment = struct.unpack("<IIQQQQQQ", entry)
            if kind != 4 or size > LINE_MAX:
                continue
            file.seek(offset)
            for note, name, value in notes_of(file.read(size), max(alignment, 4)):
                if note == 3 and name == b"GNU\0":
                    return value.hex()
    return ""


class Files:
    """Which file tells of a module: its own, one with debugging information, a server's."""

    def __init__(self, sysroot, debug_dirs):
        self.sysroot = sysroot
        self.debug_dirs = debug_dirs
        self.warnings = []
        self.asked = {}

    def own(self, frame):
        name = frame.file()
        if not name:
            return None
        path = os.path.realpath(self.sysroot + name)
        # the kernel's files may wait for something that never comes
        if not os.path.isfile(path) or path.startswith(("/proc/", "/sys/", "/dev/")):
            self.warn(f"{name}: not on this machine")
            return None
        try:
            found = build_id_of(path)
        except OSError as error:
            self.warn(f"{name}: {error.strerror}")
            return None
        if frame.build_id and found != frame.build_id:
            self.warn(f"{name}: another build than the one that ran; its lines would be wrong")
            return None
        if not frame.build_id:
            self.warn(f"{name}: no build id: its lines are right only if the file is the same")
        return path

    def by_build_id(self, build_id):
        for directory in self.debug_dirs:
            path = f"{directory}/.build-id/{build_id[:2]}/{build_id[2:]}.debug"
            if os.path.isfile(path):
                yield path
        path = self.from_server(build_id)
        if path:
            yield path

    def from_server(self, build_id):
        """debuginfod's, where one is configured."""
        if build_id in self.asked:
            return self.asked[build_id]
        self.asked[build_id] = None
        if os.environ.get("DEBUGINFOD_URLS", "").strip() and shutil.which("debuginfod-find"):
            path = run_tool(["debuginfod-find", "debuginfo", build_id], self.warn).strip()
            if os.path.isfile(path):
                self.asked[build_id] = path
        return self.asked[build_id]

    def candidates(self, frame):
        path = self.own(frame)
        if path:
            yield path
        if re.fullmatch(r"[0-9a-f]{8,}", frame.build_id):
            yield from self.by_build_id(frame.build_id)

    def warn(self, text):
        if text not in self.warnings:
            self.warnings.append(text)


def run_tool(arguments, warn):
    try:
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=TOOL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        warn(f"{arguments[0]}: {error}")
        return ""
    return done.stdout.decode("utf-8", "replace")


# --- Functions and lines --------------------------------------------------------------------------


def choose_symbolizer(wanted):
    """The command of a symbolizer; None: there is none."""
    for name in [wanted] if wanted else ["llvm-symbolizer", "addr2line"]:
        path = shutil.which(name)
        if path:
            style = ["--output-style=GNU"] if "symbolizer" in os.path.basename(name) else []
            return [path, *style, "-a", "-f", "-i", "-C"]
    if wanted:
        raise Failure(f"{wanted}: no such symbolizer")
    return None


def parse_calls(text):
    """Address -> [(function, place)], from a line "0x…" and two lines for each call."""
    result, calls, function = {}, [], None
    for line in text.splitlines():
        if re.fullmatch(r"0x[0-9a-fA-F]+", line):
            calls, function = result.setdefault(int(line, 16), []), None
        elif function is None:
            function = line
        else:
            place = re.sub(r" \(discriminator [0-9]+\)$", "", line)
            place = "" if place.startswith("??") else re.sub(r":[?0]$", "", place)
            calls.append((printable(function), printable(place)))
            function = None
    return result


def is_known(calls):
    return any(function != "??" for function, _ in calls)


def symbolize_module(command, path, frames, warn):
    offsets = sorted({frame.offset for frame in frames})
    output = run_tool([*command, "-e", path, *[hex(offset) for offset in offsets]], warn)
    found = parse_calls(output)
    for frame in frames:
        calls = found.get(frame.offset, [])
        better = not is_known(frame.calls) or (any(place for _, place in calls) and
                                               not any(place for _, place in frame.calls))
        if is_known(calls) and better:
            frame.calls = calls


def symbolize(report, files, command):
    modules = {}
    for frame in report.all_frames():
        modules.setdefault((frame.module, frame.build_id), []).append(frame)
    for frames in modules.values():
        for path in files.candidates(frames[0]):
            symbolize_module(command, path, frames, files.warn)
            if all(any(place for _, place in frame.calls) for frame in frames):
                break


# --- Printing -------------------------------------------------------------------------------------


def draw_cell(text, width):
    return f" {text[:width - 2]:<{width - 1}}"


def neighbours(report):
    """[(first address, what stands in the cell)]: the block, and those before and behind it."""
    size, first, states = report.size, report.block, report.beside
    cells = [(first, report.state)]
    if report.page is not None and first - size >= report.page:
        cells.insert(0, (first - size, states.get("before", (0, ""))[1]))
    known = None not in (report.page, report.page_size)
    if not known or first + 2 * size <= report.page + report.page_size:
        cells.append((first + size, states.get("behind", (0, ""))[1]))
    return cells


def draw_block(report):
    """The block, its neighbours in the page, and where the address lies, or what was written."""
    marked = report.written if report.written is not None else report.address
    if report.block is None or not report.size or marked is None:
        return []
    cells = [(report.block, report.state)] if report.is_alone else neighbours(report)
    width = max(24, min(40, max(len(state) for _, state in cells) + 2))
    edge, top, middle, below = "", "", "", None
    for address, state in cells:
        mark = "=" if address == report.block else "-"
        top += f"{address:<#{width + 1}x}"
        edge += "+" + mark * width
        middle += "|" + draw_cell(state, width)
        if address <= marked < address + report.size:
            below = len(edge) - width + (marked - address) * width // report.size
    lines = [top, edge + "+", middle + "|", edge + "+"]
    if below is not None:
        byte = marked - report.block
        where = f"byte {byte} of {report.size}" if byte >= 0 else f"{-byte} bytes before the block"
        lines.append(" " * below + f"^ {marked:#x}, {where}")
    if report.page is not None and not report.is_alone:
        index = (report.block - report.page) // report.size
        lines.append(f"block {index} of its page, each of {report.size} bytes")
    return lines


def describe_frame(frame):
    name = os.path.basename(frame.file() or frame.module)
    if not is_known(frame.calls):
        function = frame.function or "??"
        return [f"{function} in {name} at {frame.offset:#x}"]
    lines = []
    for function, place in frame.calls:
        lines.append(f"{function} at {place}" if place else f"{function}")
    lines[:-1] = [line + " (inlined)" for line in lines[:-1]]
    lines[-1] += f" in {name}"
    return lines


def print_calls(title, frames, out):
    print(f"\n  {title}", file=out)
    for frame in frames:
        first, *rest = describe_frame(frame)
        print(f"  #{frame.number:<3}{first}", file=out)
        for line in rest:
            print(f"      {line}", file=out)


def print_report(report, number, count, out):
    end = "" if report.ends else " (the process went on)"
    title = f"{report.kind}: {report.what}" if report.kind else report.what
    where = f" at {report.address:#x}" if report.address is not None else ""
    print(f"Report {number} of {count}, line {report.line}: {title}{where}{end}", file=out)
    for note in report.notes:
        print(f"  {note}", file=out)
    drawing = draw_block(report)
    if drawing:
        print("\n" + "\n".join(f"  {line}".rstrip() for line in drawing), file=out)
    if report.frames:
        print_calls("Calls, innermost first:", report.frames, out)
    for whose, frames in report.kept:
        print_calls(f"Calls of its {whose}:", frames, out)
    if not report.frames and report.kind:
        print("\n  The log has no stack of it.", file=out)


def lines_of(file):
    while True:
        line = file.readline(LINE_MAX)
        if not line:
            return
        yield line


def read_file(name):
    if name == "-":
        return list(read_reports(lines_of(sys.stdin.buffer)))
    try:
        with open(name, "rb") as file:
            return list(read_reports(lines_of(file)))
    except OSError as error:
        raise Failure(f"{name}: {error.strerror}") from error


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="moat-report", description="Finds moat's reports in a log and prints them with "
        "functions, files, lines and inlined calls.")
    parser.add_argument("files", metavar="FILE", nargs="*", default=["-"],
                        help="a log; - or none: standard input")
    parser.add_argument("--symbolizer", metavar="PROGRAM",
                        help="llvm-symbolizer or addr2line, by name or path")
    parser.add_argument("--sysroot", metavar="DIRECTORY", default="",
                        help="where the files of the machine that wrote the log are")
    parser.add_argument("--debug-dir", metavar="DIRECTORY", action="append", default=[],
                        help="where files with debugging information are, by build id; may be "
                        "given more than once, and comes before /usr/lib/debug")
    parser.add_argument("--version", action="version", version=f"moat {VERSION}")
    return parser.parse_args()


def run():
    options = parse_arguments()
    if options.sysroot and not os.path.isdir(options.sysroot):
        raise Failure(f"{options.sysroot}: no such directory")
    command = choose_symbolizer(options.symbolizer)
    files = Files(options.sysroot.rstrip("/"), [*options.debug_dir, "/usr/lib/debug"])
    reports = [report for name in options.files for report in read_file(name)]
    if not reports:
        raise Failure("no report of moat's in " + ", ".join(options.files))
    if command is None:
        files.warn("neither llvm-symbolizer nor addr2line is installed: no files and lines")
    for number, report in enumerate(reports, 1):
        if command is not None:
            symbolize(report, files, command)
        if number > 1:
            print()
        print_report(report, number, len(reports), sys.stdout)
    sys.stdout.flush()
    for warning in files.warnings:
        print("moat-report: " + printable(warning), file=sys.stderr)


def main():
    try:
        run()
    except Failure as failure:
        print("moat-report: " + printable(str(failure)), file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
