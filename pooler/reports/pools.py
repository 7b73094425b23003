"""Pools, databases and users, as one process sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pooler.backend import BackendState
from pooler.config import ANY_DATABASE, CONSOLE_DATABASES

if TYPE_CHECKING:
    from pooler.backend import Backend
    from pooler.node import Row
    from pooler.pool import Pool
    from pooler.server import Server

__all__ = ["databases", "is_due_for_check", "pools", "sum_up", "users"]


def is_due_for_check(pool: Pool, backend: Backend, now: float) -> bool:
    """Whether an idle backend is tested before it is used again: what PgBouncer calls "used"."""
    settings = pool.settings
    return settings.server_check_query is not None and now - backend.since >= settings.server_check_delay


def pools(server: Server) -> Iterator[Row | None]:
    """By database and role, over all targets: the columns of SHOW POOLS, with the longest wait in microseconds as one.

    Clients and servers are counted where the pools of several targets meet; the pool mode is the primary's.
    """
    now = server.clock.tick()
    found: dict[tuple[str, str], Row] = {}
    for pool in list(server.pools):
        row = _pool(pool, now)
        key = (pool.settings.database, pool.settings.user)
        sum_up(found.setdefault(key, [*key, *[0] * 11, 0, row[-1]]), row)
        yield None
    for name in sorted(CONSOLE_DATABASES):
        count = sum(console.database == name for console in server.consoles)
        found[name, name] = [name, name, count, *[0] * 10, 0, "statement"]
    for key in sorted(found):
        yield found[key]


def sum_up(total: Row, row: Row) -> None:
    """Add the figures of another target, or another process, of the same pool."""
    for index in range(2, 13):
        total[index] = _integer(total[index]) + _integer(row[index])
    total[13] = max(_integer(total[13]), _integer(row[13]))


def _integer(value: object) -> int:
    assert isinstance(value, int)
    return value


def _pool(pool: Pool, now: float) -> Row:
    waiting = len(pool.waiting.for_backend) + len(pool.waiting.for_welcome)
    cancels = sum(backend.cancels for backends in pool.backends.values() for backend in backends)
    used = sum(is_due_for_check(pool, backend, now) for backend in pool.idle)
    first = pool.waiting.first()
    return [
        pool.settings.database,
        pool.settings.user,
        # Those who wait at a replica's pool are clients of the primary's: only the sum over both is right.
        len(pool.clients) - waiting,
        waiting,
        cancels,
        0,
        len(pool.active),
        cancels,
        len(pool.backends[BackendState.BEING_CANCELED]),
        len(pool.idle) - used,
        used,
        len(pool.backends[BackendState.TESTED]) + len(pool.backends[BackendState.RESET]),
        len(pool.growth.logging_in),
        0 if first is None else max(0, round((now - first[0]) * 1e6)),
        pool.settings.pool_mode.value,
    ]


def databases(server: Server) -> Iterator[Row | None]:
    """The columns of SHOW DATABASES; "*" is not among them, but what clients have named under it."""
    config = server.config
    named = dict.fromkeys(name for name in config.databases if name != ANY_DATABASE)
    named |= dict.fromkeys(pool.settings.database for pool in server.pools)
    sizes: Counter[str] = Counter()
    clients: Counter[str] = Counter()
    for pool in list(server.pools):
        sizes[pool.settings.database] += pool.size
        clients[pool.settings.database] += len(pool.clients)
        yield None
    for name in sorted(named):
        yield _database(server, name, sizes[name], clients[name])
    for name in sorted(CONSOLE_DATABASES):
        count = sum(console.database == name for console in server.consoles)
        port = server.config.server.listen_port or server.port
        yield [name, None, port, name, name, 2, 0, 0, 0, "statement", None, 0, 0, 0, count, 0, 0]


def _database(server: Server, name: str, size: int, clients: int) -> Row:
    config = server.config
    found = config.find_database(name)
    gates = server.pools.gates
    state: Row = [size, 0, clients, int(gates.holds(name)), int(name in gates.disabled)]
    if found is None:
        # It has been taken out of the configuration, and its last clients are still here.
        return [name, None, 0, name, None, 0, 0, 0, 0, None, None, 0, *state]
    # As PgBouncer, for whom a database has no size of a user's.
    settings = config.pool_settings(name, found.primary.user or "")
    return [
        name,
        settings.host,
        settings.port,
        settings.dbname,
        found.primary.user,
        config.server.default_pool_size if found.pool_size is None else found.pool_size,
        settings.min_pool_size,
        settings.reserve_pool_size,
        round(settings.server_lifetime),
        None if found.pool_mode is None else found.pool_mode.value,
        settings.choice.load_balance.value if len(settings.hosts) > 1 else None,
        settings.max_db_connections,
        *state,
    ]


def users(server: Server) -> Iterator[Row | None]:
    """The columns of SHOW USERS: those of the configuration and of the user file, and those who are connected."""
    config = server.config
    names = dict.fromkeys([*config.users, *server.user_names()])
    backends: Counter[str] = Counter()
    clients: Counter[str] = Counter()
    for pool in list(server.pools):
        backends[pool.settings.user] += pool.size
        for client in list(pool.clients):
            clients[client.settings.client_user] += 1
            yield None
        yield None
    names |= dict.fromkeys([*backends, *clients])
    for name in sorted(names):
        said = config.users.get(name)
        most = None if said is None else said.max_user_connections
        yield [
            name,
            None if said is None or said.pool_size is None else str(said.pool_size),
            None if said is None or said.reserve_pool_size is None else str(said.reserve_pool_size),
            None if said is None or said.pool_mode is None else said.pool_mode.value,
            config.server.max_user_connections if most is None else most,
            backends[name],
            0,
            clients[name],
        ]
