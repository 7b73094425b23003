"""A plugin of the differential tests: for each statement it picks, at random, a decision that must change nothing.

What it picks depends on the seed and on how many it has picked before, so that a run can be repeated.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable

import msgspec

from interceptor import (
    Decision,
    Delay,
    Execution,
    Group,
    Plan,
    PluginContext,
    Replay,
    Rewrite,
    SessionClass,
    Statement,
    hookimpl,
    plugin,
)
from tests.support.backend import Reply
from tests.support.frontend import Frontend, bind, describe_portal, execute, parse, query, sync
from tests.support.wire import Endpoint, WireClient

SAFE = frozenset(["count", "generate_series", "lower", "upper", "length"])
"""Functions that say the same in any session."""

_NO_SETTINGS = frozenset(["user", "database", "application_name"])
"""Startup parameters on which no result rests."""


class Settings(msgspec.Struct, frozen=True):
    host: str
    port: int
    database: str
    user: str
    seed: int = 1


@plugin(version="1.0", config=Settings)
class Undecided:
    def __init__(self, context: PluginContext[Settings]) -> None:
        settings = context.config
        self.endpoint = Endpoint(settings.host, settings.port, settings.database, settings.user)
        self.random = random.Random(settings.seed)
        self.server: WireClient | None = None

    @hookimpl
    def guard(self, statement: Statement, session: SessionClass) -> Plan | None:
        return None if _leaves_alone(statement) else Plan(self.delay)

    def delay(self, execution: Execution) -> Decision | Awaitable[Decision | None] | None:
        choice = self.random.randrange(4)
        if choice == 0:
            return Delay(0.001)
        return self.later() if choice == 1 else None

    async def later(self) -> Decision | None:
        await asyncio.sleep(0)
        return None

    @hookimpl
    def rewrite(self, statement: Statement, session: SessionClass) -> Plan | None:
        # An empty text has another answer than one of a blank, and a text that can't be parsed has no parameters.
        # An error about bytes that are no text shows those behind them.
        if (
            _leaves_alone(statement)
            or not statement.facts.statements
            or statement.facts.opaque
            or not statement.text.isascii()
        ):
            return None
        return Plan(self.same_text)

    def same_text(self, execution: Execution) -> Rewrite | None:
        if execution.transaction.status == "failed":
            return None  # refused by another line of PostgreSQL's source
        text = execution.statement.text + " " * self.random.randrange(2)
        count = len(execution.parameters)
        if count != max((one.number for one in execution.statement.facts.parameters), default=0):
            return None  # PostgreSQL refuses it, and a rewritten text is given those that it has
        mapping = tuple(range(1, count + 1))
        return self.random.choice([None, Rewrite(text), Rewrite(text, mapping)])

    @hookimpl
    def cache(self, statement: Statement, session: SessionClass) -> Plan | None:
        facts = statement.facts
        if _leaves_alone(statement) or facts.opaque or len(facts.statements) != 1:
            return None
        if any(one.group is not Group.READ for one in facts.all):
            return None
        if any(one.locking or one.into or one.reads for one in facts.all):
            return None
        if any(use.name.name not in SAFE for one in facts.all for use in one.functions):
            return None
        return Plan(self.replay)

    def replay(self, execution: Execution) -> Replay | None:
        if execution.protocol == "simple" and execution.transaction.implicit:
            return None  # PostgreSQL goes astray there, and says that a transaction is open
        session = execution.session
        if self.random.randrange(3) == 0 or session.settings or session.settings_unknown:
            return None
        if not session.startup.keys() <= _NO_SETTINGS:
            return None  # the server that is asked has others
        if self.server is None:
            self.server = WireClient.connect(self.endpoint)
        sql = execution.statement.sql
        if execution.protocol == "simple":
            return _replay(self.ask(query(sql)))
        values = [one.data for one in execution.parameters]
        formats = [one.format for one in execution.parameters]
        types = [one.type for one in execution.parameters]
        asked = bind(values, formats=formats, results=list(execution.result_formats))
        return _replay(self.ask(parse(sql, types=types), asked, describe_portal(), execute(), sync()))

    def ask(self, *sent: Frontend) -> list[Reply]:
        server = self.server
        assert server is not None
        seen, ready = len(server.replies), server.ready_count
        server.send(*sent)
        server.read_until_ready(ready + 1)
        return server.replies[seen:]


def _leaves_alone(statement: Statement) -> bool:
    """Whether nobody wants the text, so that it takes the short way past the plugins. It must not be read for that."""
    return statement.facts.size % 2 == 0


def _replay(replies: list[Reply]) -> Replay | None:
    """What a server said, unless it said more than rows."""
    description = [one.body for one in replies if one.tag == b"T"]
    rows = tuple(one.tag + (len(one.body) + 4).to_bytes(4, "big") + one.body for one in replies if one.tag == b"D")
    completion = [one.body for one in replies if one.tag == b"C"]
    if any(one.tag in (b"E", b"N", b"S") for one in replies) or len(description) != 1 or len(completion) != 1:
        return None
    return Replay(description[0], rows, len(rows), completion[0][:-1].decode())
