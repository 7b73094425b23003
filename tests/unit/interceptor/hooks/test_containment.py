"""What a plugin does wrong harms nobody else: it is contained, counted, logged once, and answered by its policy."""

from __future__ import annotations

import asyncio
import signal
from typing import cast

import pytest

from interceptor import Block, Forward
from interceptor.hooks import breaker, containment
from interceptor.hooks.asyncio_waits import AsyncioWaits
from interceptor.hooks.chain import Chain, Outcome
from interceptor.hooks.containment import Hook, HookFailure, PluginRuntime, Running
from interceptor.hooks.parameters import NO_PARAMETERS
from interceptor.hooks.plans import PlanTables
from interceptor.hooks.statement import Execution
from interceptor.hooks.waits import Waits
from interceptor.testing.harness import PluginHarness
from tests.unit.interceptor.hooks.conftest import MakeHarness


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(containment, "_monotonic", made)
    return made


def run(harness: PluginHarness, sql: str = "SELECT 1", waits: Waits | None = None) -> Outcome:
    """As ``harness.decide``, which would raise for a plugin's failure."""
    session = harness.session()
    tables = harness.tables if waits is None else PlanTables(harness.plugins, harness.tables.analyst, waits)
    statement, chain = harness.wait(tables.plan(session, sql.encode()))
    execution = Execution(statement, session, NO_PARAMETERS)
    return Outcome(execution) if chain is None else harness.wait(chain.run(execution))


def hook(harness: PluginHarness) -> Hook:
    """That of the steps, where there is one."""
    return list(harness.plugins.plugins[0].runtime.hooks.values())[-1]


def stepping(phase: str, body: str, head: str = "", declared: str = "") -> str:
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    return f"""
    {head}
    plugin_info = PluginInfo({declared})
    def step(execution):
{lines}
    @hookimpl
    def {phase}(statement, session):
        return step
    """


