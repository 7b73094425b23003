"""What it costs to plan a statement with the bundled plugins, and to remember it: ``python -m bench plugins``."""

from __future__ import annotations

import asyncio
import gc
import itertools
import tempfile
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.report import markdown_table
from bench.rulesets import rules_of
from bench.targets import DATABASE, USER, Backend
from bench.texts import cost
from interceptor.catalogue import Snapshot
from interceptor.catalogue.loading import load
from interceptor.hooks.plans import Analyst, PlanTables
from interceptor.sql.analysis import StatementCache
from interceptor.sql.facts import MessageFacts
from interceptor.sql.facts_cache import FactsCache
from interceptor.sql.statements import analyse_facts
from interceptor.testing.harness import PluginHarness
from pooler.auth import KeyCache
from pooler.config import config_from_upstream
from pooler.helpers import Helper

__all__ = ["Bytes", "Cost", "measure_bytes", "measure_costs", "snapshot_of", "table_of_bytes", "table_of_costs"]

_SQL = b"SELECT aid, bid AS b%06d FROM pgbench_accounts WHERE aid = $1"
_OTHER_VALUES = b"SELECT abalance FROM pgbench_accounts WHERE aid = %06d;"
_ANALYSIS_US = 25.0
_STATEMENTS = 4000


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of processor time."""

    what: str
    microseconds: float
    budget: str = ""
    kept: bool | None = None


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of memory for one text in a cache: what it counts, and what was allocated."""

    cache: str
    counted: float
    allocated: float


def snapshot_of(backend: Backend) -> Snapshot:
    """The catalogue that plans rest on."""
    host, port = backend.address
    settings = config_from_upstream(f"postgresql://{USER}@{host}:{port}/{DATABASE}").pool_settings(DATABASE, USER)

    async def read() -> Snapshot:
        helper = Helper(settings, lambda: None, KeyCache(), None)
        try:
            async with helper.snapshot() as queries:
                return await load(queries, lambda: asyncio.sleep(0), 1 << 25)
        finally:
            await helper.close()

    return asyncio.run(read())


def _harness(directory: str, count: int, catalogue: Snapshot) -> PluginHarness:
    """All bundled plugins that have something to say about any statement."""
    file = Path(directory) / f"rules-{count}.toml"
    file.write_text(rules_of(count))
    return PluginHarness("rules", config={"file": str(file)}, catalogue=catalogue)


def _new_layout(harness: PluginHarness) -> Callable[[], object]:
    """Look up a text each time that is no other's in anything but its names."""
    session = harness.session(search_path="public", user=USER)
    numbers = itertools.count()
    layout = str.maketrans("01", " \t")

    def look_up() -> None:
        number = next(numbers) % 1_000_000
        between = f"{number:020b}".translate(layout).encode()
        harness.tables.lookup(session, (_SQL % number).replace(b" FROM", between + b" FROM"))

    look_up()
    return look_up


def _analyse() -> Callable[[], object]:
    """Analyse another text each time: the last one's tree is kept."""
    numbers = itertools.count()
    return lambda: analyse_facts(_SQL % (next(numbers) % 1_000_000))


def _look_up(harness: PluginHarness, text: bytes, *, seen: bool) -> Callable[[], object]:
    """Look up a text, the same one or each time another."""
    session = harness.session(search_path="public", user=USER)
    harness.tables.lookup(session, text % 0)
    if seen:
        sql = text % 0
        table = harness.tables.table_of(session)
        harness.tables.lookup(session, sql)
        return lambda: table.get(sql)
    number = 0

    def look_up() -> None:
        nonlocal number
        number += 1
        harness.tables.lookup(session, text % (number % 1_000_000))

    return look_up


