#!/bin/bash
# beside.sh MOAT PROGRAM LIBRARY: runs PROGRAM (test/field/busy.cpp), and date, with LIBRARY preloaded before MOAT, and behind it. A
# LIBRARY that is not there is a test skipped; with MOAT_TEST_REQUIRE_ALL=1 in the environment it is a failure.
set -euo pipefail
moat=$1 program=$2 library=$3
shopt -s nullglob

name=$(basename "$library")
for folder in "" /usr/lib/*/ /usr/lib/*/faketime/ /usr/libexec/coreutils/ /usr/lib/x86_64-linux-gnu/coreutils/; do
    [ -f "$folder$library" ] && found=$folder$library && break
done
if [ -z "${found:-}" ]; then
    echo "skipped: no $library here"
    [ "${MOAT_TEST_REQUIRE_ALL:-0}" = 1 ] && exit 1
    exit 77
fi

export FAKETIME="@2001-02-03 04:05:06" _STDBUF_O=L
for order in "$found $moat" "$moat $found"; do
    echo "LD_PRELOAD=\"$order\""
    said=$(LD_PRELOAD=$order "$program" 2>&1) || { echo "it failed, and said: $said" && exit 1; }
    [[ $said == *right* ]] || { echo "it said: $said" && exit 1; }
    year=$(LD_PRELOAD=$order date +%Y) || { echo "date failed" && exit 1; }
    # one that the order kept from working would prove nothing
    case $name in
    libfaketime*) [ "$year" = 2001 ] || { echo "date says $year" && exit 1; } ;;
    libeatmydata*) # a pipe cannot be synchronised: fsync fails, unless it is eaten
        : | sync /dev/stdin 2>/dev/null && echo "fsync succeeds without it" && exit 1
        : | LD_PRELOAD=$order sync /dev/stdin || { echo "fsync is not eaten" && exit 1; } ;;
    libstdbuf*) # a line comes out before the input has ended
        coproc LD_PRELOAD=$order cut -c1-
        echo line >&"${COPROC[1]}"
        read -r -t 20 answer <&"${COPROC[0]}" || { echo "output is kept back" && exit 1; }
        [ "$answer" = line ] || { echo "cut says $answer" && exit 1; }
        eval "exec ${COPROC[1]}>&-"
        wait ;;
    esac
done
echo "right in both orders"
