"""Statements, by what they do to the session of a real server. test_session_effects.py holds both sides to these lists.

Each line is one text; it runs on a connection of its own, in a transaction of its own that commits, unless it brings
one or PostgreSQL refuses it there. "-- since 17" keeps it off older servers. What a line leaves in the database must
not disturb the others.
"""

from __future__ import annotations

__all__ = ["CHANGING", "COUNTING", "DOUBTED", "HARMLESS", "HIDDEN", "READING", "SETUP"]

SETUP = """
create role alice;
create table t (id int primary key, n int, name text, doc jsonb, at timestamptz default now());
insert into t select i, i, 'name ' || i, '{"a": 1}', now() from generate_series(1, 10) i;
create table serials (id serial, n int);
create table identities (id int generated always as identity, n int);
create table parts (id int, n int) partition by range (id);
create table parts_1 partition of parts for values from (0) to (100);
create table archive (id int, n int, name text, doc jsonb, at timestamptz);
create table altered (id int, name text);
insert into altered values (1, 'a');
create sequence s;
grant select on sequence s to alice;
create type mood as enum ('sad', 'glad');
create type pair as (a int, b text);
create view v as select id, n from t;
create materialized view mv as select id, n from t;
create function add_one(int) returns int language sql immutable as 'select $1 + 1';
create function take_work_mem() returns text language sql as $$ select set_config('work_mem', '5MB', false) $$;
create function of_row(t) returns text language sql as $$ select set_config('work_mem', '5MB', false) $$;
create function on_row() returns trigger language plpgsql as $$
  begin perform set_config('work_mem', '5MB', false); return new; end $$;
create function on_event() returns event_trigger language plpgsql as 'begin end';
create procedure nothing() language sql as 'select 1';
create procedure hidden() language sql as $$ select set_config('work_mem', '5MB', false) $$;
create view hidden_setting as select set_config('work_mem', '5MB', false) as w;
create table hidden_default (id int, w text default take_work_mem());
create table hidden_trigger (id int);
create trigger on_row before insert on hidden_trigger for each row execute function on_row();
create domain hidden_domain as int check (take_work_mem() <> '');
create function same(int, int) returns boolean language sql as 'select $1 = $2';
create operator === (function = same, leftarg = int, rightarg = int);
create foreign data wrapper nobody;
create server nowhere foreign data wrapper nobody;
create publication everything for table t;
create text search configuration mine (copy = english);
create table droppable (id int);
create table truncatable (id int);
"""

