#!/bin/bash
# package.sh BUILD CMAKE: the Debian package is made, and holds what an installation does.
set -euo pipefail
build=$1 cpack=$(dirname -- "$2")/cpack
command -v dpkg-deb >/dev/null || { echo "SKIP: dpkg-deb is not here: no Debian package can be looked into" && exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$build" && "$cpack" -G DEB -B "$work") >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }
package=$(find "$work" -maxdepth 1 -name 'moat_*.deb')
[ -n "$package" ] || { echo "FAIL: cpack made no package" && cat "$work/log" && exit 1; }
dpkg-deb -x "$package" "$work/unpacked"
dpkg-deb -f "$package" Package Version Architecture Depends
for name in bin/moat-run bin/moat-report 'man*/moat-report.1*' 'lib*/libmoat.so' 'lib*/libmoat.so.*' 'lib*/libmoat.a' 'lib*/moat.o' include/moat.h '*/moat.pc' \
    '*/moat-config.cmake' '*/LICENSE'; do
    [ -n "$(find "$work/unpacked/usr" -path "*/$name" -print -quit)" ] || { echo "FAIL: not in the package: $name" && exit 1; }
done
dpkg-deb -f "$package" Depends | grep libc6 >/dev/null || { echo "FAIL: the package does not depend on the C library" && exit 1; }
# as unpacked, it runs
"$(find "$work/unpacked" -name moat-run)" grep -c libmoat /proc/self/maps
