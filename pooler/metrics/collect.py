"""What one process has to say, at the moment when it is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from pooler.backend import BackendState
from pooler.metrics.families import FAMILIES, MAX_LABEL_SETS, SECONDS
from pooler.metrics.process import resident_memory
from pooler.metrics.samples import Sample

if TYPE_CHECKING:
    from pooler.client import ClientConnection
    from pooler.node import Row
    from pooler.pool import Pool
    from pooler.server import Server

__all__ = ["collect"]

OTHER: Final = "other"


def collect(server: Server) -> list[Row]:
    """All samples of this process and of its plugins, as they go to whoever puts them together."""
    found = _Samples()
    found.put("interceptor_processes", 1)
    found.put("interceptor_start_time_seconds", server.started_at)
    found.put("interceptor_resident_memory_bytes", resident_memory())
    found.put("interceptor_logins_under_way", len(server.logins))
    found.put_histogram("interceptor_loop_lag_seconds", server.janitor.lag.numbers)
    for sqlstate, count in server.errors.items():
        found.put("interceptor_errors_total", count, sqlstate, "proxy")
    for sqlstate, count in sum((pool.errors for pool in server.pools), Counter[str]()).items():
        found.put("interceptor_errors_total", count, sqlstate, "server")
    for pool in server.pools:
        _collect_pool(pool, found)
    for board in server.boards:
        found.put("interceptor_listening_clients", board.interest.clients, board.database)
    for hub in server.hubs:
        found.put("interceptor_listening_connections", hub.is_connected, hub.database)
        found.put("interceptor_notifications_total", hub.notifications, hub.database)
        found.put("interceptor_listening_losses_total", hub.losses, hub.database)
    _collect_plugins(server, found)
    return [sample.as_row() for sample in (*found.samples, *server.host.metrics.samples())]


def _collect_pool(pool: Pool, found: _Samples) -> None:
    settings = pool.settings
    place = settings.database, settings.user, settings.target
    if pool.clients:
        states = Counter(_state_of(client.session.waiting, client.backend is not None) for client in _ready(pool))
        for state in ("active", "waiting", "idle"):
            found.put("interceptor_clients", states[state], settings.database, settings.user, state)
    for backend_state in BackendState:
        if backend_state is not BackendState.GONE:
            found.put("interceptor_backends", len(pool.backends[backend_state]), *place, backend_state.name.lower())
    found.put("interceptor_backends", len(pool.growth.logging_in), *place, "login")
    found.put("interceptor_pool_limit", settings.pool_size, *place)
    found.put("interceptor_waiting_clients", len(pool.waiting.for_backend.since), *place)
    first = pool.waiting.first()
    found.put("interceptor_longest_wait_seconds", 0.0 if first is None else pool.clock.tick() - first[0], *place)
    reasons = Counter(reason.name.lower() for pinned in pool.pinned.values() for reason in pinned.reasons)
    for reason, count in reasons.items():
        found.put("interceptor_pinned_clients", count, settings.database, reason)
    stats = pool.totals()
    found.put("interceptor_client_logins_total", stats.client_logins, *place)
    found.put("interceptor_queries_total", stats.queries, *place)
    found.put("interceptor_transactions_total", stats.transactions, *place)
    found.put("interceptor_received_bytes_total", stats.received, *place)
    found.put("interceptor_sent_bytes_total", stats.sent, *place)
    if pool.times is not None:
        found.put_histogram("interceptor_wait_seconds", pool.times.waits.numbers, *place)
        found.put_histogram("interceptor_query_seconds", pool.times.queries.numbers, *place)
        found.put_histogram("interceptor_transaction_seconds", pool.times.transactions.numbers, *place)
    found.put("interceptor_backend_logins_total", stats.logins, *place)
    found.put("interceptor_backend_login_failures_total", stats.login_failures, *place)


def _ready(pool: Pool) -> Iterable[ClientConnection]:
    return (client for client in pool.clients if client.login is None)


def _state_of(waiting: bool, linked: bool) -> str:
    return "waiting" if waiting else "active" if linked else "idle"


def _collect_plugins(server: Server, found: _Samples) -> None:
    for plugin in server.plugins.plugins:
        runtime = plugin.runtime
        for hook in runtime.hooks.values():
            found.put("interceptor_plugin_calls_total", hook.calls, runtime.name, hook.name)
            found.put("interceptor_plugin_failures_total", hook.failures, runtime.name, hook.name)
            found.put("interceptor_plugin_seconds_total", hook.seconds + hook.waited, runtime.name, hook.name)
        for decision, count in runtime.decisions.items():
            found.put("interceptor_plugin_decisions_total", count, runtime.name, decision)


class _Samples:
    """Samples by name, at most so many of each."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._there: Counter[str] = Counter()
        self._others: dict[str, Sample] = {}

    def put(self, name: str, number: float, *values: str) -> None:
        """One number of the family of this name."""
        self._put(name, values, [float(number)], ())

    def put_histogram(self, name: str, numbers: Sequence[float], *values: str) -> None:
        """One histogram."""
        self._put(name, values, list(numbers), SECONDS)

    def _put(self, name: str, values: tuple[str, ...], numbers: list[float], buckets: tuple[float, ...]) -> None:
        family = FAMILIES[name]
        assert len(values) == len(family.labels), name
        if self._there[name] >= MAX_LABEL_SETS:
            values = (OTHER,) * len(values)
        sample = Sample(name, family.kind, family.help, family.labels, values, numbers, buckets, family.merge)
        if values and values[0] == OTHER and set(values) == {OTHER}:
            there = self._others.get(name)
            if there is not None:
                there.add(sample)
                return
            self._others[name] = sample
        self._there[name] += 1
        self.samples.append(sample)
