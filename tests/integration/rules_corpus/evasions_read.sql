--! plain | secret
select value from vault.secret
--! star | secret
select * from vault.secret
--! table command | secret
table vault.secret
--! table with order and limit | secret
table vault.secret order by 1 limit 1
--! only | secret
select value from only vault.secret
--! descendants star | secret
select value from vault.secret *
--! upper case | secret
SELECT VALUE FROM VAULT.SECRET
--! quoted | secret
select "value" from "vault"."secret"
--! unicode escapes | secret
select value from U&"\0076ault".U&"secre\0074"
--! unicode escapes with another escape character | secret
select value from U&"!0076ault" uescape '!' . secret
--! comments between | secret
select/**/value/*x*/from/*/*nested*/*/vault/**/./**/secret
--! line comments | secret
select value -- vault
from -- public.orders
vault.secret
--! strange white space | secret
select	value
from
 vault.secret
--! semicolon in front | secret
;;select value from vault.secret;
--! with the database | secret
select value from world.vault.secret
--! alias of a harmless name | secret
select orders.value from vault.secret as orders
--! alias columns | secret
select o.b from vault.secret as o(a, b)
--! second statement | secret
select 1; select value from vault.secret
--! third of three | secret
select 1; select 2; select value from vault.secret
--! before an error | secret
select value from vault.secret; select 1/0
--! after begin and set | secret
begin; set local work_mem = '1MB'; select value from vault.secret; commit
--! subquery in the target list | secret
select (select value from vault.secret limit 1)
--! subquery in from | secret
select x.value from (select * from vault.secret) x
--! lateral subquery | secret
select v.value from public.orders o, lateral (select s.value from vault.secret s where s.id = o.id) v
--! left join | secret
select s.value from public.orders o left join vault.secret s on s.id = o.id
--! cross join | secret
select s.value from public.orders o cross join vault.secret s
--! natural join | secret
select value from public.orders natural join vault.secret
--! join using | secret
select value from public.orders join vault.secret using (id)
--! parenthesized join with alias | secret
select j.value from (public.orders o join vault.secret s using (id)) as j
--! full join of secret with itself | secret
select coalesce(a.value, b.value) from vault.secret a full join vault.secret b using (id)
--! array of subquery | secret
select array(select value from vault.secret)
--! row of subquery | secret
select row((select value from vault.secret limit 1))::text
--! exists in case | secret
select case when exists (select 1 from vault.secret where value like 'canary-7f3a') then 'canary-7f3a' end
--! in subquery | secret
select x from (values ('canary-7f3a'), ('b')) v(x) where x in (select value from vault.secret)
--! any subquery | secret
select x from (values ('canary-7f3a'), ('b')) v(x) where x = any (select value from vault.secret)
--! all subquery | secret
select x from (values ('canary-7f3a')) v(x) where x >= all (select value from vault.secret)
--! scalar comparison | secret
select x from (values ('canary-7f3a')) v(x) where x = (select min(value) from vault.secret)
--! subquery in having | secret
select 'canary-7f3a' from public.orders having count(*) > (select count(*) from vault.secret)
--! subquery in order by | secret
select v from (values ('canary-7f3a')) t(v) order by (select value from vault.secret limit 1)
--! subquery in limit | secret
select 'canary-7f3a' from public.orders limit (select count(*) from vault.secret)
--! subquery in offset | secret
select 'canary-7f3a' from public.orders offset (select count(*) - 3 from vault.secret)
--! subquery in group by | secret
select max((select value from vault.secret limit 1)) from public.orders group by (select value from vault.secret limit 1)
--! subquery in a window | secret
select first_value((select value from vault.secret limit 1)) over (order by id) from public.orders
--! subquery in a filter | secret
select count(*) filter (where exists (select from vault.secret)), 'canary-7f3a' from public.orders
--! subquery in values | secret
values ((select value from vault.secret limit 1))
--! subquery as function argument | secret
select upper((select value from vault.secret limit 1)), lower((select value from vault.secret limit 1))
--! subquery in a table function | secret
select * from unnest(array(select value from vault.secret)) x
--! rows from | secret
select * from rows from (unnest(array(select value from vault.secret)), generate_series(1, 3)) as t(a, b)
--! xmltable | xml
select x.* from xmltable('/r' passing (select xmlelement(name r, value) from vault.secret limit 1) columns v text path '.') x
--! subscript | secret
select (array(select value from vault.secret))[1]
--! coalesce and nullif | secret
select coalesce(null, nullif((select value from vault.secret limit 1), ''))
--! greatest | secret
select greatest('a', (select value from vault.secret limit 1))
--! is distinct from | secret
select 'canary-7f3a' where (select value from vault.secret limit 1) is distinct from 'x'
--! union all | secret
select 'x' union all select value from vault.secret
--! intersect | secret
select value from vault.secret intersect select 'canary-7f3a'
--! except | secret
select value from vault.secret except select 'x'
--! union in the middle of five | secret
select '1' union select '2' union select value from vault.secret union select '4' union select '5'
--! union in parentheses | secret
(select 'x') union ((select value from vault.secret))
--! cte | secret
with q as (select value from vault.secret) select * from q
--! cte in a cte | secret
with a as (with b as (select value from vault.secret) select * from b) select * from a
--! cte that is not used by name of a table | secret
with orders as (select value from vault.secret) select * from orders
--! recursive cte | secret
with recursive r(n, v) as (select 1, (select max(value) from vault.secret) union all select n + 1, v from r where n < 3) select * from r
--! materialized cte | secret
with q as materialized (select value from vault.secret) select count(*), max(value) from q
--! cte named secret that reads the other one | secret
with secret as (select * from vault.secret) select * from secret
--! cte does not hide a qualified name | secret
with secret as (select 1 as value) select s.value::text from vault.secret s
--! tablesample | secret
select value from vault.secret tablesample system (100)
--! for update | secret
select value from vault.secret for update
--! for share of another | secret
select s.value from vault.secret s, public.orders o for share of o
--! into a temporary table | secret
select value into temp stolen from vault.secret
--;
select * from stolen
--! create table as | secret
create temp table stolen as select value from vault.secret
--;
table stolen
--! create table as table | secret
create table public.stolen as table vault.secret
--;
select * from public.stolen
--! create materialized view | secret
create materialized view public.stolen as select value from vault.secret
--;
select * from public.stolen
--! create view | secret
create view public.stolen as select value from vault.secret
--;
select * from public.stolen
--! create temporary view | secret
create or replace temp view orders as select value from vault.secret
--;
select * from orders
--! create recursive view | secret
create recursive view public.stolen (v) as select value from vault.secret
--;
select * from public.stolen
--! view within create schema | secret
create schema stolen create view v as select value from vault.secret
--;
select * from stolen.v
--! insert select returning | secret
insert into public.people (id, name) select 80 + id, value from vault.secret returning name
--! insert values with subquery | secret
insert into public.people values (7, (select max(value) from vault.secret)) returning name
--! insert returning subquery | secret
insert into public.people values (8) returning (select max(value) from vault.secret)
--! on conflict set | secret
insert into public.people (id, name) values (1, '') on conflict (id) do update set name = (select max(value) from vault.secret) returning name
--! on conflict where | secret
insert into public.people (id, name) values (1, '') on conflict (id) do update set name = 'canary-7f3a' where exists (select from vault.secret) returning name
--! update set subquery | secret
update public.people set name = (select max(value) from vault.secret) where id = 1 returning name
--! update set row | secret
update public.people set (name, secret) = (select value, value from vault.secret limit 1) where id = 1 returning name
--! update from | secret
update public.people p set name = s.value from vault.secret s where s.id = p.id returning p.name
--! delete using | secret
delete from public.people p using vault.secret s where s.id = p.id returning s.value
--! delete where in | secret
delete from public.people where name not in (select value from vault.secret) returning 'canary-7f3a'
--! merge using | secret
merge into public.people p using vault.secret s on p.id = s.id when matched then update set name = s.value
--;
select name from public.people
--! merge with a subquery in an action | secret
merge into public.people p using public.orders o on p.id = o.id when matched then update set name = (select max(value) from vault.secret)
--;
select name from public.people
--! data modifying cte | secret
with n as (insert into public.people (id, name) select 50 + id, value from vault.secret returning name) select * from n
--! explain analyze of a leaking error | secret
explain analyze select value::int from vault.secret
--! error that tells | secret
select value::int from vault.secret
--! error of a cast in where | secret
select 1 from vault.secret where value::date < now()
--! prepare and execute | secret
prepare p as select value from vault.secret
--;
execute p
--! prepare with parameters | secret
prepare p(int) as select value from vault.secret where id = $1
--;
execute p(1)
--! explain execute | secret
prepare p as select value::int from vault.secret
--;
explain analyze execute p
--! create table as execute | secret
prepare p as select value from vault.secret
--;
create temp table stolen as execute p
--;
table stolen
--! declare and fetch | secret
begin
--;
declare c cursor for select value from vault.secret
--;
fetch all from c
--! scrollable cursor with hold | secret
declare c scroll cursor with hold for select value from vault.secret
--;
fetch last from c
--! copy table out | secret
copy vault.secret to stdout
--! copy columns out | secret
copy vault.secret (value) to stdout with (format csv)
--! copy query out | secret
copy (select value from vault.secret) to stdout
--! copy of a returning | secret
copy (insert into public.people (id, name) select 60 + id, value from vault.secret returning name) to stdout
--! copy in binary | secret
copy (select value from vault.secret) to stdout (format binary)
--! row of a table alias | secret
select s from vault.secret s
--! row to json | secret
select row_to_json(s) from vault.secret s
--! json aggregate | secret
select json_agg(s) from vault.secret s
--! json object aggregate | secret
select json_object_agg(id, value) from vault.secret
--! json constructor of a query | secret
select json_array(select value from vault.secret)
--! string aggregate | secret
select string_agg(value, ',' order by value) from vault.secret
--! within group | secret
select percentile_disc(0.5) within group (order by value) from vault.secret
--! grouping sets | secret
select value, count(*) from vault.secret group by grouping sets ((value), ())
--! distinct on | secret
select distinct on (value) value from vault.secret
--! window clause | secret
select last_value(value) over w from vault.secret window w as (order by id rows between unbounded preceding and unbounded following)
--! xml element | xml
select xmlelement(name v, value) from vault.secret
--! xml forest | xml
select xmlforest(value) from vault.secret
--! cast of a row | secret
select s::text from vault.secret s
--! field of a row | secret
select (s).value from vault.secret s
--! star of a row | secret
select (s).* from vault.secret s
--! field in a subquery | secret
select (select s from vault.secret s limit 1).value
--! between symmetric | secret
select 'canary-7f3a' from vault.secret where id between symmetric 3 and 1
--! overlay and substring | secret
select overlay(value placing 'c' from 1 for 1) from vault.secret
--! collate | secret
select value collate "C" from vault.secret
--! at time zone of nothing | secret
select value || (now() at time zone 'utc')::text from vault.secret
--! row comparison | secret
select 'canary-7f3a' where (1, 'canary-7f3a') = (select id, value from vault.secret where id = 1)
--! set search_path and then unqualified | secret
set search_path = vault
--;
select value from secret
--! set in the same message | secret
set search_path = vault; select value from secret
--! set local in the same message | secret
begin; set local search_path to vault; select value from secret; commit
--! set_config in the message | secret
select set_config('search_path', 'vault, public', false); select value from secret
--! set_config of a computed value | secret
select set_config('search_path', 'va' || 'ult', false); select value from secret
--! set_config of a computed name | secret
select set_config('search' || '_path', 'vault', false); select value from secret
--! path by update of pg_settings | secret
update pg_settings set setting = 'vault' where name = 'search_path'; select value from secret
--! path through a savepoint | secret
begin; set local search_path = vault; savepoint s; set local search_path = public; rollback to s; select value from secret; commit
--! path with quotes | secret
set search_path = "vault", "$user"; select value from secret
--! schema of the role | secret
create role vault; set role vault; reset role; set search_path = 'vault'; select value from secret
--! path of a function that runs after set_config | secret
select set_config('search_path', 'vault', true), public.f_unqualified()
--! decoy in the path, then a prepared statement | secret
prepare p as select value from secret
--;
set search_path = vault
--;
execute p
--! view | secret
select value from public.v_secret
--! view by an unqualified name | secret
select value from v_secret
--! view over a view | secret
select lower(b) from v_deep
--! view with a subquery | secret
select top from v_count
--! view with a union | secret
select t from v_union
--! view with a cte | secret
select * from v_cte
--! materialized view | secret
select * from public.m_secret
--! view over a materialized view | secret
select * from v_stored
--! view in copy | secret
copy (select * from v_secret) to stdout
--! view in a join | secret
select v.value from public.orders o join v_secret v on v.id = o.id
--! view renamed and then read | secret
alter view public.v_secret rename to v_nice
--;
select * from public.v_nice
--! table renamed and then read | secret
alter table vault.secret rename to plain
--;
select * from vault.plain
--! table moved and then read | secret
alter table vault.secret set schema app
--;
select * from app.secret
--! schema renamed and then read | secret
alter schema vault rename to cellar
--;
select * from cellar.secret
--! partition of another table made of it | secret
create table vault.copied as table vault.secret; create table public.all_of_it (id int, value text) partition by range (id)
--;
alter table public.all_of_it attach partition vault.copied default
--;
select value from public.all_of_it
--! inherited by a new parent | secret
create table public.parent (id int, value text)
--;
alter table vault.secret inherit public.parent
--;
select value from public.parent
--! heir | secret
select value from public.heir
--! view replaced | secret
create or replace view public.v_plain as select id, value as name from vault.secret
--;
select name from public.v_plain
--! comment on it | secret
comment on table vault.secret is 'x'; select value from vault.secret
--! function in sql | secret
select public.f_sql()
--! function in sql by an unqualified name | secret
select f_sql()
--! function in from | secret
select * from f_sql()
--! function with begin atomic | secret
select f_atomic()
--! function with return | secret
select f_return()
--! function in plpgsql | secret
select f_plpgsql()
--! loop in plpgsql | secret
select f_loop()
--! return query | secret
select * from f_query()
--! cursor from a function | secret
begin
--;
select f_cursor()
--;
fetch all from opened
--! function that calls a function | secret
select f_perform()
--! function with an if | secret
select f_if()
--! dynamic sql | secret
select f_dynamic()
--! constant dynamic sql | secret
select f_constant_dynamic()
--! function with its own path | secret
select f_path()
--! function that resolves by the path of the caller | secret
set search_path = vault, public
--;
select f_unqualified()
--! security definer | secret
select f_definer()
--! default of an argument | secret
select f_argument()
--! function of a row | secret
select f_of_row(o) from public.orders o
--! function of a row as a column | secret
select o.f_of_row from public.orders o
--! function of a row as a field | secret
select (o).f_of_row from public.orders o
--! function of a row of a function as a column | secret
select x.f_of_row from jsonb_populate_record(null::public.orders, '{}') x
--! function of a row of a subquery as a field | secret
select (q.o).f_of_row from (select o from public.orders o) q
--! function of a made up row as a field | secret
select (row(1, 1, 1, true, now())::public.orders).f_of_row
--! function in a view of the session | secret
create temp view v as select f_sql() as x
--;
select * from v
--! aggregate | secret
select a_secret(id) from public.orders
--! aggregate as a window function | secret
select a_secret(id) over () from public.orders
--! operator | secret
select 1 <?> 2
--! operator by its schema | secret
select 1 operator(public.<?>) 2
--! operator in a where | secret
select 'canary-7f3a' where (1 <?> 1) > 'a'
--! cast | secret
select row(1)::public.tag::text
--! cast by a function call | secret
select cast(row(1)::public.tag as text)
--! domain check | secret
select 1::public.checked
--! domain in a column | secret
insert into public.shown values (1, 1)
--! mutually recursive functions | secret
select f_mutual_a(3)
--! function in check of a table | secret
select f_check(1)
--! function in a default of an insert | secret
insert into public.lazy (id) values (1) returning body
--! default values | secret
insert into public.lazy default values returning body
--! function in index expression | secret
alter function f_sql() immutable
--;
create index on public.people ((name || public.f_sql()))
--;
select f_sql()
--! function in a lateral | secret
select * from public.orders o, lateral f_loop() f
--! function in on conflict | secret
insert into public.people (id) values (1) on conflict (id) do update set name = f_sql() returning name
--! function in limit | secret
select f_sql() limit length(f_sql())
--! function as an argument of another | secret
select length(f_sql()), upper(f_sql()), f_sql()
--! named argument notation | secret
select public.f_argument(a => public.f_sql())
--! variadic call | secret
select concat(variadic array[f_sql(), 'x'])
--! procedure | secret
call public.p_read(null)
--! trigger | secret
insert into public.note values (1, '') returning body
--! trigger of an update | secret
insert into public.note values (2, ''); update public.note set body = '' where id = 2 returning body
--! trigger by copy | secret
insert into public.note select 3, ''; copy public.note to stdout
--! trigger of a view | secret
insert into public.v_door values (1, '') returning body
--! rewrite rule | secret
insert into public.box values (1, 'x'); select name from public.customers
--! do block | secret
do $$ begin raise notice '%', (select max(value) from vault.secret); end $$
--! do block with dynamic sql | secret
do $$ declare t text; begin execute 'select max(value) from vault' || '.secret' into t; raise notice '%', t; end $$
--! do block in nested dollar quotes | secret
do $a$ begin execute $b$ do $c$ begin raise notice '%', (select max(value) from vault.secret); end $c$ $b$; end $a$
--! do with a language in front | secret
do language plpgsql 'begin raise notice ''%'', (select max(value) from vault.secret); end'
--! function made and called | secret
create function public.mine() returns text language sql as 'select max(value) from vault.secret'
--;
select public.mine()
--! function made with dynamic sql and called | secret
create function public.mine() returns text language plpgsql as $$ declare t text; begin execute 'select max(value) from va' || 'ult.secret' into t; return t; end $$
--;
select public.mine()
--! function made under a trusted name | secret
create function billing.mine() returns text language plpgsql as $$ declare t text; begin execute 'select max(value) from va' || 'ult.secret' into t; return t; end $$
--;
select billing.mine()
--! function moved to a trusted schema | secret
alter function public.f_dynamic() set schema billing
--;
select billing.f_dynamic()
--! function renamed | secret
alter function public.f_sql() rename to nice
--;
select public.nice()
--! temporary function | secret
create function pg_temp.mine() returns text language sql as 'select max(value) from vault.secret'
--;
select pg_temp.mine()
--! aggregate made and called | secret
create aggregate public.mine(int) (sfunc = public.f_state, stype = text, initcond = '')
--;
select public.mine(id) from public.orders
--! operator made and used | secret
create operator public.=-= (leftarg = int, rightarg = int, function = public.f_compare)
--;
select 1 =-= 2
--! cast made and used | secret
create type public.badge as (n int); create function public.of_badge(public.badge) returns text language sql as 'select max(value) from vault.secret'
--;
create cast (public.badge as text) with function public.of_badge(public.badge); select row(1)::public.badge::text
--! trigger made and fired | secret
create trigger mine before insert on public.people for each row execute function public.t_leak()
--;
insert into public.note values (9, '') returning body
--! rule made and fired | secret
create rule mine as on insert to public.customers do also insert into public.people (id, name) select 90 + id, value from vault.secret
--;
insert into public.customers values (55, '', ''); select name from public.people
--! policy made | secret
create policy mine on public.secured using (exists (select from vault.secret where value = 'canary-7f3a')); alter table public.secured enable row level security; select 'canary-7f3a' from public.secured
--! generated column made | secret
alter table public.people add column more text default (public.f_sql())
--;
select more from public.people
--! default made | secret
alter table public.people alter column name set default public.f_sql()
--;
insert into public.people (id) values (77) returning name
--! check made | secret
alter table public.people add check (public.f_check(id))
--! type changed by a function | secret
alter table public.people alter column name type text using public.f_sql()
--;
select name from public.people
--! query_to_xml | xml
select query_to_xml('select value from vault.secret', true, false, '')
--! query_to_xml of a made up text | xml
select query_to_xml('select value from ' || 'vault' || '.secret', true, false, '')
--! table_to_xml | xml
select table_to_xml('vault.secret', true, false, '')
--! table_to_xml by a number | xml
select table_to_xml(c.oid, true, false, '') from pg_class c where relname = 'secret'
--! schema_to_xml | xml
select schema_to_xml('vault', true, false, '')
--! database_to_xml | xml
select database_to_xml(true, false, '')
--! cursor_to_xml | xml
begin
--;
declare c cursor for select value from vault.secret
--;
select cursor_to_xml('c', 10, true, false, '')
--! ts_stat | secret
select word from ts_stat('select to_tsvector(''simple'', value) from vault.secret')
--! query_to_xml in a view | xml
create temp view v as select query_to_xml('select value from vault.secret', true, false, '') as x
--;
select * from v
--! partition of a hidden table | secret
select value from public.events_1 union all select what from audit.log
--! audit by a pattern | secret
select what from audit.log
--! audit by a pattern, quoted | secret
select what from "audit".log
--! audit under the path | secret
set search_path = audit; select what from log
--! audit in a subquery | secret
select (select what from audit.log limit 1) from public.orders
--! log written and read back | secret
insert into audit.log (what) values ('x') returning (select min(what) from audit.log)
--! table of the same name in between | secret
select v.value from public.secret p join vault.secret v on v.id = p.id
--! dblink under any schema | secret
select tools.dblink('host=elsewhere')
--! dblink by the path | secret
set search_path = tools; select dblink('host=elsewhere')
--! dblink_exec | secret
select tools.dblink_exec('host=elsewhere', 'drop table x')
--! dblink quoted | secret
select "tools"."dblink"('x')
--! dblink in a from | secret
select * from tools.dblink('x') d(v)