# The session is another afterwards, and the analysis says so.
CHANGING = """
set work_mem = '5MB'
set session work_mem to '5MB'
SET WORK_MEM TO '5MB'
set "work_mem" = '5MB'
/* a comment */ set work_mem = '5MB' -- and another
explain analyze select set_config('work_mem', '5MB', false)
set time zone 'America/New_York'
set timezone = -7
set names 'LATIN1'
set client_encoding to latin1
set schema 'public'
set search_path = pg_temp, public
set search_path to public, pg_catalog
set xml option document
set role alice
set role to 'alice'
set session role alice
set local work_mem = '5MB'; set role alice
set session authorization alice
set session authorization 'alice'
set session characteristics as transaction read only
set session characteristics as transaction isolation level serializable, read only, deferrable
set default_transaction_read_only = on
set standard_conforming_strings = off
set seed to 0.5
set local seed to 0.5
select set_config('seed', '0.5', true)
select setseed(0.5)
set app.tenant = '5'
select set_config('app.tenant', '5', false)
select set_config('work_mem', '5MB', false)
select set_config('work_mem', '5MB', 'f')
select set_config('work_mem', '5MB', 1 = 2)
select set_config('work_mem', '5MB', id < 0) from t
select pg_catalog.set_config('work_mem', '5MB', false)
select "set_config"('work_mem', '5MB', false)
select U&"set\\005fconfig"('work_mem', '5MB', false)
select set_config (/* where? */ 'work_mem', '5MB', false)
select set_config('work_' || 'mem', '5MB', false)
select lower(upper(set_config('work_mem', '5MB', false)))
select (select (select set_config('work_mem', '5MB', false)))
select n from t where set_config('work_mem', '5MB', false) is not null
select n from t order by set_config('work_mem', '5MB', false)
select count(*) from t group by set_config('work_mem', '5MB', false)
select count(*) filter (where set_config('work_mem', '5MB', false) <> '') from t
select count(*) from t having set_config('work_mem', '5MB', false) <> ''
select n from t limit length(set_config('work_mem', '5MB', false))
select sum(n) over (partition by set_config('work_mem', '5MB', false)) from t
select * from set_config('work_mem', '5MB', false)
select * from rows from (set_config('work_mem', '5MB', false), generate_series(1, 2)) with ordinality
select * from t, lateral (select set_config('work_mem', '5MB', false)) x
select * from t join t u on set_config('work_mem', '5MB', false) <> ''
select distinct on (set_config('work_mem', '5MB', false)) n from t
select case when n > 0 then set_config('work_mem', '5MB', false) end from t
select array[set_config('work_mem', '5MB', false)]
select row(1, set_config('work_mem', '5MB', false))
select coalesce(null, set_config('work_mem', '5MB', false))
select greatest('', set_config('work_mem', '5MB', false))
select nullif('', set_config('work_mem', '5MB', false))
select (array['a', 'b'])[length(set_config('work_mem', '5MB', false))]
select set_config('work_mem', '5MB', false)::text collate "C"
select 1 where '5MB' in (set_config('work_mem', '5MB', false), '')
select 1 where '' < any (array[set_config('work_mem', '5MB', false)])
select 1 where not exists (select set_config('work_mem', '5MB', false) offset 5)
select 1 union all select length(set_config('work_mem', '5MB', false))
values (1), (length(set_config('work_mem', '5MB', false)))
with x as materialized (select set_config('work_mem', '5MB', false)) select * from x
with recursive x(i) as (select 1 union all select i + length(set_config('work_mem', '5MB', false)) from x where i < 5) \
select * from x
select n from t tablesample system (length(set_config('work_mem', '5MB', false)) * 10)
select json_object('a': set_config('work_mem', '5MB', false))
select json_array(set_config('work_mem', '5MB', false))
insert into archive (id, name) values (1, set_config('work_mem', '5MB', false))
insert into archive (id, name) select 2, set_config('work_mem', '5MB', false)
insert into archive (id) values (3) returning set_config('work_mem', '5MB', false)
insert into t (id) values (1) on conflict (id) do update set name = set_config('work_mem', '5MB', false)
update t set name = set_config('work_mem', '5MB', false) where id = 1
update t set (n, name) = (select 1, set_config('work_mem', '5MB', false)) where id = 1
delete from archive where set_config('work_mem', '5MB', false) = ''
merge into t using (values (1)) x (i) on t.id = x.i when matched and set_config('work_mem', '5MB', false) <> '' then \
do nothing
update pg_settings set setting = '5MB' where name = 'work_mem'
update pg_catalog.pg_settings p set setting = '5MB' where p.name = 'work_mem'
copy (select set_config('work_mem', '5MB', false)) to stdout
create table as_1 as select set_config('work_mem', '5MB', false)
select set_config('work_mem', '5MB', false) as w into as_2
create table part_2 partition of parts for values from (100) to (200 + length(set_config('work_mem', '5MB', false)))
alter table altered alter column name type text using set_config('work_mem', '5MB', false)
alter table altered add column extra int default length(set_config('work_mem', '5MB', false))
begin; set work_mem = '5MB'; commit
begin; set work_mem = '5MB'; savepoint a; rollback to a; commit
begin; savepoint a; set local work_mem = '4MB'; release a; set work_mem = '5MB'; end
select 1; set work_mem = '5MB'
select 1; select 2; ; select set_config('work_mem', '5MB', false);
prepare p as select 1
prepare p (int) as select $1
prepare p as select 1; execute p
explain select 1; prepare p as select 1
prepare p as select 1; create table as_3 as execute p
declare c cursor with hold for select 1
declare c scroll cursor with hold for select n from t
declare c binary insensitive no scroll cursor with hold for values (1)
create temp table temporary_1 (a int)
create temporary table temporary_1 (a int) on commit delete rows
create local temporary table temporary_1 (a int) on commit preserve rows
create global temp table temporary_1 (a int)
create temp table if not exists temporary_1 (a int)
create temp table temporary_1 (like t)
create temp table temporary_1 as select 1
create temp table temporary_1 as values (1) with no data
create table pg_temp.temporary_1 (a int)
create table "pg_temp".temporary_1 as select 1
create table U&"pg\\005ftemp".temporary_1 (a int)
create temp table temporary_1 (a int) on commit drop; create temp table temporary_2 (a int)
set local search_path = pg_temp, public; create table temporary_1 (a int)
set local search_path to 'pg_temp'; create type temporary_1 as enum ('a')
select set_config('search_path', 'pg_temp', true); create table temporary_1 (a int)
select set_config('search_path', concat('pg_te', 'mp'), true); create table temporary_1 (a int)
select 1 as a into temp temporary_1
select 1 as a into temporary table temporary_1
select 1 as a into pg_temp.temporary_1
create temp view temporary_1 as select 1
create or replace temporary view temporary_1 as select 1
create temp recursive view temporary_1 (a) as select 1
create view pg_temp.temporary_1 as select 1
create temp sequence temporary_1
create sequence pg_temp.temporary_1
create type pg_temp.temporary_1 as (a int)
create type pg_temp.temporary_1 as enum ('a')
create domain pg_temp.temporary_1 as int
create function pg_temp.temporary_1() returns int language sql as 'select 1'
select pg_advisory_lock(1)
select pg_advisory_lock(1, 2)
select pg_advisory_lock_shared(1)
select pg_try_advisory_lock(1)
select pg_try_advisory_lock_shared(1, 2)
select pg_advisory_lock(id) from t
listen news
listen "News"
do $$ begin perform set_config('work_mem', '5MB', false); end $$
do language plpgsql 'begin set work_mem = ''5MB''; end'
call hidden()
select take_work_mem()
select public.take_work_mem()
select * from take_work_mem()
select * from ts_stat('select to_tsvector(set_config(''work_mem'', ''5MB'', false))')
select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, set_config(''work_mem'', ''5MB'', false)::tsquery')
select of_row(t) from t
select * from pg_create_physical_replication_slot('temporary_1', false, true)
set local work_mem = '3MB'; select set_config('work_mem', '5MB', false)
""".replace("\\\n", "")

