"""What has been counted in one process: statistics by database, sizes, memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pooler.pool_counts import PoolStats

if TYPE_CHECKING:
    from pooler.backend import Backend
    from pooler.node import Row, Value
    from pooler.server import Server

__all__ = ["FIGURES", "figures_of", "memory", "numbers", "statistics"]

FIGURES = (
    "server_assignment_count",
    "xact_count",
    "query_count",
    "received",
    "sent",
    "xact_time",
    "query_time",
    "wait_time",
    "client_parse_count",
    "server_parse_count",
    "bind_count",
    "client_login_count",
)
"""PgBouncer's names of what is counted for each database, in the order of its columns. Times in microseconds."""


def figures_of(stats: PoolStats) -> list[int]:
    """The values of ``FIGURES``."""
    return [
        stats.assignments,
        stats.transactions,
        stats.queries,
        stats.received,
        stats.sent,
        round(stats.transaction_seconds * 1e6),
        round((stats.transaction_seconds - stats.rest_seconds) * 1e6),
        round(stats.wait_seconds * 1e6),
        stats.client_parses,
        stats.server_parses,
        stats.binds,
        stats.client_logins,
    ]


def statistics(server: Server) -> Iterator[Row | None]:
    """For each database: its name, the ``FIGURES`` so far, those of the last whole period, and its seconds."""
    totals: dict[str, PoolStats] = {}
    for name, stats in server.pools.forgotten.items():
        totals.setdefault(name, PoolStats()).add(stats)
    for pool in list(server.pools):
        totals.setdefault(pool.settings.database, PoolStats()).add(pool.totals())
        yield None
    period = server.statistics.last
    for name in sorted(totals):
        latest = period.figures.get(name, [0] * len(FIGURES))
        yield [name, *figures_of(totals[name]), *latest, period.seconds]
    for console in sorted({one.database for one in server.consoles}):
        yield [console, *[0] * (2 * len(FIGURES)), period.seconds]


def numbers(server: Server) -> list[Row]:
    """Clients, those of them that are logging in, and servers."""
    return [[len(server.clients), len(server.logins), sum(pool.size for pool in server.pools) + len(server.relays)]]


def memory(server: Server) -> list[Row]:
    """What the process has in memory: name, size of one, how many are used, how many free, bytes in all.

    The resident memory is of the whole process; the sizes of objects are without what belongs to them.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    rows: list[Row] = [["resident_memory", page, pages, 0, page * pages]]
    client = next(iter(server.clients), None)
    backend = next(_backends(server), None)
    sizes: tuple[tuple[str, int, int], ...] = (
        ("client", 0 if client is None else sys.getsizeof(client), len(server.clients)),
        ("server", 0 if backend is None else sys.getsizeof(backend), sum(pool.size for pool in server.pools)),
        ("pool", sys.getsizeof(server.pools), len(server.pools)),
    )
    for name, size, count in sizes:
        row: list[Value] = [name, size, count, 0, size * count]
        rows.append(row)
    return rows


def _backends(server: Server) -> Iterator[Backend]:
    return (backend for pool in server.pools for backends in pool.backends.values() for backend in backends)
