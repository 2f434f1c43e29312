#!/bin/bash
# vsftpd: a process for each session, forked by a bare system call, which limits its own address
# space, drops its rights and goes into its sandbox; many sessions at once that write, list, read,
# rename and delete.
source "$(dirname "$0")/lib.sh"
need vsftpd vsftpd
need python3 python3
limit=60
cat >client.py <<'PY'
import ftplib, hashlib, io, os, sys, threading

def connect():
    ftp = ftplib.FTP(timeout=30)
    ftp.connect("127.0.0.1", int(sys.argv[1]))
    ftp.login("anonymous", "nobody@example.org")
    ftp.cwd("files")
    return ftp

wrong = []

def session(name):
    try:
        with connect() as ftp:
            for i in range(5):
                data = (f"{name}{i}," * 200000)[: i * 150001].encode()
                ftp.storbinary(f"STOR {name}.{i}", io.BytesIO(data))
                back = io.BytesIO()
                ftp.retrbinary(f"RETR {name}.{i}", back.write)
                rest = io.BytesIO()
                ftp.retrbinary(f"RETR {name}.{i}", rest.write, rest=len(data) // 3)
                if back.getvalue() != data or rest.getvalue() != data[len(data) // 3 :]:
                    wrong.append(f"{name}.{i}")
            ftp.mkd(f"{name}.folder")
            ftp.rename(f"{name}.1", f"{name}.folder/moved")
            ftp.delete(f"{name}.2")
            if sorted(ftp.nlst(f"{name}.folder")) != [f"{name}.folder/moved"]:
                wrong.append(f"{name}.folder")
    except Exception as error:
        wrong.append(f"{name}: {error!r}")

threads = [threading.Thread(target=session, args=(f"s{i}",)) for i in range(10)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("wrong:", wrong)
with connect() as ftp:
    for i in range(200):
        ftp.mkd(f"folder-{i:03}-" + "x" * (i % 100))
    lines = []
    ftp.retrlines("LIST", lines.append)
    print("listed:", len(lines))
    names = sorted(ftp.nlst())
    print(len(names), hashlib.sha256("\n".join(names).encode()).hexdigest())
    for answer in ("SIZE s3.3", "STAT nothing", "SITE HELP"):
        try:
            print(ftp.sendcmd(answer).splitlines()[0])
        except ftplib.error_perm as error:
            print(error)
logins = 0
for i in range(20):
    with connect() as ftp:
        logins += ftp.pwd().endswith("/files")
print("sessions:", logins)
PY
cat >workload.sh <<'SH'
source ../server.sh
here=$PWD
mkdir -p root/files empty
chmod 755 . root empty
cat >config <<CONFIG
listen=YES
listen_address=127.0.0.1
background=NO
anonymous_enable=YES
local_enable=NO
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_umask=022
anon_world_readable_only=NO
anon_root=$here/root
secure_chroot_dir=$here/empty
xferlog_enable=YES
vsftpd_log_file=$here/xferlog
max_clients=50
CONFIG
if [ "$(id -u)" = 0 ]; then chown ftp root/files; else echo run_as_launching_user=YES >>config; fi
start_on_port server.log vsftpd config -olisten_port=PORT
python3 ../client.py "$port"
find root -type f -exec sha256sum {} + | sort
grep -c 'OK UPLOAD' xferlog
stop TERM 143
cat server.log >&2
SH
if [ "$(id -u)" = 0 ]; then chmod 711 .; fi
twice bash ../workload.sh
printed "wrong: []" "listed: 240" "sessions: 20" "50" "ended cleanly"
under_moat vsftpd
passed
