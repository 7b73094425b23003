"""Values that could not be carried out are refused where they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import pytest

from interceptor import (
    Block,
    Blocked,
    Column,
    Delay,
    Forward,
    Limits,
    MessageFacts,
    PluginInfo,
    Replay,
    Respond,
    Retry,
    Rewrite,
    Route,
    Shape,
    StateKey,
    Statement,
    Transaction,
    Value,
)
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
    (lambda: Respond((), tag="SÉLECT"), "is ASCII"),
    (lambda: Respond((Column("a", "int4"),) * 1665), "at most 1664 columns"),
    (lambda: Column("a", "int4", table=-1), "no column of a table has the OID -1"),
    (lambda: Column("a", "int4", number=1 << 15), "and the number 32768"),
    (lambda: Replay(b"", (b"SELECT",), 1, "SELECT 1"), "whole DataRow messages"),
    (lambda: Rewrite("SELECT '\ud800'"), "surrogates not allowed"),
    (lambda: Rewrite("SELECT 1", describe=cast("Literal['original']", "new")), 'is "original" or "rewritten"'),
    (lambda: PluginInfo(policy="open"), 'is "by phase" or "closed"'),  # type: ignore[arg-type]
    (lambda: PluginInfo(deadline=0), "deadline is more than 0"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_could_not_be_carried_out_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


WRONG_TYPES: list[tuple[Callable[..., object], tuple[object, ...], str]] = [
    (Block, ("42501", 5), "message is of the type str, and not int"),
    (Block, ("42501", "no", b"why"), "detail is of the type str, and not bytes"),
    (Block, ("42501", "no", "", "", "7"), "position is of the type int, and not str"),
    (Block, (42501, "no"), "sqlstate is of the type str, and not int"),
    (Blocked, ("no",), "block is of the type Block, and not str"),
    (Forward, ((5, 6),), "limits is of the type Limits, and not tuple"),
    (Forward, (None, {"work_mem": 5}), "value is of the type str, and not int"),
    (Forward, (None, ["work_mem"]), "settings is of the type Mapping, and not list"),
    (Limits, ("5",), "rows is of the type int, and not str"),
    (Column, (5, "int4"), "name is of the type str, and not int"),
    (Shape, (("a",),), "column is of the type Column, and not str"),
    (Respond, (("a",),), "column is of the type Column, and not str"),
    (Respond, ("a",), "columns is of the type tuple or list, and not str"),
    (Respond, ((), (), 5), "tag is of the type str, and not int"),
    (Replay, ("", (), 0, ""), "description is of the type bytes, and not str"),
    (Replay, (b"", [b"D"], 0, ""), "rows is of the type tuple, and not list"),
    (Rewrite, (b"SELECT 1",), "sql is of the type str, and not bytes"),
    (Rewrite, ("SELECT $1", ("1",)), "parameter is of the type int or Value, and not str"),
    (Rewrite, ("SELECT 1", None, (1,)), "before is of the type str or CopyRows, and not int"),
    (Route, (None,), "target is of the type str, and not NoneType"),
    (Route, ("replica1", "primary"), "retry is of the type Retry, and not str"),
    (Retry, ("primary", "25006"), "sqlstates is of the type frozenset or set, and not str"),
    (Value, (5, 5), "type is of the type str, and not int"),
]


@pytest.mark.parametrize(("make", "arguments", "message"), WRONG_TYPES, ids=[message for _, _, message in WRONG_TYPES])
def test_a_value_of_the_wrong_type_is_refused_where_it_is_made(
    make: Callable[..., object], arguments: tuple[object, ...], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        make(*arguments)


def test_a_statement_can_not_be_changed() -> None:
    statement = Statement(b"SELECT 1", MessageFacts(size=8))
    for name in ("text", "sql", "facts", "resolution"):
        with pytest.raises(AttributeError, match=f"the {name} of a Statement can't be changed"):
            setattr(statement, name, "SELECT 2")
    assert (statement.text, statement.sql) == ("SELECT 1", b"SELECT 1")


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
