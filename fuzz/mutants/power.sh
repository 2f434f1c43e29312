#!/bin/bash
# power.sh ROOT [--seconds S] [--seeds N] [PATCH…]: how many planted bugs the fuzzers find, and how soon. Run by scripts/fuzz power.
#
# Applies each of fuzz/mutants/*.patch (or those named) to a copy of the tree, builds, and lets each harness search with fresh
# inputs, for S seconds of processor time (10) with each of N seeds (3), and fuzz_explore run all its programs. Prints a table:
# killed with how many of the seeds, and the median of the seconds until then. "random" is interleave by coin tosses alone.
set -euo pipefail

root=$1 && shift
seconds=10 seeds=3
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=$2 && shift 2 ;;
    --seeds) seeds=$2 && shift 2 ;;
    *) break ;;
    esac
done
patches=("$@")
[ ${#patches[@]} -gt 0 ] || patches=("$root"/fuzz/mutants/*.patch)
targets=(fuzz_ops_replay fuzz_threads_replay fuzz_interleave_replay fuzz_explore)
work=$root/build-fuzz/power
tree=$work/tree
rm -rf "$tree" && mkdir -p "$tree" "$work/runs"
tar -C "$root" -c CMakeLists.txt README.md cmake src include fuzz corpus tools test/demo doc CHANGELOG.md LICENSE | tar -C "$tree" -x
cmake -S "$tree" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DMOAT_FUZZ=replay "-DCMAKE_C_COMPILER_LAUNCHER=${MOAT_COMPILER_LAUNCHER:-}" >"$work/cmake.log"

# Runs a program until it fails or comes to its end; true: it failed. Leaves what it said and its processor time.
run() {
    local status=0 user system
    TIMEFORMAT='%U %S'
    { time (cd "$work/runs" && timeout $((seconds * 20 + 120)) "$@" >"$work/said" 2>&1) 2>/dev/null || status=$?; } 2>"$work/time"
    read -r user system < <(tail -n 1 "$work/time")
    took=$(awk -v a="$user" -v b="$system" 'BEGIN { printf "%.1f", a + b }')
    [ "$status" -ge 128 ]
}

median() { sort -g | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : "" }'; }

# A cell of the table: PROGRAM ARGUMENTS… are run once for each seed.
search() {
    local seed times=()
    for ((seed = 1; seed <= seeds; seed++)); do
        if run "$work/build/fuzz/$1" "${@:2}" --search "$seconds" "$seed"; then
            times+=("$took")
            [ -n "$how" ] || how=$(sed -n 's/^fuzz: failure: //p;s/^moat harness: //p' "$work/said" | head -n 1 | cut -c 1-60)
        fi
    done
    if [ ${#times[@]} = 0 ]; then cell="-"; else cell="${#times[@]}/$seeds $(printf '%s\n' "${times[@]}" | median)"; fi
}

echo "| bug | ops | threads | interleave | random | explore | seen as |"
echo "|---|---|---|---|---|---|---|"
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    if ! patch -d "$tree" -p1 -s --dry-run <"$patch" >/dev/null; then
        echo "| $name | does not apply any more | | | | | |"
        continue
    fi
    patch -d "$tree" -p1 -s <"$patch"
    if ninja -C "$work/build" "${targets[@]}" >"$work/ninja.log" 2>&1; then
        how="" row="| $name"
        search fuzz_ops_replay && row+=" | $cell"
        search fuzz_threads_replay && row+=" | $cell"
        search fuzz_interleave_replay && row+=" | $cell"
        search fuzz_interleave_replay --scheduler random && row+=" | $cell"
        if run "$work/build/fuzz/fuzz_explore"; then row+=" | $took"; else row+=" | -"; fi
        echo "$row | $how |"
    else
        echo "| $name | does not compile | | | | | |"
    fi
    patch -d "$tree" -p1 -s -R <"$patch"
done
