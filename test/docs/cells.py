#!/usr/bin/env python3
"""cells.py TREE: every row of a Markdown table has as many cells as the table's heading.

A table is what follows a line of dashes between bars, with the line above it. Renderers cut off a
cell too many and fill up one too few without a word. Code blocks are left alone; \\| is no border.
"""

import os
import re
import sys

import verdict

RULE = re.compile(r"^\|?(\s*:?-+:?\s*\|)+(\s*:?-+:?\s*)?$")
OUTER = re.compile(r"^\||(?<!\\)\|$")
BORDER = re.compile(r"(?<!\\)\|")
NOT_OURS = re.compile(r"^(\.git|build.*|out)$")


def documents(tree):
    for folder, folders, files in os.walk(tree):
        folders[:] = sorted(name for name in folders if not NOT_OURS.match(name))
        for name in sorted(files):
            if name.endswith(".md"):
                yield os.path.join(folder, name)


def cells(line):
    return len(BORDER.split(OUTER.sub("", line.strip())))


def complaints(path):
    """How many tables there are, and what is wrong with them."""
    with open(path) as file:
        lines = file.read().split("\n")
    tables, found, width, in_code = 0, [], 0, False
    for number, line in enumerate(lines, 1):
        in_code ^= line.lstrip().startswith("```")
        if in_code or "|" not in line:
            width = 0
        elif not width and RULE.match(line.strip()) and number > 1 and "|" in lines[number - 2]:
            tables, width = tables + 1, cells(lines[number - 2])
        if width and cells(line) != width:
            found.append("%s:%d: %d cells, but %d in the heading: %s" % (
                path, number, cells(line), width, line))
    return tables, found


def main():
    tables, found = 0, []
    for path in documents(sys.argv[1]):
        more, bad = complaints(path)
        tables, found = tables + more, found + bad
    verdict.end(found, tables, 20, "tables")


if __name__ == "__main__":
    main()
