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