def measure_costs(catalogue: Snapshot) -> list[Cost]:
    """Facts alone, and whole plans under ten and a thousand rules."""
    with tempfile.TemporaryDirectory(prefix="interceptor-bench-") as directory:
        ten, thousand = _harness(directory, 10, catalogue), _harness(directory, 1000, catalogue)
        facts = cost(_analyse())
        unseen, many = cost(_look_up(ten, _SQL, seen=False)), cost(_look_up(thousand, _SQL, seen=False))
        layout = cost(_new_layout(ten))
        other = cost(_look_up(ten, _OTHER_VALUES, seen=False))
        seen = cost(_look_up(ten, _SQL, seen=True))
        seen_many = cost(_look_up(thousand, _SQL, seen=True))
    return [
        Cost("the facts of an unseen primary-key SELECT", facts),
        Cost(
            "its plan with all bundled plugins, facts and all", unseen, f"≤ {_ANALYSIS_US:.0f}", unseen <= _ANALYSIS_US
        ),
        Cost("the same where nothing of its layout was seen before", layout),
        Cost("its plan under 1,000 rules rather than 10", many, "≤ 1.1 times", many <= 1.1 * unseen),
        Cost("a text that differs from a planned one in its number", other),
        Cost("a seen text", seen),
        Cost("a seen text under 1,000 rules", seen_many, "the same", seen_many <= 1.5 * seen + 0.05),
    ]


def measure_bytes(catalogue: Snapshot) -> list[Bytes]:
    """Fill each cache with texts that nobody wants, each of which names another table."""
    texts = [_SQL % number for number in range(_STATEMENTS)]
    with tempfile.TemporaryDirectory(prefix="interceptor-bench-") as directory:
        harness = _harness(directory, 10, catalogue)
        session = harness.session(search_path="public", user=USER)
        for sql in texts[:10]:
            harness.tables.lookup(session, sql)
        facts, statements = FactsCache(64 * 1024 * 1024), StatementCache(64 * 1024 * 1024)
        known = _Known(analyse_facts(texts[0]), harness.tables.analyst)
        tables = PlanTables(harness.plugins, known, harness.waits, 64 * 1024 * 1024)
        session.table = None
        tables.lookup(session, texts[0])
        found = [
            _bytes(name, function, memory, texts)
            for name, function, memory in (
                ("facts", facts.facts, facts.memory),
                ("plans", partial(tables.lookup, session), tables.memory),
                ("effects on the session", statements.effects, statements.memory),
            )
        ]
    return found


def _bytes(name: str, function: Callable[[bytes], object], memory: Callable[[], int], texts: list[bytes]) -> Bytes:
    allocated = _allocated(partial(_fill, function, texts))
    return Bytes(name, memory() / len(texts), allocated / len(texts))


def _fill(function: Callable[[bytes], object], texts: list[bytes]) -> None:
    for sql in texts:
        function(sql)


class _Known:
    """The same facts for every text, so that plans are measured without them."""

    def __init__(self, facts: MessageFacts, other: Analyst) -> None:
        self._facts = facts
        self.resolve = other.resolve

    def facts(self, sql: bytes, standard_lexing: bool) -> MessageFacts:
        return self._facts

    def exact(self, sql: bytes, standard_lexing: bool) -> MessageFacts:
        return self._facts


def _allocated(fill: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        fill()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def table_of_costs(costs: list[Cost]) -> str:
    """One line for each."""
    verdicts = {None: "", True: "kept", False: "**missed**"}
    rows = [[one.what, f"{one.microseconds:.2f}", one.budget, verdicts[one.kept]] for one in costs]
    return markdown_table(["what", "µs", "budget", ""], rows)


def table_of_bytes(found: list[Bytes]) -> str:
    """One line for each cache, and the sum."""
    rows = [[one.cache, f"{one.counted:.0f}", f"{one.allocated:.0f}"] for one in found]
    rows.append(["all", f"{sum(one.counted for one in found):.0f}", f"{sum(one.allocated for one in found):.0f}"])
    return markdown_table(["what is kept of a statement", "counted, bytes", "allocated, bytes"], rows)
