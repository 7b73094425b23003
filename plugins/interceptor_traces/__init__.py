"""Spans of OpenTelemetry for what is run. docs/howto/trace-queries.md."""

from __future__ import annotations

from interceptor import Observer, PluginContext, SessionClass, Statement, hookimpl, plugin
from interceptor_traces.config import Config
from interceptor_traces.parents import parent_of
from interceptor_traces.spans import Spans, Tracer

__all__ = ["Traces"]


@plugin(config=Config)
class Traces:
    """The plugin."""

    def __init__(self, context: PluginContext[Config]) -> None:
        self._config = context.config
        self._tracer = Tracer(context.config, "", 0)

    @hookimpl
    def start_worker(self) -> None:
        """Begin to send."""
        self._tracer.start()

    @hookimpl
    def stop_worker(self) -> None:
        """Send the rest."""
        self._tracer.stop()

    @hookimpl
    def observe(self, statement: Statement, session: SessionClass) -> Observer | None:
        """Watch what belongs to a sampled trace, and a share of the rest."""
        facts = statement.facts
        parent = parent_of(comment.text for comment in facts.comments)
        if (parent is None and not self._config.sample) or (parent is not None and not parent.sampled):
            return None
        kind = facts.statements[0].kind.upper() if facts.statements else ""
        return Spans(self._tracer, parent, session.database, session.user, kind)
