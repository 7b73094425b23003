-- What the corpus of evasions runs against: things worth hiding, and everything that leads to them by another name.
create schema vault; create schema audit; create schema hr; create schema app; create schema billing; create schema tools;
create role analyst_jo login; create role payroll login; create role reader; grant reader to analyst_jo;

create table vault.secret (id int primary key, value text);
insert into vault.secret select n, 'canary-7f3a' from generate_series(1, 3) n;
create table audit.log (id serial primary key, what text);
insert into audit.log (what) values ('canary-7f3a');
create table hr.employees (id int primary key, name text, salary int, note text);
insert into hr.employees values (1, 'Ann', 424242, 'a'), (2, 'Bob', 424242, 'b');

create table public.orders (id int primary key, customer int, amount int default 100, paid bool default false, at timestamptz default now());
insert into public.orders (id, customer) select n, n % 3 from generate_series(1, 10) n;
create table public.customers (id int primary key, name text, email text);
insert into public.customers values (0, 'a', 'a@x'), (1, 'b', 'b@x'), (2, 'c', 'c@x');
create table public.secret (id int primary key, value text);
insert into public.secret values (1, 'decoy');
create table public.note (id int, body text);
create table public.box (id int, body text);
create table public.lines (order_id int references public.orders on delete cascade, n int);
insert into public.lines select id, 1 from public.orders;

-- views
create view public.v_secret as select id, value from vault.secret;
create view public.v_deep as select id as a, upper(value) as b from public.v_secret where id > 0;
create view public.v_count as select (select max(value) from vault.secret) as top;
create view public.v_union as select id, 'x' as t from public.orders union all select id, value from vault.secret;
create view public.v_pay as select id, name, salary as amount from hr.employees;
create view public.v_row as select e::text as whole from hr.employees e;
create view public.v_cte as with q as (select value from vault.secret) select * from q;
create view public.v_orders as select * from public.orders where id < 100;
create materialized view public.m_secret as select value from vault.secret;
create view public.v_stored as select * from public.m_secret;
create view app.latest as select id, amount from public.orders order by id desc limit 5;
create view public.v_names as select oid, relname from pg_class;

-- parts and heirs
create table vault.events (id int, value text) partition by range (id);
create table public.events_1 partition of vault.events for values from (0) to (100);
insert into vault.events values (1, 'canary-7f3a');
create table public.heir (extra int) inherits (vault.secret);
insert into public.heir values (9, 'canary-7f3a', 1);
create table hr.employees_old () inherits (hr.employees);
insert into hr.employees_old values (3, 'Cid', 424242, 'c');

-- functions
create function public.f_sql() returns text language sql as $$ select value from vault.secret where id = 1 $$;
create function public.f_atomic() returns text language sql begin atomic select value from vault.secret where id = 1; end;
create function public.f_return() returns text language sql return (select max(value) from vault.secret);
create function public.f_plpgsql() returns text language plpgsql as $$
  declare found text; begin select value into found from vault.secret where id = 1; return found; end $$;
create function public.f_loop() returns setof text language plpgsql as $$
  declare r record; begin for r in select value from vault.secret loop return next r.value; end loop; end $$;
create function public.f_query() returns table (v text) language plpgsql as $$ begin return query select value from vault.secret; end $$;
create function public.f_cursor() returns refcursor language plpgsql as $$
  declare c refcursor := 'opened'; begin open c for select value from vault.secret; return c; end $$;
create function public.f_perform() returns text language plpgsql as $$ begin return public.f_sql(); end $$;
create function public.f_if() returns text language plpgsql as $$
  begin if exists (select from vault.secret where value like 'canary%') then return 'canary-7f3a'; end if; return ''; end $$;
create function public.f_dynamic() returns text language plpgsql as $$
  declare found text; begin execute 'select value from ' || 'vault' || '.secret limit 1' into found; return found; end $$;
create function public.f_constant_dynamic() returns text language plpgsql as $$
  declare found text; begin execute 'select value from vault.secret limit 1' into found; return found; end $$;
