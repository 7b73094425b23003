-- Functions that a transaction made, called by what it also made, after names came to mean something else.
--! a function of a built-in name, then another path | secret
create function public.lower(int) returns text language sql as 'select max(value) from secret'
--;
set local search_path = vault, public
--;
select lower(1)
--! a view of a function that was made, then another path | secret
create function public.h12() returns text language sql as 'select max(value) from secret'
--;
create view public.h12v as select public.h12() as v
--;
set local search_path = vault
--;
select * from public.h12v
--! a trigger that was made, then another path | secret
create function public.h10() returns trigger language plpgsql as $$ begin new.name := (select max(value) from secret); return new; end $$
--;
create trigger h10 before insert on public.people for each row execute function public.h10()
--;
set local search_path = vault
--;
insert into public.people (id) values (71) returning name
--! an operator that was made, then another path | secret
create function public.h15(int, int) returns text language sql as 'select max(value) from secret'
--;
create operator public.<%%> (leftarg = int, rightarg = int, function = public.h15)
--;
set local search_path = vault
--;
select 1 operator(public.<%%>) 2
--! an aggregate that was made under the name of a function, then another path | secret
create function public.h16(text, int) returns text language sql as 'select max(value) from secret'
--;
create aggregate public.upper (int) (sfunc = public.h16, stype = text, initcond = '')
--;
set local search_path = vault, public
--;
select upper(id) from public.orders
--! a cast that was made, then another path | secret
create function public.h17(public.calm) returns text language sql as 'select max(value) from secret'
--;
create cast (public.calm as text) with function public.h17(public.calm)
--;
set local search_path = vault
--;
select row(1)::public.calm::text
--! a default that was made, then another path | secret
create function public.h18() returns text language sql as 'select max(value) from secret'
--;
alter table public.people alter column name set default public.h18()
--;
set local search_path = vault
--;
insert into public.people (id) values (72) returning name
--! a check that was made, then another path | secret
create function public.h19(int) returns bool language plpgsql as $$ begin raise notice '%', (select max(value) from secret); return true; end $$
--;
alter table public.people add check (public.h19(id)) not valid
--;
set local search_path = vault
--;
insert into public.people (id) values (73)
--! a rule that was made, then another path | secret
create function public.h20() returns text language sql as 'select max(value) from secret'
--;
create rule h20 as on insert to public.people do also select public.h20()
--;
set local search_path = vault
--;
insert into public.people (id) values (74)
--! a policy that was made, then another path | secret
create function public.h21(int) returns bool language plpgsql as $$ begin raise notice '%', (select max(value) from secret); return true; end $$
--;
create policy h21 on public.people using (public.h21(id))
--;
alter table public.people enable row level security
--;
alter table public.people force row level security
--;
set local search_path = vault
--;
set local role reader
--;
select id from public.people
--! a generated column that was made, then another path | secret
create function public.h22(int) returns text language plpgsql immutable as $$ begin return (select max(value) from secret); end $$
--;
create table public.h22t (id int, t text generated always as (public.h22(id)) stored)
--;
set local search_path = vault
--;
insert into public.h22t values (1) returning t
--! an event trigger that was made, then another path | secret
create function public.h26() returns event_trigger language plpgsql as $$ begin raise notice '%', (select max(value) from secret); end $$
--;
create event trigger h26 on ddl_command_end execute function public.h26()
--;
set local search_path = vault
--;
create table public.h26t ()
--! a constraint trigger that was made, then another path | secret
create function public.h34() returns trigger language plpgsql as $$ begin raise notice '%', (select max(value) from secret); return new; end $$
--;
create constraint trigger h34 after insert on public.people deferrable initially deferred for each row execute function public.h34()
--;
insert into public.people (id) values (75)
--;
set local search_path = vault
--;
set constraints all immediate
--! a view of a function that was made, then a drop | secret
create schema zz; create table zz.secret (id int, value text)
--;
set local search_path = zz, vault, public
--;
create function public.d1() returns text language sql as 'select max(value) from secret'
--;
create view public.d1v as select public.d1() as v
--;
drop table zz.secret
--;
select * from public.d1v
--! a view of a function that was made, then a rename | secret
create temp table secret (id int, value text)
--;
set local search_path = vault, public
--;
create function public.d2() returns text language sql as 'select max(value) from secret'
--;
create view public.d2v as select public.d2() as v
--;
alter table secret rename to secretx
--;
select * from public.d2v
--! a view of a function that was made, then set_config | secret
create function public.d3() returns text language sql as 'select max(value) from secret'
--;
create view public.d3v as select public.d3() as v
--;
select set_config('search_path', 'vault', true)
--;
select * from public.d3v
--! a view of a function that was made, then pg_settings | secret
create function public.d4() returns text language sql as 'select max(value) from secret'
--;
create view public.d4v as select public.d4() as v
--;
update pg_settings set setting = 'vault' where name = 'search_path'
--;
select * from public.d4v
--! a view of a function that was made, in one message | secret
create function public.d5() returns text language sql as 'select max(value) from secret'; create view public.d5v as select public.d5() as v; set local search_path = vault; select * from public.d5v
--! a view of a function that was made, from one with another path | secret
create function public.d9() returns text language sql as 'select max(value) from secret'
--;
create view public.d9v as select public.d9() as v
--;
create function public.d9f() returns text language sql set search_path = vault as 'select v from public.d9v'
--;
select public.d9f()
--! a view of a function that was made behind one with another path | secret
create function public.d9f() returns text language plpgsql set search_path = vault as 'begin return (select v from public.d9v); end'
--;
create function public.d9() returns text language sql as 'select max(value) from secret'
--;
create view public.d9v as select public.d9() as v
--;
select public.d9f()
