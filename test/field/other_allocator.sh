#!/bin/bash
# other_allocator.sh before|behind LIBRARY PACKAGE MOAT COMMAND…: runs a command with another allocator preloaded before or behind
# moat. LIBRARY is its name for the loader; Debian has it in PACKAGE.
set -eu
order=$1 library=$2 package=$3 moat=$4
shift 4
path=$(ldconfig -p | awk -v name="$library" '$1 == name { print $NF; exit }')
if [ -z "$path" ]; then
    echo "skipped: $library is not here (Debian package $package)"
    [ "${MOAT_TEST_REQUIRE_ALL:-0}" != 1 ] || exit 1
    exit 77
fi
case $order in
before) preloaded=$path:$moat ;;
behind) preloaded=$moat:$path ;;
*) exit 2 ;;
esac
exec env LD_PRELOAD="$preloaded" "$@"
