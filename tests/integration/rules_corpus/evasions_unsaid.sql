-- What runs without being named: expressions of indexes and statistics, operator classes, input functions of types.
--! reindex of an index | secret
reindex index public.indexed_note
--! reindex of a table | secret
reindex (verbose) table public.indexed
--! cluster | secret
cluster public.indexed using indexed_note
--! analyze of statistics | secret
analyze public.counted
--! analyze of an index | secret
analyze public.indexed
--! another type for an indexed column | secret
alter table public.indexed alter column id type int using id + 1
--! sorted by an operator class | secret
select id from public.louds order by c
--! distinct by an operator class | secret
select distinct c from public.louds
--! grouped by an operator class | secret
select c, count(*) from public.louds group by c
--! united by an operator class | secret
select c from public.louds union select c from public.louds
--! partitioned by an operator class | secret
select row_number() over (partition by c) from public.louds
--! greatest by an operator class | secret
select greatest(a.c, b.c) from public.louds a, public.louds b
--! arrays by an operator class | secret
select array_agg(c) <= array_agg(c) from public.louds
--! rows by an operator class | secret
select id from public.louds t order by row(c, 1)
--! sorted in a view | secret
select * from public.v_louds
--! values by an operator class | secret
select v.c from (values (row(1)::public.loud), (row(2)::public.loud)) v(c) order by v.c
--! index by an operator class | secret
create index on public.louds (c)
--! primary key by an operator class | secret
alter table public.louds add primary key (c)
--! partitions by an operator class | secret
create table public.parted (c public.loud) partition by range (c); create table public.parted_1 partition of public.parted for values from (row(1)) to (row(2)); create table public.parted_2 partition of public.parted for values from (row(2)) to (row(3)); insert into public.parted values (row(1))
--! index by an operator class that is named | secret
create index on public.orders (id public.x_ops)
--! partition key by an operator class that is named | secret
create table public.parted (c int) partition by range (c public.x_ops); create table public.parted_1 partition of public.parted for values from (1) to (2)
--! input of a type by its name | secret
select pg_input_is_valid('1', 'public.checked')
--! input of a type by a computed name | secret
select * from pg_input_error_info('1', 'public.' || 'checked')
--! input of a domain by its number | secret
select domain_in('1', 'public.checked'::regtype, -1)
--! input of an array by its number | secret
select array_in('{1}', 'public.checked'::regtype, -1)
--! input of a row by its number | secret
select record_in('(1,a)', 'public.pair'::regtype, -1)
