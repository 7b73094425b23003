"""WHERE clauses that restrict nothing, and joins without a condition."""

from __future__ import annotations

import pytest

from interceptor.sql.facts import Where
from interceptor.sql.statements import analyse_facts


def where(condition: str) -> Where:
    return analyse_facts(f"delete from t where {condition}").statements[0].where


@pytest.mark.parametrize(
    "condition",
    """
true
'true'
't'::boolean
1 = 1
'a' = 'a'
1 < 2 and 2 > 1
1 <> 2
not false
not 1 = 2
id = id
t.id >= t.id
id is not distinct from id
id between id and id
1 between 0 and 2
a = 1 or true
a = 1 or 1 = 1
a = 1 or not a = 1
a = 1 or a <> 1
a is null or a is not null
1 is not null
null is null
true is true
false is not true
1 in (1, 2)
id in (5, id)
1 not in (2, 3)
1 = any (array[1])
name like '%'
name ilike '%%'
name ~ '.*'
name ~ ''
name similar to '%'
exists (select 1)
exists (select)
(select true)
coalesce(true, a)
coalesce(null, true)
case when true then true end
case when a then true else true end
1 + 1 = 2
- 1 < 0
(1, 2) = (1, 2)
$1 = $1
id <> all ('{}')
id <> all (array[]::int[])
id not in (select 1 where false)
not (id = null) is true
(id = null) is not true
ctid is not null
xmin is not null
array[id] @> array[id]
id::text like any ('{%}')
id::text like '%' || ''
starts_with(id::text, '')
case id when 1 then true else true end
not exists (select from u where 1 = 2)
""".strip().splitlines(),
)
def test_always_true(condition: str) -> None:
    assert where(condition) is Where.ALWAYS_TRUE


@pytest.mark.parametrize(
    "condition",
    """
id = 1
id = $1
a = b
a.id = b.id
a = 1 and true
a = 1 or b = 2
a is not null
name like 'a%'
name ~ '^a'
id in (1, 2)
id not in (1, 2)
a
not a
coalesce(a, true)
case when a then true end
current of c
exists (select 1 from u where u.id = t.id)
a between 1 and 2
a = 1 or a = 2
f(a) = f(b)
a = lower(a)
a <> trim(a)
a > b + 1
id = 1 or (a = 2 and now() > '2000-01-01')
id = 1 or false
not (id = 1 or now() is null)
(id > 5) is true
(id > 5) is not false
(id > 5) is null
deleted is not null
flag is not unknown
id in (select t_id from u)
id in (select id from t where a = 1)
id in (select id from t limit 10)
id in (select max(id) from t)
ctid = any (array(select ctid from t limit 10))
exists (select from u where t_id = id)
exists (select from t u where u.parent = t.id)
not exists (select from t u where u.id = t.id and u.a > 1)
not exists (select from u where u.id = t.id)
(select count(*) from u where u.t_id = t.id) > 0
id <> all ('{1,2}')
id <> all ($1)
id::text like any ('{a%}')
tableoid = 5 and id = 1
""".strip().splitlines(),
)
def test_given(condition: str) -> None:
    assert where(condition) is Where.GIVEN


