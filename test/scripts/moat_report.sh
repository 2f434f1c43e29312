#!/bin/bash
# moat_report.sh MOAT-REPORT LIBRARY CC: what moat-report makes of a log.
# shellcheck source-path=SCRIPTDIR source=expect.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/expect.sh"
report=$1 library=$(realpath "$2") cc=$3
unset DEBUGINFOD_URLS MOAT_OPTIONS
command -v python3 >/dev/null || { echo "no python3" && exit 77; }

out_has() { grep -qE -- "$1" "$work/out" || fail "standard output does not have '$1'"; }
out_lacks() { ! grep -qE -- "$1" "$work/out" || fail "standard output has '$1'"; }

# a program with an inlined call, and its report
mkdir "$work/src"
cat >"$work/src/program.c" <<'END'
#include <stdlib.h>
__attribute__((noinline)) void parse_twice(char *p) {
    free(p);
    free(p);
    __asm__ volatile("");
}
static inline __attribute__((always_inline)) void middle(char *p) {
    parse_twice(p);
    __asm__ volatile("");
}
__attribute__((noinline)) void outer(char *p) {
    middle(p);
    __asm__ volatile("");
}
int main(void) {
    outer(malloc(40));
    return 0;
}
END
"$cc" -O1 -g "$work/src/program.c" -o "$work/program"
# shellcheck disable=SC2016  # for the inner shell
expect 134 sh -c 'LD_PRELOAD=$0 "$1"; exit $?' "$library" "$work/program"
cp "$work/err" "$work/log"
grep -q '^moat: fatal: double-free: ' "$work/log" || fail "the program was not reported"

symbolizers=0
for symbolizer in addr2line llvm-symbolizer; do
    command -v $symbolizer >/dev/null || { echo "no $symbolizer: not tried with it" && continue; }
    symbolizers=$((symbolizers + 1))
    expect 0 "$report" --symbolizer=$symbolizer "$work/log"
    err_is_empty
    out_has '^Report 1 of 1, line [0-9]+: double-free: second free of a block at 0x[0-9a-f]+$'
    out_has '^  #[0-9]+ +parse_twice at .*/src/program\.c:4 in program$'
    out_has '^  #[0-9]+ +middle at .*/src/program\.c:8 \(inlined\)$'
    out_has '^      outer at .*/src/program\.c:12 in program$'
    out_has '^  #[0-9]+ +main at .*/src/program\.c:16 in program$'
done
[ $symbolizers -gt 0 ] || { echo "neither addr2line nor llvm-symbolizer" && exit 77; }

# the stacks that are kept of a sample, from the text and from JSON
cat >"$work/sampled" <<'END'
moat: fatal: guard-hit: access to a freed block at 0x10001005
moat: block 0x10001000 of 40 bytes, state: freed, a guarded sample
moat: the write is 5 bytes into the block
moat: page 0x10001000 (sample, 4 KiB)
moat: thread 12 of process 12
moat: stack, innermost call first:
moat:   #0 /none/program(write_it+0x5)+0x105
moat: stack of its allocation, by thread 13:
moat:   #0 /none/program(make_it+0x5)+0x205
moat: stack of its free, by thread 14:
moat:   #0 /none/program(drop_it+0x5)+0x305
END
cat >"$work/sampled.json" <<'END'
{"version":1,"kind":"guard-hit","what":"access to a freed block","address":"0x10001005","ends":true,"process":12,"thread":12,"stack":[{"offset":"0x105","module":"/none/program","function":"write_it","into":5}],"omitted":0,"allocation":{"thread":13,"stack":[{"offset":"0x205","module":"/none/program","function":"make_it","into":5}],"omitted":0},"free":{"thread":14,"stack":[{"offset":"0x305","module":"/none/program","function":"drop_it","into":5}],"omitted":0}}
END
for log in sampled sampled.json; do
    expect 0 "$report" "$work/$log"
    out_has '^  Calls of its allocation, by thread 13:$'
    out_has '^  #0 +make_it\+0x5 in program at 0x205$'
    out_has '^  Calls of its free, by thread 14:$'
    out_has '^  #0 +drop_it\+0x5 in program at 0x305$'
    [ "$(grep -c '^  #0 ' "$work/out")" = 3 ] || fail "there are not three stacks of one call"
