"""Asking plugins about a text: finding the chain of those that want it, and what they decide, both perhaps later."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, cast

from interceptor.hooks.chain import Chain, Outcome

if TYPE_CHECKING:
    from interceptor.hooks.statement import Execution
    from interceptor.session.interception import Interception

Pending = Generator[Awaitable[object], object, bytes]
"""Yields what has to be waited for, and returns the messages that take the place of those that came."""


def look_up(interception: Interception, sql: bytes) -> Generator[Awaitable[object], object, Chain | None]:
    """The chain of those that want this text; None where nobody does."""
    if interception.session.effects_of(sql).may_rename:
        # It may do anything, perhaps only because nothing is known yet of what it calls.
        waits = interception.sight()
        if waits is not None:
            yield waits
    facts = interception.facts
    table = facts.table
    found = None if table is None or table.stale else table.get(sql)
    if found is None:
        answer = interception.tables.lookup(facts, sql)
        if answer is False or isinstance(answer, Chain):
            return answer or None
        return cast("Chain | None", (yield cast("Awaitable[object]", answer)) or None)
    return found or None


def decide(chain: Chain, execution: Execution) -> Generator[Awaitable[object], object, Outcome]:
    """What a chain says of one execution."""
    answer = chain.run(execution)
    if isinstance(answer, Outcome):
        return answer
    return cast("Outcome", (yield answer))
