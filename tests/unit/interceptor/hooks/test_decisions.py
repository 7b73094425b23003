"""Values that could not be carried out are refused where they are made."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interceptor import Block, Column, Delay, Limits, PluginInfo, Respond, Rewrite, Shape, StateKey, Transaction, Value
from interceptor.testing.harness import PluginHarness
from tests.unit.interceptor.hooks.conftest import MakeHarness

WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: Block("4250", "no"), "no SQLSTATE of an error"),
    (lambda: Block("4250x", "no"), "no SQLSTATE of an error"),
    (lambda: Block("00000", "no"), "no SQLSTATE of an error"),
    (lambda: Block("01000", "no"), "no SQLSTATE of an error"),
    (lambda: Block("42501", ""), "needs a message"),
    (lambda: Block("42501", "no", position=-1), "counted from 1"),
    (lambda: Column("a", "money"), "unknown type 'money'"),
    (lambda: Column("a\0", "text"), "NUL"),
    (lambda: Respond((), tag="a\0b"), "NUL"),
    (lambda: Shape(None, ("int5",)), "unknown type 'int5'"),
    (lambda: Value("int5", 1), "unknown type 'int5'"),
    (lambda: Rewrite("SELECT\0"), "NUL"),
    (lambda: Rewrite("SELECT $1", parameters=(0,)), "counted from 1"),
    (lambda: Delay(-1), "between 0 and 3600"),
    (lambda: Delay(float("nan")), "between 0 and 3600"),
    (lambda: Limits(rows=-1), "can't be negative"),
    (lambda: PluginInfo(policy="open"), 'is "by phase" or "closed"'),  # type: ignore[arg-type]
    (lambda: PluginInfo(deadline=0), "deadline is more than 0"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_could_not_be_carried_out_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("phase", "decision", "reason"),
    [
        ("guard", 'Route("x")', "decided Route, which its phase may not"),
        ("guard", "Respond(())", "decided Respond, which its phase may not"),
        ("route", "Replay(b'', (), 0, '')", "decided Replay, which its phase may not"),
        ("observe", 'Block("42501", "no")', "decided Block, which its phase may not"),
        ("observe", "lambda execution: None", "which is no decision of its phase"),
        ("route", "5", "answered with a int, which is no decision of its phase"),
        ("guard", "Plan(5)", "answered with a int, which is no decision of its phase"),
        ("guard", "Plan(observer=5)", "gave a int as observer, which is none"),
        ("virtual", "Respond((), iter([]))", "gave rows that can be read only once for all executions"),
    ],
)
def test_a_plan_of_the_wrong_kind_is_a_failure(make: MakeHarness, phase: str, decision: str, reason: str) -> None:
    harness = make(f"@hookimpl\ndef {phase}(statement, session):\n    return {decision}\n")
    with pytest.raises(AssertionError, match=reason):
        harness.decide("SELECT 1")


@pytest.mark.parametrize("sql", ["", "SELECT 1; SELECT 2", "BEGIN; SELECT 1"])
@pytest.mark.parametrize("how", ["{0}", "lambda execution: {0}"])
def test_only_a_single_statement_can_be_answered(make: MakeHarness, sql: str, how: str) -> None:
    decision = how.format("Respond((Column('a', 'int4'),), [(1,)])")
    harness = make(f"@hookimpl\ndef virtual(statement, session):\n    return {decision}\n")
    with pytest.raises(AssertionError, match="answered a text that has not exactly one statement"):
        harness.decide(sql)


def test_a_state_is_made_once_for_a_session_and_key(make: MakeHarness) -> None:
    harness = PluginHarness.session
    one, two = StateKey(list[int]), StateKey(list[int])
    made = make("@hookimpl\ndef route(statement, session): pass\n")
    session, other = harness(made), harness(made)
    session.get(one).append(1)
    assert (session.get(one), session.get(two), other.get(one)) == ([1], [], [])
    never: StateKey[int | None] = StateKey(lambda: None)
    assert session.get(never) is None


def test_a_transaction_counts_what_was_sent() -> None:
    transaction = Transaction()
    before_all = transaction.open
    transaction.implicit = True
    assert (before_all, transaction.open) == (False, True)
    ended: list[bool] = []
    transaction.before_commit(lambda: Block("P0001", "no"))
    transaction.after_end(ended.append)
    (before,) = transaction.take_before_commit()
    assert before() == Block("P0001", "no")
    assert transaction.take_before_commit() == ()
    transaction.wrote = transaction.changed_schema = True
    transaction.status = "failed"
    for callback in transaction.end():
        callback(False)
    assert ended == [False]
    assert (transaction.open, transaction.wrote, transaction.changed_schema) == (False, False, False)
    assert transaction.end() == ()


def test_explanations_say_what_and_why(make: MakeHarness) -> None:
    harness = make(
        """
        @hookimpl
        def guard(statement, session):
            return Plan(Block("42501", "no"), reason="rule x", facts=("where is absent",))
        @hookimpl
        def route(statement, session):
            return Plan(reason="it is volatile")
        @hookimpl
        def cache(statement, session):
            return lambda execution: None
        @hookimpl
        def observe(statement, session):
            return Observer()
        @hookimpl
        def rewrite(statement, session):
            return None
        """
    )
    found = [(one.phase, one.decision, one.reason, one.facts) for one in harness.explain("SELECT 1")]
    assert found == [
        ("guard", "block", "rule x", ("where is absent",)),
        ("rewrite", "none", "", ()),
        ("cache", "at execution", "", ()),
        ("route", "none", "it is volatile", ()),
        ("observe", "observe", "", ()),
    ]
