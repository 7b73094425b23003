"""When plans are made, for whom they hold, and when they are forgotten."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable

import pytest

from interceptor import Block
from interceptor.hooks.asyncio_waits import AsyncioWaits
from interceptor.hooks.chain import Chain, Outcome
from interceptor.hooks.instant_waits import InstantWaits
from interceptor.hooks.parameters import NO_PARAMETERS
from interceptor.hooks.plans import PlanTables
from interceptor.hooks.statement import Execution, Resolution, Session
from interceptor.sql.facts import MessageFacts
from interceptor.sql.statements import analyse_facts
from interceptor.testing.harness import PluginHarness
from tests.unit.interceptor.hooks.conftest import MakeHarness

COUNTING = """
    asked = []
    @hookimpl
    def guard(statement, session):
        asked.append(statement.text)
        return Block("42501", "no") if "bad" in statement.text else None
"""


def asked(harness: PluginHarness) -> list[str]:
    found = vars(harness.plugins.plugins[0].instance)["asked"]
    assert isinstance(found, list)
    return found


def test_a_plan_is_made_once_for_a_text_and_class(make: MakeHarness) -> None:
    harness = make(COUNTING)
    one, same, other_user = harness.session(), harness.session(), harness.session(user="bob")
    for session in (one, same, other_user, one):
        assert harness.tables.lookup(session, b"SELECT 1") is False
        assert isinstance(harness.tables.lookup(session, b"SELECT bad"), Chain)
    assert asked(harness) == ["SELECT 1", "SELECT bad"] * 2
    assert one.table is same.table
    assert one.table is not None
    assert one.table.get(b"SELECT 1") is False
    assert one.table.get(b"SELECT 2") is None


def test_a_class_is_made_of_what_was_declared(make: MakeHarness) -> None:
    harness = make(
        """
        @plugin(depends_on=("role", "setting:app.tenant"))
        class Masking:
            def __init__(self, context):
                pass
            @hookimpl
            def guard(self, statement, session):
                return Block("42501", f"{session.role} {session.setting('app.tenant')}")
        """
    )
    session = harness.session(user="alice")

    def said() -> str:
        action = harness.decide("SELECT 1", session=session).action
        assert isinstance(action, Block)
        return action.message

    assert said() == "alice None"
    first = session.table
    session.role, session.table = "boss", None
    assert said() == "boss None"
    session.settings["app.tenant"], session.table = "7", None
    assert said() == "boss 7"
    session.settings["other"], session.table = "8", None
    before = harness.tables.table_of(session)
    session.settings.clear()
    session.role, session.table = "alice", None
    assert harness.tables.table_of(session) is first is not before


@pytest.mark.parametrize("name", ["role", "search_path", "tls", "application_name"])
def test_what_was_not_declared_can_not_be_seen(make: MakeHarness, name: str) -> None:
    harness = make(f"@hookimpl\ndef route(statement, session):\n    return Route(str(session.{name}))\n")
    with pytest.raises(AssertionError, match=rf'makes a plan from "{name}" of the session without saying so'):
        harness.decide("SELECT 1")


def test_a_plugin_may_label_sessions_by_itself(make: MakeHarness) -> None:
    harness = make(
        """
        @hookimpl
        def classify_session(session):
            return session.client_address.startswith("10.")
        @hookimpl
        def guard(statement, session):
            return None if session.label else Block("42501", "from outside")
        """
    )
    inside, outside = harness.session(client_address="10.1.2.3"), harness.session(client_address="192.0.2.1")
    also_inside = harness.session(client_address="10.9.9.9")
    assert not isinstance(harness.decide("SELECT 1", session=inside).action, Block)
    assert isinstance(harness.decide("SELECT 1", session=outside).action, Block)
    assert harness.tables.table_of(also_inside) is inside.table is not outside.table


@pytest.mark.parametrize("label", ["[]", "1 / 0"])
def test_a_session_that_can_not_be_labelled_is_refused_by_a_guard(make: MakeHarness, label: str) -> None:
    harness = make(
        f"""
        broken = True
        @hookimpl
        def classify_session(session):
            return {label} if broken else 1
        @hookimpl
        def guard(statement, session):
            return None
        @hookimpl
        def route(statement, session):
            return Route("never asked without a label")
        """
    )
    session = harness.session()
    statement, chain = harness.wait(harness.tables.plan(session, b"SELECT 1"))
    assert chain is not None
    outcome = chain.run(Execution(statement, session, NO_PARAMETERS))
    assert isinstance(outcome, Outcome)
    assert isinstance(outcome.action, Block)
    assert outcome.action.sqlstate == "58000"
    vars(harness.plugins.plugins[0].instance)["broken"] = False
    assert harness.decide("SELECT 1", session=session).target == "never asked without a label"


def test_own_names_are_nobody_elses(make: MakeHarness) -> None:
    harness = make(COUNTING)
    with_temporary, another = harness.session(), harness.session()
    for session in (with_temporary, another):
        session.names = "own"
        harness.tables.lookup(session, b"SELECT 1")
    assert asked(harness) == ["SELECT 1", "SELECT 1"]
    assert with_temporary.table is not another.table
    in_ddl, also_in_ddl = harness.session(), harness.session()
    for session in (in_ddl, also_in_ddl):
        session.names = "unresolved"
    assert harness.tables.table_of(in_ddl) is harness.tables.table_of(also_in_ddl)


def test_what_is_invalidated_is_planned_anew(make: MakeHarness) -> None:
    harness = make(COUNTING)
    here, there = harness.session(), harness.session(database="other")
    own = harness.session()
    own.names = "own"
    sessions = (here, there, own)
    for session in sessions:
        harness.tables.lookup(session, b"SELECT 1")
    harness.tables.invalidate("app")
    for session in sessions:
        harness.tables.lookup(session, b"SELECT 1")
    assert len(asked(harness)) == 5
    harness.plugins.invalidate_plans(None)
    for session in sessions:
        harness.tables.lookup(session, b"SELECT 1")
    assert len(asked(harness)) == 8


def test_new_plugins_decide_about_old_sessions_and_texts(make: MakeHarness) -> None:
    """A statement that was prepared before a reload is looked up again when it is bound."""
    harness = make("@hookimpl\ndef guard(statement, session):\n    return None\n")
    session = harness.session()
    assert harness.tables.lookup(session, b"SELECT bad") is False
    table = session.table
    assert table is not None
    harness.tables.replace_plugins(make(COUNTING).plugins)
    assert table.get(b"SELECT bad") is None
    assert isinstance(harness.tables.lookup(session, b"SELECT bad"), Chain)
    assert session.table is not table


class SlowAnalyst:
    """Facts that have to be waited for, as those of a long text are."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self.asked = 0

    def facts(self, sql: bytes, standard_lexing: bool) -> MessageFacts | Awaitable[MessageFacts]:
        return self._later(sql)

    async def _later(self, sql: bytes) -> MessageFacts:
        self.asked += 1
        await self.may_go_on.wait()
        return analyse_facts(sql)

    def exact(self, sql: bytes, standard_lexing: bool) -> MessageFacts:
        return analyse_facts(sql)

    def resolve(self, session: Session) -> Resolution | Awaitable[Resolution]:
        raise AssertionError("nobody needs the catalogue")


