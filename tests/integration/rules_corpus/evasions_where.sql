-- Conditions that hold for all rows, though they look as if they did not.
--! where or with the time | unbounded
update public.orders set amount = 0 where id = 1 or now() > '2000-01-01'
--! where or with the user | unbounded
update public.orders set amount = 0 where id = 1 or current_user = session_user
--! where or with chance | unbounded
update public.orders set amount = 0 where id = 1 or random() >= 0
--! where or with another table | unbounded
update public.orders set amount = 0 where id = 1 or exists (select 1 from public.customers)
--! where or with a count of another table | unbounded
update public.orders set amount = 0 where id = 1 or (select count(*) from public.customers) > 0
--! where not of an and | unbounded
update public.orders set amount = 0 where not (id = -1 and now() is null)
--! where unlike all of nothing | unbounded
update public.orders set amount = 0 where id <> all ('{}')
--! where unlike all of an empty array | unbounded
update public.orders set amount = 0 where id <> all (array[]::int[])
--! where not in nothing | unbounded
update public.orders set amount = 0 where id not in (select 1 where false)
--! where not in nothing of a table | unbounded
update public.orders set amount = 0 where id not in (select c.id from public.customers c where 1 = 2)
--! where a comparison is not null | unbounded
update public.orders set amount = 0 where (id > 5) is not null
--! where a comparison is not unknown | unbounded
update public.orders set amount = 0 where (id > 5) is not unknown
--! where a comparison or not | unbounded
update public.orders set amount = 0 where id > 5 or (id > 5) is not true
--! where a comparison with null is not true | unbounded
update public.orders set amount = 0 where (id = null) is not true
--! where not that a comparison with null is true | unbounded
update public.orders set amount = 0 where not (id = null) is true
--! where the table's own number | unbounded
update public.orders set amount = 0 where tableoid = 'public.orders'::regclass
--! where in itself | unbounded
update public.orders set amount = 0 where orders.id in (select orders.id)
--! where exists where it is itself | unbounded
update public.orders set amount = 0 where exists (select from (values (1)) v where orders.id = orders.id)
--! where in all of the same table | unbounded
update public.orders set amount = 0 where id in (select id from public.orders)
--! where in all of the same table, by another name | unbounded
update public.orders set amount = 0 where id in (select o.id from public.orders o where true)
--! where any of all of the same table | unbounded
update public.orders set amount = 0 where id = any (select id from public.orders)
--! where array of itself | unbounded
update public.orders set amount = 0 where array[id] @> array[id]
--! where like any of everything | unbounded
update public.orders set amount = 0 where id::text like any ('{%}')
--! where like a pattern put together | unbounded
update public.orders set amount = 0 where id::text like '%' || ''
--! where begins with nothing | unbounded
update public.orders set amount = 0 where starts_with(id::text, '')
--! where case of a value | unbounded
update public.orders set amount = 0 where case id when 1 then true else true end
--! where itself and nothing | unbounded
update public.orders set amount = 0 where id = id + 0
--! where itself with nothing behind | unbounded
update public.orders set amount = 0 where id::text = id::text || ''
--! where between itself less and more | unbounded
update public.orders set amount = 0 where id between id - 1 and id + 1
--! where unlike itself and one | unbounded
update public.orders set amount = 0 where id <> id + 1
--! where place is not null | unbounded
update public.orders set amount = 0 where ctid is not null
--! where transaction is not null | unbounded
update public.orders set amount = 0 where not (xmin is null)
--! where another table alone | unbounded
update public.orders set amount = 0 where exists (select from public.customers c where c.id = 1)
--! joined with itself | unbounded
update public.orders o set amount = 0 from public.orders p where o.id = p.id
--! joined with a query of itself | unbounded
update public.orders o set amount = 0 from (select * from public.orders) p where p.id = o.id
--! deleted using itself | unbounded
delete from public.orders o using public.orders p where o.id = p.id
--! merged with itself | unbounded
merge into public.orders o using public.orders p on o.id = p.id when matched then update set amount = 0
--! merged with a query of itself | unbounded
merge into public.orders o using (select id from public.orders where true) p on o.id = p.id when matched then delete
--! inserted once more | unbounded
insert into public.orders select * from public.orders on conflict (id) do update set amount = 0
--! inserted once more, where it is there | unbounded
insert into public.orders as o select * from public.orders on conflict (id) do update set amount = 0 where o.id = excluded.id or now() is not null
--! in a CTE, or with the time | unbounded
with gone as (delete from public.orders where id = 1 or now() > '2000-01-01' returning 1) select count(*) from gone
--! prepared, or with the user | unbounded
prepare wipes as delete from public.orders where id = $1 or current_user is not null
--;
execute wipes(1)
--! a column and the same one of the table | unbounded
delete from public.orders where id = orders.id
--! a column of a schema's table and the same one | unbounded
delete from public.orders where public.orders.id <= id + 0
--! a column of an alias and the same one | unbounded
update public.orders o set amount = 0 where o.id between id and id
