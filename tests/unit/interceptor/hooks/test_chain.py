"""One execution from the first guard to the observers: who is asked, in which order, and what comes of it."""

from __future__ import annotations

import asyncio

import pytest

from interceptor import Block, Forward, Limits, Replay, Respond, Retry, Value
from interceptor.hooks.asyncio_waits import AsyncioWaits
from interceptor.hooks.chain import Chain, Outcome
from interceptor.hooks.parameters import NO_PARAMETERS
from interceptor.hooks.plans import PlanTables
from interceptor.hooks.statement import Execution
from interceptor.testing.harness import PluginHarness
from tests.unit.interceptor.hooks.conftest import MakeHarness

# Notes who was asked, in the state of the session.
NOTING = """
    NOTES = StateKey(list)

    def noting(name, decision=None):
        def step(execution):
            execution.session.get(NOTES).append(name)
            return decision(execution) if callable(decision) else decision
        return step
"""


def noting(hooks: str) -> str:
    return NOTING + hooks


def run(harness: PluginHarness) -> tuple[Outcome, list[str]]:
    session = harness.session()
    outcome = harness.decide("SELECT 1", session=session)
    notes = [] if session._state is None else next(iter(session._state.values()))
    assert isinstance(notes, list)
    return outcome, notes


ALL_PHASES = noting(
    "\n".join(
        f"""
    @hookimpl
    def {phase}(statement, session):
        return noting("{phase}")
"""
        for phase in ("route", "cache", "rewrite", "virtual", "guard")
    )
)


def test_phases_run_in_their_order_whatever_the_order_of_the_source(make: MakeHarness) -> None:
    _, notes = run(make(ALL_PHASES))
    assert notes == ["guard", "virtual", "rewrite", "cache", "route"]


def test_plugins_run_in_the_order_of_the_config_within_a_phase(make: MakeHarness) -> None:
    first = """
        def step(execution):
            execution.session.settings["seen"] = (execution.session.settings.get("seen") or "") + "{0}"
        @hookimpl({1})
        def guard(statement, session):
            return step
    """
    harness = make(
        first.format("1", ""), first.format("2", ""), first.format("3", "tryfirst=True"), first.format("4", "")
    )
    session = harness.session()
    harness.decide("SELECT 1", session=session)
    assert session.settings["seen"] == "3124"


def test_a_block_ends_the_run(make: MakeHarness) -> None:
    source = ALL_PHASES.replace('noting("guard")', 'noting("guard", Block("42501", "no", detail="d"))')
    outcome, notes = run(make(source))
    assert notes == ["guard"]
    assert outcome.action == Block("42501", "no", detail="d")
    assert outcome.by == "p1"


def test_an_answer_ends_the_run_before_cache_and_route(make: MakeHarness) -> None:
    source = ALL_PHASES.replace('noting("virtual")', 'noting("virtual", Respond((Column("a", "int4"),), [(1,)]))')
    outcome, notes = run(make(source))
    assert notes == ["guard", "virtual"]
    assert isinstance(outcome.action, Respond)


def test_a_replay_ends_the_run_before_the_route(make: MakeHarness) -> None:
    source = ALL_PHASES.replace('noting("cache")', 'noting("cache", Replay(b"", (b"D",), 1, "SELECT 1"))')
    outcome, notes = run(make(source))
    assert notes == ["guard", "virtual", "rewrite", "cache"]
    assert outcome.action == Replay(b"", (b"D",), 1, "SELECT 1")


@pytest.mark.parametrize("state", ["in_transaction", "wrote"])
def test_nothing_is_routed_within_a_transaction(make: MakeHarness, state: str) -> None:
    harness = make('@hookimpl\ndef route(statement, session):\n    return Route("replica")\n')
    assert harness.decide("SELECT 1").target == "replica"
    session = harness.session()
    if state == "wrote":
        session.transaction.implicit = True
    assert harness.decide("SELECT 1", session=session, in_transaction=state == "in_transaction").target is None


def test_the_first_route_counts_with_its_retry(make: MakeHarness) -> None:
    harness = make(
        '@hookimpl\ndef route(statement, session):\n    return Route("a", Retry("primary", frozenset(["25006"])))\n',
        '@hookimpl\ndef route(statement, session):\n    return Route("b")\n',
    )
    outcome = harness.decide("SELECT 1")
    assert (outcome.target, outcome.retry, outcome.by) == ("a", Retry("primary", frozenset(["25006"])), "p1")


