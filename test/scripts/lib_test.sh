#!/bin/bash
# lib_test.sh TREE: what scripts/lib.sh does on machines that are not this one: commands are replaced by functions.
# shellcheck source-path=SCRIPTDIR source=expect.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/expect.sh"
tree=$1

# with_lib CODE: a shell that has sourced lib.sh, a record of calls in $work/calls, and these stand-ins.
with_lib() {
    : >"$work/calls"
    # shellcheck disable=SC2016
    TREE=$tree CALLS=$work/calls bash -c '
        source "$TREE/scripts/lib.sh"
        apt_get() { echo "apt_get $*" >>"$CALLS"; }
        forbid_services() { :; }
        has_apt() { true; }
        privilege() { echo ""; }
        dpkg-query() { echo not-installed; }
        apt-cache() { echo "$2 | 1 | here"; }
        '"$1"
}
called() { [ "$(cat "$work/calls")" = "$1" ] || fail "called: $(cat "$work/calls"), not: $1"; }

# what is there is not installed again
expect 0 with_lib 'dpkg-query() { echo installed; }; install_packages one two'
called ""
# what is missing is, in one go, and said
expect 0 with_lib 'install_packages one "two|three"'
called "apt_get  install --no-install-recommends one two"
err_has "moat: installing one two"
out_is ""
# the second choice, where there is only that
expect 0 with_lib 'apt-cache() { [ "$2" = two ] || echo "$2 | 1 | here"; }; install_packages one "two|three"'
called "apt_get  install --no-install-recommends one three"
# old lists are renewed once
expect 0 with_lib 'tries=0; apt_get() { echo "apt_get $*" >>"$CALLS"; [ "$2" = update ] || [ $((tries++)) = 1 ]; }; install_packages one'
called $'apt_get  install --no-install-recommends one\napt_get  update\napt_get  install --no-install-recommends one'
# a failure is one
expect 1 with_lib 'apt_get() { false; }; install_packages one'
err_has "could not install one"
expect 1 with_lib 'apt-cache() { :; }; install_packages one'
err_has "knows no package for: one"
# neither root nor sudo: says what to type
expect 1 with_lib 'privilege() { echo no; }; install_packages one'
err_has "apt-get install --no-install-recommends one"
called ""
# no apt: says what is needed
expect 1 with_lib 'has_apt() { false; }; compiler_works() { false; }; need_build_tools'
err_has "please install a C compiler"

# a build folder that fits is left alone; another tree's or other settings' is configured anew
mkdir "$work/build"
printf 'CMAKE_HOME_DIRECTORY:INTERNAL=%s\nA:BOOL=ON\nB:STRING=\nCMAKE_C_COMPILER:FILEPATH=/usr/bin/gcc\n' "$tree" >"$work/build/CMakeCache.txt"
export BUILD=$work/build
# shellcheck disable=SC2016
configuring='cmake() { echo "configured" >>"$CALLS"; }; configure "$BUILD"'
expect 0 with_lib "$configuring -DA=ON -DB= -DCMAKE_C_COMPILER=gcc"
called ""
expect 0 with_lib "$configuring -DA=OFF"
called configured
expect 0 with_lib "$configuring -DA=ON -DC="
called configured
sed -i "s/^CMAKE_HOME.*/&-moved/" "$work/build/CMakeCache.txt"
expect 0 with_lib "$configuring -DA=ON"
called configured
[ ! -e "$work/build/CMakeCache.txt" ] || fail "the cache of another tree was kept"
echo "scripts/lib.sh keeps its promises"
