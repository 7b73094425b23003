"""The facts of texts: kinds, relations, columns, functions, clauses, and what is opaque."""

from __future__ import annotations

import inspect

import pytest
from pglast import ast

from interceptor.sql.expressions import GENERIC, HANDLERS, LEAVES
from interceptor.sql.facts import (
    Access,
    Alteration,
    ColumnUse,
    Copy,
    Group,
    Limit,
    Literal,
    LiteralKind,
    Locking,
    MessageFacts,
    OpaqueReason,
    Parameter,
    QualifiedName,
    Setting,
    StatementFacts,
    Via,
    Where,
)
from interceptor.sql.statements import KINDS, analyse_facts
from tests.unit.interceptor.sql.test_walk import NEVER_MET


def only(sql: str) -> StatementFacts:
    """The facts of a text of one statement."""
    (statement,) = analyse_facts(sql).statements
    return statement


def names(found: tuple[QualifiedName, ...]) -> str:
    return " ".join(sorted(str(name) for name in found))


def columns(statement: StatementFacts) -> set[tuple[str, str]]:
    """Each column with the relations that it may belong to."""
    return {(column.name, names(column.relations)) for column in statement.columns}


def test_every_kind_of_the_grammar_is_known() -> None:
    """A new release of the parser brings new kinds. They are opaque until somebody has thought about them."""
    kinds = {name for name, kind in vars(ast).items() if inspect.isclass(kind) and issubclass(kind, ast.Node)}
    own = {name for name in HANDLERS if name[0].isupper()}
    # Read where they stand: clauses of queries, and options that the reader of their statement looks into.
    in_place = set(
        """
        CommonTableExpr InferClause IntoClause JoinExpr LockingClause MergeWhenClause OnConflictClause RangeFunction
        RangeSubselect RangeTableSample ReplicaIdentityStmt ReturningClause ReturningOption TransactionStmt WithClause
        ATAlterConstraint
        """.split()
    )
    assert kinds - (KINDS | GENERIC | LEAVES | own | in_place | NEVER_MET) == {"Node"}


@pytest.mark.parametrize(
    ("sql", "kind", "group"),
    [
        ("select 1", "select", Group.READ),
        ("values (1)", "select", Group.READ),
        ("table t", "select", Group.READ),
        ("with x as (select 1) select 1", "select", Group.READ),
        ("select 1 into t", "select", Group.DDL),
        ("insert into t values (1)", "insert", Group.WRITE),
        ("update t set a = 1", "update", Group.WRITE),
        ("delete from t", "delete", Group.WRITE),
        ("merge into t using s on t.a = s.a when matched then delete", "merge", Group.WRITE),
        ("truncate t", "truncate", Group.WRITE),
        ("copy t from stdin", "copy", Group.WRITE),
        ("copy t to stdout", "copy", Group.READ),
        ("copy (select 1) to stdout", "copy", Group.READ),
        ("do 'begin end'", "do", Group.UTILITY),
        ("call p()", "call", Group.UTILITY),
        ("set a.b = 1", "set", Group.SESSION),
        ("set transaction read only", "set", Group.TRANSACTION),
        ("reset all", "reset", Group.SESSION),
        ("show work_mem", "show", Group.SESSION),
        ("start transaction", "begin", Group.TRANSACTION),
        ("end", "commit", Group.TRANSACTION),
        ("abort", "rollback", Group.TRANSACTION),
        ("savepoint a", "savepoint", Group.TRANSACTION),
        ("prepare transaction 'a'", "prepare", Group.TRANSACTION),
        ("prepare p as select 1", "prepare", Group.SESSION),
        ("execute p", "execute", Group.SESSION),
        ("declare c cursor for select 1", "declare", Group.SESSION),
        ("fetch c", "fetch", Group.SESSION),
        ("move c", "move", Group.SESSION),
        ("explain select 1", "explain", Group.UTILITY),
        ("vacuum t", "vacuum", Group.UTILITY),
        ("analyze t", "analyze", Group.UTILITY),
        ("lock t", "lock", Group.UTILITY),
        ("create table t (a int)", "create", Group.DDL),
        ("create table t as select 1", "create", Group.DDL),
        ("create view v as select 1", "create", Group.DDL),
        ("create index on t (a)", "create", Group.DDL),
        ("alter table t add a int", "alter", Group.DDL),
        ("drop table t", "drop", Group.DDL),
        ("refresh materialized view v", "refresh", Group.DDL),
        ("comment on table t is ''", "comment", Group.DDL),
        ("grant select on t to a", "grant", Group.DCL),
        ("revoke select on t from a", "revoke", Group.DCL),
        ("grant a to b", "grant", Group.DCL),
        ("create role a", "create", Group.DCL),
        ("alter user a superuser", "alter", Group.DCL),
        ("drop role a", "drop", Group.DCL),
        ("reassign owned by a to b", "reassign", Group.DCL),
        ("alter system set work_mem = '1MB'", "alter", Group.UTILITY),
    ],
)
def test_kind_and_group(sql: str, kind: str, group: Group) -> None:
    statement = only(sql)
    assert (statement.kind, statement.group) == (kind, group)