done

# the block and its neighbours, with the address where it lies
cat >"$work/drawn" <<'END'
moat: fatal: invalid-free: free of an address inside a block at 0x10000078
moat: block 0x10000060 of 48 bytes, state: in use
moat: page 0x10000000 (small, 64 KiB) in segment 0x10000000, owner: this thread
moat: thread 12 of process 12
END
expect 0 "$report" "$work/drawn"
out_has '^  0x10000030 +0x10000060 +0x10000090$'
out_has '^  \+-{24}\+={24}\+-{24}\+$'
out_has '^  \| {24}\| in use {17}\| {24}\|$'
out_has '^ {40}\^ 0x10000078, byte 24 of 48$'
out_has '^  block 2 of its page, each of 48 bytes$'
out_has 'The log has no stack of it'
# the first block of a page has nothing before it, the last nothing behind; a huge one stands alone
sed -i 's/0x10000060/0x10000000/; s/0x10000078/0x10000018/' "$work/drawn"
expect 0 "$report" "$work/drawn"
out_has '^  0x10000000 +0x10000030$'
sed -i 's/0x10000000 of 48/0x1000ffd0 of 48/; s/0x10000018/0x1000fff0/' "$work/drawn"
expect 0 "$report" "$work/drawn"
out_has '^  0x1000ffa0 +0x1000ffd0$'
sed -i 's/0x1000ffd0 of 48/0x10000000 of 3145728/; s/(small, 64 KiB)/(huge, 3 MiB)/' "$work/drawn"
expect 0 "$report" "$work/drawn"
out_has '^  0x10000000$'
out_lacks 'of its page'


# of an overflow: the real block, the neighbours, and the byte that was written
cat >"$work/overflow.c" <<'END'
#include <stdlib.h>
static char *blocks[64];
int main(void) {
    for (int i = 0; i < 64; i++) blocks[i] = malloc(41);
    char *block = blocks[0];
    for (int i = 1; i < 64; i++)
        if (blocks[i] > block) block = blocks[i];
    ((volatile char *)block)[42] ^= 1;
    free(block);
    return 0;
}
END
"$cc" -O1 -g "$work/overflow.c" -o "$work/overflow"
# shellcheck disable=SC2016
expect 134 sh -c 'MOAT_OPTIONS=level=strict:report=file:"$2" LD_PRELOAD=$0 "$1"; exit $?' "$library" "$work/overflow" "$work/overflow.json"
cp "$work/err" "$work/overflow.log"
for log in overflow.log overflow.json; do
    expect 0 "$report" "$work/$log"
    out_has '^Report 1 of 1, line 1: overflow: bytes behind a block were written, as its free finds at 0x[0-9a-f]+$'
    out_has '^  block 0x[0-9a-f]+ of 48 bytes, state: in use$'
    out_has '^  of it 41 bytes were asked for by malloc$'
    out_has '^  the first byte written is 0x[0-9a-f]+, 1 bytes? behind its end$'
    out_has 'owner: this thread$'
    out_has '^  \| (in use|free)[a-z, ]* +\| in use +\|' # the block before it has its state
    out_has '^ +\^ 0x[0-9a-f]+, byte 42 of 48$'
    out_has 'of its page, each of 48 bytes$'
done

