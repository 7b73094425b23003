"""The lock_timeout of a transaction, as its own SET said: settings of a session are known at the end of one only."""

from __future__ import annotations

from typing import Final

from interceptor import Completion, Execution, MessageFacts, Observer, Session, StateKey

__all__ = ["RememberTimeout", "timeout_of", "timeout_set_by"]


def _nothing() -> list[str]:
    return []


_SAID: Final = StateKey(_nothing)
"""One value, or none."""


def timeout_set_by(facts: MessageFacts) -> str | None:
    """The lock_timeout that a message leaves; "" for one that can't be told, and None where it sets none."""
    found: str | None = None
    for one in facts.all:
        for setting in one.settings:
            if setting.name in ("lock_timeout", "all", None):
                found = (setting.values or ("",))[0] if setting.name == "lock_timeout" and setting.known else ""
    return found


class RememberTimeout(Observer):
    """Notes what a transaction set, until it ends."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def finished(self, execution: Execution, completion: Completion) -> None:
        if execution.transaction.open:
            said = execution.session.get(_SAID)
            if not said:
                execution.transaction.after_end(lambda committed: said.clear())
            said[:] = [self._value]


def timeout_of(session: Session) -> str | None:
    """The lock_timeout that holds in a session, as far as it is known."""
    said = session.get(_SAID)
    return said[0] if said else session.settings.get("lock_timeout")
