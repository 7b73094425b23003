--! json table over a subquery | secret
select j.v from (select jsonb_agg(value) a from vault.secret) s, jsonb_array_elements_text(s.a) j(v)
--! json arrayagg | secret
select json_arrayagg(value) from vault.secret
--! json objectagg | secret
select json_objectagg(id : value) from vault.secret
--! json scalar of a subquery | secret
select json_build_array((select value from vault.secret where id = 1))
--! json query of a subquery | secret
select jsonb_path_query(to_jsonb(s), '$.value') from vault.secret s
--! rows from with ordinality | secret
select * from rows from (unnest((select array_agg(value) from vault.secret)), generate_series(1, 2)) with ordinality
--! values in a cte in a lateral join | secret
select l.* from (values (1)) v(i), lateral (with w as (select value from vault.secret where id = v.i) table w) l
--! cte that searches depth first | secret
with recursive t(id, value) as (select id, value from vault.secret where id = 1 union all select s.id, s.value from vault.secret s join t on s.id = t.id + 1) search depth first by id set o select value from t
--! cte that detects cycles | secret
with recursive t(id, value) as (select id, value from vault.secret union all select t.id, t.value from t where false) cycle id set c using p select value from t
--! cube | secret
select value from vault.secret group by cube (value)
--! rollup of an expression | secret
select upper(value), lower(value) from vault.secret group by rollup (value)
--! window frame with exclusion | secret
select nth_value(value, 1) over (order by id groups between 1 preceding and 1 following exclude ties) from vault.secret
--! fetch first with ties | secret
select value from vault.secret order by value fetch first 1 row with ties
--! tablesample repeatable | secret
select value from vault.secret tablesample bernoulli (100) repeatable (1)
--! insert overriding | secret
insert into public.people overriding system value select 90 + id, value, null, null, null from vault.secret returning name
--! insert with a cte of its own | secret
insert into public.people (id, name) with w as (select id, value from vault.secret) select 95 + id, value from w returning name
--! on conflict where in a secret | secret
insert into public.people (id, name) values (1, '') on conflict (id) do update set name = 'canary-7f3a' where people.id in (select id from vault.secret) returning name
--! conflict target with an expression of the row | secret
insert into public.people as p (id, name) values (1, '') on conflict (id) do update set (name, secret) = (select value, value from vault.secret where id = p.id) returning p.name
--! merge with a condition | secret
merge into public.people p using public.orders o on p.id = o.id when matched and exists (select from vault.secret where value = 'canary-7f3a') then update set name = 'canary-7f3a'
--;
select name from public.people
--! merge on | secret
merge into public.people p using public.orders o on o.id = 1 and p.id = (select min(id) from vault.secret) when matched then update set name = 'canary-7f3a'
--;
select name from public.people
--! merge insert | secret
merge into public.people p using public.orders o on p.id = o.id + 500 when not matched then insert (id, name) values (o.id + 500, (select max(value) from vault.secret))
--;
select name from public.people where id > 500
--! delete using a view | secret
delete from public.people p using public.v_secret s where s.id = p.id returning s.value
--! update from a function | secret
update public.people p set name = f.v from public.f_query() f where p.id = 1 returning p.name
--! a generated column | secret
create function public.g(int) returns text language sql immutable as 'select max(value) from vault.secret'; create temp table gen (id int, v text generated always as (public.g(id)) stored)
--;
insert into gen values (1) returning v
--! an index predicate | secret
create function public.g(int) returns bool language plpgsql immutable as $$ begin raise notice '%', (select max(value) from vault.secret); return true; end $$; create index on public.people (id) where public.g(id)
--! statistics on an expression | secret
create function public.g(int) returns text language plpgsql immutable as $$ begin raise notice '%', (select max(value) from vault.secret); return ''; end $$; create statistics public.st on (public.g(id)), id from public.people; analyze public.people
--! an exclusion constraint | secret
create function public.g(int) returns int language plpgsql immutable as $$ begin raise notice '%', (select max(value) from vault.secret); return 1; end $$; alter table public.people add exclude (public.g(id) with =) where (id < 0)
--;
select public.g(1)
--! a partition bound | secret
create function public.g() returns int language plpgsql as $$ begin raise notice '%', (select max(value) from vault.secret); return 1; end $$; create table public.parts (id int) partition by range (id); create table public.parts_1 partition of public.parts for values from (public.g()) to (10)
--! a partition key | secret
create function public.g(int) returns int language plpgsql immutable as $$ begin raise notice '%', (select max(value) from vault.secret); return 1; end $$; create table public.parts (id int) partition by range (public.g(id)); create table public.parts_d partition of public.parts default; insert into public.parts values (1)
--! a policy made here | secret
create function public.g() returns bool language plpgsql as $$ begin raise notice '%', (select max(value) from vault.secret); return true; end $$; create table public.watched (id int); insert into public.watched values (1); alter table public.watched enable row level security; alter table public.watched force row level security; create policy p on public.watched using (public.g()); create role nosy; grant select on public.watched to nosy; grant usage on schema vault to nosy; grant select on vault.secret to nosy; set local role nosy; select * from public.watched
--! an event trigger | secret
create function public.et() returns event_trigger language plpgsql as $$ begin raise notice '%', (select max(value) from vault.secret); end $$; create event trigger et on ddl_command_start execute function public.et()
--;
create temp table x (id int)
--! a constraint trigger | secret
create function public.t_tell() returns trigger language plpgsql as $$ begin raise notice '%', (select max(value) from vault.secret); return null; end $$; create constraint trigger ct2 after insert on public.people for each row execute function public.t_tell(); insert into public.people (id) values (601)
--! a trigger with a condition | secret
create function public.g(int) returns bool language plpgsql as $$ begin raise notice '%', (select max(value) from vault.secret); return false; end $$; create trigger w before update on public.people for each row when (public.g(new.id)) execute function public.t_stamp(); update public.people set name = 'x' where id = 1
--! a trigger of another table moved here | secret
create table public.moved (id int, body text); create trigger leak before insert on public.moved for each row execute function public.t_leak(); insert into public.moved values (1, '') returning body
--! a transition table | secret
create function public.t_tr() returns trigger language plpgsql as $$ begin raise notice '%', (select string_agg(value, '') from vault.secret, n); return null; end $$; create trigger tr after insert on public.people referencing new table as n for each statement execute function public.t_tr(); insert into public.people (id) values (602)
--! a range type's function | secret
create function public.g(int, int) returns float8 language plpgsql immutable as $$ begin raise notice '%', (select max(value) from vault.secret); return 1; end $$; select public.g(1, 2)
--! a table function in a join using | secret
select * from public.f_query() q join (values ('canary-7f3a')) w(v) using (v)
--! a set returning function in the target list | secret
select id, public.f_loop() from public.customers
--! a function in an offset | secret
select 'canary-7f3a' offset length(public.f_sql()) - 11
--! a variadic call | secret
select format('%s', variadic array[(select value from vault.secret limit 1)])
--! a named argument | secret
select public.f_argument(a := (select max(value) from vault.secret))
--! a function with an order by in it | secret
select array_agg(c.id order by (select max(value) from vault.secret)), 'canary-7f3a' from public.customers c
--! within group of a subquery | secret
select mode() within group (order by (select max(value) from vault.secret)) from public.customers
--! xml of a query in a function made here | xml
create function public.g() returns xml language sql as $$ select query_to_xml('select value from vault.secret', true, false, '') $$
--;
select public.g()
--! a cursor of a function in a block | secret
begin
--;
select public.f_cursor()
--;
fetch first from opened
--! move and fetch backward | secret
declare c scroll cursor for select value from vault.secret
--;
move last from c
--;
fetch prior from c
--! a savepoint around it | secret
savepoint a; select value from vault.secret; release a
--! copy to stdout of a view's query | secret
copy (select v.value from public.v_secret v where exists (select from public.orders)) to stdout (format csv, header)
--! copy with a list of columns quoted | secret
copy vault.secret ("value") to stdout (format csv, delimiter ';', force_quote *)
--! copy from with a where | secret
create function public.g(int) returns bool language plpgsql as $$ begin raise notice '%', (select max(value) from vault.secret); return true; end $$; copy public.bomb from stdin where public.g(id)
--! explain with settings | secret
explain (analyze, verbose, buffers false, costs false, timing false) select value::int from vault.secret where value like 'canary%'
--;
select value::int from vault.secret
--! comment that ends a string | secret
select 'a' /* ' */ || (select value from vault.secret limit 1) -- '
--! dollar quotes beside it | secret
select $a$ $b$ select $b$ $a$ || (select value from vault.secret limit 1)
--! escaped string | secret
select E'\'' || (select value from vault.secret limit 1) || E'\\'
--! operator that looks like a comment | secret
select 1 - -1, (select value from vault.secret limit 1)
--! keyword as a name | secret
select "select"."value" from vault.secret as "select"
--! a name of 63 letters as alias | secret
select aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.value from vault.secret aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
--! a composite in an array | secret
select (array_agg(s))[1] from vault.secret s
--! a row in a case | secret
select case when true then s end from vault.secret s
--! record by populate | secret
select * from jsonb_to_recordset((select jsonb_agg(s) from vault.secret s)) as x(id int, value text)
--! each row's text | secret
select s.*::text from vault.secret s
--! quantified comparison | secret
select 'canary-7f3a' where 'canary-7f3a' = any (select value from vault.secret)
--! quantified all | secret
select 'canary-7f3a' where 'canary-7f3a' >= all (select value from vault.secret)
--! like any | secret
select c.v from (values ('canary-7f3a')) c(v) where c.v like any (select value from vault.secret)
--! overlaps of a subquery | secret
select 'canary-7f3a' where (date '2020-01-01', date '2021-01-01') overlaps (date '2020-06-01', (select date '2022-01-01' from vault.secret limit 1))
--! is json of a subquery | secret
select 'canary-7f3a' where (select value from vault.secret limit 1) is not json
--! lock and read | secret
lock table vault.secret in access share mode; select 'canary-7f3a'
--! drop default and read | secret
alter table vault.secret alter column value set default 'x'; select 'canary-7f3a'
--! inherit by create | secret
create table public.child () inherits (vault.secret)
--;
select value from vault.secret
--! like including | secret
create table public.twin (like vault.secret including all); insert into public.twin select * from vault.secret; select value from public.twin
--! foreign key that tells | secret
create table public.guess (id int references vault.secret (id)); insert into public.guess values (1); select 'canary-7f3a'
--! reindex of it | secret
reindex table vault.secret; select 'canary-7f3a'
--! analyze and read the statistics | secret
analyze vault.secret; select most_common_vals from pg_stats where tablename = 'secret' and schemaname = 'vault'
--! grant it to all | secret
grant select on vault.secret to public; select 'canary-7f3a'
--! a publication of it | secret
create publication leak for table vault.secret; select 'canary-7f3a'
--! security label or comment | secret
comment on column vault.secret.value is 'x'; select 'canary-7f3a'
--! truncate and read | secret
truncate vault.secret; select 'canary-7f3a'
--! alias of a schema by rename of ours | secret
alter schema vault rename to public2
--;
select value from public2.secret
--! delete by merge on true | unbounded
merge into public.orders o using (select 1) x on true when matched then delete; delete from public.orders where true
--! delete with a join that says nothing | unbounded
delete from public.orders o using public.customers c where c.id = c.id
--! delete where a subquery of constants | unbounded
delete from public.orders where 1 in (select 1)
--! delete where row is not null of itself | unbounded
delete from public.orders where id = id and customer = customer
--! delete where greatest | unbounded
delete from public.orders where greatest(1, 2) > 1
--! delete where cast of a constant | unbounded
delete from public.orders where cast('1' as int)::bool
--! delete where is not false | unbounded
delete from public.orders where true is not false
--! delete where not null is null | unbounded
delete from public.orders where not (1 is null)
--! delete where similar | unbounded
delete from public.orders where 'a' similar to '%'
--! delete where current user | unbounded
delete from public.orders where current_user is not null
--! delete where exists in itself | unbounded
delete from public.orders where exists (select from public.orders)
--! delete where in itself by key | unbounded
delete from public.orders o where o.id in (o.id)
--! delete where coalesce of itself | unbounded
delete from public.orders where coalesce(id = id, true)
--! delete where nullif | unbounded
delete from public.orders where nullif(1, 2) = 1
--! delete where xor of constants | unbounded
delete from public.orders where (1 = 1) <> (1 = 2)
--! update in a rule of a view | unbounded
create rule up as on update to public.v_plain do instead delete from public.orders
--;
update public.v_plain set name = 'x' where id = 1
--! delete in a function in a default | unbounded
create temp table d (a int default public.f_delete()); insert into d default values
--! delete in a cursor's query | unbounded
do $$ declare r record; begin for r in delete from public.orders returning id loop end loop; end $$
--! delete by truncate's brother | unbounded
with a as (update public.orders set amount = 1), b as (select 1) select * from b
--! inherit by alter | salary
create table public.par (salary int)
--;
alter table hr.employees inherit public.par
--;
select salary from public.par
--! no longer inherited | salary
alter table hr.employees_old no inherit hr.employees
--;
select salary from hr.employees_old
--! attached as a partition | salary
create table public.par (id int not null, name text, salary int, note text) partition by range (id)
--;
alter table hr.employees_old no inherit hr.employees
--;
alter table public.par attach partition hr.employees_old default
--;
select salary from public.par
--! another name in the catalogue | secret
update pg_class set relname = 'plain' where oid = 'vault.secret'::regclass
--;
select value from vault.plain
--! another schema in the catalogue | secret
update pg_catalog.pg_class c set relnamespace = 'app'::regnamespace where c.relname = 'secret' and c.relnamespace <> 2200
--;
select value from app.secret
--! a schema's name in the catalogue | secret
merge into pg_namespace n using (values ('vault', 'cellar')) v(old, new) on n.nspname = v.old when matched then update set nspname = v.new
--;
select value from cellar.secret
--! a body in the catalogue | secret
update pg_proc set prosrc = 'select max(value) from vault.secret' where proname = 'f_names'
--;
select public.f_names()
--! a parent in the catalogue | salary
create table public.par (id int primary key, name text, salary int, note text)
--;
with one as (insert into pg_inherits values ('hr.employees'::regclass, 'public.par'::regclass, 1, false)) update pg_class set relhassubclass = true where relname = 'par'
--;
select salary from public.par
--! the catalogue through a view | secret
update public.v_names set relname = 'plain' where oid = 'vault.secret'::regclass
--;
select value from vault.plain