# what JSON alone has said of families, writes and accesses is said as in the text
cat >"$work/families.json" <<'END'
{"version":1,"kind":"family-mismatch","what":"free by another family of functions than the allocation","address":"0x10","ends":true,"process":12,"thread":12,"allocated_by":"new[]","freed_by":"delete","stack":[]}
END
expect 0 "$report" "$work/families.json"
out_has '^  allocated by new\[\], freed by delete$'
cat >"$work/written.json" <<'END'
{"version":1,"kind":"write-after-free","what":"a freed block was written to while it waited","address":"0x1060","ends":true,"process":12,"thread":12,"written":"0x1070","block":{"address":"0x1060","size":48,"state":"free, and written to since","asked_for":11,"asked_by":"malloc"},"stack":[]}
END
expect 0 "$report" "$work/written.json"
out_has '^  the first byte written is 0x1070, 16 bytes into the block$'
out_has '^ +\^ 0x1070, byte 16 of 48$'
cat >"$work/access.json" <<'END'
{"version":1,"kind":"guard-hit","what":"access beside a block","address":"0x1095","ends":true,"process":12,"thread":12,"access":"write","block":{"address":"0x1060","size":48,"state":"in use"},"stack":[]}
END
expect 0 "$report" "$work/access.json"
out_has '^  the write is 5 bytes behind its end$'

# a log of a service: words before, other lines between, several reports, ends that are no misuse
{
    sed 's/^/Nov  5 10:11:12 host server[4711]: /' "$work/log" | sed 'a\something else'
    echo "host: moat: fatal: two-allocators: AddressSanitizer is in this process and brings its own malloc"
    printf '2026-11-05T10:11:12Z \033[31mmoat: error: size-mismatch: sized free with the wrong size at 0x10\r\n'
} >"$work/service"
"$report" <"$work/service" >"$work/out" 2>"$work/err" || fail "the log of a service is not read"
err_is_empty
out_has '^Report 1 of 3, line 1: double-free: .* at 0x[0-9a-f]+$'
out_has '^  #[0-9]+ +parse_twice at .*/src/program\.c:4 in program$'
out_has '^Report 2 of 3, line [0-9]+: two-allocators: AddressSanitizer is '
out_has '^Report 3 of 3, line [0-9]+: size-mismatch: sized free with the wrong size at 0x10 \(the process went on\)$'

# of a stripped file the debugging information is found by build id: in a folder, then by a server
id=$(readelf -n "$work/program" | sed -n 's/.*Build ID: //p')
mkdir -p "$work/debug/.build-id/${id:0:2}" "$work/bin"
cp "$work/program" "$work/full"
objcopy --only-keep-debug "$work/full" "$work/debug/.build-id/${id:0:2}/${id:2}.debug"
strip "$work/program"
expect 0 "$report" "$work/log"
out_lacks 'program\.c'
expect 0 "$report" --debug-dir="$work/debug" "$work/log"
out_has '^  #[0-9]+ +parse_twice at .*/src/program\.c:4 in program$'
out_has '^      outer at .*/src/program\.c:12 in program$'
cat >"$work/bin/debuginfod-find" <<END
#!/bin/sh
[ "\$1 \$2" = "debuginfo $id" ] && echo "$work/full"
END
chmod +x "$work/bin/debuginfod-find"
expect 0 env PATH="$work/bin:$PATH" "$report" "$work/log"
out_lacks 'program\.c'
expect 0 env PATH="$work/bin:$PATH" DEBUGINFOD_URLS=http://localhost:1 "$report" "$work/log"
out_has '^  #[0-9]+ +parse_twice at .*/src/program\.c:4 in program$'

# a file that is another build is not used, nor one that is gone; under --sysroot lies the right one
echo 'int main(void) { return 1; }' >"$work/other.c"
"$cc" -g -O1 "$work/other.c" -o "$work/program"
expect 0 "$report" "$work/log"
err_has "$work/program: another build than the one that ran"
out_lacks 'other\.c'
mkdir -p "$work/root$work"
cp "$work/full" "$work/root$work/program"
expect 0 "$report" --sysroot="$work/root" "$work/log"
out_has '^  #[0-9]+ +parse_twice at .*/src/program\.c:4 in program$'
rm "$work/program"
expect 0 "$report" "$work/log"
err_has "$work/program: not on this machine"