# Only what currval() and lastval() answer is another afterwards, and the analysis says so.
COUNTING = """
create materialized view mv_1 as select nextval('s')
select nextval('s')
select nextval('public.s'::regclass)
select setval('s', 5)
select setval('s', 5, true)
insert into archive (id) values (nextval('s'))
update t set n = nextval('s') where id = 1
insert into serials (n) values (5)
insert into identities (n) values (5)
copy serials (n) from program 'echo 5'
"""

# Nothing but a question for that, and the analysis says so. In a new session it is refused.
READING = """
select currval('s')
select lastval()
"""

# The session is as it was, and the analysis says so.
HARMLESS = """
select 1

;
 ; ;
-- nothing
select
select n from t where id = 5
SELECT n FROM t WHERE id = 5;
select * from t where name like '%x%' and n between 1 and 5 or id in (1, 2, 3)
select * from t where name ilike 'x' escape '#' and name similar to 'a' and name ~ 'b' and name !~* 'c'
select count(*), max(n), string_agg(name, ',' order by id) from t group by id having count(*) > 1
select "t"."id" from "public"."t" as "t" where ("t"."id" = 1)
select t.* from only t for update skip locked
select * from t for no key update of t nowait
select row_number() over (order by n), lag(n) over w from t window w as (order by id)
select now(), current_timestamp, current_date, localtime, current_user, session_user, current_schema, version()
select extract(year from at), at at time zone 'UTC', substring(name from 1 for 2), trim(name) from t
select doc -> 'a', doc ->> 'a', doc #> '{a}', doc @> '{}', doc ? 'a' from t
select cast(n as text), n::bigint, 'sad'::mood, date '2020-01-01', interval '1 day' from t
select coalesce(n, 0), nullif(n, 0), greatest(1, 2), case n when 1 then 2 else 3 end from t
select array[1, 2] || 3, (array[1, 2])[1], row(1, 2), (row(1, 'a')::pair).a
select random(), gen_random_uuid(), clock_timestamp(), md5('a'), pg_backend_pid()
select * from generate_series(1, 3) g, unnest(array[1]) with ordinality u (a, b)
select * from t tablesample bernoulli (10) repeatable (1)
select jsonb_agg(doc), json_build_object('a', 1), to_jsonb(t), row_to_json(t) from t group by t.*
select * from json_table('[1]', '$[*]' columns (a int path '$')) as x -- since 17
select to_tsvector('a b') @@ to_tsquery('a'), regexp_replace('a', 'b', 'c'), format('%s', 1), pg_typeof(1)
select set_config('work_mem', '5MB', true)
select pg_catalog.set_config('work_mem', '5MB', true)
select current_setting('work_mem'), current_setting('app.nothing', true)
select set_config('search_path', 'public', true)
select pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(2), pg_advisory_xact_lock_shared(3)
select pg_advisory_unlock_all()
select pg_notify('news', 'text')
select pg_export_snapshot()
select pg_current_xact_id(), txid_current(), pg_current_snapshot()
select lo_create(0)
select lo_open(lo_create(0), 131072)
select lo_from_bytea(0, 'abc')
select pg_sleep(0)
select pg_relation_size('t'), pg_table_is_visible('t'::regclass), obj_description('t'::regclass), to_regclass('t')
select pg_get_viewdef('v'), pg_get_functiondef('add_one'::regproc), format_type(23, -1)
select * from pg_settings where name = 'work_mem'
select * from pg_locks, pg_stat_activity limit 1
select * from information_schema.columns limit 1
select information_schema._pg_expandarray(array[1])
select pg_sequence_last_value('s'), last_value from s
select has_table_privilege('alice', 't', 'select')
select pg_is_in_recovery(), pg_current_wal_lsn()
select pg_cancel_backend(0)
select pg_stat_clear_snapshot()
select pg_terminate_backend(0)
select pg_logical_emit_message(true, 'a', 'b')
select pg_reload_conf()
select convert_from('abc'::bytea, 'UTF8')
table t
values (1, 2), (3, 4)
select 1 union select 2 intersect select 3 except select 4
with x as (select 1), y as (insert into archive (id) values (1) returning id) select * from x, y
with recursive x (i) as (select 1 union select i + 1 from x where i < 3) search depth first by i set o select * from x
insert into archive (id, n) values (1, 2), (3, 4) returning id
insert into archive default values
insert into t (id, n) values (1, 2) on conflict (id) do update set n = excluded.n where t.n > 0 returning *
insert into t (id) values (1) on conflict do nothing
insert into archive select id, n, name, doc, at from t
update t set n = n + 1 where id = 5
update t set n = x.n from t x where x.id = t.id and t.id = 1 returning t.*
delete from archive where id = 5
delete from archive using t where t.id = archive.id
merge into archive a using t on a.id = t.id when matched then update set n = t.n when not matched then \
insert (id) values (t.id)
begin
start transaction isolation level serializable read only
begin; set transaction isolation level repeatable read; select 1; commit and chain; rollback
begin; savepoint a; select 1; rollback to savepoint a; release a; end
begin; set local role alice; set local session authorization alice; commit
begin; set local work_mem = '5MB'; set local time zone 'UTC'; set local app.tenant = '5'; commit
begin; set local search_path = pg_catalog, public; set local search_path = public; create table in_path (a int); commit
begin; declare c cursor for select n from t; fetch 2 from c; move 1 in c; close c; commit
begin; declare c cursor for select n from t; commit
begin; set constraints all deferred; commit
begin; select pg_export_snapshot(); commit
begin; prepare transaction 'gone'
rollback prepared 'gone'
set local work_mem = '5MB'
set local work_mem to default
set transaction read only
set transaction isolation level serializable
rollback
abort
close all
unlisten *
unlisten news
notify news, 'text'
discard plans
discard temp
discard temporary
discard sequences
show work_mem
show all
show transaction isolation level
explain select 1
explain (analyze, format json) select n from t
explain analyze delete from archive
copy t to stdout
copy (select n from t) to stdout with (format csv)
copy t (id, n) to stdout
copy (insert into archive (id) values (5) returning id) to stdout
copy t to program 'cat > /dev/null'
lock table t in share mode
truncate truncatable
truncate truncatable restart identity cascade
vacuum t
vacuum (analyze) t
analyze t
analyze
reindex table t
cluster t using t_pkey
checkpoint
refresh materialized view mv
create temp table passing (a int primary key, b serial) on commit drop
create temp table passing on commit drop as select 1 as a
begin; create temp table passing (a int) on commit drop; insert into passing values (1); select * from passing; commit
create table made_2 (id int primary key, n int default 5 check (n > 0), at timestamptz default now())
create table made_3 (id serial, n int default nextval('s') check (add_one(n) > 0), w text default take_work_mem())
create table made_4 (id int generated by default as identity, n int generated always as (id + 1) stored)
create unlogged table made_5 as select n from t
create table part_3 partition of parts for values from (300) to (400)
select n into made_6 from t
alter table made_2 add column c int default 5, add check (c > 0)
alter table made_2 alter column n set default nextval('s')
alter table made_2 rename to made_7
alter table made_7 set schema pg_catalog; rollback
create index on t (lower(name)) where n > 0
create unique index concurrently t_n on t (id, n)
create view made_8 as select nextval('s'), take_work_mem()
create or replace recursive view made_9 (a) as select 1
create materialized view made_10 as select n from t
create sequence made_11 start 5
alter sequence made_11 restart with 7
create schema made_12 create table x (a int) create view y as select 1 as a create index on x (a)
create function made_13() returns int language plpgsql as 'begin perform nextval(''s''); return 1; end'
create function made_14() returns text language sql set work_mem = '5MB' return set_config('work_mem', '5MB', false)
create procedure made_15() begin atomic select set_config('work_mem', '5MB', false); end
alter function made_14() set work_mem = '6MB'
create trigger made_16 after insert on archive for each row when (new.id > 5) execute function on_row()
create rule made_17 as on delete to v do instead select set_config('work_mem', '5MB', false)
create policy made_18 on archive using (take_work_mem() = '')
alter policy made_18 on archive using (true)
create domain made_19 as int default 5 check (value > 0)
alter domain made_19 add check (value < 100)
create type made_20 as enum ('a', 'b')
alter type made_20 add value 'c'
create type made_21 as range (subtype = int)
create type made_22 as (a int)
create aggregate made_23 (int) (sfunc = int4pl, stype = int)
create operator |+| (function = int4pl, leftarg = int, rightarg = int)
create cast (mood as int) with inout
create statistics made_24 on id, n from t
create collation made_25 from "C"
create role made_26
alter role made_26 set work_mem = '5MB'
alter role made_26 nologin; grant alice to made_26; revoke alice from made_26
alter database template1 set work_mem = '5MB'; alter database template1 reset work_mem
alter system set work_mem = '4MB'
alter system reset work_mem
alter default privileges in schema public grant select on tables to alice
alter foreign table if exists nothing rename to nothing_2
create foreign table made_27 (a int default nextval('s')) server nowhere
create user mapping for alice server nowhere
create publication made_28 for table t where (id > 5)
create text search dictionary made_29 (template = simple)
alter text search configuration mine drop mapping if exists for word
create event trigger made_30 on ddl_command_end execute function on_event()
alter event trigger made_30 disable
create database made_31
drop database made_31
drop table if exists droppable, nothing cascade
drop function if exists nothing(int), made_13()
drop owned by made_26
grant select on t to alice
revoke all on t from alice
reassign owned by made_26 to alice
comment on table t is 'text'
alter table t replica identity full
alter table t enable row level security
""".replace("\\\n", "")

