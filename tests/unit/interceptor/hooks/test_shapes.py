"""Plans that texts share which differ in the values of literals alone: only where nobody looked at more than that."""

from __future__ import annotations

import random
from textwrap import dedent

import pytest

from interceptor.hooks.chain import Chain
from interceptor.hooks.plans import PlanTables
from interceptor.sql.canonical import canonical_text
from interceptor.testing.harness import PluginHarness
from tests.unit.interceptor.hooks.conftest import MakeHarness
from tests.unit.interceptor.sql.test_facts_cache import mutants

COUNTING = """
    asked = []
    @hookimpl
    def guard(statement, session):
        asked.append(statement.facts.statements[0].kind)
"""


def asked(harness: PluginHarness) -> int:
    return len(vars(harness.plugins.plugins[0].instance)["asked"])


def test_what_nobody_wants_is_planned_once_for_all_values(make: MakeHarness) -> None:
    harness = make(COUNTING)
    session = harness.session()
    for number in range(100, 200):
        assert harness.tables.lookup(session, b"SELECT a FROM t WHERE b = %d" % number) is False
    assert asked(harness) == 1
    assert harness.tables.lookup(session, b"SELECT a FROM t WHERE b = 'abc'") is False
    assert asked(harness) == 2


@pytest.mark.parametrize(
    "look",
    ["statement.text", "statement.sql", "statement.exact()", "repr(statement)", "format(statement)", "f'{statement}'"],
)
def test_who_looks_into_the_text_is_asked_about_each(make: MakeHarness, look: str) -> None:
    harness = make(dedent(COUNTING) + f"    {look}\n", COUNTING)
    session = harness.session()
    for number in range(5):
        assert harness.tables.lookup(session, b"SELECT a FROM t WHERE b = %d" % number) is False
    assert asked(harness) == 5


def test_one_who_looks_is_enough(make: MakeHarness) -> None:
    harness = make(
        COUNTING,
        """
        @hookimpl
        def route(statement, session):
            statement.exact()
        """,
    )
    session = harness.session()
    for number in range(5):
        harness.tables.lookup(session, b"SELECT a FROM t WHERE b = %d" % number)
    assert asked(harness) == 5


JUDGING = """
    import re
    @hookimpl
    def guard(statement, session):
        for literal in statement.exact().literals:
            if isinstance(literal.value, int) and literal.value > 500:
                return Block("42501", "too much")
"""


def test_a_plan_that_depends_on_a_literal(make: MakeHarness) -> None:
    harness = make(JUDGING)
    session = harness.session()
    numbers = [random.Random(1).randrange(1000) for _ in range(300)]
    for number in numbers:
        found = harness.tables.lookup(session, b"SELECT a FROM t WHERE b = %03d" % number)
        assert bool(found) is (number > 500), number


FACTS = """
    import re, zlib
    import msgspec
    @hookimpl
    def guard(statement, session):
        bare = msgspec.structs.replace(statement.facts, literals=(), example=False)
        facts = msgspec.json.encode(msgspec.to_builtins(bare))
        number = zlib.crc32(re.sub(rb'"(?:place|start|end)":-?[0-9]+', b"", facts))
        return Block("42501", str(number)) if number % 3 == 0 else None
"""


def test_any_plan_that_rests_on_facts_holds_for_all_that_share_it(make: MakeHarness) -> None:
    """A plugin that wants a third of all facts, by all that they say but places, and texts in a random order."""
    shared = make(FACTS)
    session = shared.session()
    texts = list(mutants(random.Random(11)))
    random.Random(12).shuffle(texts)
    for text in texts:
        sql = text.encode()
        found = shared.tables.lookup(session, sql)
        alone = make_alone(shared).lookup(shared.session(), sql)
        assert bool(found) is bool(alone), text
    table = session.table
    assert table is not None
    assert len(table._young_shapes) > 100, "nothing was shared"


def make_alone(harness: PluginHarness) -> PlanTables:
    """Tables of the same plugins that know nothing yet."""
    from interceptor.testing.harness import _FactsAnalyst

    return PlanTables(harness.plugins, _FactsAnalyst(None), harness.waits)


@pytest.mark.parametrize(
    ("condition", "passes", "caught"),
    [
        ("facts.size > 60", "SELECT a FROM t WHERE b = 'x'", f"SELECT a FROM t WHERE b = '{'x' * 50}'"),
        ("one.longest_list > 2", "SELECT a FROM t WHERE b IN (1, 2)", "SELECT a FROM t WHERE b IN (1, 2, 3)"),
        ("one.limit.count > 9", "SELECT a FROM t WHERE b = 1 LIMIT 9", "SELECT a FROM t WHERE b = 1 LIMIT 10"),
        ("one.where.name != 'GIVEN'", "DELETE FROM t WHERE 1 = 2 AND a = 5", "DELETE FROM t WHERE 1 = 1 OR a = 5"),
        ("one.where.name != 'GIVEN'", "DELETE FROM t WHERE a > 1 OR 1 = 2", "DELETE FROM t WHERE a > 1 OR 1 = 1"),
        ("one.where.name != 'GIVEN'", "DELETE FROM t WHERE a LIKE 'b'", "DELETE FROM t WHERE a LIKE '%'"),
        ("one.volatile_literals", "SELECT a FROM t WHERE b > '2000'", "SELECT a FROM t WHERE b > 'now'"),
        ("one.rows > 1", "INSERT INTO t VALUES (1, 2)", "INSERT INTO t VALUES (1, 2), (1, 2)"),
    ],
)
def test_facts_that_values_decide(make: MakeHarness, condition: str, passes: str, caught: str) -> None:
    harness = make(
        f"""
        @hookimpl
        def guard(statement, session):
            facts = statement.facts
            one = facts.statements[0]
            return Block("42501", "no") if {condition} else None
        """
    )
    session = harness.session()
    for text, wanted in ((passes, False), (caught, True), (passes, False)):
        assert bool(harness.tables.lookup(session, text.encode())) is wanted


