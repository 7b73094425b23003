"""Who hears of the executions of one text."""

from __future__ import annotations

from typing import Final

from interceptor import Completion, Execution, Failure, Observer, Statement
from interceptor.sql.canonical import canonical_text
from interceptor_query_log.writing import Key, Writer

__all__ = ["MAX_KEPT", "UNREADABLE", "Key", "Watcher", "text_of"]

MAX_KEPT: Final = 16 * 1024
"""Characters of a canonical text that are kept."""

UNREADABLE: Final = "(a text that can't be read)"


def text_of(statement: Statement) -> str:
    """The canonical text of a statement: no value of a constant is in it."""
    if statement.function:
        return f"(a call of the function {statement.function} by its number)"
    found = canonical_text(statement.sql, statement.exact())
    return UNREADABLE if found is None else found[:MAX_KEPT]


class Watcher(Observer):
    """Hands on to the log."""

    __slots__ = ("_key", "_writer")

    def __init__(self, key: Key, writer: Writer) -> None:
        self._key = key
        self._writer = writer

    def finished(self, execution: Execution, completion: Completion) -> None:
        """As ``Observer.finished``."""
        self._writer.on_finished(self._key, execution, completion)

    def failed(self, execution: Execution, failure: Failure) -> None:
        """As ``Observer.failed``."""
        if not failure.retried:
            self._writer.on_failed(self._key, execution, failure)
