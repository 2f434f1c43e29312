# shellcheck shell=bash
# What the scripts share: where the tree is, installing what is missing, building. Sourced, not run.
#
# Everything said goes to standard error: standard output belongs to the program that is run. Nothing is ever asked.

set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
jobs=$(nproc 2>/dev/null || echo 2)

say() { printf 'moat: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# The comment at the top of a script is its help.
help_of() { sed -n '2,/^[^#]/{/^# shellcheck/d;/^#/!d;s/^# \{0,1\}//p}' "$1"; }

# --- Installing ------------------------------------------------------------------------------------------------------------

# How to become root without being asked for a password: "" as root, "sudo -n", or "no".
privilege() {
    if [ "$(id -u)" = 0 ]; then
        echo ""
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        echo "sudo -n"
    else
        echo no
    fi
}

has_apt() { command -v apt-get >/dev/null 2>&1 && command -v dpkg-query >/dev/null 2>&1; }

package_is_installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

apt_get() {
    local as_root=$1
    shift
    # shellcheck disable=SC2086  # as_root is empty or several words
    $as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a APT_LISTCHANGES_FRONTEND=none \
        apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" </dev/null >&2
}

# A package that is a service starts no daemon on this machine while we install: Debian's own switch for that, unless there is
# one already. The name of the file that was made is printed.
forbid_services() {
    local as_root=$1 file=/usr/sbin/policy-rc.d
    [ ! -e "$file" ] || return 0
    # shellcheck disable=SC2086
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$file" >/dev/null && $as_root chmod 755 "$file" && echo "$file"
}

# install_packages PACKAGE…: installs those that are missing. A|B: either will do, A is preferred.
install_packages() {
    local missing=() spec name found as_root policy status=0
    for spec in "$@"; do
        found=""
        for name in ${spec//|/ }; do
            if package_is_installed "$name"; then found=$name; fi
        done
        [ -n "$found" ] || missing+=("$spec")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    as_root=$(privilege)
    if [ "$as_root" = no ]; then
        say "these packages are needed: ${missing[*]%%|*}"
        die "install them as root, then run this again: apt-get install --no-install-recommends ${missing[*]%%|*}"
    fi
    say "installing ${missing[*]%%|*}"
    policy=$(forbid_services "$as_root")
    install_missing "$as_root" "${missing[@]}" || status=$?
    # shellcheck disable=SC2086
    [ -z "$policy" ] || $as_root rm -f "$policy"
    [ "$status" = 0 ] || die "apt-get could not install ${missing[*]%%|*}: see its messages above"
}

# Tries with the package lists there are; old or missing ones are renewed once.
install_missing() {
    local as_root=$1 names
    shift
    if names=$(choose_packages "$@"); then
        # shellcheck disable=SC2086
        if apt_get "$as_root" install --no-install-recommends $names; then return 0; fi
    fi
    apt_get "$as_root" update || return 1
    if ! names=$(choose_packages "$@"); then
        say "apt-get knows no package for: $names"
        return 1
    fi
    # shellcheck disable=SC2086
    apt_get "$as_root" install --no-install-recommends $names
}

# Of each A|B the first that the package lists have; fails, and prints it, for one they do not have.
choose_packages() {
    local spec name chosen=()
    for spec in "$@"; do
        for name in ${spec//|/ }; do
            if [ -n "$(apt-cache madison "$name" 2>/dev/null)" ]; then
                chosen+=("$name")
                continue 2
            fi
        done
        echo "$spec"
        return 1
    done
    echo "${chosen[*]}"
}

# --- What a build needs ----------------------------------------------------------------------------------------------------

compiler_works() { echo '#include <stdlib.h>' | cc -E - >/dev/null 2>&1; }
has_make() { command -v ninja >/dev/null 2>&1 || command -v make >/dev/null 2>&1; }

need_build_tools() {
    local packages=() words=()
    command -v cmake >/dev/null 2>&1 || { packages+=(cmake) && words+=("cmake 3.22 or later"); }
    has_make || { packages+=(ninja-build) && words+=("ninja or make"); }
    compiler_works || { packages+=(gcc libc6-dev) && words+=("a C compiler with the C library's headers"); }
    command -v objcopy >/dev/null 2>&1 || { packages+=(binutils) && words+=(binutils); }
    [ ${#packages[@]} -gt 0 ] || return 0
    if ! has_apt; then
        say "cannot build yet: please install ${words[*]/%/,} then run this again."
        die "(On Debian and what derives from it, this script installs them.)"
    fi
    install_packages "${packages[@]}"
    if ! compiler_works; then die "cc does not work although it is installed: try 'echo | cc -E -'"; fi
}

need_apt_for() {
    has_apt || die "$1 sets itself up with apt-get, which is not here: on Debian 12 or later it would install: ${*:2}"
}

# --- Building --------------------------------------------------------------------------------------------------------------

# cache_has DIRECTORY NAME=VALUE: what a build folder is configured with. A compiler is compared by its name without folders.
cache_has() {
    local cache=$1/CMakeCache.txt name=${2%%=*} value=${2#*=} found
    found=$(sed -n "s/^$name:[A-Z]*=//p" "$cache" 2>/dev/null)
    case $name in
    *_COMPILER) [ "${found##*/}" = "${value##*/}" ] ;;
    *) [ "$found" = "$value" ] && grep -q "^$name:" "$cache" ;;
    esac
}

# configure DIRECTORY -DNAME=VALUE…: unless the folder has these settings already, also when somebody else configured it.
configure() {
    local directory=$1 generator=() setting fits=yes
    shift
    if ! cache_has "$directory" "CMAKE_HOME_DIRECTORY=$root"; then # new, or the tree was moved or copied
        rm -rf "$directory/CMakeCache.txt" "$directory/CMakeFiles"
        fits=no
    fi
    for setting in "$@"; do
        [ $fits = yes ] && cache_has "$directory" "${setting#-D}" || fits=no
    done
    [ $fits = no ] || return 0
    if [ ! -f "$directory/Makefile" ] && command -v ninja >/dev/null 2>&1; then generator=(-G Ninja); fi
    cmake -S "$root" -B "$directory" "${generator[@]}" "$@" >&2 || die "configuring $directory failed: see above"
}

# build DIRECTORY TARGET…: with no target, everything.
build() {
    local directory=$1 targets=()
    shift
    [ $# -eq 0 ] || targets=(--target "$@")
    cmake --build "$directory" -j "$jobs" "${targets[@]}" >&2 || die "building in $directory failed: see above"
}
