#!/bin/bash
# check.sh TREE FOLDER: runs build.sh as a fuzzing service does, and looks at what it has made as the service would; builds in
# FOLDER, which may be kept. The test fuzz.service.
#
# The service's flags are those of its address sanitizer; the compiler is clang with the engine that comes with it. Each target
# must start with nothing but itself and its seeds, run all of these, and be linked with the C and C++ libraries alone; src/ must
# be instrumented, nothing else.
set -euo pipefail

tree=$(cd "$1" && pwd -P)
mkdir -p "$2"
folder=$(cd "$2" && pwd -P)

fail() {
    printf 'FAIL: %s\n' "$*" >&2
    exit 1
}

if ! command -v clang >/dev/null || ! echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
    clang -x c -fsanitize=fuzzer,address - -o "$folder/works" 2>/dev/null; then
    [ "${MOAT_TEST_REQUIRE_ALL:-}" = "" ] || fail "there is no clang with libFuzzer"
    echo "skipped: no clang with libFuzzer"
    exit 77
fi

export CC=clang CXX=clang++ LIB_FUZZING_ENGINE=-fsanitize=fuzzer
export CFLAGS="-O1 -fno-omit-frame-pointer -gline-tables-only -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION"
CFLAGS+=" -fsanitize=address -fsanitize-address-use-after-scope -fsanitize=fuzzer-no-link"
export CXXFLAGS=$CFLAGS SRC=$folder WORK=$folder/work OUT=$folder/out MOAT_TREE=$tree
# a service begins with an empty folder; objects of the same sources and flags may as well be there
rm -rf "$OUT" "$WORK/build/CMakeCache.txt" "$folder/run"
mkdir -p "$OUT" "$WORK" "$folder/run"
! command -v ninja >/dev/null || export CMAKE_GENERATOR=Ninja
! command -v ccache >/dev/null || export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
bash -eu "$tree/.clusterfuzzlite/build.sh" >"$folder/log" 2>&1 || { tail -n 30 "$folder/log" >&2 && fail "build.sh fails"; }

# counted OBJECT…: how many of them are instrumented.
counted() {
    local object count=0
    for object in "$@"; do
        ! readelf -SW "$object" | grep ' __sancov_cntrs ' >/dev/null || count=$((count + 1))
    done
    echo "$count"
}
# Of src/ all with code in them; of the engine its units, in which the headers of src/ are.
files=$(find "$tree/src" -name '*.c' -not -path '*/harness/*' -not -name malloc.c -not -name new.c -not -name memlock.c \
    -not -name deepbind.c | wc -l)
for library in CMakeFiles/moat_harness.dir fuzz/CMakeFiles/moat_harness_watched.dir; do
    mapfile -t objects < <(find "$WORK/build/$library" -path '*/src/*' -name '*.o' -not -path '*/harness/*')
    [ "$(counted "${objects[@]}")" -ge $((files * 9 / 10)) ] || fail "src/ is not instrumented in $library"
    mapfile -t objects < <(find "$WORK/build/$library" -path '*/harness/*.o')
    [ "${#objects[@]}" -gt 0 ] && [ "$(counted "${objects[@]}")" = 0 ] || fail "the seams are instrumented in $library"
done
mapfile -t objects < <(find "$WORK/build/fuzz/CMakeFiles" \( -path '*engine*' -o -path '*harnesses*' \) -name '*.o' \
    -not -name 'units.c.o')
[ "${#objects[@]}" -gt 50 ] && [ "$(counted "${objects[@]}")" = 0 ] || fail "the engine is instrumented"
# plain data is watched by ordering, and by it alone
nm "$WORK/build/fuzz/CMakeFiles/moat_harness_watched.dir/__/src/heap/page.c.o" | grep ' U __tsan_write' >/dev/null ||
    fail "plain data is not watched"

check_target() {
    local name=$1 seeds=$folder/run/$1-seeds libraries count
    [ -x "$OUT/$name" ] || fail "$name was not built"
    grep -qx 'detect_leaks = 0' "$OUT/$name.options" || fail "$name has no options"
    libraries=$(ldd "$OUT/$name" | awk '{ print $1 }' | grep -vE '^(linux-vdso|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|resolv))\.so' |
        grep -vE '/ld-linux[^/]*$' || true)
    [ -z "$libraries" ] || fail "$name is linked with $libraries"
    # The process's allocator is the sanitizer's: moat stands beside it under names of its own.
    nm "$OUT/$name" | grep ' W malloc$' >/dev/null || fail "$name has an allocator in place of the sanitizer's"
    mkdir "$seeds"
    (cd "$seeds" && cmake -E tar xf "$OUT/${name}_seed_corpus.zip")
    count=$(find "$seeds" -type f | wc -l)
    [ "$count" -gt 0 ] || fail "$name has no seeds"
    # alone in a folder, with nothing in the environment
    mkdir "$folder/run/$name"
    cp "$OUT/$name" "$folder/run/$name/"
    (cd "$folder/run/$name" && env -i PATH=/usr/bin:/bin ASAN_OPTIONS=detect_leaks=0 "./$name" -seed=1 -runs=4) \
        >"$folder/run/$name.log" 2>&1 || { tail -n 20 "$folder/run/$name.log" >&2 && fail "$name does not start"; }
    (cd "$folder/run/$name" && env -i PATH=/usr/bin:/bin ASAN_OPTIONS=detect_leaks=0 "./$name" -timeout=60 -runs=0 "$seeds") \
        >"$folder/run/$name.log" 2>&1 || { tail -n 20 "$folder/run/$name.log" >&2 && fail "$name does not run its seeds"; }
    grep -q "seed corpus: files: $count " "$folder/run/$name.log" || fail "$name has not read its $count seeds"
    echo "$name: $count seeds, $(grep -o 'cov: [0-9]*' "$folder/run/$name.log" | tail -n 1)"
}

for source in "$tree"/fuzz/harnesses/fuzz_*.c; do check_target "$(basename "$source" .c)"; done
rm -rf "$folder/run"
