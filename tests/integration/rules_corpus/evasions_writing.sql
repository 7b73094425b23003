-- Functions of PostgreSQL's own that write.
--! a value of a sequence | write | analyst_jo
select setval('public.numbers', 5)
--! next value of a sequence in a WHERE | write | analyst_jo
select 1 from public.orders where nextval('public.numbers') > 0 limit 1
--! a large object | write | analyst_jo
select lo_create(0)
--! a large object with its contents | write | analyst_jo
select pg_catalog.lo_from_bytea(0, 'x')
--! a large object, written in a CTE | write | analyst_jo
with made as materialized (select lo_creat(-1) as o) select lo_put(o, 0, 'x') from made
--! a message in the log | write | analyst_jo
select pg_logical_emit_message(true, 'a', 'b')
--! an origin of replication | write | analyst_jo
select pg_replication_origin_create('here')
--! a value of a sequence in a cursor | write | analyst_jo
declare c cursor for select setval('public.numbers', 7)
--;
fetch c
--! a value of a sequence, explained | write | analyst_jo
explain analyze select setval('public.numbers', 8)
--! a value of a sequence, copied | write | analyst_jo
copy (select setval('public.numbers', 9)) to stdout
--! a value of a sequence, laterally | write | analyst_jo
select * from generate_series(1, 2) g, lateral (select setval('public.numbers', g)) s
--! a value of a sequence, in words | write | analyst_jo
select setval(pg_get_serial_sequence('audit.log', 'id'), 9)