def test_conditions_of_several_plugins_add_up(make: MakeHarness) -> None:
    harness = make(
        """
        @hookimpl
        def guard(statement, session):
            return Forward(limits=Limits(rows=10), settings={"Statement_Timeout": "5s"})
        """,
        """
        @hookimpl
        def guard(statement, session):
            settings = {"statement_timeout": "9s", "lock_timeout": "1s"}
            return Forward(limits=Limits(rows=20, bytes=100), settings=settings)
        """,
    )
    outcome = harness.decide("SELECT 1")
    assert outcome.limits == Limits(rows=10, bytes=100)
    assert outcome.settings == {"statement_timeout": "5s", "lock_timeout": "1s"}
    assert isinstance(outcome.action, Forward)


def test_a_delay_waits_and_goes_on(make: MakeHarness) -> None:
    harness = make(
        """
        @hookimpl
        def guard(statement, session):
            return Delay(2.5)
        @hookimpl
        def route(statement, session):
            return Route("there")
        """
    )
    assert harness.decide("SELECT 1").target == "there"
    assert harness.waits.now == 2.5


def test_an_async_step_decides(make: MakeHarness) -> None:
    harness = make(
        """
        async def step(execution):
            return Block("P0001", "later")
        @hookimpl
        def guard(statement, session):
            return step
        """
    )
    assert harness.decide("SELECT 1").action == Block("P0001", "later")


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_step_may_raise_its_block(make: MakeHarness, kind: str) -> None:
    harness = make(
        f"""
        {kind} step(execution):
            raise Blocked(Block("23514", "checked", column="email"))
        @hookimpl
        def virtual(statement, session):
            return step
        """
    )
    assert harness.decide("SELECT 1").action == Block("23514", "checked", column="email")
    assert harness.status()[0].failures == 0


# --- Rewriting --------------------------------------------------------------------------------------------------


def test_what_was_rewritten_is_guarded_again(make: MakeHarness) -> None:
    harness = make(
        """
        @hookimpl
        def guard(statement, session):
            return Block("42501", "secret") if "secret" in statement.text else None
        """,
        """
        @hookimpl
        def rewrite(statement, session):
            return Rewrite("SELECT secret") if "innocent" in statement.text else None
        """,
    )
    outcome = harness.decide("SELECT innocent")
    assert outcome.action == Block("42501", "secret")
    assert outcome.by == "p1"


@pytest.mark.parametrize("how", ["Rewrite(statement.text)", "lambda execution: Rewrite(statement.text)"])
def test_a_rewrite_to_the_same_text_is_nobodys_loop(make: MakeHarness, how: str) -> None:
    harness = make(f"@hookimpl\ndef rewrite(statement, session):\n    return {how}\n")
    outcome = harness.decide("SELECT 1")
    assert outcome.execution.statement.text == "SELECT 1"
    assert outcome.execution.rewritten
    assert outcome.action == Forward()


def test_two_plugins_that_undo_each_other_come_to_an_end(make: MakeHarness) -> None:
    """A plugin does not rewrite twice, so two of them do it once each; four are more than three rounds."""
    rewriter = """
        @hookimpl
        def rewrite(statement, session):
            return Rewrite(statement.text + " + 1")
    """
    assert make(rewriter, rewriter).decide("SELECT 1").execution.statement.text == "SELECT 1 + 1 + 1"
    harness = make(rewriter, rewriter, rewriter, rewriter)
    with pytest.raises(AssertionError, match="rewrote what had been rewritten 3 times"):
        harness.decide("SELECT 1")
    session = harness.session()
    statement, chain = harness.wait(harness.tables.plan(session, b"SELECT 1"))
    assert chain is not None
    outcome = chain.run(Execution(statement, session, NO_PARAMETERS))
    assert isinstance(outcome, Outcome)
    assert isinstance(outcome.action, Block)
    assert outcome.action.sqlstate == "58000"


