#!/bin/bash
# The layer test must be able to fail: four trees with one fault each, and one without.
set -euo pipefail

check=$(dirname -- "${BASH_SOURCE[0]}")/layers.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# tree FILE LINE…: a source folder with that file.
tree() {
    rm -rf "$work/src"
    mkdir -p "$work/src/folder"
    printf '%s\n' "${@:2}" >"$work/src/folder/$1"
}

must_fail() {
    if "$check" "$work/src" >"$work/out"; then echo "not noticed: $1" && exit 1; fi
    grep -q "$2" "$work/out" || { echo "wrong complaint about: $1" && cat "$work/out" && exit 1; }
}

tree page.c '#include <stdint.h>' '#include "page.h"' '#include "os.h"'
"$check" "$work/src"
tree page.c '#include "page.h"' '  #  include "heap.h"'
must_fail "a higher layer" 'page.c:2: layer 4 (page) includes layer 5 (heap)'
tree page.h '#include "alloc.h"'
must_fail "a higher layer in a header" 'layer 4 (page) includes layer 6 (alloc)'
tree page.c '#include "unheard_of.h"'
must_fail "an unknown room" 'includes unheard_of, which has no layer'
tree unheard_of.c '#include "base.h"'
must_fail "a file without a layer" 'room unheard_of has no layer'
