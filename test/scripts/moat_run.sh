#!/bin/bash
# moat_run.sh MOAT-RUN LIBRARY CC: what moat-run promises.
# shellcheck source-path=SCRIPTDIR source=expect.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/expect.sh"
run=$1 library=$(realpath "$2") cc=$3
unset LD_PRELOAD

# shellcheck disable=SC2016  # $LD_PRELOAD is for the inner shell
print_preload=(sh -c 'printf %s "$LD_PRELOAD"')

# the library is preloaded, first and once, and other preloads stay
expect 0 "$run" "${print_preload[@]}"
out_is "$library"
err_is_empty
other=$("$cc" -print-file-name=libm.so.6)
expect 0 env LD_PRELOAD="$other" "$run" "${print_preload[@]}"
out_is "$library:$other"
expect 0 "$run" "$run" "${print_preload[@]}"
out_is "$library"
expect 0 "$run" -- grep -c "$library" /proc/self/maps
grep -qE '^[1-9]' "$work/out" || fail "the library is not mapped"
expect 0 "$run" --library
out_is "$library"

# the program's arguments, status and death are its own
expect 0 "$run" printf '<%s>' "a b" "" "--help"
out_is '<a b><><--help>'
expect 7 "$run" sh -c 'exit 7'
# shellcheck disable=SC2016
expect 143 sh -c '"$0" sh -c "kill -TERM \$\$"; exit $?' "$run"

# what cannot be run is said
expect 127 "$run" no-such-program-anywhere
err_has 'moat-run: no-such-program-anywhere: not found'
expect 126 "$run" /
err_has 'is a directory'
: >"$work/plain"
expect 126 "$run" "$work/plain"
err_has 'Permission denied'
expect 125 "$run"
err_has 'Usage:'
expect 125 "$run" --no-such-option
err_has "unknown option '--no-such-option'"

# what would silently run without the library is refused
echo 'int main(void) { return 0; }' >"$work/main.c"
"$cc" -static "$work/main.c" -o "$work/static"
expect 126 "$run" "$work/static"
err_has 'is statically linked'
if [ "$(id -u)" = 0 ] && "$cc" "$work/main.c" -o "$work/suid" && chown 1:1 "$work/suid" && chmod 4755 "$work/suid"; then
    expect 126 "$run" "$work/suid"
    err_has 'gains privileges'
else
    echo "not root: a program that gains privileges is not tried"
fi

# without its library it says so, and runs nothing; from a folder that LD_PRELOAD cannot name likewise
mkdir "$work/alone" "$work/a folder"
cp "$run" "$work/alone/moat-run"
expect 125 "$work/alone/moat-run" echo started
out_is ""
err_has 'build or install moat completely'
cp "$run" "$work/a folder/moat-run"
cp "$library" "$work/a folder/$(basename "$library" | sed 's/\(\.so\.[0-9]*\).*/\1/')"
expect 125 "$work/a folder/moat-run" echo started
out_is ""
err_has 'a space or a colon'
echo "moat-run keeps its promises"
