"""A plugin of the differential tests that rewrites each statement into an equal one, with all that a rewrite can say.

The text gets comments around it and other spaces, its parameters stand in the opposite order, something harmless runs
before it, its own columns are described, and somebody is asked before its commit: each at random, but the same again in
each run.
"""

from __future__ import annotations

import random

from interceptor import Execution, Group, Plan, Rewrite, SessionClass, Statement, hookimpl

_WORK = frozenset([Group.READ, Group.WRITE])


class _Chooser:
    def __init__(self) -> None:
        self.random = random.Random(7)

    def often(self) -> bool:
        return self.random.random() < 0.5


CHOOSER = _Chooser()


@hookimpl
def rewrite(statement: Statement, session: SessionClass) -> Plan | None:
    """Texts that can't be read, or that have places which nobody can count, are left as they are."""
    facts = statement.exact()
    if not facts.statements or facts.opaque or not statement.text.isascii() or not statement.reads_alike:
        return None
    sql, count = _renumbered(statement)
    alone = len(facts.statements) == 1
    works = alone and facts.statements[0].group in _WORK and facts.statements[0].copy is None

    def step(execution: Execution) -> Rewrite | None:
        if execution.transaction.status == "failed" or len(execution.parameters) != count:
            return None
        if execution.protocol == "simple" and execution.transaction.implicit:
            return None  # PostgreSQL goes astray there, and says that a transaction is open
        if any(one.data is not None and (not one.data.isascii() or b"\0" in one.data) for one in execution.parameters):
            return None  # an error about a value tells its number, which is another one
        if works and CHOOSER.often() and not execution.transaction.implicit:
            execution.transaction.before_commit(lambda: None)
        mapping = tuple(range(count, 0, -1))
        before = ("select 1", "select 2 where false") if works and CHOOSER.often() else ()
        return Rewrite(sql, mapping, before, "original" if works and CHOOSER.often() else "rewritten")

    return Plan(step)


def _renumbered(statement: Statement) -> tuple[str, int]:
    """The text with its parameters in the opposite order, and how many there are."""
    parameters = statement.exact().parameters
    count = max((one.number for one in parameters), default=0)
    text = statement.text
    for one in sorted(parameters, key=lambda one: -one.place):
        end = one.place + 1 + len(str(one.number))
        text = f"{text[: one.place]}${count + 1 - one.number}{text[end:]}"
    return f"/* one */ {text}\n-- two", count
