-- Statements of every kind in PostgreSQL's grammar, one to a line. test_facts.py holds the facts of each against what
-- the server records of it. "-- since 18" at the end of a line keeps it off older servers; what ends in "-- fails" is refused by the
-- server, for reasons that have nothing to do with its syntax (a server built without XML, an object that isn't there).
-- A section is how the server is asked; its name is after "==". In "setup" a statement may take several lines.

-- == setup
create role alice;
create role bob;
create schema s;
create type mood as enum ('sad', 'glad');
create type pair as (first int, second text);
create domain positive as int check (value > 0);
create table a (id int primary key, x int, y text, z timestamptz, doc jsonb, tags text[]);
create table b (id int primary key, a_id int, w numeric, m mood);
create table c (id int primary key, b_id int, p pair, q xml);
create table "Odd Name" ("Select" int, "from" int);
create table s.t (id int primary key, x int, k bigint);
create table s.a (id int primary key, only_there int);
create table parted (id int, part int) partition by range (part);
create table parted_1 partition of parted for values from (0) to (10);
create table parent (id int, n int);
create table child () inherits (parent);
create view v as select id, x from a;
create materialized view mv as select id, x from a;
create sequence seq;
create function f(int) returns int language sql as 'select $1';
create function f(int, int) returns int language sql as 'select $1 + $2';
create function g(text) returns text language sql as 'select $1';
create function s.h() returns int language sql as 'select 1';
create function yes(int) returns boolean language sql as 'select true';
create function of_a(a) returns int language sql as 'select $1.id';
create function rows_of(int) returns setof int language sql as 'select $1';
create function table_of(int) returns table (n int, t text) language sql as $$ select $1, 'x' $$;
create function step(int, int) returns int language sql as 'select $1 + $2';
create aggregate own_sum(int) (sfunc = step, stype = int, initcond = 0);
create function like_it(int, int) returns boolean language sql as 'select $1 = $2';
create operator === (function = like_it, leftarg = int, rightarg = int);
create operator s.=== (function = public.like_it, leftarg = int, rightarg = int);
create function on_row() returns trigger language plpgsql as 'begin return new; end';
create function on_event() returns event_trigger language plpgsql as 'begin end';
create procedure proc(int) language sql as 'select 1';
create foreign data wrapper nobody;
create server nowhere foreign data wrapper nobody;
create text search configuration mine (copy = english);
create text search dictionary stems (template = simple);
create collation mine from "C";

-- == queries
select 1
select x from a
select a.x from a
select x as y, y as x from a order by x
select q.x from a as q
select q.one from a as q (one, two)
select * from a
select a.* from a, b where a.id = b.a_id
select a from a
select q from a as q
select (a).x from a
select (a.*).y from a
select row(a.*) from a
select of_a(a) from a
select of_a(a.*) from a
select a.of_a from a
select x(a) from a
select public.a.x from public.a
select s.t.x from s.t
select t.x from s.t
select "Select" from "Odd Name"
select n."from" from "Odd Name" n where n."Select" = 1
select X, A.Y from A
select o.only_there from s.a o, a where a.id = o.id
select only_there from s.a
table a
values (1, 'a'), (2, 'b')
values (f(1)), (f(2))
select count(*) from a
select count(x) from a
select count(distinct x), sum(x) filter (where x > 1) from a
select own_sum(x) from a
select own_sum(x) over (partition by y order by z) from a
select sum(x) over w from a window w as (partition by y)
select percentile_cont(0.5) within group (order by x) from a
select array_agg(x order by z desc) from a
select string_agg(g(y), ',' order by x) from a
select x, count(*) from a group by x
select x + 1, count(*) from a group by x + 1 having count(*) > 1
select x, y, count(*) from a group by grouping sets ((x), (y), ())
select x, y, grouping(x, y) from a group by rollup (x, y)
select x, y from a group by cube (x, y)
select x, y from a group by distinct rollup (x, y), cube (x)
select y as k, count(*) from a group by k
select id, x from a group by id
select distinct x from a
select distinct on (x) y from a order by x, z
select distinct on (f(x)) y from a
select x from a order by y
select x as k from a order by k
select x as k from a order by f(x)
select x from a order by 1
select x from a order by x using <
select x from a order by y collate "C" nulls first
select x from a order by y collate mine
select x from a limit 5
select x from a limit (select count(*) from b) offset f(1)
select x from a fetch first 5 rows only
select x from a order by x fetch first 5 rows with ties
select x from a where y = 'x'
select x from a where x = 1 and (y = 'x' or not z > now())
select x from a where x between 1 and 2
select x from a where x not between symmetric 1 and f(2)
select x from a where x in (1, 2, 3)
select x from a where x not in (select a_id from b)
select x from a where (x, y) in (select a_id, w::text from b)
select x from a where (x, id) = (1, 2)
select x from a where row(x, id) < row(1, 2)
select x from a where x = any (array[1, 2])
select x from a where x = any ('{1,2}'::int[])
select x from a where x > all (select a_id from b)
select x from a where x operator(public.===) 1
select x from a where x === id
select x from a where x operator(s.===) 1
select x from a where y like 'a%'
select x from a where y not ilike 'a%' escape '!'
select x from a where y similar to 'a%'
select x from a where y ~ '^a'
select x from a where y ~* g('a')
select x from a where x is null
select x from a where x is not null and (x > 1) is not true
select x from a where (x > 1) is unknown
select x from a where x is distinct from id
select x from a where yes(x)
select x from a where doc is json
select x from a where doc is json object with unique keys
select x from a where doc ->> 'k' = 'v'
select x from a where doc @> '{"a": 1}'
select doc['k'] from a
select tags[1], tags[2:3], tags[f(1):] from a
select array[x, id], array(select id from b) from a
select case when x = 1 then y else g(y) end from a
select case x when 1 then 'a' when f(2) then 'b' end from a
select coalesce(x, id, f(1)), nullif(x, 1), greatest(x, id), least(x, 1) from a
select cast(x as text), y::int, x::positive, 'sad'::mood from a
select 'sad'::mood from b
select m from b where m = 'sad'
select (p).first from c
select (c.p).second from c
select (p).* from c
select row(1, 'x')::pair from c
select date '2020-01-01', interval '1 day', timestamp with time zone '2020-01-01 00:00Z'
select current_date, current_timestamp, localtime(2), current_user, session_user, current_schema
select z at time zone 'UTC', extract(year from z), date_trunc('day', z) from a
select position('a' in y), substring(y from 1 for 2), substring(y similar 'a' escape '#'), overlay(y placing 'b' from 1), trim(both 'x' from y) from a
select normalize(y), y is normalized from a
select collation for (y) from a
select (z, z) overlaps (z, z) from a
select x as "as", y "from" from a
select f(1), f(1, 2), s.h(), public.g('x')
select f(x) from a
select f(s.h()) from a
select f(f(f(1)))
select rows_of(3)
select (table_of(1)).n
select (table_of(1)).*
select * from f(1)
select * from rows_of(1)
select f from f(1)
select r from rows_of(1) as r
select t.n from table_of(1) as t
select * from table_of(1) with ordinality as t(n, t, o)
select * from rows from (rows_of(1), generate_series(1, 2)) with ordinality
select * from a, rows_of(a.x)
select * from a, lateral rows_of(x) as r
select * from a cross join lateral (select w from b where b.a_id = a.id) q
select * from a left join lateral (select w, x from b where b.a_id = a.id limit 1) q on true
select * from unnest(array[1, 2], array['a']) as u(i, t)
select * from json_to_recordset('[]') as r(i int, m mood)
select * from xmltable('/r' passing '<r/>' columns i int path '@i', o for ordinality) -- fails
select t.i from c, xmltable('/r' passing c.q columns i int path '@i') t
select xmlelement(name e, xmlattributes(x as k), y), xmlforest(x, y as z), xmlconcat(xmlcomment('a')) from a -- fails
select xmlparse(document y), xmlpi(name p, y), xmlroot(xmlparse(content y), version no value), xmlserialize(content xmlparse(content y) as text) from a -- fails
select y is document from (select q as y from c) i
select json_object('k': x, 'v' value y), json_array(x, y) from a
select json_arrayagg(x order by z), json_objectagg(y: x) from a
select json_array(select x from a)
select json_array(select f(id) from b)
select 1 from a join b on a.id = b.a_id
select a.x, b.w from a inner join b on a.id = b.a_id and yes(a.x)
select * from a left join b on a.id = b.a_id
select * from a right join b on a.id = b.a_id
select * from a full join b on a.id = b.a_id
select * from a cross join b
select * from a natural join b
select x from a natural left join b
select w from a join b using (id)
select id from a join b using (id)
select j.id from a join b using (id) as j
select j.x, j.w from (a join b on a.id = a_id) as j
select j.one from (a cross join b) as j (one)
select a.x from (a join b on a.id = b.a_id) join c on c.b_id = b.id
select a.x from a, b, c where a.id = b.a_id and b.id = c.b_id
select l.x, r.x from a l, a r where l.id = r.x
select a.id from a join s.a as other on a.id = other.only_there
select * from only parent
select * from parent *
select n from parent
select * from parted where part = 1
select * from parted_1
select * from v
select v.x from v join mv using (id)
select last_value from seq
select * from a tablesample system (10)
select * from a tablesample bernoulli (f(10)) repeatable (1)
select * from (select x from a) q
select q.x from (select x from a) q
select q.n from (select x from a) as q (n)
select q.n from (values (1), (2)) as q (n)
select * from (select * from (select * from a) i) o
select (select x from a where a.id = b.a_id) from b
select (select max(x) from a) from b
select (select w) from b
select (select (select w from c where c.b_id = b.id) from a) from b
select x from a where exists (select 1 from b where b.a_id = a.id)
select x from a where exists (select from b where a_id = x)
select x from a where not exists (table b)
select id from a where id in (select a_id from b where w in (select b_id from c where c.id = a.id))
select x from a union select a_id from b
select x from a union all select a_id from b
select x from a intersect select a_id from b except all select b_id from c
(select x from a order by x limit 1) union all (select a_id from b)
select x from a union select a_id from b order by 1
select x as k from a union select a_id from b order by k
select x from a union select a_id from b order by x limit 1 offset 1
values (1) union select x from a
table a union table a
select 1 union select 2 union (select x from a intersect select id from b)
with q as (select x from a) select x from q
with q as (select x from a) select q.x from q
with q (n) as (select x from a) select n from q
with q as (select x from a), r as (select x from q) select * from r
with q as materialized (select * from a) select 1 from q
with q as not materialized (select * from a) select 1 from q
with a as (select id from b) select id from a
with a as (select x from a) select x from a
with b as (select x from a) select b.x, c.id from b, c
with s as (select 1 as x) select x from s
with t as (select id from a) select t.id, o.x from t, s.t o
with t as (select id from a) select x from s.t
with q as (select x from a) select * from b where a_id in (select x from q)
with q as (select x from a) select * from (with q as (select w from b) select w from q) i, q
select * from (with q as (select x from a) select x from q) i
select (with q as (select x from a) select max(x) from q) from b
with q as (with r as (select id from c) select id from r) select id from q
with recursive q as (select id, x from a union all select a.id, q.x from a join q on a.x = q.id) select * from q
with recursive q (n) as (values (1) union all select n + 1 from q where n < 5) select n from q
with recursive q as (select id from a union select b.id from b, q where b.a_id = q.id) search depth first by id set o select * from q
with recursive q as (select id from a union select b.id from b, q where b.a_id = q.id) cycle id set c using p select id from q
with recursive a as (select 1 as n union all select n + 1 from a where n < 3) select n from a
with q as (select x from a union select a_id from b), r as (select * from q, q as p) select count(*) from r
select x from a for update
select x from a, b for no key update of a nowait
select x from a for share skip locked
select x from a for key share of a for update of a
select * from pg_class where relname = 'a'
select * from information_schema.tables
select nextval('seq')
select nextval('seq'::regclass), 'a'::regclass
select 'f(int)'::regprocedure
select x from a where y = U&'\0061' or y = E'\n' or y = $$x$$ or tags = '{}'
select b'1', x'1f', 1.5e3, 0x1f, 1_000, .5
select - x, + x, @ x, ~ x, |/ x from a
select x ^ 2 + x % 3 || y from a
select not x > 1 and yes(x) or x <= 2 from a
select a.x, lag(x, 1) over (partition by a.y order by z rows between unbounded preceding and current row exclude ties) from a
select sum(x) over (order by x range between 1 preceding and f(1) following) from a
select rank() over (order by own_sum(x)) from a group by y
select f(x, 1) from a where false
select format('%s', variadic array[y]) from a
select make_interval(days => x) from a
select greatest(variadic_q.x) from a variadic_q
select max(x) filter (where yes(id)) from a having bool_or(yes(x))
select exists (select 1 from a), (select 1 from b) > 0, array(select x from a)
select t.*, s.* from (select 1) t, (select id from s.t) s
select ((select x from a limit 1)), (((1)))
select * from a where id = (select id from b where w = (select max(w) from b))
select count(*) over () as total, a.* from a limit 10
select lower(y) collate "C" < 'a' from a
select tags && array['a'] from a
select json_value(doc, '$.a'), json_query(doc, '$.b' returning jsonb), json_exists(doc, '$.c') from a -- since 18
select j.n from a, json_table(a.doc, '$[*]' columns (n int path '$.n', nested path '$.m' columns (k text))) j -- since 18
select any_value(x), random(1, 6) from a -- since 18
select json(y), json_scalar(x), json_serialize(doc) from a -- since 18
select merge.x from a as merge

-- == writes
insert into a (id, x) values (1, 2)
insert into a values (1, 2, 'x')
insert into a default values
insert into a (id, y) select id, w::text from b
insert into a select * from a where x > 1
insert into a (id, x) values (default, f(1)), (2, (select max(w) from b))
insert into public.a as n (id) values (1) returning n.id, n.x
insert into a (id) values (1) returning *
insert into a (id, x) table s.a
insert into a (tags[1], id) values ('x', 1)
insert into c (p.first, id) values (1, 1)
insert into b (id, m) values (1, 'sad') on conflict do nothing
insert into a (id) values (1) on conflict (id) do nothing
insert into a (id) values (1) on conflict (id) do update set x = excluded.x, y = a.y || 'z' where a.x < 5
insert into a (id) values (1) on conflict on constraint a_pkey do update set (x, y) = (select a_id, 'k' from b where b.id = excluded.id)
insert into a (id) select id from b on conflict (id) do update set x = f(excluded.x) returning x
insert into s.t (id, x) overriding user value values (1, 2)
insert into a (id) with q as (select id from b) select id from q
with q as (select id from b) insert into a (id) select id from q
with q as (delete from b returning id) insert into a (id) select id from q
with a as (select id from b) insert into a (id) select id from a
insert into parted values (1, 1)
insert into v (id) values (1)
insert into "Odd Name" ("Select") values (1)
update a set x = 1
update a set x = x + 1, y = g(y) where id = 1
update only parent set n = 1 where id = 2
update a as q set x = q.id where q.x = 1
update a set (x, y) = (1, 'x') where id = 1
update a set (x, y) = row(1, 'x')
update a set (x, y) = (select a_id, w::text from b where b.id = a.id)
update a set x = default
update a set x = b.w from b where b.a_id = a.id
update a set x = q.n from (select a_id as n, id from b) q where q.id = a.id
update a set x = b.a_id from b join c on c.b_id = b.id where b.id = a.id
update a set x = 1 where exists (select 1 from b where b.a_id = a.id) returning *, (select max(w) from b)
update a set tags[1] = 'x', doc['k'] = '1' where id = f(1)
update c set p.first = 1
update a set x = (select x from s.t where t.id = a.id)
with q as (select id from b) update a set x = 1 from q where q.id = a.id
with q as (update b set w = 1 returning a_id) update a set x = 2 where id in (select a_id from q)
with a as (select 1 as id) update a set x = 1
update v set x = 1
update parted set part = 2 where id = 1
update s.t set x = s.h()
update a set x = 1 where x === 2
delete from a
delete from a where id = 1
delete from only parent where n is null
delete from a as q where q.x = 1
delete from a using b where b.a_id = a.id
delete from a using b, c where b.a_id = a.id and c.b_id = b.id returning a.*, b.w
delete from a where id in (select a_id from b) or yes(x)
with q as (select id from b) delete from a using q where q.id = a.id
with q as (delete from b returning *), r as (insert into c (id) select id from q returning id) delete from a where id in (select id from r)
with a as (select id from b) delete from a
delete from s.t where x in (select x from a)
delete from parted where part = 1
delete from v where id = 1
delete from a returning of_a(a)
merge into a using b on a.id = b.a_id when matched then update set x = b.w
merge into a using b on a.id = b.a_id when matched and b.w > 1 then delete when not matched then insert (id, x) values (b.id, 1)
merge into a as q using (select a_id from b where w > f(1)) as r on q.id = r.a_id when matched then update set (x, y) = (1, 'x') when not matched then do nothing
merge into a using s.t on a.id = t.id when not matched then insert values (t.id, t.x)
merge into only parent using a on parent.id = a.id when matched then delete
with q as (select id from b) merge into a using q on a.id = q.id when matched then do nothing when not matched then insert (id) values (q.id)
merge into a using b on a.id = b.a_id when not matched then insert default values
merge into a using b on a.id = b.a_id when not matched by source then delete returning merge_action(), a.* -- since 18
update a set x = 1 returning old.x, new.x -- since 18
update a set x = 1 returning with (old as o, new as n) o.y, n.z -- since 18
delete from a returning old.* -- since 18
insert into a (id) values (1) returning new.id -- since 18

-- == definitions
create table n1 (i int)
create table n2 (i int primary key, j int not null default f(1), k text check (g(k) <> ''), unique (j), check (i > j))
create table s.n3 (i int references a, j int references s.t (id) on delete cascade)
create table n4 (like a including all, extra int)
create table n5 () inherits (parent, a)
create table n6 of pair
create table n7 partition of parted for values from (10) to (20)
create table n8 (i int, j int) partition by hash (i)
create table n8_1 partition of parted for values in (1) -- fails
create table n9 (i int generated always as identity, j int generated always as (i + 1) stored)
create temporary table n10 (i int) on commit drop
create unlogged table n11 (i serial)
create table if not exists n12 (m mood, p positive, t text collate mine)
create table n13 (r int4range, exclude using gist (r with &&))
create table n14 as select * from a
create table n15 (one, two) as select id, f(x) from a with no data
create table if not exists n16 as table b
create table s.n17 as values (1)
select x into n18 from a
select a.* into temp n19 from a join b on a.id = b.a_id
create view n20 as select a.x from a join s.t using (id)
create or replace view n20 as select a.x from a join s.t using (id)
create temp view n21 as select 1 as one
create recursive view n22 (n) as values (1) union all select n + 1 from n22 where n < 3
create view n23 with (security_barrier) as select id from a where x > 1 with local check option
create materialized view n24 as select x, f(x) from a
create materialized view n25 as select 1 as one with no data
create sequence n26
create sequence s.n27 as bigint increment 2 owned by s.t.k
create temp sequence n28
create index on a (x)
create index n29 on a (x, lower(y)) where x > 1
create unique index n30 on s.t using btree (x desc nulls last) include (k) with (fillfactor = 70)
create index if not exists n31 on a using gin (doc jsonb_path_ops)
create index n32 on only parted (part)
create index n33 on a (f(x))
create schema n34
create schema if not exists n34 authorization alice
create schema n35 create table inside (i int) create view seen as select i from inside
create type n36 as (i int, m mood)
create type n37 as enum ('a', 'b')
create type n38 as range (subtype = float8)
create type n39
create domain n40 as int not null default 1 check (yes(value))
create function n41(i int, out j int) language sql as 'select i'
create or replace function s.n42(m mood default 'sad') returns setof a language sql stable strict as 'select * from a'
create function n43() returns trigger language plpgsql as 'begin update a set x = 1; return new; end'
create function n44(i int) returns int immutable parallel safe return i + 1
create function n45() returns void begin atomic insert into a (id) values (1); delete from b; end
create function n46() returns table (i int) language plpgsql security definer set search_path = s as $$ begin return query select id from s.t; end $$
create procedure n47(inout i int) language plpgsql as 'begin i := f(i); commit; end'
create aggregate n48 (int) (sfunc = step, stype = int)
create aggregate n49 (order by int) (sfunc = step, stype = int)
create operator ==== (function = like_it, leftarg = int, rightarg = int, commutator = ====)
create operator class n50 for type int using btree as operator 1 <, function 1 btint4cmp(int, int)
create operator family n51 using btree
create cast (mood as int) with function f(int) as assignment -- fails
create cast (text as pair) with inout
create collation n52 (provider = libc, locale = 'C')
create conversion n53 for 'UTF8' to 'LATIN1' from utf8_to_iso8859_1
create text search configuration n54 (parser = default)
create text search dictionary n55 (template = simple)
create text search parser n56 (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype)
create text search template n57 (lexize = dsimple_lexize)
create trigger n58 before insert or update of x on a for each row when (new.x > 1) execute function on_row()
create or replace trigger n58 after delete on s.t referencing old table as gone execute function on_row()
create constraint trigger n59 after insert on a deferrable initially deferred for each row execute function on_row()
create event trigger n60 on ddl_command_start execute function on_event()
create rule n61 as on insert to b do also insert into c (id) values (new.id)
create rule n62 as on update to s.t where old.x <> new.x do instead nothing
create policy n63 on a for select to alice using (x > f(1))
create policy n64 on s.t as restrictive for update using (true) with check (id in (select id from a))
create statistics n65 (dependencies) on x, y from a
create statistics n66 on (f(x)), x from a
create publication n67 for table a, only s.t (id, x) where (x > 1)
create publication n68 for all tables
create publication n69 for tables in schema s
create foreign data wrapper n70
create server n71 foreign data wrapper nobody
create foreign table n72 (i int) server nowhere
create user mapping for alice server nowhere
create access method n73 type table handler heap_tableam_handler
create transform for int language sql (from sql with function prsd_lextype(internal))
import foreign schema x from server nowhere into s -- fails
alter table a add column n80 int
alter table a add n81 int not null default f(1), drop column z
alter table if exists s.t alter x set default 1, alter x drop default, alter x set not null
alter table a alter column y type varchar(9) using g(y)
alter table a add constraint n82 check (x > 1) not valid
alter table a validate constraint a_x_check -- fails
alter table b add constraint n83 foreign key (a_id) references a (id) on delete set null not valid
alter table b add unique (w), add check (w > 0)
alter table a drop constraint a_pkey
alter table a rename to n84
alter table a rename column x to n85
alter table a rename constraint a_pkey to n86
alter table a set schema s -- fails
alter table b set schema s
alter table a owner to alice
alter table a set (fillfactor = 50), set logged
alter table a enable row level security, force row level security
alter table a disable trigger all
alter table a replica identity full
alter table child no inherit parent
alter table b inherit parent -- fails
alter table parted detach partition parted_1
alter table parted attach partition a for values from (20) to (30) -- fails
alter table a cluster on a_pkey
alter table b alter m set statistics 10, alter w set storage main
alter view v rename to n87
alter view v alter id set default 1
alter materialized view mv set (autovacuum_enabled = off)
alter materialized view mv owner to alice
alter index a_pkey rename to n88
alter index a_pkey set (fillfactor = 50)
alter sequence seq restart with 5 owned by a.id
alter sequence seq rename to n89
alter sequence seq owner to alice
alter schema s rename to n90
alter schema s owner to alice
alter type mood add value 'wild' after 'sad'
alter type mood rename value 'sad' to 'blue'
alter type pair add attribute third int
alter type pair rename attribute first to one
alter type pair rename to n91
alter type mood set schema s
alter type pair owner to alice
alter domain positive add constraint n92 check (value < 100)
alter domain positive drop not null
alter domain positive set default 5
alter domain positive rename to n93
alter function f(int) rename to n94
alter function f(int) owner to alice
alter function f(int) set schema s
alter function f(int) stable cost 5
alter procedure proc(int) set work_mem = '1MB'
alter routine f(int) reset all
alter aggregate own_sum(int) rename to n95
alter aggregate own_sum(int) owner to alice
alter operator === (int, int) owner to alice
alter operator === (int, int) set (restrict = none)
alter operator === (int, int) set schema s -- fails
alter collation mine rename to n96
alter collation mine refresh version
alter text search configuration mine rename to n97
alter text search configuration mine alter mapping for word with simple
alter text search dictionary stems (accept = false)
alter text search dictionary stems owner to alice
alter trigger n98 on a rename to n99 -- fails
alter policy n100 on a using (true) -- fails
alter rule n101 on a rename to n102 -- fails
alter statistics n103 set statistics 5 -- fails
alter foreign data wrapper nobody options (add k 'v')
alter foreign data wrapper nobody rename to n104
alter server nowhere version '2'
alter server nowhere owner to alice
alter default privileges in schema s grant select on tables to alice
alter function on_row() depends on extension x -- fails
alter event trigger n105 disable -- fails
comment on table a is 'x'
comment on column s.t.x is 'x'
comment on view v is null
comment on function f(int) is 'x'
comment on type mood is 'x'
comment on schema s is 'x'
comment on constraint a_pkey on a is 'x'
comment on domain positive is 'x'
comment on operator === (int, int) is 'x'
comment on aggregate own_sum(int) is 'x'
comment on index a_pkey is 'x'
comment on sequence seq is 'x'
comment on text search configuration mine is 'x'
grant select on a to alice
grant insert (id, x), update (x) on a, s.t to alice with grant option
grant all on all tables in schema s to alice
grant execute on function f(int) to alice
grant usage on schema s to alice
grant usage on type mood to alice
grant usage on sequence seq to alice
revoke all on a from public
revoke grant option for select on s.t from alice cascade
drop table c
drop table if exists nowhere_to_be_seen, b cascade
drop table a, parent cascade
drop table s.t, "Odd Name"
drop view v
drop materialized view mv
drop index a_pkey -- fails
drop sequence seq
drop schema s cascade
drop type mood cascade
drop type pair cascade
drop domain positive
drop function f(int)
drop function s.h(), f(int, int)
drop procedure proc
drop routine g(text)
drop aggregate own_sum(int)
drop operator === (int, int)
drop cast (int as mood) -- fails
drop collation mine
drop text search configuration mine
drop text search dictionary stems
drop server nowhere
drop foreign data wrapper nobody cascade
drop trigger if exists n106 on a
drop rule n107 on a -- fails
drop policy if exists n108 on s.t
drop statistics if exists n109
drop publication if exists n110
drop event trigger if exists n111
drop owned by alice
refresh materialized view mv
refresh materialized view concurrently mv -- fails
reindex table a

-- == others
begin
begin isolation level serializable read only deferrable
start transaction read write
commit
commit and chain
end
rollback
abort
savepoint p
release savepoint p -- fails
rollback to savepoint p -- fails
prepare transaction 'x'
commit prepared 'nobody' -- fails
rollback prepared 'x'
set work_mem = '5MB'
set local work_mem to default
set session characteristics as transaction read write
set transaction isolation level read committed
set constraints all deferred
set role alice
set session authorization default
set time zone 'UTC'
set names 'UTF8'
set "app.x" to 'a', 'b' -- fails
set a.b = 1
reset work_mem
reset all
reset session authorization
show work_mem
show all
show transaction isolation level
discard all
discard plans
discard temp
prepare p as select f(1)
prepare p (int) as insert into a (id) values ($1)
execute p -- fails
execute p(1, f(2)) -- fails
deallocate p -- fails
deallocate all
declare k cursor for select x from a
declare k no scroll cursor with hold for select x from a
fetch k -- fails
fetch forward 5 from k -- fails
move k -- fails
close k -- fails
close all
listen channel
unlisten channel
unlisten *
notify channel, 'payload'
load 'plpgsql'
checkpoint
lock table a in share mode nowait
lock a
truncate a
truncate table only parent, s.t restart identity cascade
copy a to stdout
copy a (id, x) to stdout with (format csv)
copy (select x from a) to stdout
copy (insert into a (id) values (77) returning id) to stdout
copy a from stdin
copy a from program 'true'
copy a to '/dev/null'
explain select x from a
explain analyze insert into a (id) values (99)
explain (verbose, format json) delete from a using b where b.a_id = a.id
explain create table n200 as select 1
explain execute p -- fails
vacuum
vacuum (full, analyze) a (x)
vacuum analyze a
analyze
analyze a, b (w)
cluster a using a_pkey
cluster
reindex index a_pkey
reindex (verbose) schema s
call proc(1)
do $$ begin perform f(1); end $$
do language plpgsql $$ declare r record; begin for r in select * from a loop delete from b where id = r.id; end loop; end $$
do $$ begin if exists (select 1 from a) then truncate b; elsif f(1) > 2 then null; end if; end $$
create role n300
create user n301 with password 'x' in role alice
create group n302
alter role alice superuser
alter role alice set work_mem = '1MB'
alter role alice rename to n303
alter group alice add user bob
drop role bob
grant alice to bob
revoke alice from bob
reassign owned by alice to bob
alter system set work_mem = '5MB'
alter system reset all
alter database postgres set work_mem = '5MB'
alter database postgres connection limit 50
create database n304
drop database if exists n305
create tablespace n306 location '/nowhere/at/all' -- fails
alter tablespace pg_default set (seq_page_cost = 1)
drop tablespace if exists n307
create extension if not exists plpgsql
alter extension plpgsql update
alter extension plpgsql add function f(int)
drop extension if exists nothing
create subscription n308 connection 'dbname=x' publication p with (connect = false)
alter subscription n309 disable -- fails
drop subscription if exists n310
create language n311 handler plpgsql_call_handler
security label on table a is 'x' -- fails
alter large object 5 owner to alice -- fails
comment on database postgres is 'x'
comment on role alice is 'x'
drop user mapping if exists for alice server nowhere