def test_parameters_are_kept_dropped_renumbered_and_added(make: MakeHarness) -> None:
    harness = make(
        """
        @hookimpl
        def rewrite(statement, session):
            match statement.text.split()[1]:
                case "kept":
                    return Rewrite("SELECT $1, $2")
                case "fewer":
                    return Rewrite("SELECT $1")
                case "other":
                    return Rewrite("SELECT $1, $2, $3", parameters=(2, Value("int4[]", [7, None]), 1))
        """
    )

    def rewritten(word: str) -> tuple[list[object], object]:
        outcome = harness.decide(f"SELECT {word} $1, $2", ["a", "b"])
        parameters = outcome.execution.parameters
        return [parameters.value(number + 1) for number in range(len(parameters))], outcome.mapping

    assert rewritten("kept") == (["a", "b"], None)
    assert rewritten("fewer") == (["a"], (1,))
    assert rewritten("other") == (["b", [7, None], "a"], (2, Value("int4[]", [7, None]), 1))


def test_maps_of_several_rewrites_are_one(make: MakeHarness) -> None:
    harness = make(
        """
        @hookimpl
        def rewrite(statement, session):
            return Rewrite("SELECT $1, $2", parameters=(2, 1)) if "first" in statement.text else None
        """,
        """
        @hookimpl
        def rewrite(statement, session):
            if statement.text == "SELECT $1, $2":
                return Rewrite("SELECT $1, $2, $3", parameters=(Value("text", "new"), 1, 2))
        """,
    )
    outcome = harness.decide("SELECT first $1, $2", ["a", "b"])
    assert outcome.mapping == (Value("text", "new"), 2, 1)
    assert [one.data for one in outcome.execution.parameters] == [b"new", b"b", b"a"]
    assert outcome.execution.original.statement.text == "SELECT first $1, $2"


@pytest.mark.parametrize("parameters", ["(1,)", "(1, 3)", '(1, Value("int4", "x"))'])
def test_parameters_that_can_not_be_had_are_the_plugins_failure(make: MakeHarness, parameters: str) -> None:
    harness = make(
        f"""
        @hookimpl
        def cache(statement, session):
            raise AssertionError("what is not to run is not looked up either")
        @hookimpl
        def rewrite(statement, session):
            return Rewrite("SELECT $1 || $2", parameters={parameters})
        """
    )
    session = harness.session()
    statement, chain = harness.wait(harness.tables.plan(session, b"SELECT $1 + $2"))
    bound = harness.bind(["a", "b"])
    assert chain is not None
    outcome = chain.run(Execution(statement, session, bound))
    assert isinstance(outcome, Outcome)
    assert isinstance(outcome.action, Block)
    assert outcome.action.sqlstate == "58000"


# --- At Parse ---------------------------------------------------------------------------------------------------


def test_what_is_certain_acts_at_parse(make: MakeHarness) -> None:
    harness = make(
        """
        @hookimpl
        def guard(statement, session):
            return Block("42501", "no") if "bad" in statement.text else None
        @hookimpl
        def virtual(statement, session):
            if "here" in statement.text:
                return Respond((Column("a", "int4"),), [(1,)])
        @hookimpl
        def rewrite(statement, session):
            match statement.text:
                case "SELECT old $1":
                    return Rewrite("SELECT new $1")
                case "SELECT worse":
                    return Rewrite("SELECT bad")
        """
    )
    blocked = harness.at_parse("SELECT bad")
    assert blocked is not None
    assert blocked.block == Block("42501", "no")
    answered = harness.at_parse("SELECT here")
    assert answered is not None
    assert answered.shape is not None
    assert [column.name for column in answered.shape.columns or ()] == ["a"]
    rewritten = harness.at_parse("SELECT old $1")
    assert rewritten is not None
    assert rewritten.statement.text == "SELECT new $1"
    worse = harness.at_parse("SELECT worse")
    assert worse is not None
    assert worse.block == Block("42501", "no")
    assert harness.at_parse("SELECT 1") is None


def test_nothing_is_certain_behind_a_step_that_may_rewrite(make: MakeHarness) -> None:
    harness = make(
        """
        @hookimpl
        def virtual(statement, session):
            return lambda execution: None
        @hookimpl
        def rewrite(statement, session):
            return Rewrite("SELECT 2")
        """
    )
    found = harness.at_parse("SELECT 1")
    assert found is not None
    assert found.statement.text == "SELECT 1"
    assert harness.decide("SELECT 1").execution.statement.text == "SELECT 2"


