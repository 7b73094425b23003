"""What is counted of each statement: calls, errors, rows, and how long it took."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from math import frexp
from typing import Final

__all__ = ["Figures", "Key", "Table", "percentile"]

Key = tuple[str, str, str]
"""Database, user, canonical text."""

BUCKETS: Final = 64
"""Of times: two for each doubling, from a microsecond on, so that a percentile is right to within a quarter."""


class Figures:
    """Of one statement of one user in one database."""

    __slots__ = ("answered", "blocked", "calls", "errors", "rows", "seconds", "slowest", "times")

    def __init__(self) -> None:
        self.calls = 0
        self.errors = 0
        """Of which PostgreSQL or the proxy said that they failed."""
        self.blocked = 0
        """That a plugin refused."""
        self.answered = 0
        """That a plugin answered, such as the cache."""
        self.rows = 0
        self.seconds = 0.0
        self.slowest = 0.0
        self.times = [0] * BUCKETS

    def take(self, seconds: float) -> None:
        """An execution took so long."""
        self.seconds += seconds
        if seconds > self.slowest:
            self.slowest = seconds
        self.times[_bucket(seconds)] += 1

    def add(self, other: Sequence[float], times: Sequence[int]) -> None:
        """Put what another process has counted to it: ``as_numbers`` and its times."""
        self.calls += int(other[0])
        self.errors += int(other[1])
        self.blocked += int(other[2])
        self.answered += int(other[3])
        self.rows += int(other[4])
        self.seconds += other[5]
        self.slowest = max(self.slowest, other[6])
        self.times = [one + another for one, another in zip(self.times, times, strict=True)]

    def as_numbers(self) -> list[int | float]:
        """Everything but the times, as it goes from process to process."""
        return [self.calls, self.errors, self.blocked, self.answered, self.rows, self.seconds, self.slowest]


def _bucket(seconds: float) -> int:
    """Which bucket a time belongs to: its power of two, and whether it is in the upper half of that."""
    fraction, power = frexp(seconds * 1e6)
    return min(max(2 * power + (fraction >= 0.75), 0), BUCKETS - 1)


def percentile(times: Sequence[int], share: float) -> float:
    """The time, in seconds, within which this share of executions ended; the middle of its bucket."""
    left = share * sum(times)
    for number, count in enumerate(times):
        left -= count
        if count and left <= 0:
            low = 2.0 ** (number // 2) * (0.75 if number % 2 else 0.5)
            return low * 1.2e-6
    return 0.0


class Table:
    """The figures of the statements that were run last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._figures: OrderedDict[Key, Figures] = OrderedDict()

    def of(self, key: Key) -> Figures:
        """Those of a statement, which is the last one now."""
        found = self._figures.get(key)
        if found is None:
            found = self._figures[key] = Figures()
            if len(self._figures) > self._most:
                self._figures.popitem(last=False)
        else:
            self._figures.move_to_end(key)
        return found

    def items(self) -> Iterable[tuple[Key, Figures]]:
        """All of them."""
        return self._figures.items()

    def clear(self) -> None:
        """Begin again."""
        self._figures.clear()
