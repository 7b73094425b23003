"""What pools have to show: each under its own labels, or many under ``other``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, TypeAlias
from weakref import WeakSet

from pooler.backend import BackendState
from pooler.pool_counts import PoolStats, PoolTimes

if TYPE_CHECKING:
    from pooler.pool import Pool

__all__ = ["MAX_POOLS", "NamedPools", "PoolFigures"]

Number: TypeAlias = "tuple[str, float | list[float], tuple[str, ...]]"
"""The name of a metric, its number or those of a histogram, and the values of its labels."""

MAX_POOLS: Final = 250
"""Pools of one process that have labels of their own: some 70 lines each, and under "*" clients choose the names."""

_STATES: Final = tuple(state for state in BackendState if state is not BackendState.GONE)


class NamedPools:
    """Which pools have labels of their own: the first, for as long as they are there, so that no number moves."""

    def __init__(self, most: int = MAX_POOLS) -> None:
        self._most = most
        self._named: WeakSet[Pool] = WeakSet()
        self._others: WeakSet[Pool] = WeakSet()

    def __contains__(self, pool: Pool) -> bool:
        if pool in self._named:
            return True
        if pool not in self._others:
            chosen = self._named if len(self._named) < self._most else self._others
            chosen.add(pool)
        return pool in self._named


class PoolFigures:
    """One pool, or the sum of several."""

    def __init__(self) -> None:
        self._stats = PoolStats()
        self._times = PoolTimes()
        self._clients: Counter[str] = Counter()
        self._backends: Counter[str] = Counter()
        self._pins: Counter[str] = Counter()
        self._limit = self._waiting = 0
        self._longest = 0.0

    def add(self, pool: Pool) -> Iterator[None]:
        """Count this one too. Yields now and then, for a pool may have very many clients."""
        self._stats.add(pool.totals())
        if pool.times is not None:
            self._times.add(pool.times)
        for state in _STATES:
            self._backends[state.name.lower()] += len(pool.backends[state])
        self._backends["login"] += len(pool.growth.logging_in)
        self._limit = max(self._limit, pool.settings.pool_size)
        self._waiting += len(pool.waiting.for_backend.since)
        first = pool.waiting.first()
        if first is not None:
            self._longest = max(self._longest, pool.clock.tick() - first[0])
        for pinned in pool.pinned.values():
            self._pins.update(reason.name.lower() for reason in pinned.reasons)
        for client in list(pool.clients):
            if client.login is None:
                self._clients[_state_of(client.session.waiting, client.backend is not None)] += 1
            yield

    def numbers(self, database: str, user: str, target: str) -> Iterator[Number]:
        """All of it, for the pools of this place."""
        place = database, user, target
        if self._clients:
            for state in ("active", "waiting", "idle"):
                yield "interceptor_clients", self._clients[state], (database, user, state)
        for state, count in self._backends.items():
            yield "interceptor_backends", count, (*place, state)
        for reason, count in self._pins.items():
            yield "interceptor_pinned_clients", count, (database, reason)
        stats, times = self._stats, self._times
        yield "interceptor_pool_limit", self._limit, place
        yield "interceptor_waiting_clients", self._waiting, place
        yield "interceptor_longest_wait_seconds", max(0.0, self._longest), place
        yield "interceptor_client_logins_total", stats.client_logins, place
        yield "interceptor_queries_total", stats.queries, place
        yield "interceptor_transactions_total", stats.transactions, place
        yield "interceptor_received_bytes_total", stats.received, place
        yield "interceptor_sent_bytes_total", stats.sent, place
        yield "interceptor_wait_seconds", times.waits.numbers, place
        yield "interceptor_query_seconds", times.queries.numbers, place
        yield "interceptor_transaction_seconds", times.transactions.numbers, place
        yield "interceptor_backend_logins_total", stats.logins, place
        yield "interceptor_backend_login_failures_total", stats.login_failures, place


def _state_of(waiting: bool, linked: bool) -> str:
    return "waiting" if waiting else "active" if linked else "idle"
