"""The canonical text as an identity, and hints in comments."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pglast import parser

from interceptor.sql.canonical import MAX_CANONICAL, canonical_text
from interceptor.sql.facts import Comment
from interceptor.sql.facts_cache import FactsCache
from interceptor.sql.hints import Hint, hints
from interceptor.sql.statements import analyse_facts
from tests.integration.test_facts import corpus

TEXTS = [line.text for section in ("queries", "writes", "definitions", "others") for line in corpus(section)]


@pytest.mark.parametrize(
    ("sql", "canonical"),
    [
        ("SELECT  \"id\", \"Name\" FROM T -- why\nWHERE a=-1 AND b = 'x'",
         'select id, "Name" from t where a = - $1 and b = $2'),
        ("select $2, 5, 'x'", "select $2, $3, $4"),
        ("select a.b.*, \"user\", c [1]", 'select a.b.*, "user", c [$1]'),
        ("select 1 from t order by 2 limit 3", "select $1 from t order by 2 limit $2"),
        ("select true, null", "select true, null"),
        ("select x::numeric(10, 2)", "select x :: numeric (10, 2)"),
        ("set role = 'x'", "set role = 'x'"),
        ("create table t (a int default 5)", "create table t (a int default 5)"),
        ("begin;; commit ; ", "begin; commit"),
        ("explain select 5", "explain select $1"),
        ("prepare p as select 5", "prepare p as select $1"),
        ("select 'é', 5", "select $1, $2"),
        ("", ""),
        (" -- nothing", ""),
        ("selec 1", None),
    ],
)  # fmt: skip
def test_canonical_text(sql: str, canonical: str | None) -> None:
    assert canonical_text(sql) == canonical


def tokens(sql: str) -> list[tuple[str, str]]:
    """What the parser sees: its tokens, of words their folded form, of literals and parameters nothing."""
    found = []
    for token in parser.scan(sql):
        written = sql[token.start : token.end + 1]
        if token.name in ("C_COMMENT", "SQL_COMMENT"):
            continue
        if token.name in ("ICONST", "FCONST", "SCONST", "BCONST", "XCONST", "USCONST", "PARAM"):
            found.append(("literal", ""))
        elif token.name == "IDENT":
            name = written[1:-1].replace('""', '"') if written.startswith('"') else written.lower()
            found.append(("name", name))
        else:
            found.append((token.name, ""))
    return found


@pytest.mark.parametrize("sql", TEXTS)
def test_it_has_the_same_tokens(sql: str) -> None:
    """What makes it an identity: scanned again, it is the sequence of tokens that the text was."""
    canonical = canonical_text(sql)
    assert canonical is not None
    assert tokens(canonical) == tokens(sql)


def spellings(sql: str, generator: random.Random) -> Iterator[str]:
    """The same statement in other words: case, space, comments, quotes, values."""
    parts = []
    for token in parser.scan(sql):
        written = sql[token.start : token.end + 1]
        if token.kind != "NO_KEYWORD":
            written = "".join([generator.choice([letter.upper(), letter.lower()]) for letter in written])
        elif token.name == "IDENT" and not written.startswith('"'):
            written = generator.choice([written, written.upper(), f'"{written.lower()}"'])
        parts.append(written)
        if generator.random() < 0.9:
            parts.append(generator.choice([" ", "\n", "\t  ", " /* a; 'b' /* $1 */ */ ", " -- it's\n"]))
        else:
            parts.append(" ")
    yield "".join(parts)


@pytest.mark.parametrize("sql", TEXTS)
def test_it_is_the_same_for_other_spellings(sql: str) -> None:
    generator = random.Random(sql)
    for _ in range(3):
        for spelling in spellings(sql, generator):
            assert canonical_text(spelling) == canonical_text(sql), spelling


def tree(sql: str) -> Any:
    """libpg_query's tree without places and without the values of constants."""
    return bare(json.loads(parser.parse_sql_json(sql)))


