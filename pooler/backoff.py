"""How long a pool lets a server be that it could not log in to."""

from __future__ import annotations

import random
from typing import Final

__all__ = ["Backoff"]

FIRST: Final = 0.1
"""Seconds after the first failure, doubled with each that follows, up to ``server_login_retry``."""

_MAX_DOUBLINGS: Final = 30


class Backoff:
    """Failures in a row, and until when nothing is tried.

    Each wait is shortened by up to a half, at random, so that the pools of many processes don't come back all at once.
    """

    __slots__ = ("failures", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0
        """Seconds of the pool's clock."""

    def on_failed(self, now: float, most: float) -> None:
        """One more failure. ``most``: the longest wait, in seconds."""
        wait = min(most, FIRST * 2.0 ** min(self.failures, _MAX_DOUBLINGS))
        self.failures += 1
        self.until = now + wait * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It works, or there is reason to think that it might."""
        self.failures = 0
        self.until = 0.0
