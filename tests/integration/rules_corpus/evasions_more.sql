--! salary | salary
select salary from hr.employees
--! salary star | salary
select * from hr.employees
--! salary qualified | salary
select e.salary from hr.employees e
--! salary with the table's name | salary
select employees.salary from hr.employees
--! salary with schema and table | salary
select hr.employees.salary from hr.employees
--! salary star of an alias | salary
select e.* from hr.employees e
--! salary table command | salary
table hr.employees
--! salary whole row | salary
select e from hr.employees e
--! salary row to json | salary
select to_json(e) from hr.employees e
--! salary count of a row in text | salary
select string_agg(e::text, ',') from hr.employees e
--! salary by renamed columns | salary
select c from hr.employees as e(a, b, c)
--! salary by renamed columns of a join | salary
select j.c from (hr.employees e join public.people p using (id)) as j(a, b, c)
--! salary in an expression | salary
select salary + 0 from hr.employees
--! salary in an aggregate | salary
select max(salary) from hr.employees
--! salary in a where | salary
select 424242 from hr.employees where salary = 424242
--! salary in an order by | salary
select 424242 from hr.employees order by salary
--! salary in a group by | salary
select 424242 from hr.employees group by salary
--! salary in a having | salary
select 424242 from hr.employees having min(salary) > 0
--! salary in a window | salary
select max(salary) over () from hr.employees
--! salary in a join | salary
select g from generate_series(424242, 424242) g join hr.employees e on e.salary = g
--! salary by using | salary
select salary from (values (424242)) v(salary) join hr.employees using (salary)
--! salary by natural join | salary
select v.salary from hr.employees natural join (values (424242)) v(salary)
--! salary in a subquery | salary
select (select salary from hr.employees limit 1)
--! salary in a cte | salary
with e as (select * from hr.employees) select * from e
--! salary through star of a subquery | salary
select x.salary from (select * from hr.employees) x
--! salary through two stars | salary
select y.* from (select x.* from (select e.* from hr.employees e) x) y
--! salary lateral | salary
select l.s from hr.employees e, lateral (select e.salary as s) l
--! salary correlated | salary
select (select e.salary) from hr.employees e
--! salary copy | salary
copy hr.employees to stdout
--! salary copy of columns | salary
copy hr.employees (id, salary) to stdout
--! salary copy of a query | salary
copy (select salary from hr.employees) to stdout
--! salary returning | salary
update hr.employees set note = 'x' where id = 1 returning salary
--! salary returning star | salary
update hr.employees set note = 'x' where id = 1 returning *
--! salary into another column | salary
update hr.employees set note = salary::text where id = 1 returning note
--! salary by delete returning | salary
delete from hr.employees where id = 1 returning *
--! salary by delete where | salary
delete from hr.employees where salary = 424242 and id = 1 returning 424242
--! salary by insert select | salary
insert into public.people (id, name) select 80 + id, salary::text from hr.employees returning name
--! salary by merge | salary
merge into public.people p using hr.employees e on p.id = e.id when matched then update set name = e.salary::text
--;
select name from public.people
--! salary written and shown | salary
insert into hr.employees values (7, 'x', 424242) returning salary
--! salary set | salary
update hr.employees set salary = 424242 where id = 2 returning (select 424242)
--! salary by a view | salary
select amount from public.v_pay
--! salary by a view of rows | salary
select whole from public.v_row
--! salary by a function | salary
select public.f_pay() / 3
--! salary of the heirs | salary
select salary from hr.employees_old
--! salary star of the heirs | salary
select * from hr.employees_old
--! salary unqualified | salary
set search_path = hr; select salary from employees
--! salary star unqualified | salary
set search_path = hr; select * from employees
--! salary quoted | salary
select "salary" from "hr"."employees"
--! salary with unicode escapes | salary
select U&"s\0061lary" from hr.employees
--! salary column renamed | salary
alter table hr.employees rename column salary to plain
--;
select plain from hr.employees
--! salary table renamed | salary
alter table hr.employees rename to people
--;
select salary from hr.people
--! salary table moved | salary
alter table hr.employees set schema app
--;
select salary from app.employees
--! salary in an index | salary
create index on hr.employees (salary)
--;
select salary from hr.employees
--! salary by distinct on | salary
select distinct on (salary) salary from hr.employees
--! salary by a row comparison | salary
select 424242 from hr.employees where (id, salary) = (1, 424242)
--! salary as an array | salary
select array_agg(salary) from hr.employees
--! salary in a json constructor | salary
select json_object('s' : salary) from hr.employees
--! salary by a prepared statement | salary
prepare p as select salary from hr.employees
--;
execute p
--! salary by a cursor | salary
begin
--;
declare c cursor for select salary from hr.employees
--;
fetch c
--! salary by do | salary
do $$ declare s int; begin select salary into s from hr.employees limit 1; raise notice '%', s; end $$
--! salary by record in do | salary
do $$ declare r record; begin for r in select * from hr.employees loop raise notice '%', r.salary; end loop; end $$
--! salary filter | salary
select count(*) filter (where salary > 0), 424242 from hr.employees
--! salary case | salary
select case when salary > 1 then 424242 end from hr.employees
--! salary for update | salary
select e.salary from hr.employees e for update
--! salary xml | xml
select xmlforest(salary) from hr.employees
--! salary trigger that sees the row | salary
create function public.t_see() returns trigger language plpgsql as $$ begin raise notice '%', new.salary; return new; end $$; create trigger see before update on hr.employees for each row execute function public.t_see(); update hr.employees set note = 'b' where id = 1
--! salary rule that sees the row | salary
create rule see as on update to hr.employees do also insert into public.people (id, name) values (300 + new.id, new.salary::text)
--;
update hr.employees set note = 'b' where id = 1; select name from public.people

