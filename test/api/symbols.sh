#!/bin/sh
# symbols: moat defines what it must, and a static link takes none of the C library's allocator.
# usage: symbols.sh LIBMOAT.SO MOAT.O CC
set -eu
library=$1 object=$2 compiler=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "failed: $*"; exit 1; }

libc=$("$compiler" -print-file-name=libc.a)
[ -f "$libc" ] || { echo "skipped: no static C library ($libc)"; exit 77; }

# 1. Every symbol of the C library's malloc object is one of moat.o's.
nm -g --defined-only "$object" | awk '{print $3}' | sort -u > "$work/moat"
(cd "$work" && ar x "$libc" malloc.o reallocarray.o)
nm -g --defined-only "$work/malloc.o" "$work/reallocarray.o" | awk 'NF == 3 {print $3}' | sort -u > "$work/libc"
[ "$(wc -l < "$work/libc")" -gt 30 ] || fail "only $(wc -l < "$work/libc") symbols found in the C library's malloc.o"
missing=$(comm -13 "$work/moat" "$work/libc")
[ -z "$missing" ] || fail "moat.o lacks" $missing

# 2. The shared library exports the family, the prefixed interface and the twenty operators.
nm -D --defined-only "$library" | awk '{print $3}' | sed 's/@.*//' | sort -u > "$work/exported"
for name in malloc calloc realloc reallocarray free posix_memalign aligned_alloc memalign valloc pvalloc malloc_usable_size \
    malloc_trim mallinfo mallinfo2 malloc_stats malloc_info mallopt cfree free_sized free_aligned_sized \
    __libc_malloc __libc_calloc __libc_realloc __libc_free __libc_memalign __libc_valloc __libc_pvalloc __libc_reallocarray \
    __libc_mallinfo __libc_mallopt __posix_memalign \
    moat_malloc moat_calloc moat_realloc moat_reallocarray moat_aligned_alloc moat_posix_memalign moat_free moat_free_sized \
    moat_free_aligned_sized moat_usable_size moat_owns moat_trim moat_check moat_stats_get moat_version; do
    grep -qx "$name" "$work/exported" || fail "libmoat.so does not export $name"
done
operators=$(grep -c '^_Z\(nw\|na\|dl\|da\)' "$work/exported")
[ "$operators" -eq 20 ] || fail "$operators of 20 operators new and delete exported"
others=$(grep -v -e '^_Z\(nw\|na\|dl\|da\)' -e '^moat_' -e alloc -e free -e memalign -e mallinfo -e mallopt -e lockall -e rlimit -e __glibc_morecore \
    "$work/exported" || true)
[ "${others:-dlopen}" = dlopen ] || fail "libmoat.so also exports" $others

# 3. No hidden name of moat.o can clash with a program's: none is global.
others=$(grep -v -e '^_Z\(nw\|na\|dl\|da\)' -e '^moat_' -e alloc -e free -e memalign -e mallinfo -e mallopt -e lockall -e rlimit -e __glibc_morecore \
    "$work/moat" || true)
[ -z "$others" ] || fail "moat.o also defines" $others

# 4. A static program that uses everything the C library's malloc object could be pulled in for.
cat > "$work/program.c" <<'END'
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <ulimit.h>
#include <unistd.h>
extern void *__libc_memalign(size_t, size_t), __libc_free(void *);
static void *run(void *unused) { free(strdup("x")); return unused; }
int main(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, run, NULL);
    pthread_join(thread, NULL);
    __libc_free(__libc_memalign(64, 64));
    free(reallocarray(NULL, 2, 2));
    if (fork() == 0) _exit(malloc(10) == NULL);
    struct rlimit limit;
    if (ulimit(UL_SETFSIZE, 1000000L) == -1 || getrlimit(RLIMIT_AS, &limit) != 0 || setrlimit(RLIMIT_AS, &limit) != 0) return 1;
    malloc_stats();
    return malloc_info(0, stdout) || mallopt(M_ARENA_MAX, 1) != 1 || malloc_trim(0) < 0;
}
END
"$compiler" -static -w -o "$work/program" "$work/program.c" "$object" -lpthread -Wl,--trace > "$work/trace" 2>&1 ||
    { cat "$work/trace"; fail "static link"; }
grep -q 'libc\.a' "$work/trace" || fail "the linker's trace names no member of libc.a"
if grep -E 'libc\.a\)?\(?(malloc|reallocarray)\.o' "$work/trace"; then fail "the C library's allocator was linked in"; fi
"$work/program" > "$work/out" 2>&1 || { cat "$work/out"; fail "the static program ends with $?"; }
grep -q '^<malloc version="moat' "$work/out" || fail "the static program does not run on moat"
echo "moat.o covers $(wc -l < "$work/libc") symbols of the C library's allocator"
