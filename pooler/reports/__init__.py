"""What one process tells of itself, and what it does when it is told to: the half of the console that knows a Server.

The other half (``pooler.console``) may run in another process: what goes between them are names, texts and plain rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pooler.metrics.collect import collect
from pooler.reports.commands import obey
from pooler.reports.connections import clients, file_descriptors, servers, sockets
from pooler.reports.counts import memory, numbers, statistics
from pooler.reports.plugins import hooks, pins, plugins
from pooler.reports.pools import databases, pools, users
from pooler.reports.queries import queries
from pooler.reports.readiness import readiness

if TYPE_CHECKING:
    from pooler.node import Row
    from pooler.server import Server

__all__ = ["QUESTIONS", "answer", "obey"]

QUESTIONS: Final[dict[str, Callable[[Server], list[Row]]]] = {
    "clients": clients,
    "databases": databases,
    "fds": file_descriptors,
    "hooks": hooks,
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


def answer(server: Server, question: str, arguments: tuple[str, ...] = ()) -> list[Row]:
    """What this process has to say to a question of the console. Raises LookupError for one that it doesn't know."""
    return QUESTIONS[question](server)
