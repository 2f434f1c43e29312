#!/bin/bash
# sshd and its clients: keys of three kinds, then 20 logins, several of them at once, each a process
# of its own that the server forks and executes anew, in its sandbox; commands, a file each way by
# scp and sftp, a key that is refused.
source "$(dirname "$0")/lib.sh"
need /usr/sbin/sshd openssh-server
need ssh openssh-client
need python3 python3
limit=60
cat >workload.sh <<'SH'
source ../server.sh
here=$PWD
for name in host.ed25519 host.ecdsa key.ed25519 key.ecdsa refused.ed25519; do
    ssh-keygen -q -t "${name#*.}" -N '' -f "$name"
done
ssh-keygen -q -t rsa -b 2048 -N '' -f key.rsa
cat key.*.pub >authorized
cat >config <<CONFIG
ListenAddress 127.0.0.1
HostKey $here/host.ed25519
HostKey $here/host.ecdsa
AuthorizedKeysFile $here/authorized
PidFile none
StrictModes no
UsePAM $PAM
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
PrintMotd no
Subsystem sftp internal-sftp
CONFIG
# Not the settings of whoever runs the test; and the sessions have the library too.
echo "SetEnv HOME=$HOME ${LD_PRELOAD:+LD_PRELOAD=$LD_PRELOAD}" >>config
start_on_port server.log /usr/sbin/sshd -D -e -f "$here/config" -p PORT
cat >client.conf <<CONFIG
Host there
HostName 127.0.0.1
Port $port
User $(id -un)
BatchMode yes
StrictHostKeyChecking no
UserKnownHostsFile $here/known
GlobalKnownHostsFile /dev/null
IdentitiesOnly yes
LogLevel ERROR
CONFIG
there() { ssh -F client.conf "$@"; }
# 18 logins, six at once
for round in 1 2 3; do
    logins=()
    for kind in ed25519 ecdsa rsa; do
        there -i "key.$kind" there "echo login $round $kind; head -c 2000000 /dev/zero | md5sum" \
            >"login.$kind" &
        logins+=($!)
        head -c 1000000 /dev/zero |
            there -C -c aes256-gcm@openssh.com -i "key.$kind" there md5sum >"back.$kind" &
        logins+=($!)
    done
    for one in "${logins[@]}"; do wait "$one"; done
    cat login.* back.*
done
head -c 3000000 "$BIG" >sent
scp -q -F client.conf -i key.rsa sent "there:$here/received"
cat >batch <<BATCH
cd $here
rename received moved
mkdir folder
put sent folder/again
get folder/again back
ls folder
BATCH
sftp -q -F client.conf -i key.ecdsa -b batch there | grep -v '^sftp>'
cmp sent moved && cmp sent back && echo "same files"
there -i refused.ed25519 there echo never || echo "refused $?"
there -i key.ed25519 there 'exit 7' || echo "status $?"
stop
grep -ciE 'fatal|segmentation|signal' server.log || :
SH
export BIG=/usr/sbin/sshd PAM=no
# Whose password is locked gets in by way of PAM alone, which runs programs without an environment.
if [ "$(id -u)" = 0 ] && getent shadow "$(id -un)" | grep -q '^[^:]*:!'; then
    PAM=yes may_run_without="dash run-parts uname unix_chkpwd"
fi
# As root it wants the folder that Debian's service makes for it at its start.
if [ "$(id -u)" = 0 ] && [ ! -d /run/sshd ]; then
    mkdir -m 755 /run/sshd
    clean_up() { rmdir /run/sshd; }
fi
twice bash ../workload.sh
printed "login 3 rsa" "same files" "refused 255" "status 7" "ended cleanly"
under_moat sshd ssh ssh-keygen scp sftp
passed