@pytest.mark.parametrize("change", ["reload", "invalidation", "role"])
async def test_a_plan_that_is_overtaken_by_a_change_is_made_again(make: MakeHarness, change: str) -> None:
    harness = make(COUNTING)
    analyst = SlowAnalyst()
    tables = PlanTables(harness.plugins, analyst, InstantWaits())
    session = harness.session()
    pending = tables.lookup(session, b"SELECT 1")
    assert isinstance(pending, Awaitable)

    async def wait() -> object:
        return await pending

    task = asyncio.get_running_loop().create_task(wait())
    while not analyst.asked:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    old = session.table
    match change:
        case "reload":
            tables.replace_plugins(make('@hookimpl\ndef route(statement, session):\n    return Route("new")\n').plugins)
        case "invalidation":
            tables.invalidate()
        case _:
            session.user, session.table = "another", None
    analyst.may_go_on.set()
    found = await task
    assert old is not None
    if change == "reload":
        assert isinstance(found, Chain)
        assert found.steps[0].phase == "route"
        assert old.get(b"SELECT 1") is None
    else:
        assert found is False
        assert tables.table_of(session).get(b"SELECT 1") is False
        assert analyst.asked == 2


def test_a_plan_made_with_a_failure_is_not_kept(make: MakeHarness) -> None:
    harness = make(
        """
        broken = True
        @hookimpl
        def guard(statement, session):
            if broken:
                raise LookupError("not yet")
            return Block("42501", "no")
        """
    )
    session = harness.session()

    def action() -> object:
        statement, chain = harness.wait(harness.tables.plan(session, b"SELECT 1"))
        assert chain is not None
        outcome = chain.run(Execution(statement, session, NO_PARAMETERS))
        assert isinstance(outcome, Outcome)
        return outcome.action

    first = action()
    assert isinstance(first, Block)
    assert first.sqlstate == "58000"
    assert "p1" in first.message
    assert session.table is not None
    assert session.table.get(b"SELECT 1") is None
    vars(harness.plugins.plugins[0].instance)["broken"] = False
    assert action() == Block("42501", "no")


