#!/bin/bash
# mariadb: a new data directory, then a server on a Unix socket with clients that write and read at
# once: transactions, sorts and temporary tables in memory, blobs, stored functions, a connection
# for each query, one that is killed, a restart.
source "$(dirname "$0")/lib.sh"
need mariadbd mariadb-server-core
need mariadb-install-db mariadb-server-core
need mariadb mariadb-client-core
limit=90
cat >queries.sql <<'SQL'
create table items (id int primary key, name varchar(400), data json, picture mediumblob,
    key (name)) engine=innodb;
insert into items select seq, repeat(md5(seq), seq % 9),
    json_object('n', seq, 'list', json_array(seq, seq * 2)),
    if(seq % 1000, null, repeat(char(65 + seq % 26), 3000000))
    from seq_1_to_8000;
select count(*), sum(length(name)), sum(length(picture)) from items;
set group_concat_max_len = 100000000;
select md5(group_concat(name order by reverse(name), id)) from items;
select json_value(data, '$.n') % 13 as n, count(distinct name) from items group by n order by n;
select count(*) from items a join items b on a.id = b.id * 2 where a.name <> b.name;
select md5(group_concat(regexp_replace(name, '([0-9])([a-f])', '\\2\\1') order by id))
    from items;
with recursive steps(n, s) as (select 1, cast('a' as char(10000)) union all
    select n + 1, concat(s, n) from steps where n < 900) select max(length(s)) from steps;
create table copy engine=aria select id, name from items;
alter table copy add column twice text as (concat(name, name)) persistent, add index (name);
select count(*), sum(length(twice)) from copy;
delimiter //
create function steps(n int) returns int deterministic
begin declare t int default 0; while n > 0 do set t = t + n, n = n - 1; end while; return t; end//
create procedure load_some(who int)
begin
    declare i int default 0;
    while i < 60 do
        start transaction;
        insert into items values
            (100000 + who * 1000 + i, repeat(who, i), null, repeat('p', i * 1000));
        update counters set n = n + 1 where id = i % 5;
        if i % 10 = 9 then rollback; else commit; end if;
        set i = i + 1;
    end while;
end//
delimiter ;
select steps(10000);
create table counters (id int primary key, n int) engine=innodb;
insert into counters values (0, 0), (1, 0), (2, 0), (3, 0), (4, 0);
SQL
cat >workload.sh <<'SH'
source ../server.sh
socket=$PWD/mariadb.sock
# files are not flushed: what is asked of the disk is not what is tested
options=(--no-defaults "--datadir=$PWD/data" --innodb-log-file-size=8M --debug-no-sync)
if [ "$(id -u)" = 0 ]; then options+=(--user=root); fi
sql() { mariadb --no-defaults --user=root --socket="$socket" -N -B "$@"; }
begin() {
    start server.log mariadbd "${options[@]}" --socket="$socket" --skip-networking \
        --pid-file="$PWD/pid" --innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size=32M \
        --max-allowed-packet=64M
    wait_until answering sql -e 'select 1'
}
mariadb-install-db "${options[@]}" --auth-root-authentication-method=normal --skip-test-db \
    --skip-name-resolve >install.log 2>&1 || { cat install.log >&2 && exit 1; }
begin
sql -e 'create database work'
sql work <../queries.sql
clients=()
for who in 1 2 3 4 5 6 7 8; do
    sql work -e "call load_some($who); select count(*) from items where name = repeat($who, 7)" \
        >"client.$who" 2>&1 &
    clients+=($!)
done
for i in $(seq 20); do sql work -e 'select count(*) from copy'; done | sort | uniq -c
wait "${clients[@]}"
sort client.* | uniq -c
sql work -e 'select sum(n), count(*) from counters'
sql work -e 'select sum(length(picture)) from items where id >= 100000'
sql work -e 'select sleep(60)' >sleeper 2>&1 &
clients=($!)
sleeping="select id from information_schema.processlist
    where info like '%sleep(60)' and id <> connection_id()"
has_one() { [ -n "$(sql -e "$sleeping")" ]; }
wait_until "asleep" has_one
sql -e "kill $(sql -e "$sleeping" | head -n 1)"
wait "${clients[@]}" || echo "the sleeper was killed"
sql work -e "select id, hex(name), hex(picture) from items where id > 100000" | sort -n | sha256sum
stop
begin
sql work -e 'check table items, copy'
sql work -e 'select count(*), sum(length(name)), sum(length(picture)) from items'
sql work -e 'drop database work; show databases'
stop
grep -iE 'got signal|assertion|corrupt' server.log || :
SH
twice bash ../workload.sh
printed "432	5" "the sleeper was killed" "ended cleanly" "50005000" "mysql"
under_moat mariadbd mariadb
passed
