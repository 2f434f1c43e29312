#!/bin/bash
# The checks of lib.sh can fail: each fault below, planted in a run, is found and named.
source "$(dirname "$0")/lib.sh"

# expect_failure TEXT COMMAND…: `twice COMMAND…` must fail, with TEXT in what it says.
expect_failure() {
    local text=$1 status=0
    shift
    rm -rf plain* moat*
    (twice "$@") >verdict 2>&1 || status=$?
    [ "$status" = 1 ] || fail "not found: $text (status $status)"
    grep -qF -- "$text" verdict || fail "found, but not as '$text': $(cat verdict)"
    echo "found: $text"
}

in_moat='[ -n "${LD_PRELOAD:-}" ]'

# The control: with nothing planted, the same kind of command passes.
twice bash -c 'echo out; echo err >&2; /bin/true; :'
printed out
under_moat bash true

expect_failure "stdout differs" bash -c "if $in_moat; then echo a; else echo b; fi"
expect_failure "stderr differs" bash -c "if $in_moat; then echo a >&2; fi"
expect_failure "exit status 3 with the preload" bash -c "if $in_moat; then exit 3; fi"
expect_failure "exit status 134 with the preload" bash -c "if $in_moat; then kill -ABRT \$\$; fi"
expect_failure "the test itself is broken here" bash -c "exit 5"
expect_failure "the library wrote a report" bash -c "if $in_moat; then echo 'moat: fatal: example' >&2; fi"
expect_failure "the library wrote a report" bash -c "if $in_moat; then echo 'moat: fatal: example'; fi"
expect_failure "not in /proc/PID/maps of: true" bash -c "unset LD_PRELOAD; /bin/true; :"
expect_failure "not in /proc/PID/maps of: true" env -u LD_PRELOAD /bin/true
expect_failure "mapped in the run that should be without it: true" env LD_PRELOAD="$MOAT_LIBRARY" /bin/true
expect_failure "signals differs" bash -c "exec 2>/dev/null; (if $in_moat; then kill -SEGV \$BASHPID; fi); exit 0"

# What hangs, or leaves a process behind, is ended with all it started.
for hanging in 'echo $$ >../hanging; exec sleep 100' 'setsid sleep 100 & echo $! >../hanging'; do
    limit=2 expect_failure "exit status 124 with the preload" bash -c "if $in_moat; then $hanging; fi"
    for _ in $(seq 100); do # a kill takes its time
        grep -q '^State:.*[RSDT] ' "/proc/$(cat hanging)/status" 2>/dev/null || continue 2
        sleep 0.05
    done
    fail "still there: $hanging"
done

# A library that is mapped and leaves allocation to the system is found by the heap behind the program break.
# (awk reads to the end: with pipefail, a writer that meets a closed pipe is a failure)
idle=$(ldconfig -p | awk '($1 == "libz.so.1" || $1 == "libm.so.6") && !seen++ { print $NF }')
[ -n "$idle" ] || fail "no library to stand in for an idle one"
real=$MOAT_LIBRARY
MOAT_LIBRARY=$(realpath "$idle")
expect_failure "the system allocator's heap is in use" bash -c 'echo same'
MOAT_LIBRARY=$real

rm -rf plain* moat*
mkdir plain moat
echo 1 >plain/file
echo 2 >moat/file
if (same_file file) 2>/dev/null; then fail "same_file passed different files"; fi
: >plain/file
: >moat/file
if (same_file file) 2>/dev/null; then fail "same_file passed empty files"; fi

status=0
(MOAT_TEST_REQUIRE_ALL=0 need no-such-program no-such-package) >verdict 2>&1 || status=$?
[ "$status" = 77 ] && grep -q '^SKIP: .*no-such-program' verdict || fail "a missing program is not a skip with its reason"
status=0
(MOAT_TEST_REQUIRE_ALL=1 need no-such-program no-such-package) >verdict 2>&1 || status=$?
[ "$status" = 1 ] || fail "MOAT_TEST_REQUIRE_ALL=1 let a skip pass"
echo "PASS: harness: every planted fault was found"