@pytest.mark.parametrize(
    ("sql", "reads", "writes"),
    [
        ("select * from a, b.c, d.e.f", "a b.c d.e.f", ""),
        ('select * from "A", B, U&"\\0061"', "A a b", ""),
        ("select (select 1 from a) from b where exists (table c) and x in (select 1 from d)", "a b c d", ""),
        ("select * from (select * from a) x join lateral (select * from b) y on true", "a b", ""),
        ("select * from only a natural join b tablesample system (1)", "a b", ""),
        ("select 1 from a union all (select 2 from b except select 3 from c)", "a b c", ""),
        ("insert into a select * from b", "b", "a"),
        ("update a set x = (select 1 from b) from c", "b c", "a"),
        ("delete from a using b where exists (select 1 from c) returning (select 1 from d)", "b c d", "a"),
        ("merge into a using b on (select true from c) when not matched then insert values (b.x)", "b c", "a"),
        ("truncate a, b", "", "a b"),
        ("copy a from stdin", "", "a"),
        ("copy a to stdout", "a", ""),
        # Names of CTEs are no relations where they are in scope, and only there.
        ("with a as (select * from b) select * from a", "b", ""),
        ("with a as (select * from a) select * from a", "a", ""),
        ("with a as (select * from b), b as (select * from a) select * from a, b", "b", ""),
        ("with recursive a as (select * from b), b as (select * from a) select * from a, b", "", ""),
        ("with recursive a as (select 1 union all select * from a) select * from a", "", ""),
        ("with a as (select 1) select * from x.a", "x.a", ""),
        ("with a as (select 1) delete from a", "", "a"),
        ("with a as (select 1) insert into a select * from a", "", "a"),
        ("with a as (select 1) update b set x = 1 from a", "", "b"),
        ("select * from (with a as (select * from b) select * from a) x, a", "a b", ""),
        ("with a as (select 1) select * from (with b as (select * from a) select * from b) x, b", "b", ""),
        ("with a as (select 1) (select * from a union select * from b) order by 1", "b", ""),
        ("with a as (delete from b returning *) select * from a", "", "b"),
        ("insert into a with b as (select * from c) select * from b", "c", "a"),
        ("insert into a with b as (select * from c) select * from b returning (select 1 from b)", "b c", "a"),
        # Reached through another statement.
        ("explain analyze delete from a using b", "b", "a"),
        ("prepare p as insert into a select * from b", "b", "a"),
        ("declare c cursor for select * from a", "a", ""),
        ("copy (select * from a) to stdout", "a", ""),
        ("create table x as select * from a", "a", ""),
        ("create materialized view x as select * from a", "a", ""),
        ("create view x as select * from a", "a", ""),
        ("create rule r as on insert to x do instead (delete from a where i = new.i; select * from b)", "b", "a"),
        ("create function f() returns int language sql as 'select 1 from a'", "a", ""),
        ("create function f() returns int begin atomic insert into a table b; select 1 from c; end", "b c", "a"),
        ("create function f() returns void language plpgsql as 'begin insert into a table b; end'", "b", "a"),
        (
            "do $$ begin for r in select * from a loop delete from b; end loop; exception when others then end $$",
            "",
            "",
        ),
        ("do $$ declare r record; begin for r in select * from a loop delete from b; end loop; end $$", "a", "b"),
        ("do $$ begin execute 'truncate a'; end $$", "", "a"),
        ("create schema s create view x as select * from a create table y (i int)", "a", ""),
    ],
)
def test_relations_read_and_written(sql: str, reads: str, writes: str) -> None:
    facts = analyse_facts(sql)
    assert (names(facts.reads), names(facts.writes)) == (reads, writes)


