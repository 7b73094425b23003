"""Averages over the last whole period, for SHOW STATS: what was counted when it ended, less what was when it began."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from pooler.pool_counts import PoolStats
from pooler.reports.counts import figures_of
from pooler.reports.turns import in_turns
from pooler.tasks import spawn

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
        self._early = 1.0
        """Seconds until the next look while the first period has not ended."""
        self._running = False
        self.last = Period()
        """Of the last period that is over; before that, of the time since the start."""

    def tick(self, now: float) -> None:
        """To be called every second or so."""
        period = self._server.config.server.stats_period
        seconds = now - self._began_at
        if self._running or seconds < min(period, self._early):
            return
        # Rarer and rarer: what is shown before the first period is over is about the start alone.
        self._early = 2 * self._early if seconds < period else inf
        self._running = True
        spawn(self._count(now), name="statistics")

    async def _count(self, now: float) -> None:
        """There may be thousands of pools, so it is done in turns; what is counted meanwhile is of the next period."""
        try:
            server = self._server
            totals: dict[str, PoolStats] = {}
            for name, stats in server.pools.forgotten.items():
                totals.setdefault(name, PoolStats()).add(stats)
            async for pools in in_turns(_counted(server)):
                for database, stats in pools:
                    totals.setdefault(database, PoolStats()).add(stats)
        finally:
            self._running = False
        seconds = now - self._began_at
        ended = {name: figures_of(stats) for name, stats in totals.items()}
        figures = {}
        for name, values in ended.items():
            before = self._at_begin.get(name, [0] * len(values))
            # A pool that was forgotten meanwhile is counted in the next period.
            figures[name] = [max(0, value - old) for value, old in zip(values, before, strict=True)]
        self.last = Period(seconds, figures)
        if seconds >= server.config.server.stats_period:
            self._began_at, self._at_begin = now, ended


def _counted(server: Server) -> Iterator[tuple[str, PoolStats]]:
    return ((pool.settings.database, pool.totals()) for pool in list(server.pools))
