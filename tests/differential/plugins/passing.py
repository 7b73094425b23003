"""A plugin of the differential tests that wants every other text, and lets it go at once, later, or after a while.

All others take the short way past the plugins (``interceptor.session.passing``), in the same batches and pipelines. Of
every other one of these the end is observed (``interceptor.session.observing``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import msgspec

from interceptor import (
    Completion,
    Decision,
    Delay,
    Execution,
    Failure,
    Observer,
    Plan,
    PluginContext,
    SessionClass,
    Statement,
    hookimpl,
    plugin,
)


class Settings(msgspec.Struct, frozen=True):
    host: str
    port: int
    database: str
    user: str


class Ends(Observer):
    """Complains about an execution that ends twice, or about the values of another."""

    shared = True

    def __init__(self, context: PluginContext[Settings]) -> None:
        self.last: Execution | None = None
        self.log = context.log

    def finished(self, execution: Execution, completion: Completion) -> None:
        if execution is self.last or execution.statement.facts.size != len(execution.statement.sql):
            self.log.error("unexpected for an observer: %s", completion)
        self.last = execution
        wanted = {parameter.number for parameter in execution.statement.facts.parameters}
        if execution.protocol == "extended" and len(execution.parameters) < max(wanted, default=0):
            self.log.error("unexpected for an observer: %s", execution.parameters)

    def failed(self, execution: Execution, failure: Failure) -> None:
        if execution is self.last:
            self.log.error("unexpected for an observer: %s", failure)
        self.last = execution


@plugin(version="1.0", config=Settings)
class Passing:
    def __init__(self, context: PluginContext[Settings]) -> None:
        self.count = 0
        self.ends = Ends(context)

    @hookimpl
    def observe(self, statement: Statement, session: SessionClass) -> Observer | None:
        return self.ends if statement.facts.size % 4 == 0 else None

    @hookimpl
    def guard(self, statement: Statement, session: SessionClass) -> Plan | None:
        # The text is not looked into: so those that differ in values alone share their plans.
        return Plan(self.let_go) if statement.facts.size % 2 else None

    def let_go(self, execution: Execution) -> Decision | Awaitable[Decision | None] | None:
        self.count += 1
        if self.count % 3 == 0:
            return Delay(0.001)
        return self.later() if self.count % 3 == 1 else None

    async def later(self) -> Decision | None:
        await asyncio.sleep(0)
        return None
