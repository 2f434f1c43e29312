#!/usr/bin/env python3
"""names.py TREE: what the documents about src/ call by name is there.

An identifier in `code` with an underscore is a word of the sources (of src/ alone, in a document
about its loops), a file in `code` is a file. In a table with the columns "function" and "file" each
function of a row is in one of its files, and no file stands there for nothing. A table with words
of other allocators is left alone.
"""

import os
import re
import sys

import verdict

DOCUMENTS = ["concurrency", "debugging", "design", "life-of-a-block", "loops", "tour"]
OF_SRC_ALONE = ["loops"]
FOLDERS = ["src", "include", "test", "fuzz", "bench", "tools", "scripts", "cmake"]
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\([^)]*\)")
IDENTIFIER = re.compile(r"^([A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+)(?:\(\))?$")
FUNCTION = re.compile(r"^([a-z][a-z0-9_]*)(?:\(\))?$")
BUILTIN = re.compile(r"^fetch_\w+$")
FILE = re.compile(r"^[\w./-]+\.(?:c|h|def|S|sh|py)$")


def read_sources(tree):
    """The words of each file, by its path from the root."""
    words = {}
    for folder in FOLDERS:
        for path, _, names in os.walk(os.path.join(tree, folder)):
            for name in names:
                full = os.path.join(path, name)
                with open(full, errors="replace") as file:
                    words[os.path.relpath(full, tree)] = set(re.findall(r"\w+", file.read()))
    return words


def find_files(words, name):
    """A path from the root or from src/; a bare name is that of any file."""
    if name in words or "src/" + name in words:
        return [name if name in words else "src/" + name]
    return [path for path in words if "/" not in name and os.path.basename(path) == name]


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def judge_row(words, columns, row):
    """What is wrong with a row of functions and files."""
    named = dict(zip(columns, row))
    functions = [m.group(1) for m in map(FUNCTION.match, CODE.findall(named["function"])) if m]
    files = [f for name in CODE.findall(named["file"]) for f in find_files(words, name)]
    for function in functions:
        if not any(function in words[file] for file in files):
            yield "%s is in none of %s" % (function, ", ".join(files))
    for file in files:
        if not any(function in words[file] for function in functions):
            yield "%s has none of %s" % (file, ", ".join(functions))


def judge(words, path):
    """How much was looked at, and what is wrong."""
    looked, found, columns, in_code = 0, [], None, False
    everything = set().union(*words.values())
    with open(path) as file:
        lines = file.read().split("\n")
    for number, line in enumerate(lines, 1):
        in_code ^= line.startswith("```")
        if in_code:
            continue
        bad = []
        if not line.startswith("|"):
            columns = None
        elif columns is None:
            columns = cells(line)
        if columns and "mimalloc" in columns:
            continue
        for code in CODE.findall(LINK.sub("", line)):
            identifier = IDENTIFIER.match(code)
            looked += bool(identifier or FILE.match(code))
            name = identifier.group(1) if identifier else None
            if name and name not in everything and not BUILTIN.match(name):
                bad.append("nothing is called %s" % name)
            if FILE.match(code) and not find_files(words, code):
                bad.append("there is no file %s" % code)
        if columns and "function" in columns and "file" in columns and CODE.search(line):
            bad += judge_row(words, columns, cells(line))
        found += ["%s:%d: %s" % (path, number, text) for text in bad]
    return looked, found


def main():
    tree = sys.argv[1]
    words = read_sources(tree)
    of_src = {path: words[path] for path in words if path.startswith("src/")}
    looked, found = 0, []
    for name in DOCUMENTS:
        known = of_src if name in OF_SRC_ALONE else words
        more, bad = judge(known, os.path.join(tree, "doc", name + ".md"))
        looked, found = looked + more, found + bad
    verdict.end(found, looked, 500, "names")


if __name__ == "__main__":
    main()
