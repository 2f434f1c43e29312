# shellcheck shell=bash
# Shared by the scripts of test/preload: run an unmodified program twice, without and with the preload, and compare.
#
# A script sources this file, asks for what it needs (`need`), prepares input in its work directory, calls `twice COMMAND…`, and
# then says what must hold. `twice` leaves what the two runs wrote in the directories `plain` and `moat` and itself demands what
# must always hold: the same exit status, 0 unless `expect_status` was set; the same standard output and the same standard error,
# after `normalise` if the script redefines it; no line on either that starts with `moat:`; the library in /proc/PID/maps of every
# process of the run with the preload, and in none of the other; the system allocator's heap in use in no process of the run with
# the preload; the same number of deaths by signal.
#
# From the environment: MOAT_LIBRARY, the library to preload; MOAT_WATCH, the built watch program;
# MOAT_TEST_REQUIRE_ALL=1, a missing program fails the test instead of skipping it; MOAT_TEST_KEEP=1, keep the work directory.
#
# Exit status: 0 passed, 1 failed, 77 skipped with its reason printed.

set -euo pipefail

test_name=$(basename "$0" .sh)
expect_status=0
limit=140          # seconds that a run may take: what hangs is ended by then, with all it started
as=()              # in front of the command: what as_user sets
may_run_without="" # executables, separated by blanks, that cannot be reached by a preload (statically linked, privileged)
may_end_by=""      # signals, separated by blanks, by which programs end each other: how often may differ

fail() {
    printf 'FAIL: %s: %s\n' "$test_name" "$*" >&2
    exit 1
}

skip() {
    if [ "${MOAT_TEST_REQUIRE_ALL:-0}" = 1 ]; then fail "$* (and MOAT_TEST_REQUIRE_ALL=1 allows no skip)"; fi
    printf 'SKIP: %s: %s\n' "$test_name" "$*"
    exit 77
}