create function public.f_unqualified() returns text language sql as $$ select value from secret where id = 1 $$;
create function public.f_path() returns text language sql set search_path = vault as $$ select value from secret where id = 1 $$;
create function public.f_definer() returns text language plpgsql security definer as $$ begin return (select max(value) from vault.secret); end $$;
create function public.f_argument(a text default public.f_sql()) returns text language sql as $$ select a $$;
create function public.f_of_row(o public.orders) returns text language sql as $$ select max(value) from vault.secret $$;
create function public.f_read(text) returns text language internal as 'pg_read_file_all';
create function public.f_state(state text, one int) returns text language sql as $$ select max(value) from vault.secret $$;
create aggregate public.a_secret(int) (sfunc = public.f_state, stype = text, initcond = '');
create function public.f_compare(int, int) returns text language sql as $$ select max(value) from vault.secret $$;
create operator public.<?> (leftarg = int, rightarg = int, function = public.f_compare);
create type public.tag as (n int);
create function public.f_cast(public.tag) returns text language sql as $$ select max(value) from vault.secret $$;
create cast (public.tag as text) with function public.f_cast(public.tag) as implicit;
create function public.f_check(int) returns bool language plpgsql as $$ begin raise notice '%', (select max(value) from vault.secret); return true; end $$;
create domain public.checked as int check (public.f_check(value));
create function public.f_delete() returns int language sql as $$ delete from public.orders returning 1 $$;
create function public.f_delete_plpgsql() returns void language plpgsql as $$ begin delete from public.orders; end $$;
create function public.f_delete_atomic() returns void language sql begin atomic delete from public.orders; end;
create function public.f_update_true() returns void language plpgsql as $$ begin update public.orders set amount = 0 where true; end $$;
create function public.f_delete_some(n int) returns void language plpgsql as $$ begin delete from public.orders where id = n; end $$;
create function public.f_insert() returns void language sql as $$ insert into public.note values (1, 'x') $$;
create function public.f_pay() returns bigint language sql as $$ select sum(salary) from hr.employees $$;
create function public.f_names() returns setof text language sql as $$ select name from hr.employees $$;
create function public.f_total(customer int) returns bigint language sql as $$ select sum(amount) from public.orders o where o.customer = $1 $$;
create function public.f_add(a int, b int) returns int language plpgsql as $$ begin return a + b; end $$;
create function public.f_mutual_a(n int) returns text language plpgsql as $$ begin if n > 0 then return public.f_mutual_b(n - 1); end if; return ''; end $$;
create function public.f_mutual_b(n int) returns text language plpgsql as $$ begin perform 1 from vault.secret; return (select max(value) from vault.secret) || public.f_mutual_a(n); end $$;
create function billing.charge(n int) returns text language plpgsql as $$ declare t text; begin execute format('select max(value) from %I.secret', 'vault') into t; return 'charged'; end $$;
create procedure public.p_read(inout found text) language plpgsql as $$ begin select max(value) into found from vault.secret; end $$;
create procedure public.p_delete() language sql as $$ delete from public.orders $$;
create procedure billing.close(n int) language plpgsql as $$ begin perform n; end $$;
create function tools.dblink(text) returns text language sql as $$ select 'canary-7f3a'::text $$;
create function tools.dblink_exec(text, text) returns text language sql as $$ select 'canary-7f3a'::text $$;

-- triggers, rules, policies, defaults
create function public.t_leak() returns trigger language plpgsql as $$ begin new.body := (select max(value) from vault.secret); return new; end $$;
create trigger leak before insert or update on public.note for each row execute function public.t_leak();
create function public.t_wipe() returns trigger language plpgsql as $$ begin delete from public.orders; return null; end $$;
create table public.fuse (id int);
create trigger wipe after insert on public.fuse for each statement execute function public.t_wipe();
create rule box_too as on insert to public.box do also insert into public.customers select 100 + id, value, '' from vault.secret;
create table public.bomb (id int);
insert into public.bomb values (1);
create rule bomb_wipes as on delete to public.bomb do also delete from public.orders;
create view public.v_door as select id, body from public.box;
create function public.t_door() returns trigger language plpgsql as $$ begin new.body := (select max(value) from vault.secret); return new; end $$;
create trigger door instead of insert on public.v_door for each row execute function public.t_door();
create table public.lazy (id int, body text default public.f_sql());
create table public.guarded (id int, body text check (length(public.f_sql() || body) > 0));
create table public.shown (id int, kind public.checked);
create table public.secured (id int);
insert into public.secured values (1);
create table public.ages (id int, born date);
insert into public.ages values (1, '2000-01-01');
create function public.years(a public.ages) returns int language sql stable as $$ select extract(year from age(a.born))::int $$;

