"""A plugin of the differential tests that wants every other text, and lets it go at once, later, or after a while.

All others take the short way past the plugins (``interceptor.session.passing``), in the same batches and pipelines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import msgspec

from interceptor import Decision, Delay, Execution, Plan, PluginContext, SessionClass, Statement, hookimpl, plugin


class Settings(msgspec.Struct, frozen=True):
    host: str
    port: int
    database: str
    user: str


@plugin(version="1.0", config=Settings)
class Passing:
    def __init__(self, context: PluginContext[Settings]) -> None:
        self.count = 0

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
