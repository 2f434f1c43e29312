#!/usr/bin/env python3
"""accesses.py TREE: each function of src/ that touches a shared word with acquire or release order
stands in a table of doc/concurrency.md.

As the tree is formatted, a function begins on the last line in the first column that has its name
and an opening bracket.
"""

import os
import re
import sys

import verdict

ACCESS = re.compile(r"atomic_\w+_(?:acquire|release|acq_rel|seq_cst)\(")
ATTRIBUTE = re.compile(r"__attribute__\(\(.*?\)\)")
FUNCTION = re.compile(r"^(?!static_assert)[A-Za-z_][^;=]*?\b(\w+)\(")


def sources(tree):
    for folder, _, names in os.walk(os.path.join(tree, "src")):
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), tree)
            if name.endswith((".c", ".h")) and not path.startswith("src/harness/"):
                yield path


def accesses(tree, path):
    """The functions of a file that have such an access, with a line of each."""
    found, function = {}, None
    with open(os.path.join(tree, path)) as file:
        for number, line in enumerate(file, 1):
            begins = FUNCTION.match(ATTRIBUTE.sub("", line))
            function = begins.group(1) if begins else function
            if ACCESS.search(line) and not line.startswith("#"):
                found.setdefault(function, number)
    return found


def main():
    tree = sys.argv[1]
    with open(os.path.join(tree, "doc/concurrency.md")) as file:
        rows = [line for line in file if line.startswith("|")]
    named = set(re.findall(r"`(\w+)`", "".join(rows)))
    found, count = [], 0
    for path in sources(tree):
        for function, number in accesses(tree, path).items():
            count += 1
            if function not in named:
                found.append("%s:%d: %s is in no table of doc/concurrency.md" % (
                    path, number, function))
    verdict.end(found, count, 50, "functions with an ordered access")


if __name__ == "__main__":
    main()
