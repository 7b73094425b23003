-- Variables of PL/pgSQL whose types run something.
--! variable of a type that is checked | secret
select public.f_variable()
--! variable later of a type that is checked | secret
select public.f_variable_later()
--! variable row of a type that is checked | secret
select public.f_variable_row()
--! variable array of a type that is checked | secret
select public.f_variable_array()
--! variable type of a type that is checked | secret
select public.f_variable_type()
--! variable rowtype of a type that is checked | secret
select public.f_variable_rowtype()
--! variable table of a type that is checked | secret
select public.f_variable_table()
--! variable inner of a type that is checked | secret
select public.f_variable_inner()