# without a symbolizer the report's own names stay
python=$(python3 -c 'import sys; print(sys.executable)')
cat >"$work/named" <<'END'
moat: fatal: double-free: second free of a block at 0x10
moat:   #0 /usr/lib/libfoo (old).so(foo_parse+0x1c)+0x3c5c build-id 00ff00ff00ff00ff
moat:   #1 [unknown]+0x1234
moat:   #2 [vdso](__vdso_time+0x1)+0x10
moat:   #3 /usr/lib/gone.so (deleted)+0x10
END
expect 0 env PATH="$work/bin" "$python" "$report" "$work/named"
err_has 'neither llvm-symbolizer nor addr2line is installed'
for symbolizer in "" --symbolizer=addr2line; do
    command -v addr2line >/dev/null || continue
    # shellcheck disable=SC2086  # one word or none
    expect 0 "$report" $symbolizer "$work/named"
    out_has '^  #0 +foo_parse\+0x1c in libfoo \(old\)\.so at 0x3c5c$'
    out_has '^  #1 +\?\? in \[unknown\] at 0x1234$'
    out_has '^  #2 +__vdso_time\+0x1 in \[vdso\] at 0x10$'
    out_has '^  #3 +\?\? in gone\.so at 0x10$'
done

# the same from the line of JSON, which any reader of JSON understands
"$cc" -O1 -g "$work/src/program.c" -o "$work/program"
# shellcheck disable=SC2016
expect 134 sh -c 'MOAT_OPTIONS=report=file:"$2" LD_PRELOAD=$0 "$1"; exit $?' "$library" "$work/program" "$work/json"
cp "$work/err" "$work/both"
python3 - "$work/json" <<'END' || fail "the line of JSON is not as doc/reports.md says"
import json, sys
[line] = open(sys.argv[1], encoding="ascii")
report = json.loads(line)
assert report["version"] == 1 and report["kind"] == "double-free" and report["ends"] is True, report
assert report["block"]["size"] == 48 and int(report["block"]["address"], 16) % 16 == 0, report
assert report["process"] == report["thread"] and report["program"].endswith("/program"), report
assert any(frame["module"].endswith("/program") for frame in report["stack"]), report
END
expect 0 "$report" "$work/json"
err_is_empty
out_has '^Report 1 of 1, line 1: double-free: second free of a block at 0x[0-9a-f]+$'
out_has '^  #[0-9]+ +parse_twice at .*/src/program\.c:4 in program$'
out_has '^  \+-{24,}\+={24,}\+-{24,}\+$|^  \+={24,}\+-{24,}\+$'
# where a log has both, the report is one
sed 's/^/host moat[1]: /' "$work/json" >>"$work/both"
expect 0 "$report" "$work/both"
out_has '^Report 1 of 1, line 1: double-free'
# two sites may free one address: each is a report, of the text and of JSON, and of a log that has both
cat >"$work/sites.c" <<'END'
#include <stdlib.h>
__attribute__((noinline)) void one(char *p) { free(p); __asm__ volatile(""); }
__attribute__((noinline)) void other(char *p) { free(p); __asm__ volatile(""); }
int main(void) {
    char *volatile p = malloc(40);
    free(p);
    one(p);
    other(p);
    return 0;
}
END
"$cc" -O1 -g "$work/sites.c" -o "$work/sites"
# shellcheck disable=SC2016
expect 0 sh -c 'MOAT_OPTIONS=on=report:report=file:"$2" LD_PRELOAD=$0 "$1"; exit $?' "$library" "$work/sites" "$work/sites.json"
cp "$work/err" "$work/sites.log"
cat "$work/sites.log" "$work/sites.json" >"$work/sites.both"
for log in sites.log sites.json sites.both; do
    expect 0 "$report" "$work/$log"
    out_has '^Report 1 of 2, .* \(the process went on\)$'
    out_has '^Report 2 of 2, .* \(the process went on\)$'
    out_has '^  #[0-9]+ +one at '
    out_has '^  #[0-9]+ +other at '
