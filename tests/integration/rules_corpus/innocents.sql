--! select 1 | none | app
select 1
--! select | none | app
select
--! select 'vault.secret' | none | app
select 'vault.secret'
--! select 'delete from orders' | none | app
select 'delete from orders'
--! select $$select value from vault.secret$$ | none | app
select $$select value from vault.secret$$
--! select "vault" from (values (1)) x("vault") | none | app
select "vault" from (values (1)) x("vault")
--! select value from public.secret | none | app
select value from public.secret
--! select value from secret | none | app
select value from secret
--! table public.secret | none | app
table public.secret
--! table orders | none | app
table orders
--! select * from only orders | none | app
select * from only orders
--! select secret from people | none | app
select secret from people
--! select secret as value from people | none | app
select secret as value from people
--! select p.secret from people p | none | app
select p.secret from people p
--! select vault.secret from people as vault | none | app
select vault.secret from people as vault
--! select secret.value from public.secret | none | app
select secret.value from public.secret
--! select vault.value from public.secret as vault | none | app
select vault.value from public.secret as vault
--! select audit.name from customers audit | none | app
select audit.name from customers audit
--! with secret as (select 1 as value) select value from secret | none | app
with secret as (select 1 as value) select value from secret
--! with secret as (select * from customers) select * from secret | none | app
with secret as (select * from customers) select * from secret
--! with recursive secret(n) as (select 1 union all select n + 1 from secret where n < 3) select * from secret | none | app
with recursive secret(n) as (select 1 union all select n + 1 from secret where n < 3) select * from secret
--! with vault as (select 1 as secret) select vault.secret from vault | none | app
with vault as (select 1 as secret) select vault.secret from vault
--! with orders as (select 1 as id) select id from orders | none | app
with orders as (select 1 as id) select id from orders
--! select 1 as "vault.secret" | none | app
select 1 as "vault.secret"
--! select count(*) from orders | none | app
select count(*) from orders
--! select count(*) filter (where paid) from orders | none | app
select count(*) filter (where paid) from orders
--! select sum(amount) over (order by id) from orders | none | app
select sum(amount) over (order by id) from orders
--! select o.*, c.name from orders o join customers c on c.id = o.customer | none | app
select o.*, c.name from orders o join customers c on c.id = o.customer
--! select o.id from orders o left join customers c on c.id = o.customer where c.id is null | none | app
select o.id from orders o left join customers c on c.id = o.customer where c.id is null
--! select id from orders natural join customers | none | app
select id from orders natural join customers
--! select id from orders join customers using (id) | none | app
select id from orders join customers using (id)
--! select j.id from (orders o join customers c using (id)) as j | none | app
select j.id from (orders o join customers c using (id)) as j
--! select l.n from orders o, lateral (select n from lines where order_id = o.id) l | none | app
select l.n from orders o, lateral (select n from lines where order_id = o.id) l
--! select distinct customer from orders | none | app
select distinct customer from orders
--! select distinct on (customer) customer, id from orders order by customer, id | none | app
select distinct on (customer) customer, id from orders order by customer, id
--! select customer, count(*) from orders group by customer having count(*) > 1 | none | app
select customer, count(*) from orders group by customer having count(*) > 1
--! select customer, count(*) from orders group by grouping sets ((customer), ()) | none | app
select customer, count(*) from orders group by grouping sets ((customer), ())
--! select customer, count(*) from orders group by rollup (customer) | none | app
select customer, count(*) from orders group by rollup (customer)
--! select id from orders where amount between 1 and 200 | none | app
select id from orders where amount between 1 and 200
--! select id from orders where id in (1, 2, 3) | none | app
select id from orders where id in (1, 2, 3)
--! select id from orders where id = any (array[1, 2]) | none | app
select id from orders where id = any (array[1, 2])
--! select id from orders where (id, customer) in ((1, 1), (2, 2)) | none | app
select id from orders where (id, customer) in ((1, 1), (2, 2))
--! select id from orders where exists (select from lines where order_id = orders.id) | none | app
select id from orders where exists (select from lines where order_id = orders.id)
--! select id from orders where id not in (select order_id from lines where n > 1) | none | app
select id from orders where id not in (select order_id from lines where n > 1)
--! select id from orders order by amount desc nulls last limit 3 offset 1 | none | app
select id from orders order by amount desc nulls last limit 3 offset 1
--! select id from orders fetch first 2 rows only | none | app
select id from orders fetch first 2 rows only
--! select id from orders for update | none | app
select id from orders for update
--! select id from orders for share skip locked | none | app
select id from orders for share skip locked
--! select id from orders tablesample bernoulli (50) | none | app
select id from orders tablesample bernoulli (50)
--! select array(select id from orders) | none | app
select array(select id from orders)
--! select array_agg(id order by id) from orders | none | app
select array_agg(id order by id) from orders
--! select string_agg(name, ',') from customers | none | app
select string_agg(name, ',') from customers
--! select json_agg(c) from customers c | none | app
select json_agg(c) from customers c
--! select row_to_json(o) from orders o | none | app
select row_to_json(o) from orders o
--! select to_jsonb(c) -> 'name' from customers c | none | app
select to_jsonb(c) -> 'name' from customers c
--! select o from orders o | none | app
select o from orders o
--! select (o).id from orders o | none | app
select (o).id from orders o
--! select (o).* from orders o | none | app
select (o).* from orders o
--! select o.id::text !! 'x' from orders o | none | app
select o.id::text || 'x' from orders o
--! select case when paid then 'yes' else 'no' end from orders | none | app
select case when paid then 'yes' else 'no' end from orders
--! select coalesce(name, 'none'), nullif(email, '') from customers | none | app
select coalesce(name, 'none'), nullif(email, '') from customers
--! select greatest(1, 2), least(1, 2) | none | app
select greatest(1, 2), least(1, 2)
--! select extract(year from at) from orders | none | app
select extract(year from at) from orders
--! select at at time zone 'utc' from orders | none | app
select at at time zone 'utc' from orders
--! select now(), current_date, current_user, session_user | none | app
select now(), current_date, current_user, session_user
--! select generate_series(1, 3) | none | app
select generate_series(1, 3)
--! select * from generate_series(1, 3) g(n) | none | app
select * from generate_series(1, 3) g(n)
--! select * from unnest(array[1, 2], array['a', 'b']) u(a, b) | none | app
select * from unnest(array[1, 2], array['a', 'b']) u(a, b)
--! select * from rows from (generate_series(1, 2), generate_series(1, 3)) r(a, b) | none | app
select * from rows from (generate_series(1, 2), generate_series(1, 3)) r(a, b)
--! select x.* from json_to_recordset('[{"a": 1}]') as x(a int) | none | app
select x.* from json_to_recordset('[{"a": 1}]') as x(a int)
--! select * from jsonb_array_elements('[1, 2]') | none | app
select * from jsonb_array_elements('[1, 2]')
--! select regexp_matches('abc', 'b') | none | app
select regexp_matches('abc', 'b')
--! select md5('x'), length('x'), upper('x'), substring('abc' from 2 for 1) | none | app
select md5('x'), length('x'), upper('x'), substring('abc' from 2 for 1)
--! select overlay('abc' placing 'x' from 2), position('b' in 'abc'), trim(both from ' a ') | none | app
select overlay('abc' placing 'x' from 2), position('b' in 'abc'), trim(both from ' a ')
--! select random() > 2 | none | app
select random() > 2
--! select nextval('public.numbers') | none | app
select nextval('public.numbers')
--! select setval('public.numbers', 5) | none | app
select setval('public.numbers', 5)
--! select pg_backend_pid(), version() | none | app
select pg_backend_pid(), version()
--! select current_setting('search_path') | none | app
select current_setting('search_path')
--! select set_config('app.tenant', '5', true) | none | app
select set_config('app.tenant', '5', true)
--! select set_config('work_mem', '8MB', true) | none | app
select set_config('work_mem', '8MB', true)
--! select pg_typeof(1), format('%s', 1) | none | app
select pg_typeof(1), format('%s', 1)
--! select has_table_privilege('public.orders', 'select') | none | app
select has_table_privilege('public.orders', 'select')
--! select to_regclass('public.orders'), 'public.orders'::regclass | none | app
select to_regclass('public.orders'), 'public.orders'::regclass
--! select 'vault.secret'::regclass is not null | none | app
select 'vault.secret'::regclass is not null
--! select obj_description('public.orders'::regclass) | none | app
select obj_description('public.orders'::regclass)
--! select * from pg_class where relname = 'secret' | none | app
select * from pg_class where relname = 'secret'
--! select * from pg_tables where schemaname = 'vault' | none | app
select * from pg_tables where schemaname = 'vault'
--! select column_name from information_schema.columns where table_name = 'orders' | none | app
select column_name from information_schema.columns where table_name = 'orders'
--! select n.nspname, c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace limit 5 | none | app
select n.nspname, c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace limit 5
--! select pg_get_viewdef('public.v_plain'::regclass) | none | app
select pg_get_viewdef('public.v_plain'::regclass)
--! select * from pg_stat_activity where pid = pg_backend_pid() | none | app
select * from pg_stat_activity where pid = pg_backend_pid()
--! select name, setting from pg_settings limit 3 | none | app
select name, setting from pg_settings limit 3
--! values (1, 'a'), (2, 'b') | none | app
values (1, 'a'), (2, 'b')
--! (select 1) union (select 2) order by 1 | none | app
(select 1) union (select 2) order by 1
--! select 1 union all select id from orders | none | app
select 1 union all select id from orders
--! select id from orders except select id from customers | none | app
select id from orders except select id from customers
--! select id from orders intersect select id from customers | none | app
select id from orders intersect select id from customers
--! select 1; select 2 | none | app
select 1; select 2
--! select * from v_plain | none | app
select * from v_plain
--! select * from app.latest | none | app
select * from app.latest
--! select name from v_plain where id = 1 | none | app
select name from v_plain where id = 1
--! select * from v_orders where id = 1 | none | app
select * from v_orders where id = 1
--! select f_add(1, 2) | none | app
select f_add(1, 2)
--! select f_add(a => 1, b => 2) | none | app
select f_add(a => 1, b => 2)
--! select * from f_add(1, 2) | none | app
select * from f_add(1, 2)
--! select id, f_total(customer) from orders | none | app
select id, f_total(customer) from orders
--! select f_total(1) | none | app
select f_total(1)
--! select billing.charge(1) | none | app
select billing.charge(1)
--! select billing.charge(id) from orders limit 1 | none | app
select billing.charge(id) from orders limit 1
--! select years(a) from ages a | none | app
select years(a) from ages a
--! select a.years from ages a | none | app
select a.years from ages a
--! select (a).years from ages a | none | app
select (a).years from ages a
--! select mood from people where mood = 'ok' | none | app
select mood from people where mood = 'ok'
--! select 5::public.positive | none | app
select 5::public.positive
--! select 'ok'::public.mood | none | app
select 'ok'::public.mood
--! select age from people | none | app
select age from people
--! select id from hr.employees | none | app
select id from hr.employees
--! select id, name from hr.employees | none | app
select id, name from hr.employees
--! select e.name, e.note from hr.employees e | none | app
select e.name, e.note from hr.employees e
--! select name from hr.employees where id = 1 | none | app
select name from hr.employees where id = 1
--! select count(*) from hr.employees | none | app
select count(*) from hr.employees
--! select count(1) from hr.employees e | none | app
select count(1) from hr.employees e
--! select e.id from hr.employees e join people p using (id) | none | app
select e.id from hr.employees e join people p using (id)
--! select e.name from hr.employees e join people p on p.id = e.id order by e.name | none | app
select e.name from hr.employees e join people p on p.id = e.id order by e.name
--! select max(id) from hr.employees | none | app
select max(id) from hr.employees
--! select exists (select from hr.employees) | none | app
select exists (select from hr.employees)
--! select 1 from hr.employees | none | app
select 1 from hr.employees
--! select 'salary' from hr.employees | none | app
select 'salary' from hr.employees
--! select name as salary from hr.employees | none | app
select name as salary from hr.employees
--! select salary from (values (1)) x(salary) | none | app
select salary from (values (1)) x(salary)
--! select e.id, x.salary from hr.employees e, (values (5)) x(salary) | none | app
select e.id, x.salary from hr.employees e, (values (5)) x(salary)
--! select f_names() | none | app
select f_names()
--! select ctid, tableoid from hr.employees | none | app
select ctid, tableoid from hr.employees
--! copy hr.employees (id, name) to stdout | none | app
copy hr.employees (id, name) to stdout
--! copy (select id, name from hr.employees) to stdout | none | app
copy (select id, name from hr.employees) to stdout
--! copy orders to stdout | none | app
copy orders to stdout
--! copy (select * from orders) to stdout with (format csv, header) | none | app
copy (select * from orders) to stdout with (format csv, header)
--! copy public.secret to stdout | none | app
copy public.secret to stdout
--! explain select * from orders | none | app
explain select * from orders
--! explain analyze select * from orders where id = 1 | none | app
explain analyze select * from orders where id = 1
--! explain (costs off, format json) select id from orders | none | app
explain (costs off, format json) select id from orders
--! explain delete from orders where id = 1 | none | app
explain delete from orders where id = 1
--! prepare p as select id from orders where id = $1 | none | app
prepare p as select id from orders where id = $1
--! declare c cursor for select id from orders | none | app
declare c cursor for select id from orders
--! show search_path | none | app
show search_path
--! show all | none | app
show all
--! set work_mem = '8MB' | none | app
set work_mem = '8MB'
--! set search_path = public, app | none | app
set search_path = public, app
--! set local statement_timeout = '5s' | none | app
set local statement_timeout = '5s'
--! set time zone 'UTC' | none | app
set time zone 'UTC'
--! reset work_mem | none | app
reset work_mem
--! begin | none | app
begin
--! begin read only | none | app
begin read only
--! savepoint a | none | app
savepoint a
--! listen news | none | app
listen news
--! notify news, 'x' | none | app
notify news, 'x'
--! unlisten * | none | app
unlisten *
--! deallocate all | none | app
deallocate all
--! discard plans | none | app
discard plans
--! lock table orders in share mode | none | app
lock table orders in share mode
--! insert into orders (id, customer) values (50, 1) | none | app
insert into orders (id, customer) values (50, 1)
--! insert into orders (id, customer) values (51, 1), (52, 2) returning id | none | app
insert into orders (id, customer) values (51, 1), (52, 2) returning id
--! insert into orders (id, customer) values (1, 1) on conflict do nothing | none | app
insert into orders (id, customer) values (1, 1) on conflict do nothing
--! insert into orders (id, customer) values (1, 1) on conflict (id) do update set amount = excluded.amount | none | app
insert into orders (id, customer) values (1, 1) on conflict (id) do update set amount = excluded.amount
--! insert into orders (id, customer) values (1, 1) on conflict (id) do update set amount = 5 where orders.paid | none | app
insert into orders (id, customer) values (1, 1) on conflict (id) do update set amount = 5 where orders.paid
--! insert into orders (id, customer) select 100 + id, customer from orders | none | app
insert into orders (id, customer) select 100 + id, customer from orders
--! insert into orders (id, customer) select id, 1 from generate_series(60, 62) id returning * | none | app
insert into orders (id, customer) select id, 1 from generate_series(60, 62) id returning *
--! insert into people (id, name, secret) values (5, 'x', 'y') | none | app
insert into people (id, name, secret) values (5, 'x', 'y')
--! insert into public.secret values (2, 'x') | none | app
insert into public.secret values (2, 'x')
--! insert into customers values (10, 'vault.secret', 'delete from orders') | none | app
insert into customers values (10, 'vault.secret', 'delete from orders')
--! insert into lines values (1, 2) | none | app
insert into lines values (1, 2)
--! insert into people (id, mood) values (6, 'sad') | none | app
insert into people (id, mood) values (6, 'sad')
--! insert into people (id, age) values (6, 12) | none | app
insert into people (id, age) values (6, 12)
--! insert into people (id, name) values (9, $$x; delete from orders$$) | none | app
insert into people (id, name) values (9, $$x; delete from orders$$)
--! with n as (insert into people (id) values (30) returning id) select id from n | none | app
with n as (insert into people (id) values (30) returning id) select id from n
--! with n as (select 31 as id) insert into people (id) select id from n | none | app
with n as (select 31 as id) insert into people (id) select id from n
--! update orders set amount = 5 where id = 1 | none | app
update orders set amount = 5 where id = 1
--! update orders set amount = amount + 1 where id in (1, 2) | none | app
update orders set amount = amount + 1 where id in (1, 2)
--! update orders o set amount = 5 where o.id = 1 returning o.* | none | app
update orders o set amount = 5 where o.id = 1 returning o.*
--! update orders set (amount, paid) = (5, true) where id = 1 | none | app
update orders set (amount, paid) = (5, true) where id = 1
--! update orders set (amount, paid) = (select 5, true) where id = 1 | none | app
update orders set (amount, paid) = (select 5, true) where id = 1
--! update orders set paid = true where customer = 1 and not paid | none | app
update orders set paid = true where customer = 1 and not paid
--! update orders set paid = true where at < now() | none | app
update orders set paid = true where at < now()
--! update orders set paid = default where id = 1 | none | app
update orders set paid = default where id = 1
--! update orders set amount = 5 from customers c where c.id = orders.customer and c.name = 'a' | none | app
update orders set amount = 5 from customers c where c.id = orders.customer and c.name = 'a'
--! update only orders set amount = 5 where id = 1 | none | app
update only orders set amount = 5 where id = 1
--! update people set secret = 'x' where id = 1 | none | app
update people set secret = 'x' where id = 1
--! update people set name = 'where' where id = 1 | none | app
update people set name = 'where' where id = 1
--! update orders set amount = 5 where id = (select max(id) from orders) | none | app
update orders set amount = 5 where id = (select max(id) from orders)
--! update orders set amount = 5 where exists (select from lines where order_id = orders.id) | none | app
update orders set amount = 5 where exists (select from lines where order_id = orders.id)
--! update v_orders set amount = 5 where id = 1 | none | app
update v_orders set amount = 5 where id = 1
--! update hr.employees set note = 'x' where id = 1 | none | app
update hr.employees set note = 'x' where id = 1
--! update hr.employees set note = 'x', name = 'y' where id = 1 returning id, name | none | app
update hr.employees set note = 'x', name = 'y' where id = 1 returning id, name
--! delete from orders where id = 1 | none | app
delete from orders where id = 1
--! delete from orders where id = 1 or id = 2 | none | app
delete from orders where id = 1 or id = 2
--! delete from orders where not paid and amount > 500 | none | app
delete from orders where not paid and amount > 500
--! delete from orders where customer is null | none | app
delete from orders where customer is null
--! delete from orders where id between 1 and 2 | none | app
delete from orders where id between 1 and 2
--! delete from orders where id <> id + 1 and id = 1 | none | app
delete from orders where id <> id + 1 and id = 1
--! delete from orders where paid | none | app
delete from orders where paid
--! delete from orders where paid is true | none | app
delete from orders where paid is true
--! delete from orders where amount > customer | none | app
delete from orders where amount > customer
--! delete from orders o using customers c where c.id = o.customer and c.name = 'zzz' | none | app
delete from orders o using customers c where c.id = o.customer and c.name = 'zzz'
--! delete from orders where id = 1 returning * | none | app
delete from orders where id = 1 returning *
--! delete from only orders where id = 1 | none | app
delete from only orders where id = 1
--! delete from orders where id = 1 and true | none | app
delete from orders where id = 1 and true
--! delete from orders where id > 5 and 1 = 1 | none | app
delete from orders where id > 5 and 1 = 1
--! delete from orders where id in (select id from orders where paid) | none | app
delete from orders where id in (select id from orders where paid)
--! delete from orders where id = any (array[1, 2]) | none | app
delete from orders where id = any (array[1, 2])
--! delete from orders where id = 1 and id = id | none | app
delete from orders where id = 1 and id = id
--! delete from lines where order_id = 1 | none | app
delete from lines where order_id = 1
--! delete from v_orders where id = 1 | none | app
delete from v_orders where id = 1
--! delete from public.secret where id = 1 | none | app
delete from public.secret where id = 1
--! delete from hr.employees where id = 77 | none | app
delete from hr.employees where id = 77
--! with d as (delete from orders where id = 1 returning *) select * from d | none | app
with d as (delete from orders where id = 1 returning *) select * from d
--! with d as (delete from orders where id = 1 returning id) insert into people (id) select 200 + id from d | none | app
with d as (delete from orders where id = 1 returning id) insert into people (id) select 200 + id from d
--! with u as (update orders set paid = true where id = 1 returning id) select count(*) from u | none | app
with u as (update orders set paid = true where id = 1 returning id) select count(*) from u
--! select f_delete_some(1) | none | app
select f_delete_some(1)
--! merge into people p using orders o on p.id = o.id when matched then update set name = 'x' | none | app
merge into people p using orders o on p.id = o.id when matched then update set name = 'x'
--! merge into people p using (values (1)) v(id) on p.id = v.id when matched then delete | none | app
merge into people p using (values (1)) v(id) on p.id = v.id when matched then delete
--! merge into people p using orders o on p.id = o.id when matched then do nothing when not matched then insert (id) values (o.id) | none | app
merge into people p using orders o on p.id = o.id when matched then do nothing when not matched then insert (id) values (o.id)
--! truncate lines | none | app
truncate lines
--! truncate public.note, public.box | none | app
truncate public.note, public.box
--! explain analyze update orders set paid = true where id = 1 | none | app
explain analyze update orders set paid = true where id = 1
--! prepare p as delete from orders where id = $1 | none | app
prepare p as delete from orders where id = $1
--! prepare p as update orders set paid = $2 where id = $1 | none | app
prepare p as update orders set paid = $2 where id = $1
--! copy (delete from orders where id = 1 returning id) to stdout | none | app
copy (delete from orders where id = 1 returning id) to stdout
--! copy (update orders set paid = true where id = 1 returning id) to stdout | none | app
copy (update orders set paid = true where id = 1 returning id) to stdout
--! begin; update orders set paid = true where id = 1; delete from lines where order_id = 2 | none | app
begin; update orders set paid = true where id = 1; delete from lines where order_id = 2
--! insert into orders (id, customer) values (53, 1); update orders set paid = true where id = 53 | none | app
insert into orders (id, customer) values (53, 1); update orders set paid = true where id = 53
--! declare c cursor for select * from orders where id = 1 for update | none | app
declare c cursor for select * from orders where id = 1 for update
--! call billing.close(1) | none | app
call billing.close(1)
--! create table t (id int primary key, secret text, salary int) | none | app
create table t (id int primary key, secret text, salary int)
--! create table t (id int references orders, n int check (n > 0)) | none | app
create table t (id int references orders, n int check (n > 0))
--! create table t as select id from orders | none | app
create table t as select id from orders
--! create table t as table customers | none | app
create table t as table customers
--! create table vault_secret (id int) | none | app
create table vault_secret (id int)
--! create table "vault.secret" (id int) | none | app
create table "vault.secret" (id int)
--! create temp table t (id int) | none | app
create temp table t (id int)
--! create temp table secret2 as select * from public.secret | none | app
create temp table secret2 as select * from public.secret
--! create unlogged table t (id int) | none | app
create unlogged table t (id int)
--! create table t (like orders including all) | none | app
create table t (like orders including all)
--! create table t (id int) partition by range (id) | none | app
create table t (id int) partition by range (id)
--! create table t (id int generated always as identity, m int generated always as (1) stored) | none | app
create table t (id int generated always as identity, m int generated always as (1) stored)
--! create table if not exists orders (id int) | none | app
create table if not exists orders (id int)
--! create index on orders (customer) | none | app
create index on orders (customer)
--! create unique index on customers (email) | none | app
create unique index on customers (email)
--! create index on orders ((amount + 1)) where paid | none | app
create index on orders ((amount + 1)) where paid
--! create view v as select id from orders | none | app
create view v as select id from orders
--! create or replace view v_plain as select o.id, c.name from orders o join customers c on c.id = o.customer | none | app
create or replace view v_plain as select o.id, c.name from orders o join customers c on c.id = o.customer
--! create temp view v as select 1 as secret | none | app
create temp view v as select 1 as secret
--! create materialized view m as select id from orders | none | app
create materialized view m as select id from orders
--! create sequence s | none | app
create sequence s
--! create type t as enum ('a', 'b') | none | app
create type t as enum ('a', 'b')
--! create type t as (a int, b text) | none | app
create type t as (a int, b text)
--! create domain d as int check (value > 0) | none | app
create domain d as int check (value > 0)
--! create function f() returns int language sql as 'select 1' | none | app
create function f() returns int language sql as 'select 1'
--! create function f(a int) returns bigint language sql as 'select sum(amount) from public.orders where id = a' | none | app
create function f(a int) returns bigint language sql as 'select sum(amount) from public.orders where id = a'
--! create function f() returns void language plpgsql as $$ begin delete from public.orders where id = 1; end $$ | none | app
create function f() returns void language plpgsql as $$ begin delete from public.orders where id = 1; end $$
--! create function f() returns trigger language plpgsql as $$ begin new.at := now(); return new; end $$ | none | app
create function f() returns trigger language plpgsql as $$ begin new.at := now(); return new; end $$
--! create function f() returns int language sql begin atomic select 1; end | none | app
create function f() returns int language sql begin atomic select 1; end
--! create procedure p() language sql as 'update public.orders set paid = true where id = 1' | none | app
create procedure p() language sql as 'update public.orders set paid = true where id = 1'
--! create schema s | none | app
create schema s
--! create schema s create table t (id int) create view v as select id from t | none | app
create schema s create table t (id int) create view v as select id from t
--! create trigger stamp2 before update on orders for each row execute function t_stamp() | none | app
create trigger stamp2 before update on orders for each row execute function t_stamp()
--! create rule r as on delete to lines do also update orders set paid = false where id = old.order_id | none | app
create rule r as on delete to lines do also update orders set paid = false where id = old.order_id
--! create policy p on people using (name = current_user) | none | app
create policy p on people using (name = current_user)
--! create aggregate a (int) (sfunc = int4pl, stype = int, initcond = '0') | none | app
create aggregate a (int) (sfunc = int4pl, stype = int, initcond = '0')
--! create operator #+# (leftarg = int, rightarg = int, function = f_add) | none | app
create operator #+# (leftarg = int, rightarg = int, function = f_add)
--! create statistics st on customer, amount from orders | none | app
create statistics st on customer, amount from orders
--! alter table orders add column note text | none | app
alter table orders add column note text
--! alter table orders add constraint positive check (amount >= 0) | none | app
alter table orders add constraint positive check (amount >= 0)
--! alter table orders alter column amount set default 5 | none | app
alter table orders alter column amount set default 5
--! alter table orders rename column paid to settled | none | app
alter table orders rename column paid to settled
--! alter table orders rename to sales | none | app
alter table orders rename to sales
--! alter table people drop column secret | none | app
alter table people drop column secret
--! alter table customers owner to current_user | none | app
alter table customers owner to current_user
--! alter table hr.employees add column extra int | none | app
alter table hr.employees add column extra int
--! alter table hr.employees alter column note set default 'x' | none | app
alter table hr.employees alter column note set default 'x'
--! alter table hr.employees alter column name set statistics 50 | none | app
alter table hr.employees alter column name set statistics 50
--! alter view v_plain rename to v_simple | none | app
alter view v_plain rename to v_simple
--! alter index orders_pkey rename to orders_key | none | app
alter index orders_pkey rename to orders_key
--! alter sequence numbers restart with 7 | none | app
alter sequence numbers restart with 7
--! alter type mood add value 'so so' | none | app
alter type mood add value 'so so'
--! alter domain positive drop constraint positive_check | none | app
alter domain positive drop constraint positive_check
--! drop table lines | none | app
drop table lines
--! drop table if exists nothing_here | none | app
drop table if exists nothing_here
--! drop view v_plain | none | app
drop view v_plain
--! drop function f_add(int, int) | none | app
drop function f_add(int, int)
--! drop index if exists nothing_here | none | app
drop index if exists nothing_here
--! drop sequence numbers | none | app
drop sequence numbers
--! drop table public.secret | none | app
drop table public.secret
--! comment on table orders is 'delete from orders' | none | app
comment on table orders is 'delete from orders'
--! comment on column orders.amount is 'vault.secret' | none | app
comment on column orders.amount is 'vault.secret'
--! grant select on orders to reader | none | app
grant select on orders to reader
--! grant usage on schema app to reader | none | app
grant usage on schema app to reader
--! revoke select on orders from reader | none | app
revoke select on orders from reader
--! analyze orders | none | app
analyze orders
--! reindex table orders | none | app
reindex table orders
--! analyst: select * from orders | none | analyst_jo
select * from orders
--! analyst: select count(*) from orders | none | analyst_jo
select count(*) from orders
--! analyst: select o.*, c.name from orders o join customers c on c.id = o.customer | none | analyst_jo
select o.*, c.name from orders o join customers c on c.id = o.customer
--! analyst: with x as (select * from orders) select * from x | none | analyst_jo
with x as (select * from orders) select * from x
--! analyst: explain select * from orders | none | analyst_jo
explain select * from orders
--! analyst: explain analyze select * from orders | none | analyst_jo
explain analyze select * from orders
--! analyst: copy orders to stdout | none | analyst_jo
copy orders to stdout
--! analyst: copy (select id from orders) to stdout | none | analyst_jo
copy (select id from orders) to stdout
--! analyst: prepare p as select id from orders | none | analyst_jo
prepare p as select id from orders
--! analyst: declare c cursor for select id from orders | none | analyst_jo
declare c cursor for select id from orders
--! analyst: begin read only | none | analyst_jo
begin read only
--! analyst: set local work_mem = '8MB' | none | analyst_jo
set local work_mem = '8MB'
--! analyst: show work_mem | none | analyst_jo
show work_mem
--! analyst: select f_add(1, 2) | none | analyst_jo
select f_add(1, 2)
--! analyst: select f_total(1) | none | analyst_jo
select f_total(1)
--! analyst: select * from v_plain | none | analyst_jo
select * from v_plain
--! analyst: select now() | none | analyst_jo
select now()
--! analyst: select billing.charge(1) | none | analyst_jo
select billing.charge(1)
--! analyst: listen news | none | analyst_jo
listen news
--! analyst: values (1) | none | analyst_jo
values (1)
--! analyst: table customers | none | analyst_jo
table customers
--! analyst: select id, name from hr.employees | none | analyst_jo
select id, name from hr.employees
--! analyst: select 'insert into orders' | none | analyst_jo
select 'insert into orders'
--! analyst: select id as "update" from orders | none | analyst_jo
select id as "update" from orders
--! analyst: select count(*) as delete from orders | none | analyst_jo
select count(*) as delete from orders
--! payroll: select * from vault.secret | none | payroll
select * from vault.secret
--! payroll: select value from vault.secret where id = 1 | none | payroll
select value from vault.secret where id = 1
--! payroll: select * from hr.employees | none | payroll
select * from hr.employees
--! payroll: select salary from hr.employees | none | payroll
select salary from hr.employees
--! payroll: select f_sql() | none | payroll
select f_sql()
--! payroll: select * from v_secret | none | payroll
select * from v_secret
--! payroll: select * from v_pay | none | payroll
select * from v_pay
--! payroll: update hr.employees set salary = 424242 where id = 1 | none | payroll
update hr.employees set salary = 424242 where id = 1
--! payroll: insert into audit.log (what) values ('x') | none | payroll
insert into audit.log (what) values ('x')
--! payroll: select what from audit.log | none | payroll
select what from audit.log
--! payroll: insert into note values (1, 'x') | none | payroll
insert into note values (1, 'x')
--! payroll: insert into lazy (id) values (1) | none | payroll
insert into lazy (id) values (1)
--! payroll: copy vault.secret to stdout | none | payroll
copy vault.secret to stdout
--! payroll: with q as (select * from vault.secret) select count(*) from q | none | payroll
with q as (select * from vault.secret) select count(*) from q
--! payroll: select f_plpgsql() | none | payroll
select f_plpgsql()
--! payroll: insert into v_door values (1, '') | none | payroll
insert into v_door values (1, '')
--! payroll: prepare p as select * from vault.secret | none | payroll
prepare p as select * from vault.secret
--! payroll: create view payview as select salary from hr.employees | none | payroll
create view payview as select salary from hr.employees
--! payroll: select a_secret(id) from orders | none | payroll
select a_secret(id) from orders
--! payroll: select public.f_query() | none | payroll
select public.f_query()
--! prepared and executed | none | app
prepare p(int) as select id from orders where id = $1
--;
execute p(1)
--;
execute p(2)
--;
deallocate p
--! prepared, executed and explained | none | app
prepare p(int) as update orders set paid = true where id = $1
--;
explain execute p(1)
--;
execute p(1)
--! prepared and copied | none | analyst_jo
prepare p as select id from orders
--;
execute p
--! a cursor, fetched | none | app
declare c cursor for select id from orders
--;
fetch 2 from c
--;
move next in c
--;
close c
--! a table made and used | none | app
create table stolen (id int, value text)
--;
insert into stolen values (1, 'x')
--;
select * from stolen
--! a temporary table | none | app
create temp table secret_copy (id int, value text)
--;
insert into secret_copy select id, value from public.secret
--;
select value from secret_copy
--! a path of its own | none | app
set search_path = app, public
--;
select * from latest
--;
select id from orders
--! a savepoint in a transaction | none | app
savepoint a
--;
insert into orders (id, customer) values (70, 1)
--;
rollback to a
--;
select count(*) from orders
--! a function made and called | none | app
create function public.twice(int) returns int language sql as 'select $1 * 2'
--;
select count(*) from orders
--! app: inherit among plain tables | none | app
create table public.par (amount int)
--;
alter table public.orders inherit public.par
--;
select amount from public.par
--! app: a setting by its view | none | app
update pg_settings set setting = '5MB' where name = 'work_mem'
--! app: a comment in the catalogue | none | app
comment on table public.orders is 'what was ordered'
--! app: reindex with an expression | none | app
reindex index public.halved_half
--;
reindex table public.halved
--! app: cluster with an expression | none | app
cluster public.halved using halved_pkey
--! app: analyze with statistics | none | app
analyze public.halved
--! app: sorted by a calm operator class | none | app
select distinct c from public.calms order by c
--! app: united by a calm operator class | none | app
select c from public.calms union select row(1)::public.calm
--! app: index by a calm operator class | none | app
create index on public.calms (c)
--! app: sorted by built-in types | none | app
select distinct customer, greatest(amount, 5), array_agg(id order by at) from public.orders group by customer, amount order by customer
--! app: input of a built-in type | none | app
select pg_input_is_valid('1', 'integer'), pg_input_is_valid('1', 'numeric(10,2)')
--! app: input of a harmless domain | none | app
select pg_input_is_valid('1', 'public.positive')
--! app: subset of a row as json | none | app
select row_to_json((select x from (select e.id, e.name) x)) from hr.employees e
--! app: subset of a row | none | app
select (select x from (select e.id) x) from hr.employees e
--! app: subset of a row in an aggregate | none | app
select json_agg((select x from (select e.id, e.name) x)) from hr.employees e
--! app: row of the other table | none | app
select o, row_to_json(o) from public.orders o join hr.employees e on e.id = o.customer
--! app: rows of a query as json | none | app
select json_agg(e) from (select id, name from hr.employees) e
--! app: rows of a CTE as json | none | app
with e as (select id, name from hr.employees) select row_to_json(e), e from e
--! app: trigger with its function in one transaction | none | app
create function public.tn() returns trigger language plpgsql as $$ begin perform pg_notify('orders', json_build_object('id', new.id)::text); return new; end $$
--;
create trigger tn after insert on public.orders for each row execute function public.tn()
--;
insert into public.orders (id, customer) values (100, 1)
--! app: trigger with its function in one message | none | app
create function public.tn() returns trigger language plpgsql as $$ begin return new; end $$; create trigger tn after insert on public.orders for each row execute function public.tn()
--! app: index with its function in one transaction | none | app
create function public.im(t text) returns text language sql immutable as 'select lower(t)'
--;
create index on public.customers (public.im(name))
--;
select public.im('X'), im(name) from public.customers
--! app: functions that call each other in one transaction | none | app
create function public.one(n int) returns int language plpgsql as $$ begin if n > 0 then return public.two(n - 1); end if; return 0; end $$
--;
create function public.two(n int) returns int language plpgsql as $$ begin return public.one(n); end $$
--;
select public.one(3)
--! app: type, table and view in one message | none | app
create type public.st1 as enum ('a', 'b'); create table public.ust (s public.st1 default 'a'); create view public.vust as select s from public.ust; insert into public.ust values ('b'); select * from public.vust
--! where or of two columns | none
update public.orders set paid = true where id = -1 or customer = -2
--! where or in brackets | none
update public.orders set paid = true where (id = -1 or customer = -1) and now() is not null
--! where not of an or | none
update public.orders set paid = true where not (id > 0 or customer > 0)
--! where lower case | none
update public.orders set paid = true where at <> date_trunc('day', at) and id = -1
--! where in a list of another table | none
update public.orders set paid = true where customer in (select id from public.customers where name = 'nobody')
--! where a batch of some | none
update public.orders set paid = true where id in (select id from public.orders where amount = -1 limit 10)
--! where all but those of an array | none
update public.orders set paid = true where id <> all (array(select id from public.orders))
--! where none of a list | none
update public.orders set paid = true where id = any ('{-1,-2}')
--! where like any of some | none
update public.orders set paid = true where id::text like any ('{-1%,-2%}')
--! where no line left | none
update public.orders set paid = true where not exists (select from public.lines l where l.order_id = orders.id)
--! where nobody's | none
update public.orders set paid = true where customer is null
--! where not paid | none
update public.orders set paid = true where paid is not false and id < 0
--! where one column and another | none
update public.orders set paid = true where amount < customer
--! where by its place | none
update public.orders set paid = true where ctid = any (array(select ctid from public.orders where id = -1))
--! where counted | none
update public.orders set paid = true where (select count(*) from public.lines l where l.order_id = orders.id) > 5
--! where row of two | none
update public.orders set paid = true where (id, customer) = (-1, -1)
--! where beginning with | none
update public.orders set paid = true where starts_with(id::text, '-')
--! joined with another table | none
update public.orders o set paid = true from public.customers c where c.id = o.customer and c.name = 'nobody'
--! joined with itself by another column | none
update public.orders o set paid = true from public.orders p where p.customer = o.id and p.amount < 0
--! an upsert | none
insert into public.orders (id, customer) values (1, 1) on conflict (id) do update set paid = true
--! an upsert of another table's rows | none
insert into public.customers select id, 'x', '' from public.orders where id < 0 on conflict (id) do update set name = excluded.name
--! an upsert of some of its own | none
insert into public.orders select * from public.orders where id = 1 on conflict (id) do update set paid = true
--! a merge with another table | none
merge into public.orders o using public.customers c on c.id = o.customer and c.id < 0 when matched then update set paid = true
--! an analyst looks at a sequence | none | analyst_jo
select last_value from public.numbers
--! an analyst asks what is counted | none | analyst_jo
select pg_stat_get_numscans('public.orders'::regclass), pg_current_wal_lsn(), lo_get(oid) from pg_largeobject_metadata limit 0
--! an insert with a value of a sequence | none | app
insert into public.orders (id, customer) values (1000 + nextval('public.numbers'), 1)
--! variables of types whose checks are harmless | none | app
select public.f_positive()
--! a function that reads a table of a type that is checked | none | app
select public.f_reads_shown()
--! statistics of other columns | none | app
create statistics hr.of_names on name, id from hr.employees
--! a temporary table like another | none | app
create temp table alike (like public.people including all); insert into alike (id, age) values (1, 30)
--! a domain by another name | none | app
alter domain public.positive rename to more_than_zero
--! a table of a type | none | app
create type public.plain_pair as (a int, b text); create table public.plain_pairs of public.plain_pair
--! where some of the same table | none | app
update public.orders set paid = true where id = any (array(select id from public.orders where id < 0))
--! where another row of the table | none | app
update public.orders o set paid = true where exists (select from public.orders p where p.customer = o.id and p.id < 0)
--! a function that was made, then another path | none | app
create function public.i_total() returns bigint language sql as 'select sum(amount) from public.orders'
--;
create view public.i_totals as select public.i_total() as n
--;
set local search_path = app, public
--;
alter table public.note add column more text
--;
select n from public.i_totals
--! where a column of another table has the same name | none | app
update public.orders set paid = true from public.customers c where orders.id = c.id and c.name = 'x'
--! where an inner column has the same name | none | app
delete from public.lines where exists (select from public.orders where lines.order_id = id and id < 0)
--! functions with a path of their own are made | none | app
create function public.i_log() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as 'begin insert into public.people (id, name) values (55, new.body); return new; end'
--;
create function public.i_secret() returns text language sql set search_path = public as 'select max(value) from secret'
--;
create table public.i_made (id int, body text)
--;
create trigger i_log after insert on public.i_made for each row execute function public.i_log()
--;
insert into public.i_made values (1, public.i_secret())