@pytest.mark.parametrize(
    ("sql", "defines", "mentions"),
    [
        ("create table s.a (i int references b, like c) inherits (d)", "s.a", "b c d"),
        ("create table a partition of b default", "a", "b"),
        ("create table a as select 1", "a", ""),
        ("select 1 into a", "a", ""),
        ("create view s.v as select 1", "s.v", ""),
        ("create unique index i on s.a (x)", "s.a s.i", ""),
        ("create foreign table a (i int) server s", "a", ""),
        ("create sequence a owned by b.c", "a", "b"),
        ("alter table a add foreign key (x) references b", "a", "b"),
        ("alter table a attach partition b for values in (1)", "a", "b"),
        ("alter table a rename to b", "a", ""),
        ("alter index i rename to j", "i", ""),
        ("alter view v set schema s", "v", ""),
        ("alter table a owner to x", "a", ""),
        ("drop table a, s.b", "a s.b", ""),
        ("drop trigger t on s.a", "s.a", ""),
        ("create trigger t before insert on a execute function f()", "a", ""),
        ("create policy p on a using (x > 1)", "a", ""),
        ("create rule r as on insert to a do nothing", "a", ""),
        ("grant select on a, b.c to x", "", "a b.c"),
        ("comment on table a is ''", "", "a"),
        ("comment on column s.a.x is ''", "", "s.a"),
        ("lock a, b", "", "a b"),
        ("vacuum a, b (x)", "", "a b"),
        ("cluster a using i", "", "a"),
        ("reindex table a", "", "a"),
        ("create publication p for table a, b", "", "a b"),
        ("create statistics s on x, y from a", "", "a"),
    ],
)
def test_relations_defined_and_mentioned(sql: str, defines: str, mentions: str) -> None:
    facts = analyse_facts(sql)
    assert (names(facts.defines), names(facts.mentions)) == (defines, mentions)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select a, x.b from t x where s.t.c = 1", {("a", "t"), ("b", "t"), ("c", "s.t")}),
        ("select a, x.b, u.c from t x, u", {("a", "t u"), ("b", "t"), ("c", "u")}),
        ("select * from t, u", {("*", "t u")}),
        ("select t.* from t, u", {("*", "t")}),
        ("select (select a from u where u.b = x.c) from t x", {("a", "t u"), ("b", "u"), ("c", "t")}),
        ("select q.a from (select b from t) q", {("a", ""), ("b", "t")}),
        ("with q as (select b from t) select q.a from q", {("a", "")}),
        ("select a from t join u using (i)", {("i", "t u"), ("a", "t u")}),
        ("select * from (t join u on t.i = u.i) as j where j.a = 1",
         {("*", "t u"), ("i", "t"), ("i", "u"), ("a", "t u")}),
        ("select a as z from t order by z, b", {("a", "t"), ("b", "t")}),
        ("update t set a = b", {("a", "t"), ("b", "t")}),
        ("insert into t (a) values (1) on conflict (k) do update set b = excluded.c", 
         {("a", "t"), ("k", "t"), ("b", "t"), ("c", "t")}),
        ("insert into t values (1)", {("*", "t")}),
        ("delete from t returning old.a, new.b", {("a", "t"), ("b", "t")}),
        ("merge into t using u on t.i = u.i when matched then update set a = u.b",
         {("i", "t"), ("i", "u"), ("a", "t"), ("b", "u")}),
        ("copy t (a, b) to stdout", {("a", "t"), ("b", "t")}),
        ("copy t to stdout", {("*", "t")}),
        ("select a from f() a", {("a", "")}),
    ],
)  # fmt: skip
def test_columns(sql: str, expected: set[tuple[str, str]]) -> None:
    assert columns(only(sql)) == expected


def test_stars_rows_and_writes() -> None:
    t = QualifiedName("t")
    assert only("select * from t").columns == (ColumnUse("*", None, (t,), 7, star=True),)
    assert only("select x.* from t x").columns == (ColumnUse("*", "x", (t,), 7, star=True),)
    assert only("select x from t x").columns == (ColumnUse("x", None, (t,), 7, whole_row=True),)
    assert only("select f(t) from t").columns == (ColumnUse("t", None, (t,), 9, whole_row=True),)
    assert only("update t set a = 1").columns == (ColumnUse("a", None, (t,), 13, written=True),)
    assert only("copy t from stdin").columns == (ColumnUse("*", None, (t,), 5, star=True, written=True),)
    assert only("select count(*) from t").columns == ()


