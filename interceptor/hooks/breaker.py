"""When a hook that keeps failing is left out, and when it is tried again."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["Breaker"]

MOST_FAILURES: Final = 5
WINDOW: Final = 60.0
"""Seconds within which that many failures trip it."""
PAUSE: Final = 30.0
"""Seconds until one call is let through again."""


class Breaker:
    """Counts failures. ``tripped`` is looked at before each call; only if it is set, ``may_try`` is asked."""

    __slots__ = ("_failures", "_until", "tripped")

    def __init__(self) -> None:
        self.tripped = False
        self._failures: deque[float] = deque(maxlen=MOST_FAILURES)
        self._until = 0.0

    def may_try(self, now: float) -> bool:
        """Whether a call may be made although it is tripped. The one that may decides by how it ends."""
        if now < self._until:
            return False
        # Should nobody ever learn how it ended, the next one is let through after as long.
        self._until = now + PAUSE
        return True

    def on_failure(self, now: float) -> None:
        """A call failed."""
        self._failures.append(now)
        full = len(self._failures) == MOST_FAILURES and now - self._failures[0] <= WINDOW
        if self.tripped or full:
            self.tripped = True
            self._until = now + PAUSE

    def on_success(self) -> None:
        """A call that was let through although it is tripped went well."""
        self.tripped = False
        self._failures.clear()

    def on_undecided(self) -> None:
        """A call that was let through was given up before it ended: the next one decides."""
        self._until = 0.0
