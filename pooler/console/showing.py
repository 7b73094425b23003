"""The rows of every SHOW command, for the whole node: what its processes answer, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import fields
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from pooler.config import ServerSettings
from pooler.config.changing import FIXED_SETTINGS
from pooler.console.statements import show_queries
from pooler.reports.counts import FIGURES
from pooler.reports.turns import in_turns

if TYPE_CHECKING:
    from pooler.node import Node, Row, Value
    from pooler.server import Server

__all__ = ["PGBOUNCER_VERSION", "SHOWS", "Show", "averages", "merge", "show_setting", "version"]

PGBOUNCER_VERSION: Final = "1.25.0"
"""Whose commands and columns these are."""

Show: TypeAlias = "Callable[[Server], Awaitable[list[Row]]]"

_COUNT: Final = len(FIGURES)
_IN_TOTALS: Final = {
    "received": "client_bytes",
    "sent": "server_bytes",
    "client_parse_count": "ps_client_parse_count",
    "server_parse_count": "ps_server_parse_count",
    "bind_count": "ps_bind_count",
}
"""What PgBouncer calls them in SHOW TOTALS alone."""


def version() -> str:
    """As SHOW VERSION has it. Monitors (Datadog's) take the first version in it for PgBouncer's, and go by that."""
    from interceptor import __version__

    return f"PgBouncer {PGBOUNCER_VERSION} console, Interceptor {__version__}"


# --- Putting answers together ------------------------------------------------------------------------------------


async def merge(
    answers: Iterable[list[Row]], key: int, summed: Iterable[int], largest: Iterable[int] = ()
) -> list[Row]:
    """One row for each set of the first ``key`` columns; these columns summed, those the largest, others the first.

    There may be thousands, so it is done in turns.
    """
    found: dict[tuple[object, ...], Row] = {}

    def put_all() -> Iterator[None]:
        for rows in answers:
            for row in rows:
                seen = found.setdefault(tuple(row[:key]), row)
                if seen is not row:
                    for index in summed:
                        seen[index] = _number(seen[index]) + _number(row[index])
                    for index in largest:
                        seen[index] = max(_number(seen[index]), _number(row[index]))
                yield

    async for _ in in_turns(put_all()):
        pass
    return list(found.values())


async def _made(rows: Iterator[Row]) -> list[Row]:
    """Rows that take a while to be made, in turns."""
    return [row async for piece in in_turns(rows) for row in piece]


def _number(value: Value) -> int | float:
    assert isinstance(value, (int, float))
    return value


def _integer(value: Value) -> int:
    assert isinstance(value, int)
    return value


async def _joined(node: Node, question: str) -> list[Row]:
    return [row for rows in await node.ask_all(question) for row in rows]


# --- PgBouncer's -------------------------------------------------------------------------------------------------


async def _clients(server: Server) -> list[Row]:
    return await _joined(server.node, "clients")


async def _servers(server: Server) -> list[Row]:
    return await _joined(server.node, "servers")


async def _sockets(server: Server) -> list[Row]:
    return await _joined(server.node, "sockets")


async def _active_sockets(server: Server) -> list[Row]:
    return [row for row in await _sockets(server) if any(row[21:])]


async def _fds(server: Server) -> list[Row]:
    return await _joined(server.node, "fds")


async def _pools(server: Server) -> list[Row]:
    rows = await _pools_of_all(server)
    balanced = {str(row[0]): row[10] for row in await _databases(server)}
    return await _made(
        [*row[:13], *divmod(_integer(row[13]), 1_000_000), row[14], balanced.get(str(row[0]))] for row in rows
    )


async def _pools_of_all(server: Server) -> list[Row]:
    return await merge(await server.node.ask_all("pools"), 2, range(2, 13), (13,))


async def _databases(server: Server) -> list[Row]:
    rows = await merge(await server.node.ask_all("databases"), 1, (12, 14), (15, 16))
    return await _made([*row, row[7]] for row in sorted(rows, key=lambda row: str(row[0])))


async def _users(server: Server) -> list[Row]:
    return await merge(await server.node.ask_all("users"), 1, (5, 7))


async def _dns_hosts(server: Server) -> list[Row]:
    return await merge(await server.node.ask_all("dns_hosts"), 1, (), (1,))


async def _lists(server: Server) -> list[Row]:
    numbers = (await merge(await server.node.ask_all("numbers"), 0, range(3)))[0]
    counts: dict[str, Value] = {
        "databases": len(await _databases(server)),
        "users": len(await _users(server)),
        "peers": 0,
        "pools": len(await _pools_of_all(server)),
        "peer_pools": 0,
        "free_clients": 0,
        "used_clients": numbers[0],
        "login_clients": numbers[1],
        "free_servers": 0,
        "used_servers": numbers[2],
        "dns_names": len(await _dns_hosts(server)),
        "dns_zones": 0,
        "dns_queries": 0,
        "dns_pending": 0,
    }
    return [[name, count] for name, count in counts.items()]


async def _mem(server: Server) -> list[Row]:
    return await merge(await server.node.ask_all("memory"), 1, (2, 3, 4), (1,))


async def _config(server: Server) -> list[Row]:
    now, default = server.config.server, ServerSettings()
    rows: list[Row] = []
    for field in sorted(fields(ServerSettings), key=lambda field: field.name):
        values: list[Value] = [show_setting(getattr(settings, field.name)) for settings in (now, default)]
        rows.append([field.name, *values, "no" if field.name in FIXED_SETTINGS else "yes"])
    return rows


def show_setting(value: object) -> str:
    """A value as PgBouncer would print it: numbers as they are, 0 and 1, names behind one another."""
    match value:
        case None:
            return ""
        case bool():
            return str(int(value))
        case float():
            return f"{value:.15g}"
        case Enum():
            return str(value.value)
        case tuple():
            return ",".join(map(str, value))
        case _:
            return str(value)


async def _version(server: Server) -> list[Row]:
    return [[version()]]


async def _state(server: Server) -> list[Row]:
    paused = server.pools.gates.all_paused
    return [["active", "no" if paused else "yes"], ["paused", "yes" if paused else "no"], ["suspended", "no"]]


async def _nothing(server: Server) -> list[Row]:
    """What there is none of here: peers, and names looked up by ourselves."""
    return []


# --- Statistics --------------------------------------------------------------------------------------------------


async def _statistics(server: Server) -> list[tuple[str, list[int], list[int]]]:
    """Name, totals and averages of each database, over all processes."""
    summed = range(1, 1 + 2 * _COUNT)
    rows = await merge(await server.node.ask_all("statistics"), 1, summed, (1 + 2 * _COUNT,))
    return [one async for piece in in_turns(map(_statistics_of, rows)) for one in piece]


def _statistics_of(row: Row) -> tuple[str, list[int], list[int]]:
    name, *figures, seconds = row
    numbers = [_integer(figure) for figure in figures]
    return str(name), numbers[:_COUNT], averages(numbers[_COUNT:], float(_number(seconds)))


def averages(figures: list[int], seconds: float) -> list[int]:
    """Of what happened in so many seconds: each second's share, but of times what one case took on average."""
    named = dict(zip(FIGURES, figures, strict=True))
    each = {"xact_time": "xact_count", "query_time": "query_count", "wait_time": "server_assignment_count"}
    return [
        value // max(1, named[each[name]]) if name in each else round(value / seconds) if seconds else 0
        for name, value in named.items()
    ]


async def _stats(server: Server) -> list[Row]:
    return await _made([name, *totals, *means, totals[2]] for name, totals, means in await _statistics(server))


async def _stats_totals(server: Server) -> list[Row]:
    return [[name, *totals] for name, totals, _ in await _statistics(server)]


async def _stats_averages(server: Server) -> list[Row]:
    return [[name, *means] for name, _, means in await _statistics(server)]


async def _totals(server: Server) -> list[Row]:
    rows = await merge(await server.node.ask_all("statistics"), 1, range(1, 1 + 2 * _COUNT), (1 + 2 * _COUNT,))
    figures = [sum(_integer(row[index]) for row in rows) for index in range(1, 1 + 2 * _COUNT)]
    seconds = max((float(_number(row[-1])) for row in rows), default=0.0)
    names = [_IN_TOTALS.get(name, name) for name in FIGURES]
    shown: list[Row] = [[f"total_{name}", value] for name, value in zip(names, figures[:_COUNT], strict=True)]
    means = averages(figures[_COUNT:], seconds)
    return shown + [[f"avg_{name}", value] for name, value in zip(names, means, strict=True)]


# --- Our own -----------------------------------------------------------------------------------------------------


async def _bans(server: Server) -> list[Row]:
    return await merge(await server.node.ask_all("bans"), 2, (), (2,))


async def _plugins(server: Server) -> list[Row]:
    return await merge(await server.node.ask_all("plugins"), 1, range(6, 10))


async def _hooks(server: Server) -> list[Row]:
    rows = await merge(await server.node.ask_all("hooks"), 2, (3, 4, 5, 7), (6,))
    return [[*row[:6], _integer(row[5]) // max(1, _integer(row[3])), *row[6:]] for row in rows]


async def _pins(server: Server) -> list[Row]:
    rows = await merge(await server.node.ask_all("pins"), 3, (3,), (4,))
    return [[*row[:4], *divmod(_integer(row[4]), 1_000_000)] for row in rows]


async def _listeners(server: Server) -> list[Row]:
    rows = await merge(await server.node.ask_all("listeners"), 2, (2, 3), (4,))
    return sorted(rows, key=lambda row: (str(row[0]), str(row[1])))


async def _queries(server: Server) -> list[Row]:
    return show_queries(await server.node.ask_all("queries"))


SHOWS: Final[dict[str, Show]] = {
    "ACTIVE_SOCKETS": _active_sockets,
    "BANS": _bans,
    "CLIENTS": _clients,
    "CONFIG": _config,
    "DATABASES": _databases,
    "DNS_HOSTS": _dns_hosts,
    "DNS_ZONES": _nothing,
    "FDS": _fds,
    "HOOKS": _hooks,
    "LISTENERS": _listeners,
    "LISTS": _lists,
    "MEM": _mem,
    "PEERS": _nothing,
    "PEER_POOLS": _nothing,
    "PINS": _pins,
    "PLUGINS": _plugins,
    "POOLS": _pools,
    "QUERIES": _queries,
    "SERVERS": _servers,
    "SOCKETS": _sockets,
    "STATE": _state,
    "STATS": _stats,
    "STATS_AVERAGES": _stats_averages,
    "STATS_TOTALS": _stats_totals,
    "TOTALS": _totals,
    "USERS": _users,
    "VERSION": _version,
}
