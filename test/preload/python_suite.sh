#!/bin/bash
# python_suite.sh MODULE: one module of python3's own tests, with python's own allocator switched off. Each single test must end
# as it does without the preload.
source "$(dirname "$0")/lib.sh"
module=${1:?usage: python_suite.sh MODULE}
test_name=$module
need /usr/bin/python3 python3
version=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
/usr/bin/python3 -c "import test.$module" 2>/dev/null ||
    skip "python's test.$module is not here (Debian package libpython$version-testsuite)"
# Verdicts only, in one order: times vary, and what forked children and threads print comes in any order.
normalise() {
    sed -nE -e 's/^(Ran [0-9]+ tests?) in .*/\1/p' -e 's/^(OK|FAILED)( .*)?$/&/p' \
        -e 's/^(test[A-Za-z0-9_]+ \([A-Za-z0-9_.]+\)).* \.\.\. /\1 ... /p' | sed -E 's/(\.\.\. skipped) .*/\1/' | sort
}
export PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1
twice /usr/bin/python3 -m unittest -v "test.$module"
# unittest writes to standard error.
grep -qE '^OK' moat.stderr || fail "the module did not end with OK: $(tail -n 1 moat.err)"
tests=$(sed -nE 's/^Ran ([0-9]+) tests?/\1/p' moat.stderr)
[ "${tests:-0}" -ge 1 ] || fail "the module ran no tests"
under_moat 'python3\..*'
echo "$tests tests"
passed
