"""What PostgreSQL's planner expects a statement to cost, asked once for each canonical statement."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from interceptor import BackendError, Execution, Services
from interceptor.services import HelperQueries

__all__ = ["Estimate", "Estimates", "plannable"]

_KEPT: Final = 60.0  # seconds
_MOST_KEPT: Final = 10_000
_PLANNED: Final = frozenset(["select", "insert", "update", "delete", "merge"])

Estimate = tuple[float, float]
"""Cost, and rows."""

_Key = tuple[str, str | None, str | None, str]


def plannable(execution: Execution) -> bool:
    """Whether it is one statement that the planner can be asked about."""
    statements = execution.statement.facts.statements
    return len(statements) == 1 and statements[0].kind in _PLANNED and statements[0].into is None


class Estimates:
    """Asks over helper connections, as the role of the session and under its search_path."""

    def __init__(self, services: Callable[[], Services]) -> None:
        self._services = services
        self._known: dict[_Key, tuple[float, Estimate | None]] = {}

    def known(self, execution: Execution, canonical: str) -> tuple[bool, Estimate | None]:
        """Whether it is known, and the estimate; None where PostgreSQL refuses the statement anyway."""
        found = self._known.get(_key(execution, canonical))
        if found is None or found[0] < self._services().tasks.monotonic():
            return False, None
        return True, found[1]

    async def ask(self, execution: Execution, canonical: str) -> Estimate | None:
        """Ask the planner. Raises BackendError if it can't be asked."""
        session = execution.session
        services = self._services()
        try:
            async with services.queries(session.database, role=session.role).snapshot() as queries:
                found: Estimate | None = await _explain(queries, execution)
        except BackendError as error:
            if error.sqlstate[:2] not in ("42", "22", "25"):
                raise
            found = None  # it will fail in the same way when it runs
        if len(self._known) >= _MOST_KEPT:
            self._known.clear()
        self._known[_key(execution, canonical)] = (services.tasks.monotonic() + _KEPT, found)
        return found


def _key(execution: Execution, canonical: str) -> _Key:
    session = execution.session
    return session.database, session.role, session.search_path, canonical


async def _explain(queries: HelperQueries, execution: Execution) -> Estimate:
    path = execution.session.search_path
    if path is not None:
        await queries.query("SELECT set_config('search_path', $1, true)", path)
    # With parameters, the plan for any values (PostgreSQL 16 and later).
    options = "FORMAT JSON, GENERIC_PLAN" if execution.statement.facts.parameters else "FORMAT JSON"
    # It wants values for them nevertheless, and looks at none.
    highest = max((one.number for one in execution.statement.facts.parameters), default=0)
    rows = await queries.query(f"EXPLAIN ({options}) {execution.statement.text}", *[None] * highest)
    plan = json.loads(str(rows[0][0]))[0]["Plan"]
    return float(plan["Total Cost"]), float(plan["Plan Rows"])