# need FILE PACKAGE: the program or file must be there; PACKAGE is where Debian has it.
need() {
    case $1 in
    /*) [ -e "$1" ] || skip "$1 is not here (Debian package $2)" ;;
    *) command -v "$1" >/dev/null 2>&1 || skip "$1 is not installed (Debian package $2)" ;;
    esac
}

# as_user NAME: for a program that refuses root; whoever is not root runs it as they are.
as_user() {
    [ "$(id -u)" = 0 ] || return 0
    user=$1
    id "$user" >/dev/null 2>&1 || skip "there is no user $user"
    as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
    # What that user must be able to read may lie in a folder of root's.
    cp "$MOAT_LIBRARY" "$work/"
    MOAT_LIBRARY=$(realpath "$work/$(basename "$MOAT_LIBRARY")")
    chmod 711 "$work"
    chown "$user" "$HOME"
}

# Redefined by a script whose output has parts that differ from run to run: filter from standard input to standard output.
normalise() { cat; }

# run_in DIRECTORY WATCH-FLAGS… -- COMMAND…: one of the two runs; its status goes to DIRECTORY.status. Both work in a directory of
# the same name, which some programs write into their output.
run_in() {
    local directory=$1 status=0
    shift
    rm -rf "$directory" running
    mkdir running
    if [ ${#as[@]} -gt 0 ]; then chown "$user" running; fi
    # When watch is ended, the kernel kills what it watches. (In the foreground: only watch is ended.)
    (cd running && exec timeout --foreground -k 5 "$limit" \
        "$MOAT_WATCH" --record "../$directory.record" --library "$MOAT_LIBRARY" "$@") \
        </dev/null >"$directory.out" 2>"$directory.err" || status=$?
    if [ "$status" = 124 ]; then echo "the run was ended after $limit seconds" >>"$directory.err"; fi
    mv running "$directory"
    printf '%s\n' "$status" >"$directory.status"
}

# Prints the end of what a failing run wrote, so that a log of the test alone explains it.
show() {
    local file
    for file in "$@"; do
        printf -- '--- %s (last lines)\n' "$file" >&2
        tail -n 20 "$file" >&2
    done
}

same() {
    local what=$1
    if ! cmp -s "plain$what" "moat$what"; then
        diff "plain$what" "moat$what" 2>&1 | head -n 20 >&2 || true
        fail "${what#[./]} differs with the preload"
    fi
}

check_status() {
    local plain moat
    plain=$(cat plain.status)
    moat=$(cat moat.status)
    if [ "$plain" != "$expect_status" ]; then
        show plain.out plain.err
        fail "without the preload the status is $plain, not $expect_status: the test itself is broken here"
    fi
    if [ "$moat" != "$plain" ]; then
        show moat.out moat.err
        fail "exit status $moat with the preload, $plain without"
    fi
}

check_records() {
    local bad
    [ -s plain.record ] && [ -s moat.record ] || fail "no process was recorded"
    bad=$(awk -F'\t' '$3 != "unmapped" { print $2 }' plain.record | sort -u | tr '\n' ' ')
    [ -z "$bad" ] || fail "the library is mapped in the run that should be without it: $bad"
    bad=$(awk -F'\t' -v without=" $may_run_without " '$3 != "mapped" && !index(without, " " $2 " ") { print $2 }' moat.record |
        sort -u | tr '\n' ' ')
    [ -z "$bad" ] || fail "the library is not in /proc/PID/maps of: $bad"
    bad=$(awk -F'\t' '$3 == "mapped" && $4 != "nobrk" { print $2 }' moat.record | sort -u | tr '\n' ' ')
    [ -z "$bad" ] || fail "the system allocator's heap is in use beside the library in: $bad"
    # A process that a program starts and whose errors it swallows must not die of a report either.
    for run in plain moat; do
        awk -F'\t' -v normal=" $may_end_by " '$5 ~ /^signal:/ && !index(normal, " " substr($5, 8) " ") { print $2, $5 }' \
            "$run.record" | sort | uniq -c >"$run.signals"
    done
    same .signals
}

twice() {
    run_in plain -- "${as[@]}" "$@"
    run_in moat --preload -- "${as[@]}" "$@"
    if grep -q '^moat:' moat.err moat.out; then
        show moat.err
        fail "the library wrote a report"
    fi
    check_status
    local run
    for run in plain moat; do
        normalise <"$run.out" >"$run.stdout"
        normalise <"$run.err" >"$run.stderr"
    done
    same .stdout
    same .stderr
    check_records
}

# same_file NAME…: files that both runs wrote in their directories are the same, and not empty.
same_file() {
    local name
    for name in "$@"; do
        [ -s "plain/$name" ] || fail "the run without the preload wrote no $name"
        same "/$name"
    done
}

# printed TEXT…: the (normalised) output has each of these lines, so that an equal emptiness cannot pass.
printed() {
    local line
    for line in "$@"; do
        grep -qxF -- "$line" moat.stdout || {
            show moat.out moat.err
            fail "the output lacks the line: $line"
        }
    done
}

# under_moat EXECUTABLE…: processes of these executables ran, with the library mapped.
under_moat() {
    local name
    for name in "$@"; do
        awk -F'\t' -v name="$name" '$2 ~ "^" name "$" && $3 == "mapped" { found = 1 } END { exit !found }' moat.record ||
            fail "no process of $name was seen with the library in its /proc/PID/maps"
    done
}

passed() {
    printf 'PASS: %s: same output; %s in /proc/PID/maps of %s processes (%s)\n' "$test_name" "$(basename "$MOAT_LIBRARY")" \
        "$(awk -F'\t' '$3 == "mapped"' moat.record | wc -l)" \
        "$(awk -F'\t' '$3 == "mapped" { print $2 }' moat.record | sort -u | tr '\n' ' ' | sed 's/ $//')"
}

[ -n "${MOAT_LIBRARY:-}" ] && [ -r "$MOAT_LIBRARY" ] || fail "MOAT_LIBRARY does not name a library: '${MOAT_LIBRARY:-}'"
[ -n "${MOAT_WATCH:-}" ] && [ -x "$MOAT_WATCH" ] || fail "MOAT_WATCH does not name the watch program: '${MOAT_WATCH:-}'"
MOAT_LIBRARY=$(realpath "$MOAT_LIBRARY")
MOAT_WATCH=$(realpath "$MOAT_WATCH")
# shellcheck disable=SC2034 # for the scripts
script_directory=$(cd "$(dirname "$0")" && pwd)

# The same surroundings everywhere: Debian's own programs, one language, no personal settings.
umask 022
export PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C TZ=UTC
work=$(mktemp -d "${TMPDIR:-/tmp}/moat-$test_name.XXXXXX")
if [ "${MOAT_TEST_KEEP:-0}" = 1 ]; then printf 'work directory: %s\n' "$work"; fi
clean_up() { :; } # redefined by a script that leaves more behind than the work directory
trap 'clean_up; [ "${MOAT_TEST_KEEP:-0}" = 1 ] || rm -rf "$work"' EXIT
export HOME=$work/home
mkdir "$HOME"
cp "$script_directory/server.sh" "$work/" # a workload that starts servers sources it
cd "$work"
