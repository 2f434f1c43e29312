"""The inputs of the real programs in bench/run-programs: SQL, C and C++, a git history, PostScript,
a formula, text, files.

Each function writes one input into a file. The seed is fixed, so that the same scale gives the same
bytes on every machine and on every allocator; a smaller scale (from 0 to 1) gives less of the same
kind for --quick.
"""

import os
import random

SEED = 1971


def dice():
    return random.Random(SEED)


def count(full, scale):
    return max(1, int(full * scale))


def words(rng, number):
    return ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10)))
            for _ in range(number)]


def sql(path, scale):
    """200 000 rows in two tables, three indexes, then queries, changes and deletions over them."""
    rng = dice()
    names = words(rng, 5000)
    rows = count(200000, scale)
    customers = rows // 20
    with open(path, "w") as file:
        file.write("CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT, city TEXT);\n"
                   "CREATE TABLE purchase(id INTEGER PRIMARY KEY, customer INT, item TEXT, "
                   "price REAL, note TEXT);\nBEGIN;\n")
        for number in range(customers):
            file.write("INSERT INTO customer VALUES(%d,'%s %s','%s');\n" % (
                number, rng.choice(names), rng.choice(names), names[rng.randrange(200)]))
        for number in range(rows - customers):
            file.write("INSERT INTO purchase VALUES(%d,%d,'%s',%.2f,'%s');\n" % (
                number, rng.randrange(customers), names[rng.randrange(1000)], rng.random() * 100,
                " ".join(rng.choices(names, k=rng.randint(0, 12)))))
        file.write("COMMIT;\nCREATE INDEX by_customer ON purchase(customer);\n"
                   "CREATE INDEX by_item ON purchase(item, price);\n"
                   "CREATE INDEX by_city ON customer(city, name);\n")
        for _ in range(count(6, scale)):
            file.write("SELECT city, count(*), round(sum(price), 2) FROM customer "
                       "JOIN purchase ON customer = customer.id WHERE item BETWEEN '%s' AND 'z' "
                       "GROUP BY city ORDER BY 3 DESC LIMIT 20;\n" % rng.choice(names))
        file.write("SELECT item, group_concat(substr(note, 1, 8)) FROM purchase WHERE id % 7 = 0 "
                   "GROUP BY item LIMIT 400;\n"
                   "UPDATE purchase SET note = note || ' seen ' || item WHERE price < 20;\n"
                   "DELETE FROM purchase WHERE price > 80;\n"
                   "SELECT count(*), sum(length(note)) FROM purchase;\n")


def text_of(rng, names, most):
    return " ".join(rng.choices(names, k=rng.randint(0, most)))


