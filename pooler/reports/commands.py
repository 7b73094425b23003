"""Commands as one process carries them out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Final, cast

from interceptor.errors import KILLED, ClientError
from pooler.departure import goodbye
from pooler.reports.plugins import run_plugin_command

if TYPE_CHECKING:
    from pooler.node import Row
    from pooler.pool import Pool
    from pooler.server import Server

__all__ = ["COMMANDS", "obey"]

_LOOK: Final = 0.02
"""Seconds between two looks at whether what a command waits for has come about."""

Arguments = tuple[str, ...]


async def obey(server: Server, command: str, arguments: Arguments) -> list[Row]:
    """Carry out a command that the console has checked. Returns what is to be told: texts, in rows of one.

    Raises ClientError, not fatal, where this process refuses it; LookupError for a command that doesn't exist.
    """
    return await COMMANDS[command](server, arguments)


def _pools(server: Server, arguments: Arguments) -> Iterator[Pool]:
    """Those of the database that is named, or all."""
    return (pool for pool in list(server.pools) if not arguments or pool.settings.database in arguments)


def _relayed(server: Server, arguments: Arguments) -> bool:
    return any(not arguments or relay.settings.database in arguments for relay in server.relays)


async def _pause(server: Server, arguments: Arguments) -> list[Row]:
    _close_gates(server, arguments)
    for pool in _pools(server, arguments):
        pool.hold()
    server.hubs.look_around()
    gates = server.pools.gates

    def is_done() -> bool:
        if not (gates.holds(arguments[0]) if arguments else gates.all_paused):
            return True  # RESUME came first.
        return not (any(pool.size for pool in _pools(server, arguments)) or _relayed(server, arguments))

    await _until(is_done)
    return []


def _close_gates(server: Server, arguments: Arguments) -> None:
    gates = server.pools.gates
    if arguments:
        gates.paused.update(arguments)
    else:
        gates.all_paused = True


async def _unban(server: Server, arguments: Arguments) -> list[Row]:
    return [[""]] * server.access.bans.lift(*arguments)


async def _reset_queries(server: Server, arguments: Arguments) -> list[Row]:
    if server.host.query_statistics is not None:
        server.host.query_statistics.forget()
    return []


async def _resume(server: Server, arguments: Arguments) -> list[Row]:
    gates = server.pools.gates
    if arguments:
        gates.paused.difference_update(arguments)
    else:
        gates.all_paused = False
        gates.paused.clear()
    for pool in _pools(server, arguments):
        if not gates.holds(pool.settings.database):
            pool.let_go()
    server.hubs.look_around()
    return []


async def _kill(server: Server, arguments: Arguments) -> list[Row]:
    _close_gates(server, arguments)
    error = ClientError(KILLED, "an administrator has ended all connections of this database", hint="Connect again.")
    for pool in _pools(server, arguments):
        pool.hold()
        for client in list(pool.clients):
            client.on_failed(error)
        pool.close()
    for relay in list(server.relays):
        if not arguments or relay.settings.database in arguments:
            relay.close()
    return []


async def _kill_client(server: Server, arguments: Arguments) -> list[Row]:
    number = int(arguments[0])
    client = next((one for one in server.clients if one.number == number), None)
    if client is None:
        return []
    client.on_failed(ClientError(KILLED, "an administrator has ended this connection", hint="Connect again."))
    return [[""]]


async def _reconnect(server: Server, arguments: Arguments) -> list[Row]:
    for pool in _pools(server, arguments):
        pool.retire()
    server.hubs.remake(arguments)
    return []


async def _wait_close(server: Server, arguments: Arguments) -> list[Row]:
    await _until(lambda: not any(pool.is_retiring for pool in _pools(server, arguments)))
    return []


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # what it waits for happens in many places, none of which should pay
        await asyncio.sleep(_LOOK)


async def _disable(server: Server, arguments: Arguments) -> list[Row]:
    server.pools.gates.disabled.update(arguments)
    return []


async def _enable(server: Server, arguments: Arguments) -> list[Row]:
    server.pools.gates.disabled.difference_update(arguments)
    return []


async def _gather(server: Server, arguments: Arguments) -> list[Row]:
    """What a plugin's command has to say here, as it stands: the console makes rows of what all processes say."""
    return [list(cast("Row", row)) for row in await run_plugin_command(server, arguments)]


async def _plugin(server: Server, arguments: Arguments) -> list[Row]:
    rows = await run_plugin_command(server, arguments)
    return [[None if value is None else str(value) for value in row] for row in rows]


async def _reload(server: Server, arguments: Arguments) -> list[Row]:
    return [[note] for note in await server.reloader.reload()]


async def _set(server: Server, arguments: Arguments) -> list[Row]:
    await server.reloader.set(*arguments)
    return []


async def _shut_down(server: Server, arguments: Arguments) -> list[Row]:
    """Take no more clients, and wait until the process may end. The caller sees to the end."""
    mode = arguments[0]
    server.shutting_down = True
    if mode:
        server.listening.stop()
        if server.on_closed is not None:
            server.on_closed()
    if mode == "WAIT_FOR_SERVERS":
        _close_gates(server, ())
        for pool in server.pools:
            pool.hold()
        await _until(lambda: _is_without_servers(server))
    elif mode == "WAIT_FOR_CLIENTS":
        await _until(lambda: len(server.clients) <= len(server.consoles))
    if mode and server.on_emptied is not None:
        server.on_emptied()
    return []


def _is_without_servers(server: Server) -> bool:
    for pool in server.pools:
        waiting = pool.waiting
        for client in [*waiting.for_backend.since, *waiting.for_welcome.since]:
            client.on_failed(goodbye())
    return not (any(pool.size for pool in server.pools) or server.relays)


COMMANDS: Final[dict[str, Callable[[Server, Arguments], Awaitable[list[Row]]]]] = {
    "DISABLE": _disable,
    "ENABLE": _enable,
    "GATHER": _gather,
    "KILL": _kill,
    "KILL_CLIENT": _kill_client,
    "PAUSE": _pause,
    "PLUGIN": _plugin,
    "RECONNECT": _reconnect,
    "RELOAD": _reload,
    "RESET QUERIES": _reset_queries,
    "RESUME": _resume,
    "SET": _set,
    "SHUTDOWN": _shut_down,
    "UNBAN": _unban,
    "WAIT_CLOSE": _wait_close,
}
