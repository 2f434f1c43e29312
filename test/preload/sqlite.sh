#!/bin/bash
# sqlite3: 100 000 rows loaded from text, indexed, changed, joined, rolled back and dumped.
source "$(dirname "$0")/lib.sh"
need sqlite3 sqlite3
awk 'BEGIN { for (i = 1; i <= 100000; i++) {
    x = (x * 16807 + 11) % 2147483647
    printf "%d|name%d|%d|%.3f\n", i, x % 5000, x % 997, x / 1000 } }' \
    >rows.txt
cat >work.sql <<'SQL'
.bail on
pragma page_size = 4096;
pragma cache_size = -8000;
create table item (id integer primary key, name text, class int, price real);
.mode list
.separator |
.import ../rows.txt item
create index by_name on item (name, class);
create index by_class on item (class, price);
select count(*), count(distinct name), sum(class), printf('%.2f', sum(price)) from item;
select class, count(*), printf('%.3f', max(price)) from item group by class order by 2 desc, 1 limit 8;
create table class (class int primary key, label text);
insert into class select distinct class, 'label ' || class || substr(name, 1, 6) from item group by class;
select label, count(*) from item join class using (class) where name like 'name12%' group by label order by 2 desc, 1 limit 8;
begin;
delete from item where id % 3 = 0;
update item set name = name || '-' || upper(name) where id % 5 = 0;
select count(*), sum(length(name)) from item;
rollback;
delete from item where id % 7 = 0;
select group_concat(name, ',') from (select name from item where class = 5 order by id limit 40);
with recursive walk(n, text) as (
    select 1, 'a' union all select n + 1, text || 'b' from walk where n < 800)
select count(*), max(length(text)) from walk;
select json_group_array(json_object('id', id, 'name', name)) from (select * from item where class = 7 order by id limit 20);
vacuum;
pragma integrity_check;
SQL
cat >workload.sh <<'SH'
set -eu
sqlite3 items.db <../work.sql
sqlite3 items.db .dump >dump.sql
sqlite3 again.db <dump.sql
sqlite3 again.db 'select count(*) from item'
SH
twice bash ../workload.sh
same_file dump.sql
printed ok "85715"
under_moat sqlite3
passed