def statements(path, scale):
    """For a database's server, in the words that mariadb and postgres share: tables are made anew
    and filled, rows looked up, changed and deleted by their keys."""
    rng = dice()
    names = words(rng, 3000)
    rows = count(20000, scale)
    lines = ["DROP TABLE IF EXISTS purchase;", "DROP TABLE IF EXISTS customer;",
             "CREATE TABLE customer(id INT PRIMARY KEY, name VARCHAR(80), city VARCHAR(20));",
             "CREATE TABLE purchase(id INT PRIMARY KEY, customer INT, item VARCHAR(20), price INT, "
             "note VARCHAR(400));"]
    for first in range(0, rows, 100):
        lines.append("INSERT INTO purchase VALUES %s;" % ",".join(
            "(%d,%d,'%s',%d,'%s')" % (number, rng.randrange(rows // 10), names[rng.randrange(400)],
                                      rng.randrange(10000), text_of(rng, names, 30))
            for number in range(first, first + 100)))
    for first in range(0, rows // 10, 100):
        lines.append("INSERT INTO customer VALUES %s;" % ",".join(
            "(%d,'%s','%s')" % (number, text_of(rng, names, 5), names[rng.randrange(100)])
            for number in range(first, first + 100)))
    lines += ["CREATE INDEX by_customer ON purchase(customer);",
              "CREATE INDEX by_item ON purchase(item, price);"]
    for _ in range(count(8000, scale)):
        number = rng.randrange(rows)
        lines.append(rng.choice([
            "SELECT name, item, note FROM customer c JOIN purchase p ON p.customer = c.id "
            "WHERE p.id = %d;" % number,
            "SELECT count(*), sum(price) FROM purchase WHERE customer = %d;" % (number // 10),
            "UPDATE purchase SET note = concat('seen ', substr(note, 1, 300)) WHERE id = %d;"
            % number,
            "DELETE FROM purchase WHERE id = %d;" % number,
            "INSERT INTO customer VALUES(%d,'%s','new');" % (rows + len(lines),
                                                             text_of(rng, names, 5))]))
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def questions(path, scale):
    """Sorts, joins and groups over the tables of statements()."""
    rng = dice()
    lines = []
    for _ in range(count(2, scale)):
        least = rng.randrange(2000)
        lines += [
            "SELECT city, count(*), sum(price) FROM customer c "
            "JOIN purchase p ON p.customer = c.id WHERE price > %d "
            "GROUP BY city ORDER BY city;" % least,
            "SELECT item, count(DISTINCT customer), max(note) FROM purchase GROUP BY item "
            "HAVING count(*) > 3 ORDER BY item;",
            "SELECT upper(note), replace(note, 'a', 'bb') FROM purchase WHERE price > %d "
            "ORDER BY reverse(note), id LIMIT 500;" % least,
            "SELECT count(*) FROM purchase a JOIN purchase b ON a.customer = b.customer "
            "WHERE a.price < b.price;"]
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def c_function(rng, number, fields):
    """A function with a loop, a switch, an array of its own and calls of earlier functions."""
    lines = ["static int work_%d(struct record_%d *records, int count, int seed) {" % (
                 number, number),
             "    int table[%d] = {0}, sum = seed;" % rng.choice([8, 16, 32]),
             "    for (int i = 0; i < count; i++) {",
             "        struct record_%d *r = &records[i];" % number,
             "        switch ((r->f0 ^ (unsigned)sum) %% %du) {" % (len(fields) + 2)]
    for case in range(len(fields)):
        one, two = rng.choice(fields), rng.choice(fields)
        lines += ["        case %d:" % case,
                  "            r->%s += (%s)(r->%s * %d + sum / %d);" % (
                      one[1], one[0], two[1], rng.randint(3, 99), rng.randint(2, 9)),
                  "            if (r->%s > %d) sum ^= (int)r->%s << %d;" % (
                      two[1], rng.randint(1, 90), one[1], rng.randint(0, 5)),
                  "            table[i & 7] += sum;", "            break;"]
    lines += ["        default:",
              "            for (int j = 0; j < 8; j++) sum += table[j] * %d - (int)r->f0;"
              % rng.randint(2, 50)]
    if number:
        other = rng.randrange(number)
        lines.append("            sum += work_%d(pool_%d, (sum & 3) + 1, i);" % (other, other))
    return lines + ["        }", "    }", "    return sum + table[%d];" % rng.randrange(8), "}", ""]


def c_source(path, scale):
    """Some thousand lines of C: structures, loops, switches, calls that the compiler may inline."""
    rng = dice()
    kinds = ["unsigned", "int", "short", "long", "double", "unsigned char"]
    functions = count(90, scale)
    lines = []
    for number in range(functions):
        fields = [("unsigned", "f0")]
        fields += [(rng.choice(kinds), "f%d" % field) for field in range(1, rng.randint(4, 9))]
        lines.append("struct record_%d {" % number)
        lines += ["    %s %s;" % field for field in fields]
        lines += ["};", "static struct record_%d pool_%d[%d];" % (
            number, number, rng.randint(4, 64)), ""]
        lines += c_function(rng, number, fields)
    lines += ["int all(int seed) {", "    int sum = seed;"]
    lines += ["    sum += work_%d(pool_%d, 4, sum);" % (number, number)
              for number in range(functions)]
    lines += ["    return sum;", "}"]
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def cxx_source(path, scale):
    """C++ that has the compiler make many instances of the standard library's templates."""
    rng = dice()
    lines = ["#include <algorithm>", "#include <functional>", "#include <map>", "#include <memory>",
             "#include <string>", "#include <vector>",
             "template <class T> T fold(const std::vector<T> &all, "
             "const std::function<T(T, T)> &f) {",
             "    T sum{};", "    for (const T &one : all) sum = f(sum, one);", "    return sum;",
             "}"]
    for number in range(count(5, scale)):
        order = rng.choice(["<", ">"])
        lines += ["struct Item%d {" % number, "    std::string name;",
                  "    double value = %d;" % rng.randint(1, 99),
                  "    std::shared_ptr<Item%d> next;" % number,
                  "    bool operator<(const Item%d &o) const { return value %s o.value; }" % (
                      number, order),
                  "    Item%d operator+(const Item%d &o) const { "
                  "return {name + o.name, value + o.value, o.next}; }" % (number, number), "};",
                  "double use_%d(std::map<std::string, std::vector<Item%d>> &all) {" % (
                      number, number),
                  "    double sum = 0;", "    for (auto &[key, items] : all) {",
                  "        std::stable_sort(items.begin(), items.end());",
                  "        items.push_back(fold<Item%d>(items, "
                  "[](auto a, auto b) { return a + b; }));" % number,
                  "        std::map<Item%d, std::size_t> where;" % number,
                  "        for (auto &item : items) where[item] = item.name.find(key);",
                  "        for (auto &[item, at] : where) sum += item.value * double(at %% %d);"
                  % rng.randint(3, 30),
                  "    }", "    return sum;", "}"]
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def history(path, scale):
    """For git fast-import: a history of commits that each change a few lines of a few of some
    hundred files."""
    rng = dice()
    names = words(rng, 3000)
    files = [[" ".join(rng.choices(names, k=9)) for _ in range(rng.randint(20, 200))]
             for _ in range(count(250, scale))]
    with open(path, "w") as file:
        for number in range(count(1000, scale)):
            message = "change %d" % number
            file.write("commit refs/heads/main\ncommitter A <a@example.org> %d +0000\n"
                       "data %d\n%s\n" % (1500000000 + number * 600, len(message), message))
            changed = range(len(files))
            if number > 0:
                changed = rng.sample(changed, min(6, len(files)))
            for index in changed:
                lines = files[index]
                for _ in range(rng.randint(1, 6)):
                    lines[rng.randrange(len(lines))] = " ".join(rng.choices(names, k=9))
                text = "\n".join(lines) + "\n"
                file.write("M 644 inline folder%d/file%d.txt\ndata %d\n%s\n" % (
                    index % 9, index, len(text), text))


def postscript(path, scale):
    """Pages of curves, text in several faces, clipped gradients, and dictionaries that come and
    go."""
    rng = dice()
    names = words(rng, 500)
    lines = ["%!PS", "/faces [/Times-Roman /Helvetica-Bold /Courier /Times-Italic] def",
             "/petal { gsave setrgbcolor translate rotate dup scale newpath 0 0 moveto "
             "10 20 30 20 40 0 curveto",
             "  30 -20 10 -20 0 0 curveto closepath fill grestore } bind def",
             "/note { moveto findfont exch scalefont setfont show } bind def",
             "/churn { /d 200 dict def 0 1 199 { d exch dup 20 string cvs cvn exch "
             "[ exch dup dup 9 string ] put } for",
             "  } bind def"]
    for _ in range(count(32, scale)):
        for _ in range(1500):
            lines.append("%.2f %d %d %d %.2f %.2f %.2f petal" % (
                rng.uniform(0.3, 2.5), rng.randrange(360), rng.randrange(600), rng.randrange(780),
                rng.random(), rng.random(), rng.random()))
        for _ in range(120):
            lines.append("0 setgray (%s) %d faces %d get %d %d note" % (
                " ".join(rng.choices(names, k=5)), rng.randint(6, 26), rng.randrange(4),
                rng.randrange(500), rng.randrange(780)))
        for _ in range(10):
            lines.append("gsave %d %d %d 0 360 arc clip << /ShadingType 2 /ColorSpace /DeviceRGB "
                         "/Coords [0 0 600 %d] /Function << /FunctionType 2 /Domain [0 1] "
                         "/C0 [%.2f 0 0] /C1 [0 1 %.2f] /N 1 >> >> shfill grestore newpath" % (
                             rng.randrange(600), rng.randrange(780), rng.randint(20, 120),
                             rng.randint(100, 780), rng.random(), rng.random()))
        lines += ["20 { churn } repeat", "showpage"]
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def pigeonholes(path, scale):
    """One pigeon more than holes: no two in one hole is impossible, and long to prove."""
    holes = 8 + round(scale)
    lines = ["(set-logic QF_UF)"]
    name = "p%d_%d"
    for pigeon in range(holes + 1):
        lines += ["(declare-const %s Bool)" % (name % (pigeon, hole)) for hole in range(holes)]
        lines.append("(assert (or %s))" % " ".join(name % (pigeon, hole) for hole in range(holes)))
    for hole in range(holes):
        for one in range(holes + 1):
            lines += ["(assert (not (and %s %s)))" % (name % (one, hole), name % (other, hole))
                      for other in range(one)]
    with open(path, "w") as file:
        file.write("\n".join(lines + ["(check-sat)"]) + "\n")


def text(path, scale):
    """60 MiB of words, partly repeated, as logs are."""
    rng = dice()
    names = [word.encode() for word in words(rng, 20000)]
    fresh = [b" ".join(rng.choices(names, k=12)) + b"\n" for _ in range(5000)]
    left = count(60 << 20, scale)
    with open(path, "wb") as file:
        while left > 0:
            block = b"".join(rng.choices(fresh, k=100) + [rng.randbytes(600).hex().encode()])
            file.write(block[:left])
            left -= len(block)


def pages(directory, _scale):
    """32 files of 1 to 32 KiB for the web server."""
    rng = dice()
    names = words(rng, 2000)
    os.makedirs(directory, exist_ok=True)
    for number in range(32):
        size = 1024 * (number + 1)
        with open(os.path.join(directory, "%d.txt" % number), "w") as file:
            file.write(" ".join(rng.choices(names, k=size // 4))[:size])
