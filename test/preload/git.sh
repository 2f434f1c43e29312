#!/bin/bash
# git: a repository with history, branches and merges is made, cloned, repacked with threads and checked.
source "$(dirname "$0")/lib.sh"
need git git
cat >workload.sh <<'SH'
set -eu
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
git init -q -b main origin
cd origin
git config gc.auto 0
git config pack.threads 2
commit() {
    GIT_AUTHOR_DATE="@$1 +0000" GIT_COMMITTER_DATE="@$1 +0000" git commit -q -m "change $1"
}
for i in $(seq 1 30); do
    mkdir -p "d$((i % 5))"
    awk -v n="$i" 'BEGIN { for (l = 0; l < 400; l++) print n * 7919 % (l + 3), "line", l, (l % n) }' >"d$((i % 5))/f$((i % 12))"
    git add -A
    commit $((1000000000 + i))
done
git branch side HEAD~9
git checkout -q side
for i in $(seq 31 36); do
    echo "side $i" >"side$i"
    git add -A
    commit $((1000000000 + i))
done
git checkout -q main
GIT_AUTHOR_DATE="@1000000099 +0000" GIT_COMMITTER_DATE="@1000000099 +0000" git merge -q -m merge side
git tag -m v1 v1
cd ..
git clone -q --no-local origin clone
cd clone
git config pack.threads 2
git gc -q --aggressive --prune=now
git fsck --full --strict
git log --format='%H %s' --date-order
git rev-list --objects --all | sort | sha256sum
git cat-file --batch-all-objects --batch-check | sha256sum
git count-objects -v | grep -E '^(count|in-pack|packs|garbage)'
git diff --stat v1~3 v1
git blame d1/f1 | sha256sum
git grep -c line
git archive HEAD | sha256sum
git bundle create -q ../all.bundle --all
git clone -q ../all.bundle ../third
git -C ../third rev-parse HEAD
SH
# The tag carries a time too: the committer's.
export GIT_COMMITTER_DATE="@1000000100 +0000"
twice bash ../workload.sh
printed "packs: 1" "garbage: 0"
under_moat git
passed
