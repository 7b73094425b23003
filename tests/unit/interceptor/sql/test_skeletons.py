"""Facts that were found for other names hold for the names of a text."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from interceptor.sql.facts_cache import FactsCache
from interceptor.sql.lexical import is_plain
from interceptor.sql.skeletons import skeleton_of
from interceptor.sql.statements import analyse_facts
from tests.unit.interceptor.sql.test_facts_cache import mutants, same_but_for_places

WORDS = """
a b t x y A "a" "A" "Order" order_lines "select" name value excluded old new public oid ctid t2 users zq0 zq1 "zq2" _a
"ctid" "value" "old" "excluded" "new" "xmin"
""".split()
MORE = [
    "select {0}, {1} from {2} where {3} = $1",
    "select {0}.{1} from {2} {0} where {0}.{1} = $1 and {3} > $2 order by {4}",
    "select {0}.{1}, {2} as {3} from {4} as {0} join {5} on {0}.{1} = {5}.{1} where {3} is not null",
    "select * from {0}.{1} where {2} = {3}",
    "select {0} {1} from {2} order by {1}, {3} limit 10",
    "update {0} set {1} = $1, {2} = {3} where {4} = $2 returning {1}",
    "update {0} set {1} = $1 returning {2}.{3}, {1}",
    "insert into {0} ({1}, {2}) values ($1, $2) on conflict do nothing",
    "insert into {0} ({1}, {2}) select {1}, {3} from {4}",
    "delete from {0} using {1} where {0}.{2} = {1}.{2} and {3} = 5",
    "select {0} from {1} where {2} = 5 and {3} in (1, 2) and {4} like 'x%'",
    "select {0} from {1} where {0} = {2}",
    "select {0} from {1} where exists (select 1 from {2} where {2}.{3} = {1}.{3})",
    "with {0} as (select {1} from {2}) select {3} from {0}",
    "select {0} from {1} natural join {2}",
    "select {0} from {1} join {2} using ({3})",
    "select {0}::{1} from {2}",
    "select {0} from {1} for update of {2}",
    "select {0} from {1} union select {2} from {3}",
    "delete from {0} where {1} is not null returning $1",
    "delete from {0} {1} where {2}.{3} = {4}.{3} returning $1, {4}.{5}",
    "delete from {0} as {1} where {2} is not null returning $1, {3}",
]


def renamed(generator: random.Random) -> Iterator[str]:
    """Plain statements, each with many sets of names in them, some of which occur twice."""
    for text in MORE:
        for _ in range(150):
            yield text.format(*[generator.choice(WORDS) for _ in range(6)])
    texts = [text for text in mutants(generator) if is_plain(text.encode())][::3]
    for text in texts:
        for _ in range(4):
            names = {name: generator.choice(WORDS) for name in ("a", "b", "c", "x", "y", "t", "of_a")}
            yield re.sub(r"\b[a-z_]+\b", lambda found, names=names: names.get(found[0], found[0]), text)  # type: ignore[misc]


def test_facts_hold_under_other_names() -> None:
    cache = FactsCache()
    filled = 0
    for text in renamed(random.Random(11)):
        facts = cache.facts(text.encode())
        filled += facts.example
        own = analyse_facts(text)
        assert same_but_for_places(facts, own), text
        assert same_but_for_places(cache.exact(text.encode()), own), text
        assert cache.exact(text.encode()).literals == own.literals
    assert filled > 1500


def test_a_name_is_a_number_and_the_same_one_the_same_number() -> None:
    assert skeleton_of(b'select A, "a", "B".b from t where b = $1') == (
        b'select "zq0", "zq0", "zq1"."zq2" from "zq3" where "zq2" = $1',
        ("a", "B", "b", "t"),
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"select a from t where b = a", b"select a from t where b = b"),
        (b"select t.a from t", b"select t.a from u"),
        (b"select a order from t", b"select a orders from t"),
        (b"select user from t", b'select "user" from t'),
        (b"select excluded.a from t", b"select included.a from t"),
        (b"select a from t limit 5", b"select a from t limit 6"),
    ],
)
def test_other_statements_have_other_skeletons(one: bytes, other: bytes) -> None:
    found = [skeleton_of(one), skeleton_of(other)]
    assert all(found)
    assert found[0] is None or found[1] is None or found[0][0] != found[1][0]


@pytest.mark.parametrize(
    "text",
    [
        b"select 'now' from t",
        b'select "a b" from t',
        b'select a"b" from t',
        b'select "a""b" from t',
        b"select " + b"a" * 64 + b" from t",
        b"select " + b", ".join([b"a%d" % number for number in range(70)]) + b" from t",
    ],
)
def test_what_is_not_taken_apart(text: bytes) -> None:
    assert skeleton_of(text) is None
    assert same_but_for_places(FactsCache().facts(text), analyse_facts(text))


@pytest.mark.parametrize("most", [1000, 200_000])
def test_memory_is_bounded(most: int) -> None:
    cache = FactsCache(max_bytes=most)
    for number in range(500):
        for name in "abc":
            cache.facts(f"select {', '.join([name] * (number % 50))}, {number} from t where {name} = $1".encode())
            assert cache.memory() <= most
