"""Who hears of the executions of one text."""

from __future__ import annotations

from typing import Final

from interceptor import Completion, Execution, Failure, Observer, SessionClass, Statement
from interceptor_query_log.writing import Key, Writer

__all__ = ["MAX_KEPT", "UNREADABLE", "Key", "Watcher", "text_of"]

MAX_KEPT: Final = 16 * 1024
"""Characters of a canonical text that are kept."""

UNREADABLE: Final = "(a text that can't be read)"


def text_of(statement: Statement) -> str:
    """The canonical text of a statement: no value of a constant is in it."""
    if statement.function:
        return f"(a call of the function {statement.function} by its number)"
    found = statement.canonical
    return UNREADABLE if found is None else found[:MAX_KEPT]


class Watcher(Observer):
    """Hands on to the log."""

    __slots__ = ("_database", "_key", "_user", "_writer")

    shared = True

    def __init__(self, session: SessionClass, writer: Writer) -> None:
        self._database = session.database
        self._user = session.user
        self._writer = writer
        self._key: Key | None = None

    def know(self, statement: Statement) -> None:
        """Find out at once what all that is observed is called in the log."""
        self._key = self._writer.shared((self._database, self._user, text_of(statement)))

    def _key_of(self, execution: Execution) -> Key:
        # When a line is due, which for most texts is never: it takes an analysis of this very text.
        return self._key or self._writer.shared((self._database, self._user, text_of(execution.statement)))

    def finished(self, execution: Execution, completion: Completion) -> None:
        """As ``Observer.finished``."""
        if self._writer.is_wanted(completion.seconds, failed=False):
            self._writer.on_finished(self._key_of(execution), execution, completion)

    def failed(self, execution: Execution, failure: Failure) -> None:
        """As ``Observer.failed``."""
        if not failure.retried and self._writer.is_wanted(failure.seconds, failed=True):
            self._writer.on_failed(self._key_of(execution), execution, failure)
