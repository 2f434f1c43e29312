"""A mix of what Python programs do with memory: dictionaries, lists, strings, JSON, objects that
come and go.

python3 mix.py N: N rounds; prints a checksum that depends on nothing but N. One of the programs of
bench/run-programs.
"""

import json
import random
import sys
import zlib


class Account:
    def __init__(self, number, name):
        self.number, self.name, self.entries = number, name, []

    def book(self, amount, text):
        self.entries.append((amount, text))
        if len(self.entries) > 40:
            self.entries = self.entries[20:]

    def balance(self):
        return sum(amount for amount, _ in self.entries)


def word(rng):
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 11)))


def documents(rng, words):
    """Nested documents to text and back."""
    made = [{"id": number, "name": rng.choice(words), "tags": rng.sample(words, 6),
             "size": rng.random(),
             "parts": [{"key": rng.choice(words), "value": rng.randint(0, 1 << 40)}
                       for _ in range(5)]}
            for number in range(600)]
    text = json.dumps(made)
    read = json.loads(text)
    return zlib.crc32(text.encode()) ^ len(read)


def index(rng, words):
    """An index from words to the lines they stand in, and its greatest entries."""
    lines = [" ".join(rng.choices(words, k=12)) for _ in range(1200)]
    places = {}
    for number, line in enumerate(lines):
        for item in line.split():
            places.setdefault(item, []).append(number)
    ranked = sorted(places.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    lines = ["%s %d" % (item, len(found)) for item, found in ranked[:500]]
    return zlib.crc32("\n".join(lines).encode())


def accounts(rng, words, kept):
    """Objects of which some stay from round to round."""
    for _ in range(4000):
        number = rng.randrange(3000)
        if number not in kept:
            kept[number] = Account(number, rng.choice(words).title())
        kept[number].book(rng.randint(-500, 500), rng.choice(words) + " " + rng.choice(words))
        if rng.random() < 0.05:
            kept.pop(rng.randrange(3000), None)
    return sum(account.balance() * account.number for account in kept.values()) & 0xFFFFFFFF


def main():
    rng = random.Random(20)
    words = [word(rng) for _ in range(4000)]
    kept, total = {}, 0
    for _ in range(int(sys.argv[1])):
        for part in (documents(rng, words), index(rng, words), accounts(rng, words, kept)):
            total = zlib.crc32(b"%d %d" % (total, part))
    print(total)


main()
