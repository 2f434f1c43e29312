#!/bin/sh
# sanitizer: in a process with a sanitizer's allocator moat refuses with one clear line before anything is freed.
# usage: sanitizer.sh LIBMOAT.SO
set -u
library=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/program.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
int main(void) { free(malloc(10)); puts("main ran"); return 0; }
END
tried=0
# $1: name in the message; the rest: how to build a program with that sanitizer's runtime inside it
try() {
    name=$1; shift
    if ! "$@" -o "$work/program" "$work/program.c" > "$work/build" 2>&1; then
        echo "not here: $*"
        return
    fi
    if ! "$work/program" > "$work/out" 2>&1; then
        echo "does not run here even without moat: $*"
        return
    fi
    tried=$((tried + 1))
    LD_PRELOAD=$library "$work/program" > "$work/out" 2>&1
    status=$?
    # AddressSanitizer may look at the order of the libraries before anything allocates, and refuse by itself.
    if [ $status -ne 0 ] && grep -q 'runtime does not come first in initial library list' "$work/out"; then return; fi
    if [ $status -ne 134 ] || ! grep -q "^moat: fatal: two-allocators: $name is in this process" "$work/out" || grep -q 'main ran' "$work/out"; then
        echo "failed: $*: status $status, output:"
        cat "$work/out"
        exit 1
    fi
}
ulimit -c 0
try AddressSanitizer gcc -fsanitize=address
try ThreadSanitizer gcc -fsanitize=thread
try LeakSanitizer gcc -fsanitize=leak
try AddressSanitizer clang -fsanitize=address
try ThreadSanitizer clang -fsanitize=thread
try MemorySanitizer clang -fsanitize=memory
if [ $tried -eq 0 ]; then echo "skipped: no compiler here has a sanitizer's runtime"; exit 77; fi
echo "$tried sanitizers refused"

# gcc can put a runtime into the program without exporting its names: then nothing shows that it is there, but its malloc serves
# the whole process and moat serves none of it.
for kind in address:asan leak:lsan; do
    gcc -fsanitize=${kind%:*} -static-lib${kind#*:} -o "$work/program" "$work/program.c" > "$work/build" 2>&1 || continue
    if ! LD_PRELOAD=$library "$work/program" > "$work/out" 2>&1 && ! grep -q '^moat: fatal: two-allocators: ' "$work/out"; then
        echo "failed: with the runtime inside ($kind) neither refused nor left alone:"
        cat "$work/out"
        exit 1
    fi
done
