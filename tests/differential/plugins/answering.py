"""A plugin of the differential tests that answers what says so in a comment, as PostgreSQL would."""

from __future__ import annotations

from interceptor import Column, Execution, Plan, Respond, SessionClass, Statement, hookimpl

ANSWERED = "SELECT i FROM generate_series(1, 3) i /* answered */"
"""At Bind; and each time anew, so that nobody knows of it at Parse."""


@hookimpl
def virtual(statement: Statement, session: SessionClass) -> Plan | None:
    return Plan(_answer) if statement.text == ANSWERED else None


def _answer(execution: Execution) -> Respond:
    return Respond((Column("i", "int4"),), [(1,), (2,), (3,)])
