"""SHOW QUERIES: what the processes have counted for each statement, as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pooler.queries import upper_bound

if TYPE_CHECKING:
    from pooler.node import Row, Value

__all__ = ["percentile", "show_queries"]

_SHARES: Final = (0.5, 0.95, 0.99)


def show_queries(answers: Sequence[Sequence[Row]]) -> list[Row]:
    """The rows of SHOW QUERIES from those of ``pooler.reports.queries``; the statements that took most time first."""
    found: dict[tuple[Value, ...], _Sums] = {}
    for rows in answers:
        for row in rows:
            found.setdefault(tuple(row[:3]), _Sums()).add(row)
    shown = sorted(found.items(), key=lambda item: -item[1].microseconds)
    return [[*names, *sums.row()] for names, sums in shown]


def percentile(counts: Sequence[int], share: float) -> int:
    """The time in microseconds that so large a share did not exceed: up to a quarter too long, and never too short."""
    wanted = share * sum(counts)
    seen = 0
    for bucket, count in enumerate(counts):
        seen += count
        if count and seen >= wanted:
            return upper_bound(bucket)
    return 0


class _Sums:
    """One statement, over all processes."""

    def __init__(self) -> None:
        self._figures: list[int] = []
        """Calls, errors, blocked, answered by plugins, rows, microseconds."""
        self._longest = 0
        self._times: list[int] = []

    @property
    def microseconds(self) -> int:
        return self._figures[5]

    def add(self, row: Row) -> None:
        *figures, longest, times = row[3:]
        assert isinstance(longest, int) and isinstance(times, list)
        self._figures = _added(self._figures, figures)
        self._times = _added(self._times, times)
        self._longest = max(self._longest, longest)

    def row(self) -> Row:
        calls, _, blocked, *_ = self._figures
        points = [min(percentile(self._times, share), self._longest) for share in _SHARES]
        return [*self._figures, self.microseconds // max(1, calls - blocked), *points, self._longest]


def _added(sums: list[int], values: Sequence[Value]) -> list[int]:
    numbers = [value for value in values if isinstance(value, int)]
    return [left + right for left, right in zip(sums, numbers, strict=True)] if sums else numbers
