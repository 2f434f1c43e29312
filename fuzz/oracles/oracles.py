#!/usr/bin/env python3
"""oracles.py TREE [--list]: each oracle has a control, a planted bug that must be found by its words.

An oracle is a message of fuzz/engine/ or src/harness/ with which a run fails; among the parts that are
compared with plain models (units, modules, texts) it is a function with such messages. Its controls
are rows of fuzz/drivers/controls*_main.c, whose words stand in the message, and the faults of
test/unit/test_engine.c. fuzz/oracles/without.txt has those that have none, with the reason. --list:
prints them all. Exit status: 1 when one has neither, or a line of that file is of no use.
"""

import glob
import os
import re
import sys

TEXT = r'"(?:[^"\\]|\\.)*"'
CALL = re.compile(r"\b(run_fail|judge_fail|harness_complain|fail|expect|expect_same|attempt_missed)\(")
MESSAGE = {"run_fail": 0, "judge_fail": 0, "harness_complain": 0, "fail": 0, "expect": -1,
           "expect_same": 0, "attempt_missed": 0}
BY_FUNCTION = ("units.c", "modules.c", "texts.c", "frames.c", "given.c", "writer.c")
# what comes by "%s", from functions that return what is wrong
INDIRECT = [("fuzz/engine/shadow.c", r"return (" + TEXT + r")"),
            ("fuzz/engine/subject_moat.c", r"(?:return|:|wrong =) (" + TEXT + r");"),
            ("fuzz/engine/attempt.c", r"what = (" + TEXT + r")")]
FUNCTION = re.compile(r"^(?!static const|enum|struct \w+ \{)[a-zA-Z_].*?\b(\w+)\([^;]*$")


def joined(text):
    return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text)).replace('\\"', '"')


def arguments(text, at):
    """The text of a call's arguments, from behind its bracket."""
    depth, end = 1, at
    in_text = False
    while depth > 0:
        if text[end] == '"' and text[end - 1] != "\\":
            in_text = not in_text
        depth += 0 if in_text else (text[end] == "(") - (text[end] == ")")
        end += 1
    return text[at:end - 1]


def oracles_of(path):
    """(function, message) of each call that fails a run."""
    with open(path) as file:
        text = file.read()
    function, starts = "", []
    offset = 0
    for line in text.split("\n"):
        match = FUNCTION.match(line)
        if match and not line.startswith((" ", "}", "#", "/", "*")):
            starts.append((offset, match.group(1)))
        offset += len(line) + 1
    for call in CALL.finditer(text):
        if text.rfind("\n", 0, call.start()) == call.start() - 1:
            continue
        words = re.findall(r"(?:%s\s*)+" % TEXT, arguments(text, call.end()))
        message = joined(words[MESSAGE[call.group(1)]]) if words else ""
        function = [name for start, name in starts if start < call.start()]
        if message and message != "%s":
            yield function[-1] if function else "", message


def indirect(tree):
    for path, pattern in INDIRECT:
        with open(os.path.join(tree, path)) as file:
            for found in re.finditer(pattern, file.read()):
                message = joined(found.group(1))
                if " " in message and "=" not in message:
                    yield os.path.basename(path), message


def pieces(message):
    return [piece.strip() for piece in re.split(r"%(?:[-#.*\d]|l|z|h)*[sdiuxXc]", message)]


def is_found_by(message, words):
    """Whether a control's words are of the message, numbers and names aside."""
    parts = [words] * (len(words) >= 8) + [part.strip() for part in re.split(r"\d+", words) if len(part) > 12]
    return any(len(piece) >= 6 and (piece in words or any(part in piece for part in parts))
               for piece in pieces(message))


def controls(tree):
    found = []
    for path in glob.glob(os.path.join(tree, "fuzz/drivers/controls*_main.c")):
        with open(path) as file:
            table = file.read().split("controls[] = {")[1]
        found += [joined(row) for row in re.findall(r'\{"[^"]*", \w+,\s*(%s)' % TEXT, table)]
    with open(os.path.join(tree, "test/unit/test_engine.c")) as file:
        found += [joined(words) for words in re.findall(r"\[FAULT_\w+\] = (%s)" % TEXT, file.read())]
    return found


def exceptions(tree):
    with open(os.path.join(tree, "fuzz/oracles/without.txt")) as file:
        lines = [line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")]
    return dict(line.split(" | ", 1) for line in lines)


def all_oracles(tree):
    oracles = {}
    for path in sorted(glob.glob(os.path.join(tree, "fuzz/engine/*.c")) +
                       glob.glob(os.path.join(tree, "src/harness/*.c"))):
        name = os.path.basename(path)
        for function, message in oracles_of(path):
            key = "%s: %s" % (name, function if name in BY_FUNCTION else message)
            oracles.setdefault(key, []).append(message)
    for name, message in indirect(tree):
        oracles.setdefault("%s: %s" % (name, message), []).append(message)
    return oracles


def main():
    tree = sys.argv[1]
    found, without, oracles, status = controls(tree), exceptions(tree), all_oracles(tree), 0
    for key in sorted(oracles):
        words = next((words for words in found
                      if any(is_found_by(message, words) for message in oracles[key])), None)
        if "--list" in sys.argv:
            print("%s: %s" % (key, words or "(%s)" % without.get(key, "NOTHING")))
        if words is None and key not in without:
            print("no control finds: %s" % key, file=sys.stderr)
            status = 1
        if words is not None and key in without:
            print("without.txt: a control finds: %s" % key, file=sys.stderr)
            status = 1
    for key in sorted(without.keys() - oracles.keys()):
        print("without.txt: there is no such oracle: %s" % key, file=sys.stderr)
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