--! read file | file
select pg_read_file('canary.txt')
--! read file by schema | file
select pg_catalog.pg_read_file('canary.txt')
--! read file quoted | file
select "pg_read_file"('canary.txt')
--! read file with unicode escapes | file
select U&"pg\005fread_file"('canary.txt')
--! read file upper case | file
SELECT PG_READ_FILE('canary.txt')
--! read file in a subquery | file
select (select pg_read_file('canary.txt'))
--! read file in from | file
select * from pg_read_file('canary.txt')
--! read file in rows from | file
select * from rows from (pg_read_file('canary.txt')) t
--! read file in an insert | file
insert into public.people values (70, pg_read_file('canary.txt')) returning name
--! read file in a default | file
create temp table t (a text default pg_read_file('canary.txt')); insert into t default values returning a
--! read file in an argument default | file
create function public.mine(a text default pg_read_file('canary.txt')) returns text language sql as 'select a'
--;
select public.mine()
--! read file in a view | file
create temp view v as select pg_read_file('canary.txt') as a
--;
select * from v
--! read file by an alias function | file
select public.f_read('canary.txt')
--! read file by a new alias function | file
create function public.mine(text) returns text language internal as 'pg_read_file_all'
--;
select public.mine('canary.txt')
--! read file in an aggregate | file
select string_agg(pg_read_file(f), '') from (values ('canary.txt')) t(f)
--! read file by a new operator | file
create function public.cat(int, text) returns text language sql as 'select pg_read_file($2)'; create operator public.|<| (leftarg = int, rightarg = text, function = public.cat); select 1 |<| 'canary.txt'
--! read file by a function in sql | file
create function public.mine() returns text language sql as 'select pg_read_file(''canary.txt'')'
--;
select public.mine()
--! read file in do | file
do $$ begin raise notice '%', pg_read_file('canary.txt'); end $$
--! read file in a prepared statement, executed | file
prepare p(text) as select pg_read_file($1)
--;
execute p('canary.txt')
--! read file in a where | file
select 'canary-7f3a' where pg_read_file('canary.txt') <> ''
--! read file in order by | file
select pg_read_file('canary.txt') order by pg_read_file('canary.txt')
--! read file in a check | file
create temp table t (a text check (length(pg_read_file('canary.txt')) > 0)); insert into t values ('x') returning 'canary-7f3a'
--! read file in a generated value of copy | file
copy (select pg_read_file('canary.txt')) to stdout
--! read file by an index expression | file
create temp table t as select pg_read_file('canary.txt') a; select * from t
--! program | file
copy public.people (name) from program 'cat canary.txt' with (format csv)
--! program into a table | file
create temp table t (line text)
--;
copy t from program 'cat canary.txt'
--;
table t
--! program out | file
copy (select 1) to program 'cat'
--;
select pg_read_file('canary.txt')
--! a library | file
load 'plpgsql'; select pg_read_file('canary.txt')

