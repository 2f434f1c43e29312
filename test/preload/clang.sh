#!/bin/bash
# clang (a C++ program of a hundred megabytes, `operator new` throughout) compiles some thousand generated lines of C and C++; the
# objects are the same, byte for byte, and what it compiled runs.
source "$(dirname "$0")/lib.sh"
need clang clang
"$script_directory/generate-c.sh" 100 >input.c
"$script_directory/generate-cxx.sh" 20 >input.cc
cat >workload.sh <<'SH'
set -eu
clang -O2 -g -Wall -c ../input.c -o c.o
clang++ -O2 -std=c++17 -c ../input.cc -o cxx.o
clang -O2 c.o -o c-program
clang++ cxx.o -o cxx-program
./c-program
./cxx-program
SH
twice bash ../workload.sh
same_file c.o cxx.o c-program cxx-program
under_moat 'clang.*' c-program cxx-program
passed
