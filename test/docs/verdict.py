"""How a check of documents ends: what it found, or how much it has looked at."""

import sys


def end(found, looked, least, what):
    """Prints the complaints, or that `looked` of `what` are right, and exits: 1 if there are any, or if it looked at fewer than
    `least`, since then it looked in the wrong place."""
    if looked < least:
        found = found + ["only %d %s: looked in the wrong place?" % (looked, what)]
    print("\n".join(found) or "%d %s are right" % (looked, what))
    sys.exit(bool(found))