--! delete without where | unbounded
delete from public.orders
--! delete unqualified | unbounded
delete from orders
--! delete only | unbounded
delete from only public.orders
--! delete with an alias | unbounded
delete from public.orders as o
--! delete where true | unbounded
delete from public.orders where true
--! delete where 1=1 | unbounded
delete from public.orders where 1 = 1
--! delete where text constant | unbounded
delete from public.orders where 't'
--! delete where cast | unbounded
delete from public.orders where 'yes'::boolean
--! delete where not false | unbounded
delete from public.orders where not false
--! delete where id = id | unbounded
delete from public.orders where id = id
--! delete where qualified id | unbounded
delete from public.orders o where o.id = o.id
--! delete where or true | unbounded
delete from public.orders where id = 1 or true
--! delete where or 1=1 | unbounded
delete from public.orders where id = 1 or 1 = 1
--! delete where double negation | unbounded
delete from public.orders where not (1 = 2)
--! delete where is null or is not null | unbounded
delete from public.orders where id is null or id is not null
--! delete where a or not a | unbounded
delete from public.orders where id = 1 or not (id = 1)
--! delete where complementary comparison | unbounded
delete from public.orders where id < 5 or id >= 5
--! delete where between itself | unbounded
delete from public.orders where id between id and id
--! delete where in itself | unbounded
delete from public.orders where id in (id, 5)
--! delete where any of itself | unbounded
delete from public.orders where id = any (array[id])
--! delete where not distinct | unbounded
delete from public.orders where id is not distinct from id
--! delete where true is true | unbounded
delete from public.orders where (1 = 1) is true
--! delete where coalesce | unbounded
delete from public.orders where coalesce(true, false)
--! delete where case | unbounded
delete from public.orders where case when true then true else false end
--! delete where select true | unbounded
delete from public.orders where (select true)
--! delete where exists | unbounded
delete from public.orders where exists (select 1)
--! delete where like everything | unbounded
delete from public.orders where id::text like '%'
--! delete where matches everything | unbounded
delete from public.orders where id::text ~ '.*'
--! delete where arithmetic | unbounded
delete from public.orders where 2 > 1 + 0
--! delete where no column | unbounded
delete from public.orders where length('a') = 1
--! delete where a function without columns | unbounded
delete from public.orders where now() > '2000-01-01'
--! delete where null is null | unbounded
delete from public.orders where null is null
--! delete where and of constants | unbounded
delete from public.orders where true and 1 = 1 and 'a' = 'a'
--! delete where row of constants | unbounded
delete from public.orders where (1, 2) = (1, 2)
--! delete all using | unbounded
delete from public.orders using public.customers
--! delete returning | unbounded
delete from public.orders returning *
--! delete with a cte | unbounded
with x as (select 1) delete from public.orders
--! delete in a cte | unbounded
with d as (delete from public.orders returning *) select count(*) from d
--! delete in a cte that nothing uses | unbounded
with d as (delete from public.orders) select 1
--! delete in a nested cte of an insert | unbounded
with d as (delete from public.orders returning id) insert into public.note (id) select id from d where false
--! delete in explain analyze | unbounded
explain analyze delete from public.orders
--! delete in explain with options | unbounded
explain (analyze true, format json) delete from public.orders
--! delete in prepare | unbounded
prepare p as delete from public.orders
--;
execute p
--! delete in copy | unbounded
copy (delete from public.orders returning id) to stdout
--! delete in do | unbounded
do $$ begin delete from public.orders; end $$
--! delete in dynamic do | unbounded
do $$ begin execute 'delete from ' || 'public.orders'; end $$
--! delete in a function | unbounded
select f_delete()
--! delete in plpgsql | unbounded
select f_delete_plpgsql()
--! delete in atomic | unbounded
select f_delete_atomic()
--! update true in plpgsql | unbounded
select f_update_true()
--! delete in a procedure | unbounded
call public.p_delete()
--! delete by a trigger | unbounded
insert into public.fuse values (1)
--! delete by a rule | unbounded
delete from public.bomb where id = 1
--! delete by a view | unbounded
delete from public.v_orders
--! delete in a function made here | unbounded
create function public.mine() returns void language sql as 'delete from public.orders'
--;
select public.mine()
--! delete in a rule made here | unbounded
create rule mine as on insert to public.people do also delete from public.orders
--;
insert into public.people (id) values (44)
--! second of two | unbounded
select 1; delete from public.orders
--! between begin and commit | unbounded
begin; delete from public.orders; commit
--! comment that looks like a where | unbounded
delete from public.orders -- where id = 1
--! where in a comment block | unbounded
delete from public.orders /* where id = 1 */
--! update without where | unbounded
update public.orders set amount = 0
--! update only | unbounded
update only public.orders set amount = 0
--! update with an alias | unbounded
update public.orders o set amount = 0
--! update where true | unbounded
update public.orders set amount = 0 where true
--! update where 1=1 | unbounded
update public.orders set amount = 0 where 1=1
--! update where id = id | unbounded
update public.orders set amount = 0 where id = id
--! update where or | unbounded
update public.orders set amount = 0 where id = 1 or 'a' = 'a'
--! update all from | unbounded
update public.orders set amount = 0 from public.customers
--! update in a cte | unbounded
with u as (update public.orders set amount = 0 returning 1) select * from u
--! update by a view | unbounded
update public.v_orders set amount = 0
--! update where parameter in prepare | unbounded
prepare p(bool) as update public.orders set amount = 0 where $1
--;
execute p(true)
--! update of a row | unbounded
update public.orders set (amount, paid) = (0, true)
--! update with a subquery | unbounded
update public.orders set amount = (select 0)
--! merge that deletes all | unbounded
merge into public.orders o using (select 1) s on true when matched then delete
--! merge that updates all | unbounded
merge into public.orders o using (values (1)) s on 1 = 1 when matched then update set amount = 0

