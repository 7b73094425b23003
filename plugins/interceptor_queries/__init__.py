"""What is run, how often, and how long it takes: SHOW QUERIES and a log of queries. docs/howto/see-queries.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from interceptor import (
    ConsoleCommand,
    Observer,
    PluginContext,
    SessionClass,
    Statement,
    hookimpl,
    plugin,
)
from interceptor_queries.config import Config
from interceptor_queries.figures import Key, Table
from interceptor_queries.showing import commands
from interceptor_queries.watching import Watcher, text_of
from interceptor_queries.writing import Writer

__all__ = ["Queries"]

MAX_KEYS: Final = 10_000


@plugin(config=Config)
class Queries:
    """The plugin."""

    def __init__(self, context: PluginContext[Config]) -> None:
        config = context.config
        self._table = Table(config.max_statements) if config.statistics else None
        self._keys: dict[Key, Key] = {}
        self._writer = None if config.log == "off" else Writer(config, context.log)

    @hookimpl
    def observe(self, statement: Statement, session: SessionClass) -> Observer | None:
        """Watch every statement."""
        if self._table is None and self._writer is None:
            return None
        key = (session.database, session.user, text_of(statement))
        # Many texts have one canonical text, and are to share it.
        if len(self._keys) > MAX_KEYS:
            self._keys.clear()
        return Watcher(self._keys.setdefault(key, key), self._table, self._writer)

    @hookimpl
    def console_commands(self) -> Iterable[ConsoleCommand]:
        """SHOW QUERIES."""
        return () if self._table is None else commands(self._table)
