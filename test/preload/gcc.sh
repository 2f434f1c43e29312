#!/bin/bash
# gcc and g++ compile, assemble and link some thousand generated lines; the objects and programs are the same, byte for byte.
source "$(dirname "$0")/lib.sh"
need gcc gcc
need g++ g++
"$script_directory/generate-c.sh" 100 >input.c
"$script_directory/generate-cxx.sh" 20 >input.cc
cat >workload.sh <<'SH'
set -eu
gcc -O2 -g -Wall -c ../input.c -o c.o
g++ -O2 -std=c++17 -c ../input.cc -o cxx.o
gcc -O2 c.o -o c-program
g++ -O1 cxx.o -o cxx-program
./c-program
./cxx-program
SH
twice bash ../workload.sh
same_file c.o cxx.o c-program cxx-program
under_moat cc1 cc1plus '.*as' '.*ld.*' collect2 c-program cxx-program
passed
