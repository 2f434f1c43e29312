#!/bin/bash
# seeds.sh MAKE-SEEDS CORPUS: fails unless CORPUS has exactly the seeds that MAKE-SEEDS writes, but
# for the inputs of bugs in regressions/ and the corpora of harnesses that it writes none for.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$1" "$work"
for folder in "$work"/*/; do diff -r -x regressions -x grown "$folder" "$2/$(basename "$folder")"; done
