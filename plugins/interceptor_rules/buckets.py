"""Numbers by key that all processes of the node see, in a fixed number of shared counters."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from interceptor.services import SharedCounters

__all__ = ["CELLS", "Cells", "LocalCounters"]

_WIDTH: Final = 4096
_ROWS: Final = 3
CELLS: Final = _WIDTH * _ROWS
"""How many counters it takes. A key has one in each of three rows, and its number is the smallest of them: so it counts
too much only where others have all three (of 1,000 keys that are in use two or so, and none of 100)."""


class LocalCounters:
    """Stands for shared counters where there is one process."""

    def __init__(self) -> None:
        self._values: dict[int, int] = {}

    def add(self, index: int, amount: int = 1) -> None:
        """As ``SharedCounters.add``."""
        self._values[index] = self._values.get(index, 0) + amount

    def read(self, index: int) -> int:
        """As ``SharedCounters.read``."""
        return self._values.get(index, 0)


class Cells:
    """The number of one key."""

    __slots__ = ("_counters", "_indexes")

    def __init__(self, counters: SharedCounters, key: str) -> None:
        """``counters`` are ``CELLS`` many."""
        digest = blake2b(key.encode("utf-8", "surrogateescape"), digest_size=2 * _ROWS).digest()
        self._counters = counters
        self._indexes = tuple(
            [row * _WIDTH + int.from_bytes(digest[2 * row : 2 * row + 2], "big") % _WIDTH for row in range(_ROWS)]
        )

    def read(self) -> int:
        """The number."""
        read = self._counters.read
        return min([read(index) for index in self._indexes])

    def add(self, amount: int) -> None:
        """Add to it."""
        for index in self._indexes:
            self._counters.add(index, amount)

    def advance(self, now: int, step: int) -> None:
        """Take it for a moment: put it to now if it is past, and then ``step`` later."""
        counters = self._counters
        for index in self._indexes:
            before = counters.read(index)
            jump = max(0, now - before)
            counters.add(index, jump + step)
            if jump and counters.read(index) != before + jump + step:
                # Another process did so in the same instant, and two jumps would lead far beyond now. It takes its own
                # back as well, or did not make one: then it is too early, for once.
                counters.add(index, -jump)
