-- What a definition gives another name, or makes of what is there, in the transaction that uses it.
--! a domain by another name | secret
alter domain public.checked rename to renamed
--;
select '1'::public.renamed
--! a domain in another schema | secret
alter domain public.checked set schema app
--;
select '1'::app.checked
--! a table of a type that is checked | secret
create table public.of_pair of public.pair
--;
insert into public.of_pair values (1, 'a')
--! where it is one of all of the same table | unbounded
update public.orders set amount = 0 where id = any (array(select id from public.orders))
--! where the same row exists | unbounded
update public.orders o set amount = 0 where exists (select from public.orders p where p.id = o.id)
--! a table like one of a type that is checked | secret
create table public.alike (like public.shown)
--;
insert into public.alike values (1, 1)
--! a table that inherits a type that is checked | secret
create table public.heirs () inherits (public.shown)
--;
insert into public.heirs values (1, 1)
--! a table made of rows of a type that is checked | secret
create table public.taken as select * from public.shown
--;
insert into public.taken values (1, 1)
--! a temporary table like one of a type that is checked | secret
create temp table alike (like public.shown)
--;
insert into alike values (1, 1)
--! a temporary table sorted by an operator class | secret
select * into temp sorted from public.louds
--;
select id from sorted order by c
--! statistics of a column | salary
create statistics hr.of_salary on salary, id from hr.employees
--;
analyze hr.employees
--;
select * from pg_stats_ext s where s.statistics_name = 'of_salary' limit 0
--;
select max(424242)
