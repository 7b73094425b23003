"""What one process tells of itself, and what it does when it is told to: the half of the console that knows a Server.

The other half (``pooler.console``) may run in another process: what goes between them are names, texts and plain rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from pooler.metrics.collect import collect
from pooler.reports.bans import bans
from pooler.reports.commands import obey
from pooler.reports.connections import clients, file_descriptors, servers, sockets
from pooler.reports.counts import memory, numbers, statistics
from pooler.reports.listeners import listeners
from pooler.reports.names import dns_hosts
from pooler.reports.plugins import hooks, pins, plugins
from pooler.reports.pools import databases, pools, users
from pooler.reports.queries import queries
from pooler.reports.readiness import readiness
from pooler.reports.turns import in_turns

if TYPE_CHECKING:
    from pooler.node import Row
    from pooler.server import Server

__all__ = ["QUESTIONS", "answer", "obey"]

QUESTIONS: Final[dict[str, Callable[[Server], list[Row] | Iterator[Row] | Iterator[Row | None]]]] = {
    "bans": bans,
    "clients": clients,
    "databases": databases,
    "dns_hosts": dns_hosts,
    "fds": file_descriptors,
    "hooks": hooks,
    "listeners": listeners,
    "memory": memory,
    "metrics": collect,
    "numbers": numbers,
    "pins": pins,
    "plugins": plugins,
    "pools": pools,
    "queries": queries,
    "readiness": readiness,
    "servers": servers,
    "sockets": sockets,
    "statistics": statistics,
    "users": users,
}


async def answer(server: Server, question: str, arguments: tuple[str, ...] = ()) -> list[Row]:
    """What this process has to say to a question of the console. Raises LookupError for one that it doesn't know.

    An answer that is long is made bit by bit, so that clients do not wait for it. None in it stands for no row.
    """
    found = QUESTIONS[question](server)
    if isinstance(found, list):
        return found
    rows: list[Row] = []
    async for piece in in_turns(found):
        rows += [row for row in piece if row is not None]
    return rows
