"""A clock that costs an attribute look-up.

The janitor sets it some times a second. What is stamped with it is as old as the last tick, so what is measured by it
is right to within one tick; no time-out of a pooler needs more.
"""

from __future__ import annotations

import time


class Clock:
    """Seconds of the monotonic clock, as of the last ``tick``."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = time.monotonic()

    def tick(self) -> float:
        """Read the real clock, and return it."""
        self.now = time.monotonic()
        return self.now
