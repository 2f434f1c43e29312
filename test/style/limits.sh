#!/bin/bash
# limits.sh TREE: files and functions stay as short as CONTRIBUTING.md asks, say what they are for, go through the one door to
# shared words, and hide no unfinished work.
set -euo pipefail
export LC_ALL=C # gawk knows no ranges of bytes in other locales
cd -- "$1"
mapfile -d '' files < <(find src include tools fuzz test bench \( -name '*.[chS]' -o -name '*.def' \) -print0 | sort -z)
[ ${#files[@]} -gt 20 ] || { echo "found only ${#files[@]} sources: looked in the wrong place?" && exit 1; }
LC_ALL=C awk '
    function complain(text) { print FILENAME ":" FNR ": " text; bad = 1 }
    FNR == 1 {
        start = 0
        if ($0 !~ /^\/\*/ || $0 ~ /\* \*/) complain("does not begin with a comment that says what it owns")
    }
    { line = $0; if (gsub(/[^\200-\277]/, "", line) > 100) complain("more than 100 columns") }
    # a comment stays what its author made it: its lines are indented, and no code stands behind it
    FNR == 1 { comment = 0 }
    FILENAME ~ /\.[ch]$/ {
        if (comment && $0 ~ /^[^ \t*]/) complain("a comment goes on in the first column")
        if ($0 !~ /"[^"]*\/\*/ && $0 ~ /\*\/ *(static|extern|const|struct|enum|union|bool|void|char|int|unsigned|size_t|u?int[0-9a-z]*_t) /)
            complain("code behind a comment on its line")
        rest = $0
        gsub(/"([^"\\]|\\.)*"/, "", rest)
        while (match(rest, comment ? "\\*/" : "/\\*")) {
            rest = substr(rest, RSTART + 2)
            comment = !comment
        }
    }
    FNR == 701 { complain("more than 700 lines") }
    /^.*\(layer [0-9]/ || /DESIGN\.md section/ { complain("points at what is not in the tree") }
    # as the tree is formatted, a function begins on a line that is not indented and ends at the next brace in the first column
    /^[a-zA-Z_].*\) \{$/ { start = FNR; name = $0 }
    /^}/ && start {
        if (FNR - start + 1 > 80) complain(FNR - start + 1 " lines, at most 80: " name)
        start = 0
    }
    # what is known of processors and how shared words are touched each stand in one file
    FILENAME ~ /^src\// && FILENAME !~ /^src\/harness\// {
        if ($0 ~ /__(atomic|sync)_/ && FILENAME !~ /base\/(atomic|cpu)\.h$/) complain("touches a shared word without base/atomic.h")
        if ($0 ~ /__(x86_64|i386|aarch64|riscv)/ && FILENAME !~ /(base\/cpu|report\/registers)\.h$/)
            complain("knows of a processor outside base/cpu.h")
        if ($0 ~ /^#[ \t]*(if|else|elif)/ && start) complain("a condition of the preprocessor inside a function")
    }
    # an access with an order names the access it pairs with, on its line, just above or just below
    FNR == 1 { ordered = ""; paired = -9 }
    FILENAME ~ /^src\// && FILENAME !~ /(^src\/harness\/|base\/atomic\.h$)/ {
        if ($0 ~ /pairs? /) {
            paired = FNR
            ordered = ""
        }
        if (ordered != "" && FNR > at) {
            print FILENAME ":" at ": names no access it pairs with: " ordered
            bad = 1
            ordered = ""
        }
        if ($0 ~ /atomic_[a-z_]+_(acquire|release|acq_rel|seq_cst)\(/ && FNR - paired > 4) {
            ordered = $0
            at = FNR
        }
    }
    /(^|[^A-Za-z_])(TO[D]O|FIX[M]E|XX[X]|HA[C]K)([^A-Za-z_]|$)/ { complain("unfinished work: " $0) }
    END { exit bad }
' "${files[@]}"
echo "${#files[@]} sources keep the limits"
