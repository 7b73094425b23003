"""The quick look: what it lets pass is harmless, and what it should let pass it does."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pglast import parser

from interceptor.sql.analysis import _analyse, _plain_effects
from interceptor.sql.effects import NONE, WRITES
from interceptor.sql.lexical import (
    MAX_PARSED,
    MAX_SKIMMED,
    is_plain,
    may_parse,
    names_of_settings,
    reads_alike,
    says_temporary,
)
from tests.integration.session_corpus import CHANGING, DOUBTED, HARMLESS

PLAIN = [
    "SELECT abalance FROM pgbench_accounts WHERE aid = 5;",
    "UPDATE pgbench_accounts SET abalance = abalance + -5 WHERE aid = 7;",
    "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, -4, CURRENT_TIMESTAMP);",
    "INSERT INTO pgbench_history(tid, bid) VALUES(1, 2)",
    "\n  select *\n\tfrom t\r\n  where a in (1, 2) and (b = 'it''s' or c <> 1.5) ;\n",
    "select t.*, u.a::text from s.t as t join u on (t.id = u.id) order by 1 desc limit 5 offset 10",
    "select distinct a from t where b between 1 and 2 and c like '%\\%' and d is not null for update skip locked",
    "select a from t where exists in (select b from u where c = $1) and d > $2",
    "select 0, ((1)), -(2), 3*(4 - 5) from t where (a, b) = (1, 2)",
    'SELECT "a"."id", "b"."a ""b""" FROM "a" INNER JOIN "b" ON ("a"."id" = "b"."a_id") WHERE ("b"."x" IN (1, 2))',
    'INSERT INTO "shop"."order" ("id", "n") VALUES (1, \'a\'), (2, \'été\') RETURNING "shop"."order"."id"',
    "delete from only t where current of c",
    "update t set a = default, b = null, c = interval '1 day' || 'x' where d = date '2020-01-01' returning *",
    "insert into t select a, b from u where c >= 1 and d <= 2 and e != 3 union all select 1, 2",
    "insert into t default values",
    "select a at time zone 'UTC', case a when 1 then 2 else 3 end from t",
    "select from where",  # a syntax error has no effect
]

# Some of these are harmless too; none may pass without a parse.
NOT_PLAIN = [
    "",
    "selection",
    "select",
    "begin",
    "set a = 1",
    "with x as (select 1) select * from x",
    "select 1; set a = 1",
    "select 1;;",
    "select f(1)",
    "select f (1)",
    "select f\n(1)",
    'select "f"(1)',
    'select "f" (1)',
    "select s.f(1)",
    "select s.in(1)",
    "select s.in (1)",
    "select s. in (1)",
    "select s . in (1)",
    "select s. values (1)",
    'select "s".in (1)',
    "select xin (1)",
    "select x_or (1)",
    "select $in (1)",
    "select in$ (1)",
    "select 5in(1)",
    "select a$1(2)",
    "select E'\\'', f(1) -- '",
    "select e'\\'' || f(1) || '\\''",
    "select 1e'\\'' || f(1) || '\\''",
    "select U&'!005c' uescape '!'",
    'select U&"a"',
    "select 1 --",
    "select 1 /* */",
    "select 1 /**/ + f /**/ (1)",
    "select $$a$$",
    "select $a$ b $a$",
    "select $1$a$ b $a$",
    "select 1 into t",
    "select 1 INTO temp t",
    "select a.into from t",
    "update pg_settings set setting = 1",
    "update PG_SETTINGS set setting = 1",
    'update "pg_settings" set setting = 1',
    "update pg_catalog . pg_settings set setting = 1",
    "select * from pg_temp.t",
    'insert into "pg_temp".t values (1)',
    "insert into t (select 1 into u)",
    "select 1 <=> 2",
    "select 1 === 2",
    "select 1 <+> 2",
    "select 1 =- 2",
    "select 1 ?| 2",
    "select 1 operator(s.+) 2",
    "select :a",
    "select a[f]",
    "select 'unterminated",
    'select "unterminated',
    "select é",
    "select \\",
    "select 1\0",
    "select a" + "a" * MAX_SKIMMED,
]


@pytest.mark.parametrize("sql", PLAIN)
def test_plain(sql: str) -> None:
    assert is_plain(sql.encode())


@pytest.mark.parametrize("sql", NOT_PLAIN)
def test_not_plain(sql: str) -> None:
    assert not is_plain(sql.encode())


@pytest.mark.parametrize("sql", (CHANGING + DOUBTED).strip("\n").split("\n"))
def test_nothing_that_may_change_the_session_is_plain(sql: str) -> None:
    assert not is_plain(sql.encode())


def _check(sql: str) -> bool:
    """Say whether the text is plain and parses; fail if it is plain and the whole analysis objects."""
    text = sql.encode()
    if not is_plain(text):
        return False
    try:
        parser.parse_sql_json(sql)
    except parser.ParseError:
        return False
    assert _analyse(text, 0) == _plain_effects(text), sql
    assert _plain_effects(text) in (NONE, WRITES)
    return True