def test_what_reads_otherwise_shares_nothing(make: MakeHarness) -> None:
    harness = make(COUNTING)
    session = harness.session()
    session.reads_alike = False
    for number in range(5):
        assert harness.tables.lookup(session, b"SELECT a FROM t WHERE b = %d" % number) is False
    assert asked(harness) == 5


def test_classes_share_nothing(make: MakeHarness) -> None:
    harness = make(COUNTING)
    for user in ("alice", "bob", "alice"):
        harness.tables.lookup(harness.session(user=user), b"SELECT a FROM t WHERE b = %d" % len(user))
    assert asked(harness) == 2


def test_forgotten_with_the_plans(make: MakeHarness) -> None:
    harness = make(COUNTING)
    session = harness.session()
    harness.tables.lookup(session, b"SELECT a FROM t WHERE b = 1")
    harness.tables.invalidate("app")
    harness.tables.lookup(session, b"SELECT a FROM t WHERE b = 2")
    assert asked(harness) == 2


def test_a_text_that_comes_again_gets_its_place(make: MakeHarness) -> None:
    harness = make(COUNTING)
    session = harness.session()
    table = harness.tables.table_of(session)
    harness.tables.lookup(session, b"SELECT a FROM t WHERE b = 1")
    for found in (None, False):
        assert harness.tables.lookup(session, b"SELECT a FROM t WHERE b = 2") is False
        assert table.get(b"SELECT a FROM t WHERE b = 2") is found


def test_what_is_used_outlives_a_turn(make: MakeHarness) -> None:
    harness = make(COUNTING)
    session = harness.session()
    table = harness.tables.table_of(session)
    for number in range(5):
        assert harness.tables.lookup(session, b"SELECT a FROM t WHERE b = %d" % number) is False
        table.turn()
    assert asked(harness) == 1
    table.turn()
    harness.tables.lookup(session, b"SELECT a FROM t WHERE b = 6")
    assert asked(harness) == 2


OBSERVING = """
    asked = []
    class One(Observer):
        shared = {shared}
        def __init__(self, name):
            self.name = name
        def finished(self, execution, completion):
            pass
    @hookimpl
    def observe(statement, session):
        asked.append(statement.{reads})
        return One(statement.canonical)
"""


def observed(harness: PluginHarness, sql: bytes) -> tuple[Chain, object]:
    """The chain of a text, and what its observer calls it."""
    chain = harness.tables.lookup(harness.session(), sql)
    assert isinstance(chain, Chain)
    assert chain.statement.sql == sql
    return chain, vars(chain.observers.entries[0][1])["name"]


@pytest.mark.parametrize(
    ("shared", "reads", "count"), [(True, "canonical", 1), (True, "text", 5), (True, "exact()", 5), (False, "facts", 5)]
)
def test_observers_that_texts_share(make: MakeHarness, shared: bool, reads: str, count: int) -> None:
    harness = make(dedent(OBSERVING.format(shared=shared, reads=reads)))
    for number in range(100, 105):
        chain, name = observed(harness, b"SELECT a FROM t WHERE b = %d" % number)
        assert name == "select a from t where b = $1"
        assert [literal.value for literal in chain.statement.exact().literals] == [number]
    assert asked(harness) == count


@pytest.mark.parametrize(
    "text", ["SELECT a FROM t WHERE b = 5 ORDER BY %d", "SELECT a FROM t WHERE b = 5 GROUP BY 1, %d"]
)
def test_a_constant_that_no_parameter_can_replace_is_not_shared(make: MakeHarness, text: str) -> None:
    harness = make(dedent(OBSERVING.format(shared=True, reads="facts")))
    for number in (1, 2, 3):
        sql = (text % number).encode()
        assert observed(harness, sql)[1] == canonical_text(sql)
    assert asked(harness) == 3


def test_every_text_that_shares_an_observer_has_its_canonical_text(make: MakeHarness) -> None:
    harness = make(dedent(OBSERVING.format(shared=True, reads="facts")))
    texts = list(mutants(random.Random(13)))
    random.Random(14).shuffle(texts)
    for text in texts:
        sql = text.encode()
        assert observed(harness, sql)[1] == canonical_text(sql), text
    assert asked(harness) < len(texts) - 20, "nothing was shared"


def test_one_step_is_enough_to_share_nothing(make: MakeHarness) -> None:
    harness = make(
        OBSERVING.format(shared=True, reads="facts"),
        """
        @hookimpl
        def guard(statement, session):
            return lambda execution: Block("42501", statement.text)
        """,
    )
    for number in range(5):
        observed(harness, b"SELECT a FROM t WHERE b = %d" % number)
    assert asked(harness) == 5