def bare(node: Any) -> Any:
    if isinstance(node, list):
        return [bare(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "A_Const" in node and not node["A_Const"].keys() & {"boolval", "isnull"}:
        return "literal"
    if "ParamRef" in node:
        return "literal"
    kept = {key: value for key, value in node.items() if not re.search("location|stmt_len|list_start|list_end", key)}
    return {key: bare(value) for key, value in kept.items()}


WORDS = st.sampled_from(
    """select from where and or not in ( ) , ; . * = <> - + :: a b "a" "A" A B s.a s . a "s.a" s."a" 1 2 1.5 'x' 'y'
    'a''b' E'x' U&'x' b'1' x'1' $1 $2 true null limit order by group having union all as int text -- /**/ [ ] case when
    then end interval date delete update set insert into values returning with role admin x""".split()
)


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(WORDS, WORDS), min_size=2, max_size=8), st.data())
def test_equal_canonical_texts_are_equal_statements(pairs: list[tuple[str, str]], data: st.DataObject) -> None:
    """Two texts of the same length, each word one of two: where their canonical texts are equal, so are their trees."""
    head = data.draw(st.sampled_from(["select", "select a from", "select a from b where a =", "delete from", "set"]))
    one = " ".join([head, *[pair[0] for pair in pairs]])
    other = " ".join([head, *[data.draw(st.sampled_from(pair)) for pair in pairs]])
    first, second = canonical_text(one), canonical_text(other)
    if first is not None and first == second:
        assert tree(one) == tree(other)


def test_statements_that_a_fingerprint_takes_for_one() -> None:
    groups = [
        ["select * from a.t", "select * from b.t", "select * from t"],
        ["select * from part_2024_01", "select * from part_2024_02"],
        ["delete from t", "delete from t where true"],
        ["set role = admin", "set role = x"],
        ["select a from t order by 1", "select a from t order by 2"],
        ["select x::numeric(10, 2)", "select x::numeric(10, 3)"],
        ['select "A"', "select a"],
        ["select a.b", 'select "a.b"'],
        ["select $1, $1", "select $1, $2"],
        ["select $1", "select $2"],
        ["select a from t where b in (1)", "select a from t where b in (1, 2)"],
        ["do 'begin end'", "do 'begin null; end'"],
        ["copy t to program 'a'", "copy t to program 'b'"],
    ]
    for group in groups:
        assert len({canonical_text(sql) for sql in group}) == len(group), group


def test_examples_have_no_canonical_text() -> None:
    cache = FactsCache()
    cache.facts(b"select a from t where b = 5")
    example = cache.facts(b"select a from t where b = 600")
    with pytest.raises(AssertionError, match="example"):
        canonical_text(b"select a from t where b = 600", example)
    exact = cache.exact(b"select a from t where b = 600")
    assert canonical_text(b"select a from t where b = 600", exact) == "select a from t where b = $1"


def test_comments_are_those_of_the_scanner() -> None:
    sql = "select 'no /* comment */', \"-- nor this\", $$/* nor */$$, 'é' /* one /* and inner */ */ -- two"
    assert analyse_facts(sql).comments == (
        Comment("/* one /* and inner */ */", len(sql[: sql.index("/* one")].encode())),
        Comment("-- two", len(sql[: sql.index("-- two")].encode())),
    )
    latin = "select 'é' -- ü".encode("latin-1")
    assert analyse_facts(latin).comments == (Comment("-- ü", 11),)
    assert analyse_facts("select 1").comments == ()


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("/* interceptor: cache ttl=5 */", [Hint("cache", {"ttl": "5"}, 9)]),
        ("/*interceptor:nocache*/", [Hint("nocache", {}, 9)]),
        ("/*+ cache TTL=30s swr=5 tags=a,b */", [Hint("cache", {"ttl": "30s", "swr": "5", "tags": "a,b"}, 9)]),
        ("-- Interceptor: Primary", [Hint("primary", {}, 9)]),
        ("--+ replica", [Hint("replica", {}, 9)]),
        ("/*+ primary; cache ttl= stale */", [Hint("primary", {}, 9), Hint("cache", {"ttl": "", "stale": None}, 9)]),
        ("/* cache ttl=5 */", []),
        ("/* the interceptor: */", []),
        ("/* interceptor: */", []),
        ("/*+*/", []),
    ],
)
def test_hints(comment: str, expected: list[Hint]) -> None:
    assert list(hints(analyse_facts(f"select 1 {comment}"))) == expected


def test_no_hint_in_a_string() -> None:
    assert hints(analyse_facts("select '/*+ nocache */', $$-- interceptor: nocache$$")) == ()


def test_what_is_too_long_has_none() -> None:
    assert canonical_text(b"select 1" + b" " * (MAX_CANONICAL - 8)) == "select $1"
    assert canonical_text(b"select 1" + b" " * (MAX_CANONICAL - 7)) is None
