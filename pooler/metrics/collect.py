"""What one process has to say, at the moment when it is asked."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pooler.metrics.families import FAMILIES, MAX_LABEL_SETS, SECONDS
from pooler.metrics.pools import PoolFigures
from pooler.metrics.process import resident_memory
from pooler.metrics.samples import OTHER, Sample

if TYPE_CHECKING:
    from pooler.node import Row
    from pooler.server import Server

__all__ = ["collect"]


def collect(server: Server) -> Iterator[Row | None]:
    """The number of this process, then all samples of it and of its plugins, as they go to whoever puts them together.

    None where nothing is to be said yet: there may be thousands of pools, and clients are not to wait for that.
    """
    yield [os.getpid()]
    found = _Samples()
    found.put("interceptor_processes", 1)
    found.put("interceptor_start_time_seconds", server.started_at)
    found.put("interceptor_resident_memory_bytes", resident_memory())
    found.put("interceptor_logins_under_way", len(server.logins))
    found.put("interceptor_loop_lag_seconds", server.janitor.lag.numbers)
    for sqlstate, count in server.errors.items():
        found.put("interceptor_errors_total", count, sqlstate, "proxy")
    for board in server.boards:
        found.put("interceptor_listening_clients", board.interest.clients, board.database)
    for hub in server.hubs:
        found.put("interceptor_listening_connections", hub.is_connected, hub.database)
        found.put("interceptor_notifications_total", hub.notifications, hub.database)
        found.put("interceptor_listening_losses_total", hub.losses, hub.database)
    _collect_plugins(server, found)
    for _ in _collect_pools(server, found):
        yield None
    for sample in (*found.samples, *server.host.metrics.samples()):
        yield sample.as_row()


def _collect_pools(server: Server, found: _Samples) -> Iterator[None]:
    others = PoolFigures()
    others_there = False
    errors: Counter[str] = Counter()
    for pool in list(server.pools):
        errors.update(pool.errors)
        if pool in server.named_pools:
            settings = pool.settings
            figures = PoolFigures()
            yield from figures.add(pool)
            found.put_all(figures, settings.database, settings.user, settings.target)
        else:
            others_there = True
            yield from others.add(pool)
        yield
    if others_there:
        found.put_all(others, OTHER, OTHER, OTHER)
    for sqlstate, count in errors.items():
        found.put("interceptor_errors_total", count, sqlstate, "server")


def _collect_plugins(server: Server, found: _Samples) -> None:
    for plugin in server.plugins.plugins:
        runtime = plugin.runtime
        for hook in runtime.hooks.values():
            found.put("interceptor_plugin_calls_total", hook.calls, runtime.name, hook.name)
            found.put("interceptor_plugin_failures_total", hook.failures, runtime.name, hook.name)
            found.put("interceptor_plugin_seconds_total", hook.seconds + hook.waited, runtime.name, hook.name)
        for decision, count in runtime.decisions.items():
            found.put("interceptor_plugin_decisions_total", count, runtime.name, decision)
        for sqlstate, count in runtime.refusals.items():
            found.put("interceptor_errors_total", count, sqlstate, "plugin")


class _Samples:
    """Samples by name, at most so many of each but for those of pools, which are bounded in number themselves."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._there: Counter[str] = Counter()

    def put(self, name: str, number: float | Sequence[float], *values: str) -> None:
        """One number of the family of this name, or those of a histogram."""
        self._there[name] += 1
        if self._there[name] > MAX_LABEL_SETS:
            values = (OTHER,) * len(values)
        self._append(name, number, values)

    def put_all(self, figures: PoolFigures, database: str, user: str, target: str) -> None:
        """All figures of some pools."""
        for name, number, values in figures.numbers(database, user, target):
            self._append(name, number, values)

    def _append(self, name: str, number: float | Sequence[float], values: tuple[str, ...]) -> None:
        family = FAMILIES[name]
        assert len(values) == len(family.labels), name
        numbers = [float(number)] if isinstance(number, int | float) else list(number)
        buckets = SECONDS if family.kind == "histogram" else ()
        self.samples.append(
            Sample(name, family.kind, family.help, family.labels, values, numbers, buckets, family.merge)
        )
