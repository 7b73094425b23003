"""Histograms that are cheap to count in."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Final

from pooler.metrics.families import SECONDS

__all__ = ["Histogram", "count_error"]

MAX_SQLSTATES: Final = 300
"""PostgreSQL has some 260; functions may raise others, as many as they like."""


class Histogram:
    """How often what size occurred: a count for each bucket, one for what lies beyond, and the sum of all."""

    __slots__ = ("_buckets", "numbers")

    def __init__(self, buckets: Sequence[float] = SECONDS) -> None:
        self._buckets = buckets
        self.numbers = [0.0] * (len(buckets) + 2)

    def observe(self, value: float) -> None:
        """Count one."""
        numbers = self.numbers
        numbers[bisect_left(self._buckets, value)] += 1
        numbers[-1] += value

    def add(self, other: Histogram) -> None:
        """Count what another one has counted too. Both have the same buckets."""
        self.numbers = [own + its for own, its in zip(self.numbers, other.numbers, strict=True)]


def count_error(errors: Counter[str], sqlstate: str) -> None:
    """Count an error by its SQLSTATE, where there are not too many of them already."""
    if sqlstate not in errors and (len(errors) >= MAX_SQLSTATES or not sqlstate):
        sqlstate = "other"
    errors[sqlstate] += 1