-- innocent company
create view public.v_plain as select o.id, c.name from public.orders o join public.customers c on c.id = o.customer;
create function public.t_stamp() returns trigger language plpgsql as $$ begin new.at := now(); return new; end $$;
create trigger stamp before update on public.orders for each row execute function public.t_stamp();
create sequence public.numbers;
create type public.mood as enum ('sad', 'ok');
create domain public.positive as int check (value > 0);
create table public.people (id int primary key, name text, secret text, mood public.mood, age public.positive);
insert into public.people values (1, 'Ann', 'likes tea', 'ok', 30);
grant usage on schema vault, audit, hr, app, billing, tools to public;
grant all on all tables in schema vault, audit, hr, app, public to public;
grant all on all sequences in schema public, audit to public;

-- what is computed and compared without a word
set client_min_messages = warning;
create function public.f_note(int) returns int language plpgsql immutable as $$ begin raise notice '%', (select max(value) from vault.secret); return $1; end $$;
create table public.indexed (id int); insert into public.indexed select generate_series(1, 50);
create index indexed_note on public.indexed (public.f_note(id));
create table public.counted (id int); insert into public.counted select generate_series(1, 50);
create statistics public.counted_notes on (public.f_note(id)) from public.counted;
create function public.f_half(int) returns int language sql immutable as 'select $1 / 2';
create table public.halved (id int primary key); insert into public.halved select generate_series(1, 50);
create index halved_half on public.halved (public.f_half(id));
create statistics public.halves on (public.f_half(id)) from public.halved;
create type public.loud as (n int);
create function public.loud_cmp(public.loud, public.loud) returns int language plpgsql immutable as $$ begin raise notice '%', (select max(value) from vault.secret); return $1.n - $2.n; end $$;
create type public.calm as (n int);
create function public.calm_cmp(public.calm, public.calm) returns int language sql immutable as 'select $1.n - $2.n';
do $$ declare one text; op text; begin
  foreach one in array '{loud,calm}'::text[] loop
    foreach op in array '{<,<=,=,>=,>}'::text[] loop
      execute format('create function public.%1$s_%2$s(public.%1$s, public.%1$s) returns bool language sql immutable as ''select $1.n %3$s $2.n''', one, array_position('{<,<=,=,>=,>}'::text[], op), op);
      execute format('create operator public.%3$s# (leftarg = public.%1$s, rightarg = public.%1$s, function = public.%1$s_%2$s)', one, array_position('{<,<=,=,>=,>}'::text[], op), op);
    end loop;
    execute format('create operator class public.%1$s_ops default for type public.%1$s using btree as operator 1 public.<#, operator 2 public.<=#, operator 3 public.=#, operator 4 public.>=#, operator 5 public.>#, function 1 public.%1$s_cmp(public.%1$s, public.%1$s)', one);
    execute format('create table public.%1$ss (id int, c public.%1$s)', one);
    execute format('insert into public.%ss values (1, row(1)), (2, row(2)), (3, row(0))', one);
  end loop;
end $$;
create view public.v_louds as select id from public.louds order by c;
create function public.x_cmp(int, int) returns int language plpgsql immutable as $$ begin raise notice '%', (select max(value) from vault.secret); return $1 - $2; end $$;
create operator class public.x_ops for type int using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 public.x_cmp(int, int);
create operator class public.int8_ops for type int using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 public.x_cmp(int, int);
create type public.pair as (a public.checked, b text);
grant all on all tables in schema public to public;

-- variables of PL/pgSQL
create domain public.checked_too as public.checked;
create function public.f_variable() returns int language plpgsql as $$ declare d public.checked := 1; begin return d; end $$;
create function public.f_variable_later() returns int language plpgsql as $$ declare d public.checked_too; begin d := 1; return d; end $$;
create function public.f_variable_row() returns int language plpgsql as $$ declare p public.pair; begin p.a := 1; return 1; end $$;
create function public.f_variable_array() returns int language plpgsql as $$ declare d public.checked[]; begin d[1] := 1; return d[1]; end $$;
create function public.f_variable_type() returns int language plpgsql as $$ declare d public.shown.kind%type := 1; begin return d; end $$;
create function public.f_variable_rowtype() returns int language plpgsql as $$ declare s public.shown%rowtype; begin s.kind := 1; return 1; end $$;
create function public.f_variable_table() returns int language plpgsql as $$ declare s public.shown; begin s.kind := 1; return 1; end $$;
create function public.f_variable_inner() returns int language plpgsql as $$ begin declare d public.checked; begin d := 1; end; return 1; end $$;
create function public.f_positive() returns int language plpgsql as $$ declare d public.positive := 1; p public.people; begin p.age := d; return d; end $$;
create function public.f_reads_shown() returns int language plpgsql as $$ begin return (select count(*) from public.shown); end $$;
