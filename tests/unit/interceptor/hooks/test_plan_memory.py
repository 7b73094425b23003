"""What plans take is counted from above, and bounded; so is all that is kept of a statement."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import pytest

from interceptor.hooks.plans import PlanTables
from interceptor.hooks.statement import Resolution, Session
from interceptor.sql.analysis import StatementCache
from interceptor.sql.facts import MessageFacts
from interceptor.sql.facts_cache import FactsCache
from interceptor.sql.statements import analyse_facts
from tests.unit.interceptor.hooks.conftest import MakeHarness

MAX = 100 * 1024
UNWANTED = """
    @hookimpl
    def guard(statement, session):
        return None
"""
WANTED = """
    @hookimpl
    def guard(statement, session):
        return Block("42501", f"{len(statement.text)} bytes", detail=statement.text)
    @hookimpl
    def cache(statement, session):
        return lambda execution: statement.facts.size
"""


class Fresh:
    """Facts of a text's own each time, so that whatever is kept of them counts."""

    def facts(self, sql: bytes, standard_lexing: bool) -> MessageFacts:
        return analyse_facts(sql, standard_lexing)

    def exact(self, sql: bytes, standard_lexing: bool) -> MessageFacts:
        return analyse_facts(sql, standard_lexing)

    def resolve(self, session: Session) -> Resolution:
        return Resolution(None, session.scope())


class Cached(Fresh):
    """Facts that may be examples."""

    def __init__(self) -> None:
        self.cache = FactsCache(1024)

    def facts(self, sql: bytes, standard_lexing: bool) -> MessageFacts:
        return self.cache.facts(sql, standard_lexing)


def allocated(fill: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        fill()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("plugin", "text"),
    [
        (UNWANTED, b"SELECT f(a%06d) FROM t"),
        (UNWANTED, b"SELECT a%06d FROM t WHERE b = 5"),
        (UNWANTED, b"SELECT a%06d FROM t WHERE b = 'x' AND c = 5"),
        (WANTED, b"SELECT f(a%06d) FROM t"),
        (WANTED, b"SELECT a, b, c, d, e, f FROM t JOIN u USING (id) JOIN v ON v.id = u.n WHERE u.x%06d = ANY($1)"),
    ],
)
def test_plans_are_counted_from_above_and_bounded(make: MakeHarness, plugin: str, text: bytes) -> None:
    harness = make(plugin)
    session = harness.session()
    tables = PlanTables(harness.plugins, Cached(), harness.waits, MAX)
    tables.lookup(session, b"SELECT 1")
    counted = []

    def fill() -> None:
        for number in range(60):
            tables.lookup(session, text % number)
        counted.append(tables.memory())

    used = allocated(fill)
    assert 60 * 100 < used <= counted[0], "the estimate"
    for number in range(600):
        tables.lookup(session, text % number)
        assert tables.memory() <= MAX
    assert tables.memory() > MAX // 2


def test_bytes_of_a_statement_in_all_caches(make: MakeHarness) -> None:
    """The three caches together, filled beyond their bounds."""
    harness = make(UNWANTED)
    session = harness.session()
    statements, analyst = StatementCache(MAX), Cached()
    analyst.cache = FactsCache(MAX)
    tables = PlanTables(harness.plugins, analyst, harness.waits, MAX)
    tables.lookup(session, b"SELECT 1")

    def fill() -> None:
        for number in range(600):
            sql = b"SELECT f(a%06d), b FROM t WHERE c = $1 AND d = 'x'" % number
            tables.lookup(session, sql)
            statements.effects(sql)

    used = allocated(fill)
    counted = statements.memory() + analyst.cache.memory() + tables.memory()
    assert counted <= 3 * MAX
    # Dicts grow by doubling, and the names in facts are shared between texts or not.
    assert used <= 3 * MAX
