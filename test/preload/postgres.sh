#!/bin/bash
# postgres on a Unix socket: a new cluster, pgbench with a process for each client, sorts and hashes
# in memory, parallel workers, procedures, a dump that is read back, a backend that is cancelled, a
# restart. It refuses to run as root: there its own user runs it.
source "$(dirname "$0")/lib.sh"
need /usr/lib/postgresql postgresql
limit=90
bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
need "$bin/pgbench" postgresql
cat >queries.sql <<'SQL'
create table items (id int primary key, name text, tags text[], data jsonb);
insert into items select i, repeat(md5(i::text), i % 9), array[i % 7, i % 11]::text[],
    jsonb_build_object('n', i, 'list', array[i, i * 2]) from generate_series(1, 8000) i;
create index on items using gin (data);
create index on items (name);
analyze items;
select count(*), sum(length(name)), md5(string_agg(name, ',' order by id)) from items;
set work_mem = '64MB';
select md5(string_agg(t, '')) from (select name || id as t from items order by reverse(name), id) s;
set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
set min_parallel_table_scan_size = 0;
select count(*) from items a join items b on a.id = b.id * 2 where a.name <> b.name;
select tags[1], count(distinct name) from items group by 1 order by 1;
select count(*) from items where data @> '{"n": 77}';
select md5(string_agg(regexp_replace(name, '([0-9])([a-f])', '\2\1', 'g'), '' order by id))
    from items;
do $$ declare total bigint := 0; row record; begin
    for row in select data from items order by id loop
        total := total + (row.data->'list'->>1)::int;
    end loop;
    raise notice 'total %', total;
end $$;
with recursive steps(n, s) as
    (select 1, 'a' union all select n + 1, s || n from steps where n < 2000)
    select max(length(s)) from steps;
select octet_length(repeat('x', 100000000));
set statement_timeout = '300ms';
select count(*) from generate_series(1, 1000000000);
SQL
cat >workload.sh <<'SH'
source ../server.sh
here=$PWD
export PGHOST=$here PGUSER=tester PGDATABASE=postgres
sql() { psql -X -q -A -t -v ON_ERROR_STOP=0 "$@"; }
begin() {
    start server.log postgres -D data -k "$here" -c listen_addresses= -c fsync=off \
        -c shared_buffers=32MB -c logging_collector=off -c max_connections=40
    wait_until "accepting connections" pg_isready
}
initdb -D data -U tester -A trust -E UTF8 --locale=C --no-sync >initdb.log 2>&1 ||
    { cat initdb.log >&2 && exit 1; }
begin
sql -f ../queries.sql
pgbench -i -q -s 2 2>/dev/null
pgbench -c 8 -j 2 -t 150 -n 2>/dev/null | grep -E '^number of (transactions actually|failed)'
pgbench -C -c 4 -t 15 -n -S 2>/dev/null | grep -E '^number of transactions actually'
sql -c 'select count(*), sum(delta) = (select sum(abalance) from pgbench_accounts)
    from pgbench_history'
pg_dump items_copy >/dev/null 2>&1 || echo "no such database"
sql -c 'create database copy'
pg_dump -t items postgres | psql -X -q -d copy >/dev/null
sql -d copy -c 'select count(*), sum(length(name)) from items'
stop INT
begin
sql -c 'select count(*), sum(length(name)) from items'
stop TERM
grep -E 'terminated by signal|PANIC|FATAL: .*memory' server.log || :
SH
chmod 755 workload.sh
export PATH=$bin:$PATH
as_user postgres
twice bash ../workload.sh
printed "number of transactions actually processed: 1200/1200" \
    "number of transactions actually processed: 60/60" "1200|t" "8000|1024128" \
    "no such database" "ended cleanly"
under_moat postgres pgbench psql initdb pg_dump
passed
