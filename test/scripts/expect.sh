# shellcheck shell=bash
# For the tests of this folder: run a command, then say what must hold. Sourced.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    printf 'FAIL: %s\n' "$*" >&2
    [ ! -f "$work/out" ] || sed 's/^/  out: /' "$work/out" >&2
    [ ! -f "$work/err" ] || sed 's/^/  err: /' "$work/err" >&2
    exit 1
}

# expect STATUS COMMAND…: its output goes to $work/out and $work/err.
expect() {
    local wanted=$1 status=0
    shift
    "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    [ "$status" = "$wanted" ] || fail "status $status, not $wanted: $*"
}

out_is() { [ "$(cat "$work/out")" = "$1" ] || fail "standard output is not '$1'"; }
err_has() { grep -qF -- "$1" "$work/err" || fail "standard error does not say '$1'"; }
err_is_empty() { [ ! -s "$work/err" ] || fail "standard error is not empty"; }
