#!/bin/bash -eu
# Builds every harness for a fuzzing service. The service gives the compiler (CC), its instrumentation and sanitizer (CFLAGS) and
# the engine to link (LIB_FUZZING_ENGINE), and takes fuzzers and their seeds from OUT.
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
    [ ! -d "$seeds" ] || (cd "$seeds" && find . -type f -print | zip -q -@ "$OUT/${harness}_seed_corpus.zip")
done
