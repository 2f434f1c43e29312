#!/bin/bash
# bash: arrays, strings, substitutions, subshells by the hundred, pipelines, coprocesses, traps and signals.
source "$(dirname "$0")/lib.sh"
cat >workload.sh <<'SH'
set -u
declare -A map
for i in {1..8000}; do map[key$((i * 7919 % 8009))]="value $i"; done
echo "${#map[@]} ${map[key17]}"
for i in {1..8000..3}; do unset "map[key$i]"; done
echo "${#map[@]}"
list=()
for i in {1..6000}; do list+=("item $i" "${i}${i}"); done
echo "${#list[@]} ${list[@]: -3} $(printf '%s\n' "${list[@]}" | md5sum)"
text=""
for i in {1..3000}; do text+="$i,"; done
echo "${#text} ${text//1/one}" | md5sum
for i in {1..150}; do n=$(echo "$((i * i))" | { read -r x; echo "$((x + 1))"; }); total=$((${total:-0} + n)); done
echo "$total"
coproc { while read -r line; do echo "got ${line^^}"; done; }
helper=$COPROC_PID # bash forgets it as soon as it has seen the coprocess end
for word in one two three; do echo "$word" >&"${COPROC[1]}"; read -r -u "${COPROC[0]}" answer; echo "$answer"; done
eval "exec ${COPROC[1]}>&-"
wait "$helper" 2>/dev/null
hits=0
trap 'hits=$((hits + 1)); junk=$(printf "%01000d" 5)' USR1
for i in {1..40}; do kill -USR1 $$; done
echo "hits $hits ${#junk}"
diff <(printf '%s\n' {1..500}) <(seq 500) && echo same
mapfile -t lines < <(seq 1 20000)
echo "${#lines[@]} ${lines[19999]}"
f() { local depth=$1; if ((depth == 0)); then echo bottom; else f $((depth - 1)); fi; }
f 500
(exec 2>/dev/null; kill -TERM $BASHPID)
echo "status $?"
SH
twice bash ../workload.sh
printed bottom same "status 143" "hits 40 1000"
under_moat bash
passed
