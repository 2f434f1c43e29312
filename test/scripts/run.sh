#!/bin/bash
# run.sh TREE: scripts/run, with the build folder that MOAT_BUILD_DIR names.
# shellcheck source-path=SCRIPTDIR source=expect.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/expect.sh"
run=$1/scripts/run

# the first call may build; then nothing but the program is heard
expect 0 "$run" true
expect 0 "$run" printf '<%s>' "a b" ""
out_is '<a b><>'
err_is_empty
cd /
expect 3 "$run" sh -c 'exit 3'
err_is_empty
expect 0 "$run" grep -m 1 -o 'libmoat\.so' /proc/self/maps
out_is libmoat.so

# the demonstration shows both halves; it fails by itself if the bug is not stopped
expect 0 "$run"
for text in 'memory served by /' 'moat: fatal: double-free: ' 'moat stopped it at the second free'; do
    grep -qF -- "$text" "$work/out" || fail "the demonstration does not say '$text'"
done
grep -qF 'memory served by the C library' "$work/out" && fail "the demonstration ran without moat"
echo "scripts/run keeps its promises"
