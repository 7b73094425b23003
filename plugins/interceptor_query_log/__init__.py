"""A log of what is run: slow executions, a sample, or all. docs/howto/log-queries.md."""

from __future__ import annotations

from typing import Final

from interceptor import Observer, PluginContext, SessionClass, Statement, hookimpl, plugin
from interceptor_query_log.config import Config
from interceptor_query_log.watching import Key, Watcher, text_of
from interceptor_query_log.writing import Writer

__all__ = ["QueryLog"]

MAX_KEYS: Final = 10_000


@plugin(config=Config)
class QueryLog:
    """The plugin."""

    def __init__(self, context: PluginContext[Config]) -> None:
        self._keys: dict[Key, Key] = {}
        self._writer = None if context.config.log == "off" else Writer(context.config, context.log)

    @hookimpl
    def observe(self, statement: Statement, session: SessionClass) -> Observer | None:
        """Watch every statement."""
        if self._writer is None:
            return None
        key = (session.database, session.user, text_of(statement))
        # Many texts have one canonical text, and are to share it.
        if len(self._keys) > MAX_KEYS:
            self._keys.clear()
        return Watcher(self._keys.setdefault(key, key), self._writer)
