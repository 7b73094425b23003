"""Who hears of the executions of one text."""

from __future__ import annotations

from typing import Final

from interceptor import Completion, Execution, Failure, Observer, Statement
from interceptor.sql.canonical import canonical_text
from interceptor_queries.figures import Key, Table
from interceptor_queries.writing import Writer

__all__ = ["MAX_KEPT", "UNREADABLE", "Watcher", "text_of"]

MAX_KEPT: Final = 16 * 1024
"""Characters of a canonical text that are kept: figures of texts that differ only beyond are counted together."""

UNREADABLE: Final = "(a text that can't be read)"


def text_of(statement: Statement) -> str:
    """The canonical text of a statement: no value of a constant is in it."""
    if statement.function:
        return f"(a call of the function {statement.function} by its number)"
    found = canonical_text(statement.sql, statement.exact())
    return UNREADABLE if found is None else found[:MAX_KEPT]


class Watcher(Observer):
    """Counts, and hands on to the log."""

    __slots__ = ("_key", "_table", "_writer")

    def __init__(self, key: Key, table: Table | None, writer: Writer | None) -> None:
        self._key = key
        self._table = table
        self._writer = writer

    def finished(self, execution: Execution, completion: Completion) -> None:
        """As ``Observer.finished``."""
        if self._table is not None:
            figures = self._table.of(self._key)
            figures.calls += 1
            figures.rows += completion.rows
            figures.answered += completion.by == "plugin"
            figures.take(completion.seconds)
        if self._writer is not None:
            self._writer.on_finished(self._key, execution, completion)

    def failed(self, execution: Execution, failure: Failure) -> None:
        """As ``Observer.failed``."""
        if failure.retried:
            return
        if self._table is not None:
            figures = self._table.of(self._key)
            figures.calls += 1
            if failure.by == "plugin":
                figures.blocked += 1
            else:
                figures.errors += 1
                figures.take(failure.seconds)
        if self._writer is not None:
            self._writer.on_failed(self._key, execution, failure)
