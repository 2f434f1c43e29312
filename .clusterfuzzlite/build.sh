#!/bin/bash -eu
# Builds every harness for a fuzzing service. The service gives the compiler (CC), its instrumentation and sanitizer (CFLAGS) and
# the engine to link (LIB_FUZZING_ENGINE), and takes fuzzers, their options and their seeds from OUT. There are no dictionaries:
# every harness has a mutator of its own, which knows what an input is made of and would not look into one.
#
# check.sh, a test, runs it as a service does.
: "${SRC:?}" "${OUT:?}" "${WORK:?}" "${CC:?}" "${LIB_FUZZING_ENGINE:?}"
cd "${MOAT_TREE:-$SRC/moat}"

harnesses=()
for source in fuzz/harnesses/fuzz_*.c; do harnesses+=("$(basename "$source" .c)"); done

cmake -S . -B "$WORK/build" -DMOAT_FUZZ=libfuzzer -DCMAKE_BUILD_TYPE=RelWithDebInfo
cmake --build "$WORK/build" -j "$(nproc)" --target "${harnesses[@]}"
for harness in "${harnesses[@]}"; do
    cp "$WORK/build/fuzz/$harness" "$OUT/"
    # The leak checker cannot see through an allocator of its own.
    printf '[libfuzzer]\ntimeout = 60\n[asan]\ndetect_leaks = 0\n' >"$OUT/$harness.options"
    seeds=corpus/${harness#fuzz_}
    [ "$harness" != fuzz_ordering ] || seeds=corpus/interleave # the same programs
    (cd "$seeds" && cmake -E tar cf "$OUT/${harness}_seed_corpus.zip" --format=zip -- *)
done