_TOKENS = re.compile(r"\s+|'(?:[^']|'')*'|\"[^\"]*\"|\w+|[-+*/<>=~!@#%^&|`?]+|.", re.DOTALL)
_BASES = [_TOKENS.findall(text) for text in PLAIN]
_CORPUS = _BASES + [_TOKENS.findall(text) for text in NOT_PLAIN[1:-1] + (CHANGING + HARMLESS + DOUBTED).split("\n")]
_TROUBLE = [
    "(", ")", " ", "", "\n", ".", ",", ";", "--", "/*", "*/", "$$", "$a$", "$1", "'", '"', "''", "\\", "E'", "e", "U&",
    "u&'", "::", "<=>", "===", "+", "-", "in", "in (", "values", "IN(", "and (", "or ", "where (", "on (", "into",
    "INTO", "temp", "pg_temp", "pg_temp.", "pg_settings", "set_config", "set_config('work_mem', '5MB', false)",
    "nextval('s')", "f(", "f (", "s.f(1)", "currval", "5", "1.5", "1e", "5in", "a", "select", "insert into t ",
    "insert into t (", "update", "delete from", "set", "returning", "union", "from", "as", "[", "]", "%", ":", "é",
]  # fmt: skip
_HEADS = [
    "select ",
    "select a from t where ",
    "update t set a = ",
    "insert into t (a) values (",
    "delete from t where ",
]


def test_plain_mutants_are_harmless() -> None:
    """Statements of the corpus with pieces of each other and of trouble in them: a plain one is harmless or no SQL."""
    dice = random.Random(20)
    plain = 0
    for _ in range(40_000):
        tokens = list(dice.choice(_BASES if dice.random() < 0.8 else _CORPUS))
        for _ in range(dice.randint(1, 3)):
            place = dice.randrange(len(tokens) + 1)
            other = dice.choice(_CORPUS)
            piece = [dice.choice(_TROUBLE)] if dice.random() < 0.6 or not other else other[dice.randrange(len(other)) :]
            tokens[place : place + dice.randint(0, 2)] = piece[: dice.randint(1, 6)]
        plain += _check("".join(tokens))
    assert plain > 1_000


@settings(max_examples=800, deadline=None)
@given(st.sampled_from(_HEADS), st.lists(st.sampled_from(_TROUBLE), max_size=8), st.sampled_from(["", " "]))
def test_plain_trouble_is_harmless(head: str, trouble: list[str], space: str) -> None:
    _check(head + space.join(trouble))
    _check(head + space.join([*trouble, ")"]))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30), st.sampled_from(_HEADS))
def test_any_characters(text: str, head: str) -> None:
    _check(head + text.replace("\0", ""))


def test_what_may_be_parsed() -> None:
    assert may_parse(b"select " + b"+" * 250)
    assert not may_parse(b"select " + b"+" * 1000)
    assert may_parse(b"select '" + b"=" * 70 + b"', '" + b"-" * 70 + b"'" + b", a" * 200)
    assert may_parse(b"select " + b"some_column, " * 1000)
    assert not may_parse(b"select " + b"1+" * 5000)
    assert not may_parse(b"select " + b"a" * MAX_PARSED)


def test_reads_alike() -> None:
    assert reads_alike(b"select 'a' || $1")
    assert not reads_alike(b"select 'a\\'")
    assert not reads_alike("select 'é'".encode())


def test_says_temporary() -> None:
    for sql in (b"create TEMP table t ()", b"create Temporary view v", b"pg_temp.t", b'U&"pg\\005ftem\\0070".t'):
        assert says_temporary(sql)
    assert not says_temporary(b"create table t ()")


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("set app.tenant = '5'", {"app.tenant"}),
        ("do $$ begin perform set_config('App.Tenant', '5', false); end $$", {"app.tenant"}),
        ("do 'begin set a.b.c = 1; set x$.y$1 = 2; end'", {"a.b.c", "x$.y$1"}),
        ("select t.n from public.t as t", {"t.n", "public.t"}),
        ("set été.nuit = 1", {"été.nuit"}),
        ("select 1.5, .5, 5.e, a. b, work_mem", set()),
        ("", set()),
    ],
)
def test_names_of_settings(sql: str, names: set[str]) -> None:
    assert names_of_settings(sql.encode()) == names


def test_names_of_settings_of_another_encoding() -> None:
    assert names_of_settings(b"set a\xe9.b = 1") == {"a\N{REPLACEMENT CHARACTER}.b"}


def test_names_of_settings_begin_where_words_begin() -> None:
    """With each letter of a word for a beginning, a word of a megabyte would take seconds."""
    assert names_of_settings(b"1a.b " + b"x" * 100 + b".c a.b") == {"a.b"}