# --- Observers --------------------------------------------------------------------------------------------------

OBSERVER = """
    NOTES = StateKey(list)

    class Noting(Observer):
        def __init__(self, name):
            self.name = name
        def started(self, execution):
            execution.session.get(NOTES).append(self.name + " started")
        def finished(self, execution, completion):
            execution.session.get(NOTES).append(f"{self.name} finished {completion.tag} {completion.by}")
        def failed(self, execution, failure):
            execution.session.get(NOTES).append(f"{self.name} failed {failure.sqlstate}")
"""


def test_observers_hear_of_everything(make: MakeHarness) -> None:
    source = (
        OBSERVER
        + """
    @hookimpl
    def guard(statement, session):
        return Block("42501", "no") if "bad" in statement.text else None
    @hookimpl
    def virtual(statement, session):
        return Respond((Column("a", "int4"),), [(1,)]) if "here" in statement.text else None
    @hookimpl
    def observe(statement, session):
        return Noting("all")
    """
    )
    harness = make(source)
    session = harness.session()
    harness.fail(harness.decide("SELECT bad", session=session), "42501")
    harness.finish(harness.decide("SELECT here", session=session))
    harness.finish(harness.decide("SELECT 1", session=session))
    harness.fail(harness.decide("SELECT 1", session=session), "40001")
    assert session._state is not None
    assert list(session._state.values()) == [
        ["all started", "all failed 42501",
         "all started", "all finished SELECT 1 plugin", "all started", "all finished SELECT 1 backend",
         "all started", "all failed 40001"]
    ]  # fmt: skip


def test_an_observer_of_one_execution_hears_of_a_later_block(make: MakeHarness) -> None:
    """Or what it took at the beginning would never be given back."""
    source = (
        OBSERVER
        + """
    @hookimpl
    def guard(statement, session):
        return Forward(observer=Noting("throttle"))
    """
    )
    blocking = '@hookimpl\ndef guard(statement, session):\n    return Block("42501", "no")\n'
    harness = make(source, blocking)
    session = harness.session()
    harness.fail(harness.decide("SELECT 1", session=session), "42501")
    assert session._state is not None
    assert list(session._state.values()) == [["throttle started", "throttle failed 42501"]]


async def test_an_observer_hears_when_the_client_leaves_before_the_decision(make: MakeHarness) -> None:
    source = (
        OBSERVER
        + """
    import asyncio
    @hookimpl
    def guard(statement, session):
        return Forward(observer=Noting("throttle"))
    async def never(execution):
        execution.session.settings["waiting"] = "yes"
        await asyncio.Event().wait()
    @hookimpl
    def virtual(statement, session):
        return never
    """
    )
    harness = make(source)
    tables = PlanTables(harness.plugins, harness.tables.analyst, AsyncioWaits())
    session = harness.session()
    chain = tables.lookup(session, b"SELECT 1")
    assert isinstance(chain, Chain)
    outcome = chain.run(Execution(chain.statement, session, NO_PARAMETERS))
    assert not isinstance(outcome, Outcome)

    async def wait() -> None:
        await outcome

    task = asyncio.get_running_loop().create_task(wait())
    while "waiting" not in session.settings:  # noqa: ASYNC110 - the plugin is no part of this test
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert session._state is not None
    assert list(session._state.values()) == [["throttle started", "throttle failed 57014"]]


def test_only_what_is_overridden_costs_anything(make: MakeHarness) -> None:
    source = """
    class Rows(Observer):
        def received(self, execution, rows):
            execution.session.settings["bytes"] = str(len(rows))
    class Nothing(Observer):
        pass
    @hookimpl
    def observe(statement, session):
        return Rows() if "rows" in statement.text else Nothing()
    """
    harness = make(source)
    session = harness.session()
    wanting, indifferent = harness.decide("SELECT rows", session=session), harness.decide("SELECT 1", session=session)
    assert wanting.observers.wants_rows
    assert not wanting.observers.wants_description
    assert not indifferent.observers.wants_rows
    harness.finish(wanting, rows=[b"12345"])
    assert session.settings["bytes"] == "5"
