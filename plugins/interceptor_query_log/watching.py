"""Who hears of the executions of one text."""

from __future__ import annotations

from typing import Final

from interceptor import Completion, Execution, Failure, Observer, SessionClass, Statement
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

    __slots__ = ("_database", "_found", "_statement", "_user", "_writer")

    def __init__(self, statement: Statement, session: SessionClass, writer: Writer) -> None:
        self._statement = statement
        self._database = session.database
        self._user = session.user
        self._writer = writer
        self._found: Key | None = None

    def _key(self) -> Key:
        # When the first line is due, which for most texts is never: it takes an analysis of this very text.
        if self._found is None:
            self._found = self._writer.shared((self._database, self._user, text_of(self._statement)))
        return self._found

    def finished(self, execution: Execution, completion: Completion) -> None:
        """As ``Observer.finished``."""
        self._writer.on_finished(self._key, execution, completion)

    def failed(self, execution: Execution, failure: Failure) -> None:
        """As ``Observer.failed``."""
        if not failure.retried:
            self._writer.on_failed(self._key, execution, failure)
