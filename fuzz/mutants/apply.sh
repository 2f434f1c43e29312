#!/bin/bash
# apply.sh TREE: fails unless each patch of fuzz/mutants/ applies to the tree as it is, at its place and with all of its context.
set -euo pipefail

cd "$1"
status=0
for patch in fuzz/mutants/*.patch; do
    git apply --check "$patch" || { echo "$patch: make it anew" >&2 && status=1; }
done
exit "$status"
