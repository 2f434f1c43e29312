#!/bin/bash
# gdb and its gcore on a running program with threads, without and with the library: the core file
# is small and gdb can read it, the heap in it or not as the options say; the program goes on as if
# nothing had been. gdb also calls malloc in it. (A process has one tracer only: this runs without
# watch, and looks at /proc/PID/maps itself.)
source "$(dirname "$0")/lib.sh"
need gdb gdb
need gcore gdb
need gcc gcc
largest=$((64 << 20))
cat >small.c <<'C'
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int answer = 42;
char *text;
static pthread_barrier_t all;

static void *sleeper(void *unused) {
    char *block = malloc(100000);
    memset(block, 7, 100000);
    pthread_barrier_wait(&all);
    pthread_barrier_wait(&all);
    free(block);
    return unused;
}

int main(void) {
    pthread_t threads[3];
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); /* where only parents may trace */
    text = strdup("from the program");
    pthread_barrier_init(&all, NULL, 4);
    for (int i = 0; i < 3; i++) {
        if (pthread_create(&threads[i], NULL, sleeper, NULL) != 0) return 1;
    }
    pthread_barrier_wait(&all);
    puts("ready");
    fflush(stdout);
    if (getchar() != 'x') return 2;
    pthread_barrier_wait(&all);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    puts(text);
    free(text);
    return 0;
}
C
gcc -g -O1 -pthread small.c -o small

program=""
clean_up() { [ -z "$program" ] || kill -KILL "$program" 2>/dev/null || :; }

# start RUN: runs it until it is ready; its input is open at descriptor 9.
start() {
    rm -f in out
    mkfifo in
    case $1 in
    plain) env ./small <in >out 2>err & ;;
    moat) LD_PRELOAD=$MOAT_LIBRARY ./small <in >out 2>err & ;;
    moat-with-heap) MOAT_OPTIONS=dump=heap LD_PRELOAD=$MOAT_LIBRARY ./small <in >out 2>err & ;;
    esac
    program=$!
    exec 9>in
    for _ in $(seq 600); do
        if grep -q ready out; then return; fi
        kill -0 "$program" 2>/dev/null || fail "the program died: $(cat err)"
        sleep 0.05
    done
    fail "the program does not get ready"
}

finish() {
    local status=0
    echo x >&9
    exec 9>&-
    timeout 30 tail --pid="$program" -f /dev/null || fail "the program hangs"
    wait "$program" || status=$?
    program=""
    [ "$status" = 0 ] || fail "the program ended with status $status: $(cat err)"
    [ ! -s err ] || fail "the program wrote: $(cat err)"
}

gdb_failed() {
    show ./*.out
    fail "$*"
}

debugger() { timeout 60 gdb -nx -batch "$@" </dev/null >gdb.out 2>&1 || gdb_failed "gdb $*"; }

said() { grep -qE "$1" gdb.out || gdb_failed "gdb does not say: $1"; }

for run in plain moat moat-with-heap; do
    start "$run"
    if [ $run != plain ]; then
        grep -qF "$MOAT_LIBRARY" "/proc/$program/maps" || fail "the library is not mapped"
    fi
    begin=$SECONDS
    # more than is allowed is not written either
    (ulimit -f $((largest >> 9)) && exec timeout 60 gcore -o core "$program") \
        >gcore.out 2>&1 </dev/null || gdb_failed "gcore fails, or writes more than is allowed"
    took=$((SECONDS - begin))
    # nobody can read the page of the old vsyscalls
    if grep 'Memory read failed' gcore.out | grep -v 'at 0xffffffffff600000'; then
        gdb_failed "gcore does not get at all that it wants to write"
    fi
    size=$(stat -c %s "core.$program")
    echo "$run: core file of $((size >> 10)) KiB in $took s"
    [ "$size" -le $largest ] || fail "the core file has $size bytes"
    [ $took -le 15 ] || fail "gcore took $took s"
    debugger ./small "core.$program" -ex 'thread apply all backtrace' -ex 'print answer' \
        -ex 'print text'
    # the heap, which may hold secrets, is in the file only where an option says so
    case $run in
    moat) if grep -q '"from the program"' gdb.out; then gdb_failed "the heap is in the file"; fi ;;
    *) said '"from the program"' ;;
    esac
    said 'main \(\) at small.c'
    said '= 42$'
    [ "$(grep -cE '^#[0-9]+ .*sleeper \(unused=' gdb.out)" = 3 ] || gdb_failed "not three threads"
    # the program itself, with a string for which gdb asks the program's malloc
    debugger -p "$program" -ex 'print text' -ex 'set var text = "from the debugger"' \
        -ex 'print text'
    said '"from the program"'
    said '"from the debugger"'
    finish
    [ "$(tail -n 1 out)" = "from the debugger" ] || fail "the program printed: $(cat out)"
    rm -f "core."*
done
echo "PASS: gcore"