def test_aliases_and_places_of_relations() -> None:
    first, second = only("select * from s.t a join only t on true").relations
    assert (first.name, first.alias, first.access, first.place, first.only) == (
        QualifiedName("t", "s"), "a", Access.READ, 14, False,
    )  # fmt: skip
    assert (second.alias, second.place, second.only) == ("t", 30, True)


def test_functions_operators_and_types() -> None:
    statement = only(
        "select f(1, 'x'), s.g(), count(*) filter (where h()), sum(a) over (order by i(b)), extract(year from c)"
        " from j() where a operator(x.+) 1 < 2 and b::s.dom = cast(c as int[]) and d between 1 and 2 and e like 'a'"
        " and (1, 2) = any (select 1, 2)"
    )
    called = [str(function.name) for function in statement.functions]
    assert sorted(called) == ["count", "f", "h", "i", "j", "pg_catalog.extract", "s.g", "sum"]
    assert {str(name) for name in statement.operators} == {"x.+", "<", "=", ">=", "<=", "~~"}
    assert {str(name) for name in statement.types} == {"s.dom", "pg_catalog.int4"}
    assert statement.functions[[str(one.name) for one in statement.functions].index("f")].texts == (None, "x")
    assert only("select current_date, localtime(3), current_user").value_functions == (
        "current_date", "localtime", "current_user",
    )  # fmt: skip


@pytest.mark.parametrize("text", ["now", " NOW ", "today", "Tomorrow 10:00", "yesterday"])
def test_literals_that_are_another_moment_each_time(text: str) -> None:
    assert only(f"select '{text}'::timestamptz").volatile_literals == (text,)
    assert only("select 'knowing', 'nowhere', '2020-01-01'").volatile_literals == ()


def test_clauses() -> None:
    statement = only("select a from t for no key update of t, u nowait for share")
    assert statement.locking == (Locking("no key update", ("t", "u"), "nowait"), Locking("share"))
    assert only("select 1 into temp s.x from t").into == QualifiedName("x", "s")
    assert only("select 1 into temp s.x from t").words == {"temporary"}
    assert only("select a from t where b in (1, 2, 3) or c = any (array[1, 2])").longest_list == 3
    assert only("insert into t values (1), (2)").rows == 2
    assert only("select distinct a from t group by b order by c offset 1").words == {
        "distinct", "group by", "order by", "offset",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("clause", "limit"),
    [
        ("", None),
        ("limit all", None),
        ("limit null", None),
        ("limit 5", Limit(count=5)),
        ("limit 0", Limit(count=0)),
        ("fetch first 3 rows only", Limit(count=3)),
        ("fetch first row only", Limit(count=1)),
        ("order by 1 fetch first 3 rows with ties", Limit(count=3, ties=True)),
        ("limit $2", Limit(parameter=2)),
        ("limit 2 + 3", Limit(computed=True)),
        ("limit 99999999999", Limit(count=99999999999)),
    ],
)
def test_limit(clause: str, limit: Limit | None) -> None:
    assert only(f"select a from t {clause}").limit == limit


def test_limit_of_the_outermost_query_alone() -> None:
    assert only("select * from (select 1 from t limit 5) x").limit is None
    assert only("(select 1 from t limit 5) union all select 2 from u").limit is None
    assert only("select 1 from t union all select 2 from u limit 5").limit == Limit(count=5)


def test_literals_and_parameters_have_places() -> None:
    facts = analyse_facts("select 1, -2, 'é', $3, 1.5, b'1', true, null from t where a = 'x' order by 1 limit 7")
    assert facts.literals == (
        Literal(1, LiteralKind.INTEGER, 7),
        Literal(-2, LiteralKind.INTEGER, 10),
        Literal("é", LiteralKind.STRING, 14),
        Literal("1.5", LiteralKind.NUMERIC, 24),
        Literal("b1", LiteralKind.BIT_STRING, 29),
        Literal(True, LiteralKind.BOOLEAN, 35),
        Literal(None, LiteralKind.NULL, 41),
        Literal("x", LiteralKind.STRING, 63),
        Literal(1, LiteralKind.INTEGER, 76, fixed=True),
        Literal(7, LiteralKind.INTEGER, 84),
    )
    assert facts.parameters == (Parameter(3, 20),)


