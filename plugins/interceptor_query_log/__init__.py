"""A log of what is run: slow executions, a sample, or all. docs/howto/log-queries.md."""

from __future__ import annotations

from interceptor import Observer, PluginContext, SessionClass, Statement, hookimpl, plugin
from interceptor_query_log.config import Config
from interceptor_query_log.watching import Watcher
from interceptor_query_log.writing import Writer

__all__ = ["QueryLog"]


@plugin(config=Config)
class QueryLog:
    """The plugin."""

    def __init__(self, context: PluginContext[Config]) -> None:
        self._writer = None if context.config.log == "off" else Writer(context.config, context.log)

    @hookimpl
    def observe(self, statement: Statement, session: SessionClass) -> Observer | None:
        """Watch every statement."""
        if self._writer is None:
            return None
        watcher = Watcher(session, self._writer)
        if self._writer.logs_all:
            watcher.know(statement)
        return watcher
