"""Statements that a session prepared by PREPARE, or opened a cursor for: what EXECUTE and FETCH run is tried again by
the rules of the moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from interceptor import Completion, Execution, Observer, Session, StateKey

__all__ = ["Prepared", "RememberPrepared", "prepared_text"]

_MOST_NAMES: Final = 1000
_LONGEST: Final = 16 * 1024

Prepared = tuple[str, bytes]
"""A name, with "prepare" or "declare" before it, and the text of its PREPARE or DECLARE."""


def _nothing() -> dict[str, bytes]:
    return {}


_STATEMENTS: Final = StateKey(_nothing)


class RememberPrepared(Observer):
    """Notes what was prepared when it was. What PostgreSQL refused leaves the statement of before as it is."""

    __slots__ = ("_statements",)

    def __init__(self, statements: Sequence[Prepared]) -> None:
        self._statements = tuple(statements)

    def finished(self, execution: Execution, completion: Completion) -> None:
        known = execution.session.get(_STATEMENTS)
        for name, text in self._statements:
            if len(text) <= _LONGEST and (name in known or len(known) < _MOST_NAMES):
                known[name] = text
            else:
                known.pop(name, None)


def prepared_text(session: Session, name: str) -> bytes | None:
    """The text of the PREPARE or DECLARE of this name; None if it isn't known."""
    return session.get(_STATEMENTS).get(name)