# The session is as it was, and the analysis can't tell, or does not try.
DOUBTED = """
this is no SQL
select 'unterminated
select 1; this is no SQL
do $$ begin perform 1; end $$
do 'begin end'
call nothing()
select add_one(1)
select public.add_one(n) from t
select nothing_of_this_name(1)
select 1 === 1
select 1 operator(public.===) 1
select n from t where id operator(public.===) 5
select query_to_xml('select 1', true, true, '')
select table_to_xml('t', true, true, '')
select set_config('work_mem', '5MB', 't'::boolean)
select set_config('work_' || 'mem', '5MB', true)
select set_config('search_path', 'pub' || 'lic', true)
select set_config(setting_name => 'work_mem', new_value => '5MB', is_local => true)
explain select set_config('work_mem', '5MB', false)
select xmlelement(name a, set_config('work_mem', '5MB', false))
with x as (update pg_settings set setting = '5MB' where name = 'work_mem' returning 1) select 1
create schema made_33 create table x (a int) create temp table y (a int)
set work_mem = '5MB'; reset work_mem
set work_mem from current
begin; set work_mem = '5MB'; rollback
set local standard_conforming_strings = off
set local "Standard_Conforming_Strings" = off
select set_config('standard_conforming_strings', 'off', true)
set local client_encoding = 'LATIN1'
set local names 'LATIN1'
set local search_path = public, pg_catalog
select set_config('search_path', 'public, "pg_catalog"', true)
select pg_advisory_lock(1); select pg_advisory_unlock(1)
listen news; unlisten news
listen news; rollback
create temp table gone (a int); drop table gone
select * from pg_temp.nothing
reset work_mem
reset all
reset role
reset time zone
reset session authorization
set work_mem to default
set role none
set session authorization default
set time zone local
deallocate all
deallocate nothing
discard all
execute nothing
load 'plpgsql'
create extension if not exists plpgsql
create conversion made_32 for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8
create language plpgsql
select uuidv7() -- since 18
"""

# Another session afterwards, of which the text has no word: the table, the type or the view has it in its definition.
# The analysis of a text can't see this; the catalogue will tell.
HIDDEN = """
select w from hidden_setting
insert into hidden_default (id) values (1)
insert into hidden_trigger values (1)
select 5::hidden_domain
select (t).of_row from t
select t.of_row from t
"""
