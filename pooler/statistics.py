"""Averages over the last whole period, for SHOW STATS: what was counted when it ended, less what was when it began."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pooler.reports.counts import database_totals, figures_of

if TYPE_CHECKING:
    from pooler.server import Server

__all__ = ["Period", "Statistics"]


@dataclass(frozen=True, slots=True)
class Period:
    """What happened in a span of time, by database: the values of ``pooler.reports.counts.FIGURES``."""

    seconds: float = 0.0
    figures: dict[str, list[int]] = field(default_factory=dict)


class Statistics:
    """The periods of one process."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._began_at = server.clock.now
        self._at_begin: dict[str, list[int]] = {}
        self.last = Period()
        """Of the last period that is over; before that, of the time since the start."""

    def tick(self, now: float) -> None:
        """To be called every second or so."""
        seconds = now - self._began_at
        is_first = not self._at_begin
        if seconds < self._server.config.server.stats_period and not (is_first and seconds >= 1.0):
            return
        totals = {name: figures_of(stats) for name, stats in database_totals(self._server).items()}
        figures = {}
        for name, values in totals.items():
            before = self._at_begin.get(name, [0] * len(values))
            figures[name] = [value - old for value, old in zip(values, before, strict=True)]
        self.last = Period(seconds, figures)
        if seconds >= self._server.config.server.stats_period:
            self._began_at, self._at_begin = now, totals
