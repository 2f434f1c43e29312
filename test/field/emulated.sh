#!/bin/bash
# emulated.sh MOAT COMMAND…: runs a command under qemu's user-mode emulation of this machine's own processor, with moat preloaded.
# The emulator passes some calls on in its own way: a mapping may lie elsewhere than asked for, advice may do nothing.
set -eu
moat=$1
shift
emulator=$(command -v "qemu-$(uname -m)" || command -v "qemu-$(uname -m)-static" || true)
if [ -z "$emulator" ]; then
    echo "skipped: qemu-$(uname -m) is not here (Debian package qemu-user)"
    [ "${MOAT_TEST_REQUIRE_ALL:-0}" != 1 ] || exit 1
    exit 77
fi
exec "$emulator" -E LD_PRELOAD="$moat" "$@"
