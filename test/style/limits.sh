#!/bin/bash
# limits.sh TREE: files and functions stay as short as CONTRIBUTING.md asks, say what they are for, go through the one door to
# shared words, and hide no unfinished work.
set -euo pipefail
cd -- "$1"
mapfile -d '' files < <(find src include tools fuzz test bench \( -name '*.[ch]' -o -name '*.def' \) -print0 | sort -z)
[ ${#files[@]} -gt 20 ] || { echo "found only ${#files[@]} sources: looked in the wrong place?" && exit 1; }
awk '
    function complain(text) { print FILENAME ":" FNR ": " text; bad = 1 }
    FILENAME == ARGV[1] && FNR == 1 { for (i = 1; i < ARGC; i++) exists[ARGV[i]] = 1 }
    FNR == 1 {
        start = 0
        header = FILENAME
        sub(/\.c$/, ".h", header)
        # what a file of src/ owns may stand in its header alone
        if ($0 !~ /^\/\*/ && (header == FILENAME || !(header in exists))) complain("does not begin with a comment that says what it owns")
    }
    { line = $0; if (gsub(/[^\200-\277]/, "", line) > 100) complain("more than 100 columns") }
    FNR == 701 { complain("more than 700 lines") }
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
    /(^|[^A-Za-z_])(TO[D]O|FIX[M]E|XX[X]|HA[C]K)([^A-Za-z_]|$)/ { complain("unfinished work: " $0) }
    END { exit bad }
' "${files[@]}"
echo "${#files[@]} sources keep the limits"
