"""A text that several ask about in turn is parsed once."""

from __future__ import annotations

import copy

import pytest
from pglast import parser

from interceptor.sql import parsing
from interceptor.sql.analysis import StatementCache, analyse
from interceptor.sql.facts import Opaque, OpaqueReason
from interceptor.sql.facts_cache import FactsCache
from interceptor.sql.parsing import HELPER, INLINE, keep_parse, kept_parse, parse
from interceptor.sql.statements import analyse_facts
from tests.integration.test_facts import corpus


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were parsed."""
    texts: list[str] = []
    really = parser.parse_sql_json

    def count(text: str) -> str:
        texts.append(text)
        return really(text)

    monkeypatch.setattr(parser, "parse_sql_json", count)
    monkeypatch.setattr(parsing, "_kept", None)
    return texts


@pytest.mark.parametrize("facts_first", [True, False])
def test_facts_and_effects_share_a_parse(parsed: list[str], *, facts_first: bool) -> None:
    facts, effects = FactsCache().facts, StatementCache().effects
    for ask in (facts, effects) if facts_first else (effects, facts):
        ask(b"select upper(a) from t")
    assert parsed == ["select upper(a) from t"]


def test_an_example_is_parsed_once(parsed: list[str]) -> None:
    assert FactsCache().facts(b"select a from t where b = 5").example
    assert parsed == ["select a from t where b = 5"]


def test_nobody_changes_the_tree(parsed: list[str]) -> None:
    texts = [line.text for section in ("queries", "writes", "definitions", "others") for line in corpus(section)]
    for sql in texts:
        text = sql.encode()
        analyse_facts(text)
        kept = kept_parse(text)
        if kept is None:
            continue
        before = copy.deepcopy(kept.statements)
        with_it = analyse_facts(text), analyse(text)
        assert kept.statements == before, sql
        parsing._kept = None
        assert analyse(text) == with_it[1], sql
        parsing._kept = None
        assert analyse_facts(text) == with_it[0], sql


def test_what_was_kept_is_of_the_same_text_and_limits(parsed: list[str]) -> None:
    parse(b"select 1", INLINE, keep=True)
    assert kept_parse(b"select 2") is None
    parse(b"select 1", HELPER)
    parse(b"select 1", INLINE)
    assert parsed == ["select 1", "select 1"]


def test_what_is_too_much_for_facts_is_not_kept_for_them() -> None:
    tree = "x" * (parsing._MAX_KEPT + 1)
    keep_parse(b"select 1", tree, [])
    assert kept_parse(b"select 1") is None
    latin = "select 'ä'".encode("latin-1")
    keep_parse(latin, "", [])
    assert kept_parse(latin) is None
    assert isinstance(parse(b"select (", INLINE, keep=True), Opaque)
    assert analyse_facts(b"select (").opaque[0].reason is OpaqueReason.UNPARSABLE