@pytest.mark.parametrize(
    "condition",
    """
$1
$1 = 1
length('a') = 1
random() < 2
false
null
1 = 2
id <> id
id < id
id = id + 0
id::text = id::text || ''
id between id - 1 and id + 1
id = 1 or now() > '2000-01-01'
id = 1 or current_user = 'postgres'
id = 1 or exists (select 1 from u)
id = 1 or (select count(*) from u) > 0
id = $1 or $2
not (id = 1 and now() is null)
(id = 1 or random() >= 0) and now() is not null
x > 5 or (x > 5) is not null
(id > 5) is not null
(id > 5) is not unknown
not ((id > 5) is null)
tableoid = 'public.t'::regclass
t.id in (select t.id)
id in (select id from t)
id in (select u.id from t u where true)
exists (select from (values (1)) v where t.id = t.id)
exists (select from u where u.id = 1)
exists (select from t u where u.id = t.id)
id = any (array(select id from t))
exists (select from u)
(select count(*) from u where u.a = 1) > 0
""".strip().splitlines(),
)
def test_tells_no_row_from_another(condition: str) -> None:
    assert where(condition) is Where.CONSTANT


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("delete from t", Where.ABSENT),
        ("update t set a = 1", Where.ABSENT),
        ("select a from t", Where.ABSENT),
        ("select 1", Where.NONE),
        ("values (1)", Where.NONE),
        ("insert into t select a from u", Where.NONE),
        ("merge into t using (select 1) u on true when matched then delete", Where.ALWAYS_TRUE),
        ("merge into t using u on t.a = u.a when matched then update set b = 1", Where.GIVEN),
        ("merge into t using u on t.a = u.a when not matched by source then delete", Where.ABSENT),
        ("merge into t using u on t.a = u.a when not matched by source and true then delete", Where.ALWAYS_TRUE),
        ("merge into t using u on t.a = u.a when not matched by source and t.b = 1 then delete", Where.GIVEN),
        (
            "merge into t using u on t.a = u.a when matched then update set b = 1"
            " when not matched by source then delete when matched then update set b = 2",
            Where.ABSENT,
        ),
        ("merge into t using t u on t.a = u.a when matched then delete", Where.CONSTANT),
        ("merge into t using (select * from t) u on t.a = u.a when matched then delete", Where.CONSTANT),
        ("update t set a = 1 from t u where t.a = u.a", Where.CONSTANT),
        ("update t set a = 1 from t u where t.a = u.a and u.b = 2", Where.GIVEN),
        ("update t set a = 1 from t u where t.a = u.b", Where.GIVEN),
        ("delete from t using u where t.a = u.a", Where.GIVEN),
        ("insert into t select * from t on conflict (a) do update set b = 0", Where.ABSENT),
        ("insert into t select * from t on conflict (a) do update set b = 0 where true", Where.ALWAYS_TRUE),
        ("insert into t select * from t on conflict (a) do update set b = 0 where t.b = 1", Where.GIVEN),
        ("insert into t select * from t where a = 1 on conflict (a) do update set b = 0", Where.NONE),
        ("insert into t values (1) on conflict (a) do update set b = 0", Where.NONE),
        ("merge into t using u on false when not matched then insert values (1)", Where.NONE),
        ("select 1 from t where a union select 2 from u", Where.ABSENT),
        ("select 1 from t where a union select 2 from u where b", Where.GIVEN),
        ("select 1 union select 2 from u where b", Where.GIVEN),
        ("select * from (select 1 from t) x where a", Where.GIVEN),
    ],
)
def test_where_of_a_statement(sql: str, expected: Where) -> None:
    assert analyse_facts(sql).statements[0].where is expected


@pytest.mark.parametrize(
    "sql",
    """
select * from a, b
select * from a cross join b
select * from a join b on true
select * from a, b where a.x = 1 and b.y = 2
select * from a, b where x = 1
select * from a join b on a.x = b.x, c
select * from a, generate_series(1, 3)
select * from a, (select 1) b
update a set x = 1 from b
delete from a using b where b.x = 1
select 1 where exists (select 1 from a, b)
merge into a using b on true when matched then delete
""".strip().splitlines(),
)
def test_cartesian(sql: str) -> None:
    assert analyse_facts(sql).statements[0].cartesian


@pytest.mark.parametrize(
    "sql",
    """
select * from a
select * from a, b where a.x = b.x
select * from a, b where x = y
select * from a join b using (x)
select * from a natural join b
select * from a left join b on a.x = b.x
select * from a, b, c where a.x = b.x and b.y = c.y
select * from a, b where a.x = 1 or b.y = a.z
select * from a, lateral (select 1 where a.x = 1) b
select * from a, unnest(a.x)
select * from a, b where a.x in (select c.x from c where c.y = b.y)
update a set x = 1 from b where a.x = b.x
delete from a using b where a.x = b.x
select * from (a join b using (x)) j join c on j.x = c.x
merge into a using b on a.x = b.x when matched then delete
""".strip().splitlines(),
)
def test_not_cartesian(sql: str) -> None:
    assert not analyse_facts(sql).statements[0].cartesian
