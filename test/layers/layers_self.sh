#!/bin/bash
# The layer test must be able to fail: trees with one fault each, and one without.
set -euo pipefail

check=$(dirname -- "${BASH_SOURCE[0]}")/layers.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# tree FILE LINE…: a source folder with that file and two layers.
tree() {
    rm -rf "$work/src"
    mkdir -p "$work/src/$(dirname -- "$1")"
    printf '%s\n' '1. `low/` - first' '2. `high/` - second' >"$work/src/README.md"
    printf '%s\n' "${@:2}" >"$work/src/$1"
}

must_fail() {
    if "$check" "$work/src" >"$work/out"; then echo "not noticed: $1" && exit 1; fi
    grep -q "$2" "$work/out" || { echo "wrong complaint about: $1" && cat "$work/out" && exit 1; }
}

tree high/page.c '#include <stdint.h>' '#include "high/page.h"' '#include "low/os.h"'
"$check" "$work/src"
tree low/page.c '#include "low/page.h"' '  #  include "high/heap.h"'
must_fail "a later folder" 'page.c:2: low/ includes high/heap.h, and comes before it'
tree low/page.h '#include "high/alloc.h"'
must_fail "a later folder in a header" 'low/ includes high/alloc.h'
tree low/page.c '#include "unheard_of/page.h"'
must_fail "an unknown folder" 'includes unheard_of/page.h, of no folder'
tree low/page.c '#include "page.h"'
must_fail "an include without its folder" 'includes page.h without its folder'
tree unheard_of/page.c '#include "low/base.h"'
must_fail "a file in an unknown folder" 'folder unheard_of is not in the list'
