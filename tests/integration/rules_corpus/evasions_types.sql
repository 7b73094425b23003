-- Names that may be rows, and operators and functions that are chosen by the types of what they are given.

--! subset of a row as json | salary
select row_to_json((select x from (select e.id, e.salary) x)) from hr.employees e
--! subset of a row with a star | salary
select (select x from (select e.*) x) from hr.employees e
--! whole row in a subquery beside a subquery | salary
select (select e from (select 1) x) from hr.employees e
--! column of the query around under the alias of a subquery | salary
select (select salary from (select 1) salary) from hr.employees
--! column of the query around under the alias of a table | salary
select (select salary from public.orders salary limit 1) from hr.employees
--! row of one of two tables | salary
select e from public.orders o join hr.employees e on true where o.id = 1
--! function made in this transaction, under another path | secret
set search_path = public
--;
create function public.mine() returns text language sql as 'select value from secret limit 1'
--;
set search_path = vault, public
--;
select public.mine()
--! function made anew in this transaction, under another path | secret
set search_path = public
--;
create or replace function public.f_half(int) returns int language sql immutable as 'select $1 / 2'
--;
drop function public.f_pay
--;
create function public.f_pay() returns text language sql as 'select value from secret limit 1'
--;
set search_path = vault, public
--;
select public.f_pay()
--! function of a row made in this transaction, under another path | secret
set search_path = public
--;
create function public.mine(o public.orders) returns text language sql as 'select value from secret limit 1'
--;
set search_path = vault, public
--;
select o.mine from public.orders o
--! function made in this transaction with dynamic SQL | secret
create function public.mine() returns text language plpgsql as $$ declare t text; begin execute 'select value from vault' || '.secret' into t; return t; end $$
--;
select public.mine()
--! function made in this transaction with a path of its own | secret
create function public.mine() returns text language sql set search_path = vault as 'select value from secret limit 1'
--;
select public.mine()
--! functions made in this message, one by the other | secret
create function public.mine() returns text language plpgsql as $$ declare t text; begin execute 'select value from vault' || '.secret' into t; return t; end $$; create function public.yours() returns text language sql as 'select public.mine()'; select public.yours()
--! function made in this transaction in another language | secret
create function public.mine(text) returns text language internal as 'pg_read_file_all'
--;
select public.mine('canary.txt')
--! function replaced in this transaction, under another path | secret
set search_path = public
--;
create or replace function public.f_total(customer int) returns bigint language sql as $$ select 1 / (length(max(value)) - 11) from secret $$
--;
create or replace function public.years(a public.ages) returns int language plpgsql as $$ begin raise notice '%', (select max(value) from secret); return 1; end $$
--;
set search_path = vault, public
--;
select public.years(a) from public.ages a
--! function of a row replaced in this transaction, under another path | secret
set search_path = public
--;
create or replace function public.years(a public.ages) returns int language plpgsql as $$ begin raise notice '%', (select max(value) from secret); return 1; end $$
--;
set search_path = vault, public
--;
select a.years from public.ages a
--! operator class by the name of one of PostgreSQL's own, before that in the path | secret
set search_path = public, pg_catalog
--;
create index on public.orders (id int8_ops)
--! path by a view over pg_settings made in this transaction | secret
create view public.vs as select * from pg_settings
--;
update public.vs set setting = 'vault' where name = 'search_path'
--;
select value from secret
--! path by a function that updates pg_settings, made in this transaction | secret
create function public.sp() returns void language sql as $$ update pg_settings set setting = 'vault' where name = 'search_path' $$
--;
select public.sp()
--;
select value from secret
--! path by a trigger made in this transaction | secret
create function public.sp() returns trigger language plpgsql as $$ begin perform set_config('search_path', 'vault', false); return new; end $$
--;
create trigger sp before insert on public.customers for each row execute function public.sp()
--;
insert into public.customers values (500, 'a', '')
--;
select value from secret
--! path by a function that is made after the one that calls it | secret
create function public.first() returns void language plpgsql as $$ begin perform public.second(); end $$
--;
create function public.second() returns void language plpgsql as $$ begin perform set_config('search_path', 'vault', false); end $$
--;
select public.first()
--;
select value from secret
--! path by a function that sets it on its way | secret
create function public.sp() returns void language plpgsql as $$ begin set search_path = vault; end $$
--;
select public.sp()
--;
select value from secret
--! row of a table's type made of JSON | secret
select json_populate_record(s, '{"kind":5}') from (select 1) x left join public.shown s on false
--! rows of a table's type made of JSON | secret
select jsonb_populate_recordset(s, '[{"kind":5}]') from (select 1) x left join public.shown s on false