def test_places_count_bytes_in_any_encoding() -> None:
    latin = "select 'é', 5 from é where ü = $1".encode("latin-1")
    facts = analyse_facts(latin)
    assert [literal.place for literal in facts.literals] == [latin.index(b"'"), latin.index(b"5")]
    assert facts.parameters[0].place == latin.index(b"$")
    assert facts.statements[0].relations[0].place == latin.index(b"from") + 5
    assert facts.statements[0].end == len(latin)


def test_statements_of_a_text() -> None:
    sql = "  select 1 ; delete from t;; "
    facts = analyse_facts(sql)
    assert [(one.kind, sql[one.start : one.end].strip()) for one in facts.statements] == [
        ("select", "select 1"),
        ("delete", "delete from t"),
    ]
    assert analyse_facts("").statements == ()
    assert analyse_facts(" -- nothing\n;").all == ()


def test_nested_statements() -> None:
    facts = analyse_facts("explain analyze with a as (update t set x = 1 returning *) select * from a")
    assert [(one.kind, one.via, one.runs) for one in facts.all] == [
        ("explain", None, True),
        ("select", Via.EXPLAIN, True),
        ("update", Via.CTE, True),
    ]
    (prepared,) = only("prepare p as delete from t").nested
    assert (prepared.kind, prepared.via, prepared.runs, prepared.where) == ("delete", Via.PREPARE, False, Where.ABSENT)
    assert not only("explain select 1").nested[0].runs
    assert not only("explain (analyze false) select 1").nested[0].runs
    assert only("explain (analyze on) select 1").nested[0].runs
    assert not only("create view v as select 1").nested[0].runs


def test_settings() -> None:
    assert only("set local search_path = a, 'b'").settings == (Setting("search_path", ("a", "b"), local=True),)
    assert only("set role admin").settings == (Setting("role", ("admin",)),)
    assert only("reset role").settings == (Setting("role", None),)
    assert only("reset all").settings == (Setting("all", None),)
    assert only("select set_config('a.b', 'c', true)").settings == (Setting("a.b", ("c",), local=True),)
    assert only("select set_config('a.b', $1, false)").settings == (Setting("a.b", None, known=False),)
    assert only("begin read only").settings == (Setting("transaction", ("transaction_read_only 1",), local=True),)


def test_copy() -> None:
    assert only("copy t from stdin").copy == Copy(True)
    assert only("copy t to '/tmp/x'").copy == Copy(False, file="/tmp/x")
    assert only("copy (select 1) to program 'cat'").copy == Copy(False, program="cat")


def reasons(facts: MessageFacts) -> list[OpaqueReason]:
    return [opaque.reason for opaque in facts.opaque]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("selec 1", OpaqueReason.UNPARSABLE),
        ("select 1\0", OpaqueReason.UNPARSABLE),
        ("select " + "1," * 20_000 + "1", OpaqueReason.TOO_LONG),
        ("select " + "(" * 5000 + "1" + ")" * 5000, OpaqueReason.TOO_COMPLEX),
        ("select " + "+" * 4000 + "1", OpaqueReason.TOO_COMPLEX),
        ("select " + "1+" * 420 + "1", OpaqueReason.TOO_DEEP),
        ("select " + "case when a then " * 450 + "1" + " end" * 450, OpaqueReason.TOO_DEEP),
        ("call p()", OpaqueReason.CALL),
        ("execute p", OpaqueReason.EXECUTE),
        ("create extension x", OpaqueReason.EXTENSION),
        ("do language plpython3u 'x'", OpaqueReason.LANGUAGE),
        ("do 'begin x end'", OpaqueReason.BODY),
        ("do 'begin perform f(; end'", OpaqueReason.BODY),
        ("do $$ begin execute 'select ' || a; end $$", OpaqueReason.DYNAMIC_SQL),
        ("do $$ begin call p(); end $$", OpaqueReason.CALL),
    ],
)
def test_opaque(sql: str, reason: OpaqueReason) -> None:
    assert reasons(analyse_facts(sql)) == [reason]


def test_what_is_only_stored_is_not_opaque() -> None:
    assert not analyse_facts("create function f() returns int language plpython3u as 'x'").opaque
    assert not analyse_facts("create function f() returns int language c as 'a', 'b'").opaque


def test_another_reading_of_the_bytes_is_opaque() -> None:
    assert reasons(analyse_facts(r"select 'a\'", standard_lexing=False)) == [OpaqueReason.LEXING]
    assert reasons(analyse_facts("select 'é'", standard_lexing=False)) == [OpaqueReason.LEXING]
    assert not analyse_facts("select 'a'", standard_lexing=False).opaque