--! analyst inserts | write | analyst_jo
insert into public.people (id) values (20)
--! analyst updates | write | analyst_jo
update public.people set name = 'x' where id = 1
--! analyst deletes | write | analyst_jo
delete from public.people where id = 1
--! analyst truncates | write | analyst_jo
truncate public.lines
--! analyst merges | write | analyst_jo
merge into public.people p using public.orders o on p.id = o.id when matched then do nothing when not matched then insert (id) values (o.id)
--! analyst in a cte | write | analyst_jo
with i as (insert into public.people (id) values (21) returning id) select * from i
--! analyst in a deep cte | write | analyst_jo
with a as (select 1), b as (update public.people set name = 'x' where id = 1 returning 1) select * from a
--! analyst explains | write | analyst_jo
explain analyze insert into public.people (id) values (22)
--! analyst prepares | write | analyst_jo
prepare p as insert into public.people (id) values (23)
--;
execute p
--! analyst copies in | write | analyst_jo
copy public.people (id) from stdin
--! analyst copies a returning out | write | analyst_jo
copy (insert into public.people (id) values (24) returning id) to stdout
--! analyst creates | write | analyst_jo
create table public.mine (id int)
--! analyst creates as | write | analyst_jo
create table public.mine as select 1 as a
--! analyst selects into | write | analyst_jo
select 1 as a into public.mine
--! analyst creates a view | write | analyst_jo
create view public.mine as select 1 as a
--! analyst alters | write | analyst_jo
alter table public.people add column more int
--! analyst drops | write | analyst_jo
drop table public.lines
--! analyst creates an index | write | analyst_jo
create index on public.people (name)
--! analyst refreshes | write | analyst_jo
refresh materialized view public.m_secret
--! analyst comments | write | analyst_jo
comment on table public.people is 'x'
--! analyst creates a function | write | analyst_jo
create function public.mine() returns int language sql as 'select 1'
--! analyst creates a schema with a table | write | analyst_jo
create schema mine create table t (id int)
--! analyst calls a function that writes | write | analyst_jo
select public.f_insert()
--! analyst calls a function that deletes | write | analyst_jo
select public.f_delete_some(1)
--! analyst calls it in a from | write | analyst_jo
select * from public.f_delete()
--! analyst calls it in a where | write | analyst_jo
select 1 from public.people where public.f_delete() = 1
--! analyst in do | write | analyst_jo
do $$ begin insert into public.people (id) values (25); end $$
--! analyst calls a procedure | write | analyst_jo
call public.p_delete()
--! analyst in the second statement | write | analyst_jo
select 1; insert into public.people (id) values (26)
--! analyst writes by a view | write | analyst_jo
update public.v_orders set amount = 1 where id = 1
--! analyst comments in front | write | analyst_jo
/* select */ insert into public.people (id) values (27)
--! analyst in parentheses and comments | write | analyst_jo
with/**/x as(/**/delete from public.people where id=1 returning 1)select*from x
--! analyst defines a sequence | write | analyst_jo
create sequence public.mine
--! analyst defines a type | write | analyst_jo
create type public.mine as enum ('a')
--! analyst defines a domain | write | analyst_jo
create domain public.mine as int
--! analyst changes a role's search_path by a reset of settings | write | analyst_jo
alter sequence public.numbers restart with 5