def test_a_function_call_is_guarded_under_its_number(make: MakeHarness) -> None:
    harness = make(
        """
        @hookimpl
        def guard(statement, session):
            if statement.function == 2926:
                assert statement.facts.opaque
                return Block("42501", "no query_to_xml")
            return Block("42501", "no empty text") if statement.text == "" and not statement.function else None
        """
    )
    session = harness.session()
    assert isinstance(harness.wait(harness.tables.lookup_function(session, 2926)), Chain)
    assert harness.wait(harness.tables.lookup_function(session, 764)) is False
    assert isinstance(harness.decide("", session=session).action, Block)


def test_literals_are_those_of_the_text_if_one_asks_for_them(make: MakeHarness) -> None:
    harness = make(
        """
        @hookimpl
        def route(statement, session):
            return Route(str([one.value for one in statement.exact().literals]))
        """
    )
    assert [harness.decide(f"SELECT {number}").target for number in (1, 22, 333)] == ["[1]", "[22]", "[333]"]


def test_memory_is_bounded_over_all_tables(make: MakeHarness) -> None:
    harness = make(COUNTING)
    tables = PlanTables(harness.plugins, harness.tables.analyst, harness.waits, max_bytes=100_000)
    sessions = [harness.session(user=f"user{number}") for number in range(10)]
    for number in range(2000):
        for session in sessions:
            tables.lookup(session, b"SELECT %d -- %s" % (number, b"x" * 100))
    kept = sum(
        len(sql)
        for session in sessions
        if session.table
        for half in (session.table._young, session.table._old)
        for sql in half
    )
    assert 10_000 < kept < 100_000
    assert sessions[0].table is not None
    assert sessions[0].table.get(b"SELECT 1999 -- " + b"x" * 100) is False


def test_what_is_asked_for_again_stays(make: MakeHarness) -> None:
    harness = make(COUNTING)
    tables = PlanTables(harness.plugins, harness.tables.analyst, harness.waits, max_bytes=20_000)
    session = harness.session()
    for number in range(500):
        tables.lookup(session, b"SELECT 'often'")
        tables.lookup(session, b"SELECT %d" % number)
    assert asked(harness).count("SELECT 'often'") == 1


def test_tables_of_sessions_that_made_their_names_up_do_not_pile_up(
    make: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interceptor.hooks.plans.MAX_TABLES", 50)
    harness = make(
        "@hookimpl\ndef route(statement, session):\n    return None\nplugin_info = PluginInfo(depends_on=('role',))\n"
    )
    first = harness.session()
    harness.tables.lookup(first, b"SELECT 1")
    for number in range(200):
        harness.tables.lookup(harness.session(role=f"role{number}"), b"SELECT 1")
    assert len(harness.tables._tables) <= 50
    assert harness.tables.lookup(first, b"SELECT 1") is False


def test_private_tables_go_with_their_sessions(make: MakeHarness) -> None:
    harness = make(COUNTING)
    for _ in range(10):
        session = harness.session()
        session.names = "own"
        harness.tables.lookup(session, b"SELECT 1")
    del session
    gc.collect()
    assert len(harness.tables._private) == 0


def test_who_needs_the_catalogue_gets_it_and_depends_on_what_names_depend_on(make: MakeHarness) -> None:
    harness = make(
        """
        plugin_info = PluginInfo(needs_catalogue=True)
        @hookimpl
        def route(statement, session):
            scope = statement.resolution.scope
            return Route(f"{scope.role} {scope.search_path} {statement.resolution.closures} {session.search_path}")
        """
    )
    session = harness.session(user="alice", search_path='"$user", public')
    assert harness.decide("SELECT 1", session=session).target == """alice ('$user', 'public') None "$user", public"""
    session.search_path, session.table = "other", None
    assert harness.decide("SELECT 1", session=session).target == "alice ('other',) None other"


async def test_real_time_is_waited_for(make: MakeHarness) -> None:
    harness = make("@hookimpl\ndef guard(statement, session):\n    return Delay(0.01)\n")
    tables = PlanTables(harness.plugins, harness.tables.analyst, AsyncioWaits())
    session = harness.session()
    chain = tables.lookup(session, b"SELECT 1")
    assert isinstance(chain, Chain)
    start = asyncio.get_running_loop().time()
    pending = chain.run(Execution(chain.statement, session, NO_PARAMETERS))
    assert isinstance(pending, Awaitable)
    await pending
    assert asyncio.get_running_loop().time() - start >= 0.009