def test_a_long_union_is_no_deep_one() -> None:
    facts = analyse_facts(" union all ".join(["select a from t"] * 300))
    assert not facts.opaque
    assert facts.depth < 10


def test_facts_never_change() -> None:
    with pytest.raises(AttributeError):
        only("select 1").kind = "x"  # type: ignore[misc]
    assert analyse_facts("select a from t") == analyse_facts("select a from t")
    assert hash(analyse_facts("select a from t")) == hash(analyse_facts("select a from t"))


@pytest.mark.parametrize(
    ("sql", "objects"),
    [
        ("drop function s.f(int), g", {("function", "s.f"), ("function", "g")}),
        ("drop operator class o using btree", {("operator class", "o")}),
        ("drop operator family s.o using btree", {("operator family", "s.o")}),
        ("drop operator s.=== (int, int)", {("operator", "s.===")}),
        ("drop text search dictionary d", {("text search dictionary", "d")}),
        ("alter text search dictionary d (a = b)", {("text search dictionary", "d")}),
        ("drop foreign data wrapper w", {("foreign data wrapper", "w")}),
        ("create server w foreign data wrapper d", {("server", "w")}),
        ("drop server w", {("server", "w")}),
        ("drop statistics s.x", {("statistics object", "s.x")}),
        ("create statistics s.x on a, b from t", {("statistics object", "s.x")}),
        ("drop trigger x on t", {("trigger", "x")}),
        ("drop cast (s.a as b)", {("cast", "s.a")}),
        ("comment on constraint x on t is ''", {("table constraint", "x")}),
        ("comment on constraint x on domain d is ''", {("domain constraint", "d")}),
        ("create schema s", {("schema", "s")}),
        ("create schema authorization r", {("schema", "r")}),
        ("create extension x", {("extension", "x")}),
        ("create role r", {("role", "r")}),
        ("drop role r, s", {("role", "r"), ("role", "s")}),
        ("grant r to s", {("role", "r")}),
        ("grant execute on function f(int) to r", {("function", "f")}),
        ("grant usage on schema s to r", {("schema", "s")}),
        ("grant select on all tables in schema s to r", {("schema", "s")}),
        ("create policy p on t", {("policy", "p")}),
        ("create type s.e as enum ()", {("type", "s.e")}),
        ("alter type e add value 'x'", {("type", "e")}),
        ("create domain d as int", {("domain", "d")}),
        ("alter function s.f(int) stable", {("function", "s.f")}),
        ("create aggregate g (int) (sfunc = f, stype = int)", {("aggregate", "g")}),
        ("drop database d", {("database", "d")}),
        ("drop table t", set()),
    ],
)
def test_objects(sql: str, objects: set[tuple[str, str]]) -> None:
    assert {(one.type, str(one.name)) for one in only(sql).objects} == objects


@pytest.mark.parametrize(
    ("sql", "sort"),
    [
        ("create table t (a int)", "table"),
        ("create table t as select 1", "table"),
        ("create materialized view t as select 1", "materialized view"),
        ("create view t as select 1", "view"),
        ("create sequence t", "sequence"),
        ("create index on t (a)", "index"),
        ("create foreign table t () server s", "foreign table"),
        ("alter table t add a int", "table"),
        ("alter index t set (fillfactor = 5)", "index"),
        ("alter sequence t restart", "sequence"),
        ("drop table t", "table"),
        ("drop materialized view t", "materialized view"),
    ],
)
def test_sorts_of_relations(sql: str, sort: str) -> None:
    assert only(sql).words == {sort}


def test_alterations() -> None:
    add, change, check = only(
        "alter table t add a int not null default f(), alter b type text using g(b),"
        " add constraint c check (a > 1) not valid"
    ).alterations
    assert add == Alteration("add column", "a", frozenset(["not null", "default"]))
    assert change == Alteration("alter column type", "b", frozenset(["using"]))
    assert check == Alteration("add constraint", "c", frozenset(["check", "not valid"]))
    (drop,) = only("alter table t drop column if exists a cascade").alterations
    assert drop == Alteration("drop column", "a", frozenset(["if exists", "cascade"]))
    assert only("create index concurrently i on t (a)").words == {"index", "concurrently"}
    assert [str(one.name) for one in only("alter table t add a int default f()").functions] == ["f"]