WRONG = {
    "an exception": "raise KeyError('x')",
    "sys.exit": "raise SystemExit(1)",
    "a text": "return 'yes'",
    "a class": "return Block",
    "a decision of another phase": "return Replay(b'', (), 0, '')",
    "a decision that can't be": "return Block('oops', 'no')",
    "an error without a message": "return Block('42501', '')",
    "a failing coroutine": "async def later():\n    raise KeyError('x')\nreturn later()",
    "a coroutine of nonsense": "async def later():\n    return 5\nreturn later()",
    "sys.exit in a coroutine": "async def later():\n    raise SystemExit(1)\nreturn later()",
    "an interrupt in a coroutine": "async def later():\n    raise KeyboardInterrupt\nreturn later()",
    "no Exception in a coroutine": "async def later():\n    raise GeneratorExit\nreturn later()",
    "a coroutine of a coroutine": "async def later():\n    return later()\nreturn later()",
    "what answers nothing": "class A:\n    def __getattr__(self, name):\n        raise KeyError(name)\nreturn A()",
    "a message of no text": "return Block('42501', 5)",
    "no end to recursion": "return step(execution)",
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize(
    ("phase", "declared", "closed"),
    [("guard", "", True), ("virtual", "", True), ("route", "", False), ("route", "policy='closed'", True)],
)
async def test_a_failure_is_answered_by_the_policy(
    make: MakeHarness, plugin_log: pytest.LogCaptureFixture, body: str, phase: str, declared: str, closed: bool
) -> None:
    harness = make(stepping(phase, body, declared=declared))
    session = harness.session()
    tables = PlanTables(harness.plugins, harness.tables.analyst, AsyncioWaits())
    for _ in range(3):
        chain = tables.lookup(session, b"SELECT 1")
        assert isinstance(chain, Chain)
        outcome = chain.run(Execution(chain.statement, session, NO_PARAMETERS))
        if not isinstance(outcome, Outcome):
            outcome = await outcome
        if closed:
            assert isinstance(outcome.action, Block)
            assert outcome.action.sqlstate == "58000"
            assert outcome.action.message.startswith("(plugin_failed) the plugin p1 failed")
            assert "KeyError" not in outcome.action.message
        else:
            assert outcome.action == Forward()
    assert hook(harness).failures == 3
    errors = [record for record in plugin_log.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert errors[0].getMessage().startswith(f"plugin p1: its step of {phase} ")


def test_the_log_shows_the_plugins_own_frames_and_no_others(
    make: MakeHarness, plugin_log: pytest.LogCaptureFixture
) -> None:
    run(make(stepping("guard", "return helper()", head="def helper():\n        raise KeyError('deep')")))
    (record,) = plugin_log.records
    text = record.getMessage()
    assert "p1.py" in text
    assert "in helper" in text
    assert "KeyError: 'deep'" in text
    assert "containment.py" not in text
    assert "chain.py" not in text


def test_each_kind_of_failure_is_logged_once(make: MakeHarness, plugin_log: pytest.LogCaptureFixture) -> None:
    body = """
if "a" in execution.statement.text:
    raise KeyError("a")
raise ValueError("b")
"""
    harness = make(stepping("route", body))
    for text in ("SELECT a", "SELECT b", "SELECT a", "SELECT b"):
        run(harness, text)
    kinds = [record.getMessage().split("\n")[0] for record in plugin_log.records]
    assert kinds == ["plugin p1: its step of route raised KeyError", "plugin p1: its step of route raised ValueError"]


# --- The breaker ------------------------------------------------------------------------------------------------

FAILING = "if execution.session.settings.get('well'):\n    return None\nraise KeyError('x')"


def trip(harness: PluginHarness, times: int = breaker.MOST_FAILURES) -> None:
    for _ in range(times):
        run(harness)


@pytest.mark.parametrize(("phase", "closed"), [("guard", True), ("route", False)])
def test_a_hook_that_keeps_failing_is_left_out_for_a_while(
    make: MakeHarness, clock: Clock, plugin_log: pytest.LogCaptureFixture, phase: str, closed: bool
) -> None:
    body = "asked.append(1)\nif well:\n    return None\nraise KeyError('x')"
    harness = make(stepping(phase, body, head="asked, well = [], []"))
    namespace = vars(harness.plugins.plugins[0].instance)
    asked, well = namespace["asked"], namespace["well"]
    trip(harness)
    assert len(asked) == breaker.MOST_FAILURES
    assert harness.status()[0].state == "tripped"
    assert harness.status()[0].reason == f"failed too often: {phase} step"
    assert any("failed too often" in record.getMessage() for record in plugin_log.records)

    clock.now += breaker.PAUSE - 1
    assert isinstance(run(harness).action, Block) is closed
    assert len(asked) == breaker.MOST_FAILURES, "it was called while it is left out"

    clock.now += 2
    run(harness)
    assert len(asked) == breaker.MOST_FAILURES + 1, "one call is let through"
    run(harness)
    assert len(asked) == breaker.MOST_FAILURES + 1, "and no more, since it failed"

    well.append(True)
    clock.now += breaker.PAUSE + 1
    assert not isinstance(run(harness).action, Block)
    assert harness.status()[0].state == "active"
    assert not isinstance(run(harness).action, Block)
    assert len(asked) == breaker.MOST_FAILURES + 3


def test_failures_far_apart_do_not_trip(make: MakeHarness, clock: Clock) -> None:
    harness = make(stepping("route", FAILING))
    for _ in range(3 * breaker.MOST_FAILURES):
        run(harness)
        clock.now += breaker.WINDOW / (breaker.MOST_FAILURES - 1) + 1
    assert harness.status()[0].state == "active"


def test_a_failing_observer_does_not_trip_the_guard_that_attached_it(make: MakeHarness) -> None:
    """Or counting wrongly would refuse everything."""
    harness = make(
        """
        class Broken(Observer):
            def finished(self, execution, completion):
                raise KeyError("x")
        @hookimpl
        def observe(statement, session):
            return Broken()
        @hookimpl
        def guard(statement, session):
            return lambda execution: Forward(observer=Broken())
        """
    )
    for _ in range(2 * breaker.MOST_FAILURES):
        outcome = run(harness)
        with pytest.raises(AssertionError) if not hook_of(harness, "observer").failures else nothing():
            harness.finish(outcome)
    assert hook_of(harness, "observer").breaker.tripped
    assert run(harness).action == Forward()


def hook_of(harness: PluginHarness, name: str) -> Hook:
    return harness.plugins.plugins[0].runtime.hooks[name]


class nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> bool:
        return kind is AssertionError


# --- Time -------------------------------------------------------------------------------------------------------


def outcome_of(harness: PluginHarness) -> Chain:
    tables = PlanTables(harness.plugins, harness.tables.analyst, AsyncioWaits())
    chain = tables.lookup(harness.session(), b"SELECT 1")
    assert isinstance(chain, Chain)
    return chain


@pytest.mark.parametrize("swallows", [False, True])
async def test_an_awaitable_is_cut_at_its_deadline(make: MakeHarness, swallows: bool) -> None:
    body = """
async def later():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not SWALLOWS or execution.session.settings.get("let go"):
                raise
return later()
""".replace("SWALLOWS", str(swallows))
    harness = make(stepping("guard", body, head="import asyncio", declared="deadline=0.05"))
    session = harness.session()
    chain = outcome_of(harness)
    pending = chain.run(Execution(chain.statement, session, NO_PARAMETERS))
    assert not isinstance(pending, Outcome)
    outcome = await asyncio.wait_for(cast("asyncio.Future[Outcome]", pending), 10)
    assert isinstance(outcome.action, Block)
    assert hook(harness).failures == 1
    assert hook(harness).waited >= 0.05
    session.settings["let go"] = "yes"
    for task in asyncio.all_tasks():
        if task.get_name() == "hook of a plugin":
            task.cancel()


async def test_a_client_that_leaves_takes_its_awaitable_along(make: MakeHarness) -> None:
    body = """
async def later():
    try:
        execution.session.settings["state"] = "waiting"
        await asyncio.Event().wait()
    finally:
        execution.session.settings["state"] = "ended"
return later()
"""
    harness = make(stepping("guard", body, head="import asyncio"))
    session = harness.session()
    chain = outcome_of(harness)
    pending = chain.run(Execution(chain.statement, session, NO_PARAMETERS))
    assert not isinstance(pending, Outcome)

    async def wait() -> None:
        await pending

    task = asyncio.get_running_loop().create_task(wait())
    while session.settings.get("state") != "waiting":  # noqa: ASYNC110 - the plugin is no part of this test
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while session.settings["state"] != "ended":  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert hook(harness).failures == 0


async def test_one_that_cancels_itself_does_not_cancel_its_client(make: MakeHarness) -> None:
    body = "async def later():\n    raise asyncio.CancelledError\nreturn later()"
    harness = make(stepping("guard", body, head="import asyncio"))
    chain = outcome_of(harness)
    pending = chain.run(Execution(chain.statement, harness.session(), NO_PARAMETERS))
    assert not isinstance(pending, Outcome)
    assert isinstance((await pending).action, Block)


def test_who_holds_up_the_loop_is_named(
    make: MakeHarness, monkeypatch: pytest.MonkeyPatch, plugin_log: pytest.LogCaptureFixture
) -> None:
    seconds = iter([0.0, 0.5, 10.0, 12.5])
    monkeypatch.setattr(containment, "_clock", lambda: next(seconds))
    harness = make(
        """
        during = []
        @hookimpl
        def connection_opened(session):
            during.append(session.settings["running"].describe())
        """
    )
    session = harness.session()
    session.settings["running"] = harness.plugins.running  # type: ignore[assignment]
    harness.plugins.notify("connection_opened", session)
    assert not plugin_log.records
    harness.plugins.notify("connection_opened", session)
    assert "p1: its hook connection_opened held up all clients of this process for 2.5 s" in plugin_log.text
    assert vars(harness.plugins.plugins[0].instance)["during"] == ["p1.connection_opened"] * 2
    assert harness.plugins.running.describe() == ""
    assert hook(harness).slowest == 2.5
    assert hook(harness).seconds == 3.0
    assert hook(harness).calls == 2


@pytest.fixture
def runtime() -> PluginRuntime:
    return PluginRuntime("p", closed=False, deadline=1.0, running=Running())


def test_an_interrupt_where_a_server_handles_the_signal_is_the_plugins(
    runtime: PluginRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)
    assert isinstance(runtime.hook("guard").call(interrupted), HookFailure)


def test_an_interrupt_is_nobodys_failure(runtime: PluginRuntime) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runtime.hook("guard").call(interrupted)
    assert runtime.hook("guard").failures == 0
    assert runtime.running.hook is None


def test_a_call_that_was_given_up_lets_the_next_one_decide(clock: Clock) -> None:
    tripped = breaker.Breaker()
    for _ in range(breaker.MOST_FAILURES):
        tripped.on_failure(clock.now)
    clock.now += breaker.PAUSE
    assert tripped.may_try(clock.now)
    assert not tripped.may_try(clock.now)
    tripped.on_undecided()
    assert tripped.may_try(clock.now)
    clock.now += breaker.PAUSE
    assert tripped.may_try(clock.now), "one whose end nobody tells is not waited for forever"
    tripped.on_success()
    assert not tripped.tripped


async def test_a_client_that_leaves_does_not_decide_about_a_tripped_hook(make: MakeHarness, clock: Clock) -> None:
    body = """
async def later():
    if not execution.session.settings.get("wait"):
        raise KeyError
    execution.session.settings["waiting"] = "yes"
    await asyncio.Event().wait()
return later()
"""
    harness = make(stepping("route", body, head="import asyncio"))
    trip(harness)
    clock.now += breaker.PAUSE + 1
    session = harness.session(settings={"wait": "yes"})
    chain = outcome_of(harness)
    pending = chain.run(Execution(chain.statement, session, NO_PARAMETERS))
    assert not isinstance(pending, Outcome)

    async def wait() -> None:
        await pending

    task = asyncio.get_running_loop().create_task(wait())
    while "waiting" not in session.settings:  # noqa: ASYNC110 - the plugin is no part of this test
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hook(harness).breaker.tripped
    assert hook(harness).breaker.may_try(clock.now)


@pytest.mark.parametrize(("phase", "declared", "closed"), [("route", "", False), ("route", "policy='closed'", True)])
def test_a_plan_that_fails_is_answered_by_the_policy(
    make: MakeHarness, phase: str, declared: str, closed: bool
) -> None:
    harness = make(
        f"""
        plugin_info = PluginInfo({declared})
        @hookimpl
        def {phase}(statement, session):
            raise KeyError
        """,
        "@hookimpl\ndef route(statement, session):\n    return Route('there')\n",
    )
    outcome = run(harness)
    assert isinstance(outcome.action, Block) is closed
    assert outcome.target == (None if closed else "there")
