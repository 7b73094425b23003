"""Spans, made when an execution has ended, and sent in the background."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

from interceptor import Completion, ConfigError, Execution, Failure, Observer
from interceptor_traces.config import Config
from interceptor_traces.parents import Parent

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["Spans", "Tracer"]

_MAX_TEXT: Final = 4000
"""Characters of a statement in a span."""


class Tracer:
    """OpenTelemetry's, as this plugin needs it."""

    def __init__(self, config: Config, file: str, line: int) -> None:
        """Raises ConfigError where the extra is not installed."""
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
        except ImportError:
            raise ConfigError(
                file, line, "plugins.traces", 'OpenTelemetry is missing: install it with "interceptor-pooler[traces]"'
            ) from None
        self._config = config
        self._provider: TracerProvider = TracerProvider(
            resource=Resource.create({"service.name": config.service_name}), shutdown_on_exit=False
        )
        self._tracer = self._provider.get_tracer("interceptor")

    def start(self) -> None:
        """Send what is made from now on. Its thread is this process's, so not before the fork."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=self._config.endpoint)))

    def stop(self) -> None:
        """Send the rest."""
        self._provider.shutdown()

    def make(
        self, name: str, parent: Parent | None, seconds: float, attributes: dict[str, str | int], error: str
    ) -> None:
        """A span that has ended just now. ``error``: why it failed, if it did."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        end = time.time_ns()
        span = self._tracer.start_span(
            name,
            context=_context_of(parent),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=end - int(seconds * 1e9),
        )
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end)

    def begins(self) -> bool:
        """Whether an execution that belongs to no trace begins one."""
        return random.random() < self._config.sample


def _context_of(parent: Parent | None) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    if parent is None:
        return Context()
    context = SpanContext(parent.trace, parent.span, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(context), Context())


class Spans(Observer):
    """Makes spans of executions of one text, or of texts that differ in the values of constants alone."""

    __slots__ = ("_attributes", "_name", "_parent", "_tracer")

    shared = True

    def __init__(self, tracer: Tracer, parent: Parent | None, database: str, user: str, kind: str) -> None:
        self._tracer = tracer
        self._parent = parent
        self._name = f"{kind} {database}".strip()
        self._attributes: dict[str, str | int] = {
            "db.system.name": "postgresql",
            "db.namespace": database,
            "db.operation.name": kind,
            "db.user": user,
        }

    def finished(self, execution: Execution, completion: Completion) -> None:
        """As ``Observer.finished``."""
        if self._parent is None and not self._tracer.begins():
            return
        more: dict[str, str | int] = {
            "db.response.returned_rows": completion.rows,
            "interceptor.answered_by": completion.by,
            "interceptor.target": completion.target,
        }
        self._make(execution, completion.seconds, more, "")

    def failed(self, execution: Execution, failure: Failure) -> None:
        """As ``Observer.failed``."""
        if self._parent is None and not self._tracer.begins():
            return
        more: dict[str, str | int] = {
            "db.response.status_code": failure.sqlstate,
            "interceptor.answered_by": failure.by,
            "interceptor.target": failure.target,
            "interceptor.retried": int(failure.retried),
        }
        # The server's message may have values in it.
        self._make(execution, failure.seconds, more, failure.sqlstate)

    def _make(self, execution: Execution, seconds: float, more: dict[str, str | int], error: str) -> None:
        more["db.query.text"] = (execution.statement.canonical or "")[:_MAX_TEXT]
        self._tracer.make(self._name, self._parent, seconds, self._attributes | more, error)
