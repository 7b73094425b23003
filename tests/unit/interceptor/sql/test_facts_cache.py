"""The cache of facts: what it shares between texts, and how much it keeps."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator

import msgspec
import pytest

from interceptor.sql.facts import MessageFacts, OpaqueReason
from interceptor.sql.facts_cache import FactsCache, facts_size, shape_of, without_literals
from interceptor.sql.lexical import is_plain
from interceptor.sql.statements import analyse_facts
from tests.integration.test_facts import corpus


def test_a_text_is_analysed_once() -> None:
    cache = FactsCache()
    first = cache.facts(b"select f(a) from t where b = $1")
    assert cache.facts(b"select f(a) from t where b = $1") is first
    assert cache.exact(b"select f(a) from t where b = $1") is first
    assert first == analyse_facts(b"select f(a) from t where b = $1")


def test_texts_that_differ_in_values_share_their_facts() -> None:
    cache = FactsCache()
    first = cache.facts(b"select a from t where b = 57721 and c in ('x', 'y') limit 5")
    second = cache.facts(b"select a from t where b = 1 and c in ('it''s', '') limit 5")
    assert first.example
    assert second is not first  # an empty string is left as it is
    assert cache.facts(b"select a from t where b = 1 and c in ('it''s', 'z') limit 5") is first
    exact = cache.exact(b"select a from t where b = 1 and c in ('it''s', 'z') limit 5")
    assert not exact.example
    assert [literal.value for literal in exact.literals] == [1, "it's", "z", 5]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select a from t where 1 = 2", "select a from t where 1 = 1"),
        ("select a from t where b = 1 or 2 = 3", "select a from t where b = 1 or 2 = 2"),
        ("select a from t where b = 1 or (2) = (3)", "select a from t where b = 1 or (2) = (2)"),
        ("select a from t where b like 'x%'", "select a from t where b like '%'"),
        ("delete from t where 'f'", "delete from t where 't'"),
        ("delete from t where 'f'::bool", "delete from t where 't'::bool"),
        ("delete from t where (select 1) = 2", "delete from t where (select 1) = 1"),
        ("delete from t where (select 1 as x) = 2", "delete from t where (select 1 as x) = 1"),
        ("delete from t where case when a then 1 else 1 end = 2",
         "delete from t where case when a then 1 else 1 end = 1"),
        ("delete from t where 5 between 7 and 9", "delete from t where 5 between 1 and 9"),
        ("delete from t where 5 in (7, 9)", "delete from t where 5 in (5, 9)"),
        ("delete from t where 5 + 5 = 11", "delete from t where 5 + 5 = 10"),
        ("select a from t limit 5", "select a from t limit 6"),
        ("select a from t limit  5", "select a from t limit  6"),
        ("select a from t limit\n5", "select a from t limit\n6"),
        ("select a from t fetch first 5 rows only", "select a from t fetch first 6 rows only"),
        ("select '2020-01-01'::date", "select 'now'::date"),
        ("select '2020-01-01'::date", "select 'a''today'::date"),
        ("select a from t where b = 1", "select a from t where b = '1'"),
        ("select a from t where b = t1.c", "select a from t where b = t2.c"),
        ('select "1" from t', 'select "2" from t'),
        ("select a from t where b in (1, 2)", "select a from t where b in (1, 2, 3)"),
        ("select a from t where b = 1.5", "select a from t where b = t.1"),
    ],
)  # fmt: skip
def test_what_depends_on_values_is_not_shared(one: str, other: str) -> None:
    cache = FactsCache()
    cache.facts(one.encode())
    assert same_but_for_places(cache.facts(other.encode()), analyse_facts(other))


def same_but_for_places(one: MessageFacts, other: MessageFacts) -> bool:
    """Compare all that an example promises."""

    def bare(facts: MessageFacts) -> object:
        kept = msgspec.structs.replace(facts, size=0, literals=(), example=False)
        text = msgspec.json.encode(msgspec.to_builtins(kept)).decode()
        return re.sub(r'"(?:place|start|end)":-?[0-9]+', "", text)

    return bare(one) == bare(other)


def mutants(generator: random.Random) -> Iterator[str]:
    """Plain statements of the corpus, with other literals in the place of each."""
    values = ["1", "2", "0", "42", "'x'", "'now'", "'%'", "'t'", "''", "'it''s'", "1.5", "'%%'", "9999999999", "'1'"]
    texts = [line.text for section in ("queries", "writes") for line in corpus(section)]
    texts += ["delete from a where x = 1 and 2 = 3", "select x from a where y like 'b' and x in (1, 2) limit 5"]
    for text in texts:
        for _ in range(12):
            yield re.sub(r"'[^']*'|\b[0-9]+\b", lambda _: generator.choice(values), text)


def test_examples_hold_for_all_that_share_them() -> None:
    cache = FactsCache()
    shared = 0
    for text in mutants(random.Random(5)):
        facts = cache.facts(text.encode())
        shared += facts.example
        assert same_but_for_places(facts, analyse_facts(text)), text
    assert shared > 300


def test_what_is_left_tells_statements_apart() -> None:
    """Texts with the same rest differ in constants of the same kind alone: a parser sees the same tree."""
    seen: dict[bytes, object] = {}
    for text in mutants(random.Random(7)):
        sql = text.encode()
        if is_plain(sql):
            shape = re.sub(r"'(?:[^']|'')*'", "''", re.sub(r"(?<![\w.\"])[0-9]+(?![\w.\"])", "0", text))
            assert seen.setdefault(without_literals(sql), shape) == shape


def test_another_reading_of_the_bytes() -> None:
    cache = FactsCache()
    assert not cache.facts(rb"select f('a\')").opaque
    assert cache.facts(rb"select f('a\')", standard_lexing=False).opaque[0].reason is OpaqueReason.LEXING
    assert cache.exact(rb"select f('a\')", standard_lexing=False).opaque[0].reason is OpaqueReason.LEXING
    assert not cache.facts(b"select f('a')", standard_lexing=False).opaque


def test_memory_is_bounded_and_what_is_used_stays() -> None:
    cache = FactsCache(max_bytes=100_000)
    used = b"select f(a) from t"
    kept = cache.facts(used)
    for number in range(2000):
        cache.facts(b"select f(a%d) from t" % number)
        cache.facts(b"select a%d from t where x = 5" % number)
        assert cache.facts(used) is kept
        assert cache.memory() <= 100_000


def test_a_text_larger_than_the_cache_is_not_kept() -> None:
    cache = FactsCache(max_bytes=1000)
    assert cache.facts(b"select f(a)") == cache.facts(b"select f(a)")
    assert cache.memory() == 0


def deep_size(value: object, seen: set[int]) -> int:
    """The memory of what a value holds alone: names of kinds, and texts that Python shares, count too."""
    if id(value) in seen or value is None or isinstance(value, bool | int) or not hasattr(value, "__class__"):
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value)
    if isinstance(value, msgspec.Struct):
        size += sum([deep_size(getattr(value, name), seen) for name in value.__struct_fields__])
    elif isinstance(value, tuple | frozenset):
        size += sum([deep_size(item, seen) for item in value])
    return size


def test_sizes_are_estimated_from_above() -> None:
    texts = [line.text for section in ("queries", "writes", "definitions", "others") for line in corpus(section)]
    known: set[int] = set()
    wrong = []
    for text in texts:
        facts = analyse_facts(text)
        estimate, true = facts_size(facts), deep_size(facts, known.copy())
        if not true <= estimate <= 6 * true:
            wrong.append((text, estimate, true))
    assert wrong == []


def test_the_size_is_the_text_s_own() -> None:
    cache = FactsCache()
    short = cache.facts(b"select a from t where b = 'x'")
    long = cache.facts(b"select a from t where b = '" + b"x" * 3000 + b"'")
    assert short.example
    assert long.example
    assert (short.size, long.size) == (29, 3028)


def test_shapes() -> None:
    assert shape_of(b"select a from t where b = 1 and c = 'x'") == b"select a from t where b = ? and c = ?'"
    for text in (
        b"select a from t",  # nothing to leave out
        b"select a from t where b = $1 and c = 5",  # comes again as it is
        b"select f(5)",  # not plain
        b"select 5 -- five",
        b"select a from t where b = '" + b"x" * 20_000 + b"'",
    ):
        assert shape_of(text) is None, text