done
# what is not of this version, or no JSON at all, is no report
sed 's/"version":1/"version":2/' "$work/json" >"$work/newer"
expect 1 "$report" "$work/newer"
for value in '{"version":1,"kind":"x"}' '{"version":1,"kind":"x","stack":7,"block":[],"address":3,"page":"p"}' \
    '{"version":1,"kind":"x","stack":[{"module":1,"offset":"0xg","function":[]},2],"block":{"address":"0x10","size":0}}'; do
    echo "$value" >"$work/odd"
    expect 0 "$report" "$work/odd"
    out_has '^Report 1 of 1, line 1: x'
done
echo '{"version":1,"kind":"x"' >"$work/odd"
expect 1 "$report" "$work/odd"

# a program that nobody made for this: Python frees one block twice, is told so once a site, and goes on
cat >"$work/twice.py" <<'END'
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
block = libc.malloc(ctypes.c_size_t(40))
for _ in range(20):
    libc.free(ctypes.c_void_p(block))
print("went on")
END
expect 0 env LD_PRELOAD="$library" MOAT_OPTIONS=on=report:report=file:"$work/python.json" "$python" "$work/twice.py"
out_is 'went on'
[ "$(grep -c '^moat: error: double-free: second free of a block at 0x' "$work/err")" = 1 ] || fail "not one report of a site"
grep -qE '^moat:   #[0-9]+ .*\(_?Py[A-Za-z_]+\+0x[0-9a-f]+\)\+0x' "$work/err" || fail "no function of Python's is named"
[ "$(wc -l <"$work/python.json")" = 1 ] || fail "not one line of JSON"
expect 0 "$report" "$work/python.json"
out_has '^Report 1 of 1, line 1: double-free: .* \(the process went on\)$'
out_has '^  #[0-9]+ +_?Py[A-Za-z_]+'
expect 134 env LD_PRELOAD="$library" MOAT_OPTIONS=on=report,double-free=abort "$python" "$work/twice.py"
out_is ''
err_has 'moat: fatal: double-free: second free of a block at 0x'

# what cannot be read, or is no log, is said
expect 1 "$report" "$work/no-such-file"
err_has "moat-report: $work/no-such-file: No such file or directory"
expect 1 "$report" "$work"
err_has "moat-report: $work: Is a directory"
expect 1 "$report" /dev/null
err_has "moat-report: no report of moat's in /dev/null"
expect 1 "$report" --symbolizer=no-such-program "$work/log"
err_has 'moat-report: no-such-program: no such symbolizer'
expect 1 "$report" --sysroot=/no-such-folder "$work/log"
err_has 'moat-report: /no-such-folder: no such directory'
expect 2 "$report" --no-such-option
err_has 'unrecognized arguments'
expect 0 "$report" --version
out_has '^moat [0-9]+\.[0-9]+\.[0-9]+$'

# damage: cut at each of its bytes, or with bytes of any kind in it, a log is read as far as it goes
for cut in $(seq 1 139 "$(wc -c <"$work/log")"); do
    head -c "$cut" "$work/log" >"$work/cut"
    status=0
    "$report" --symbolizer=addr2line "$work/cut" >"$work/out" 2>"$work/err" || status=$?
    if [ $status -gt 1 ] || grep -q Traceback "$work/err"; then fail "cut at $cut: status $status"; fi
done
{
    head -c 100000 /dev/urandom
    printf '\nmoat: fatal: double-free: \033]0;title\007 at 0x10\nmoat: block 0x5 of 99999999999999999999 bytes, state: free\n'
    printf 'moat: page 0x6 (small, 0 bytes), owner: x\nmoat:   #99999 /proc/kmsg+0xffffffffffffffffffff build-id 00\n'
} >"$work/noise"
expect 0 "$report" "$work/noise"
! grep -q "$(printf '\033')" "$work/out" || fail "what steers a terminal came through"
out_has '^  #99999'

# nobody reads any more
"$report" "$work/log" 2>"$work/err" | true
! grep -q Traceback "$work/err" || fail "a broken pipe is not a matter of course"
echo "moat-report keeps its promises"
