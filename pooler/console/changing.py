"""The commands that change something: their arguments, and how they are carried out in all processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from interceptor.errors import CONSOLE_FAILED, CONSOLE_SYNTAX, UNKNOWN_DATABASE, ClientError
from pooler.config import CONSOLE_DATABASES
from pooler.console.words import Word
from pooler.tasks import spawn

if TYPE_CHECKING:
    from pooler.server import Server

__all__ = ["CHANGES", "HELP", "Change"]

logger = logging.getLogger(__name__)

_AGAIN: Final = 0.1
"""Seconds until a command is given again for which there was no control."""

HELP: Final = """\
\tSHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION
\tSHOW PEERS|PEER_POOLS
\tSHOW FDS|SOCKETS|ACTIVE_SOCKETS|LISTS|MEM|STATE
\tSHOW DNS_HOSTS|DNS_ZONES
\tSHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS
\tSHOW PLUGINS|HOOKS|PINS|LISTENERS|QUERIES|BANS
\tSET key = arg
\tRELOAD
\tRESET QUERIES
\tPAUSE [<db>]
\tRESUME [<db>]
\tDISABLE <db>
\tENABLE <db>
\tRECONNECT [<db>]
\tKILL [<db>]
\tKILL_CLIENT <client_id>
\tSHUTDOWN
\tSHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS
\tUNBAN <address> [<db>]
\tWAIT_CLOSE [<db>]"""

Arguments: TypeAlias = "tuple[str, ...]"


@dataclass(frozen=True, slots=True)
class Change:
    """A command. ``run`` returns what the user is told by NOTICE."""

    read: Callable[[Sequence[Word]], Arguments]
    """Raises ClientError, not fatal, for arguments that it can't have."""
    run: Callable[[Server, Arguments], Awaitable[list[str]]]
    tag: Callable[[Arguments], str]


# --- Arguments ---------------------------------------------------------------------------------------------------


def _wrong(text: str, hint: str = "") -> ClientError:
    return ClientError(CONSOLE_SYNTAX, text, hint=hint or "SHOW HELP lists the commands.", fatal=False)


def _reader(name: str, *, needed: bool = False) -> Callable[[Sequence[Word]], Arguments]:
    """For a command that takes the name of a database, or may."""

    def read(words: Sequence[Word]) -> Arguments:
        if needed and not words:
            raise _wrong(f"a database is required: {name} <db>")
        if len(words) > 1:
            raise _wrong(f'{name} takes one database, and not "{words[1]}" too')
        return tuple(map(str, words))

    return read


def _read_nothing(words: Sequence[Word]) -> Arguments:
    if words:
        raise _wrong(f'nothing was expected here, but found "{words[0]}"')
    return ()


def _read_client(words: Sequence[Word]) -> Arguments:
    if len(words) != 1 or not words[0].isascii() or not words[0].isdigit():
        raise _wrong("invalid client id supplied", "The column id of SHOW CLIENTS has it: KILL_CLIENT 17")
    return (str(int(words[0])),)


def _read_ban(words: Sequence[Word]) -> Arguments:
    if not 1 <= len(words) <= 2:
        raise _wrong("an address is required: UNBAN <address> [<db>]", "SHOW BANS lists addresses and databases.")
    return tuple(map(str, words))


_SHUTDOWNS: Final = ("", "WAIT_FOR_SERVERS", "WAIT_FOR_CLIENTS")


def _read_shutdown(words: Sequence[Word]) -> Arguments:
    mode = " ".join(words).upper()
    if mode not in _SHUTDOWNS:
        raise _wrong(f'SHUTDOWN, SHUTDOWN WAIT_FOR_SERVERS and SHUTDOWN WAIT_FOR_CLIENTS exist, but not "{mode}"')
    return (mode,)


def _read_setting(words: Sequence[Word]) -> Arguments:
    key, separator, value = (*words[:3], "", "", "")[:3]
    if not key or (str(separator) != "=" and str(separator).upper() != "TO") or len(words) > 3:
        raise _wrong("expected SET key = value", "A value with blanks stands in single quotes.")
    return str(key).lower(), str(value)


# --- What they do ------------------------------------------------------------------------------------------------


def _check_database(server: Server, arguments: Arguments) -> None:
    for name in arguments:
        if name in CONSOLE_DATABASES:
            raise ClientError(CONSOLE_FAILED, f"{name} is the admin console, and no database", fatal=False)
        if server.config.find_database(name) is None:
            raise ClientError(
                UNKNOWN_DATABASE, f"no such database: {name}", hint="SHOW DATABASES lists them.", fatal=False
            )


def _telling(command: str, *, database: bool = False) -> Callable[[Server, Arguments], Awaitable[list[str]]]:
    async def run(server: Server, arguments: Arguments) -> list[str]:
        if database:
            _check_database(server, arguments)
        logger.info("%s", " ".join([command, *arguments]).rstrip())
        answers = await server.node.tell_all(command, arguments)
        return list(dict.fromkeys(str(row[0]) for rows in answers for row in rows))

    return run


async def _pause(server: Server, arguments: Arguments) -> list[str]:
    _check_database(server, arguments)
    gates = server.pools.gates
    if gates.all_paused:
        raise ClientError(CONSOLE_FAILED, "already paused", hint="RESUME lets clients go on.", fatal=False)
    logger.info("%s", " ".join(["PAUSE", *arguments]))
    held_up_before = bool(arguments) and arguments[0] in gates.paused
    try:
        await server.node.tell_all("PAUSE", arguments)
    except asyncio.CancelledError:
        if held_up_before:
            raise
        # Whoever asked has given up, and nobody else may know that all are held up.
        logger.info("PAUSE was canceled: %s", " ".join(["RESUME", *arguments]))
        server.tell_later("RESUME", arguments)
        raise
    return []


async def _resume(server: Server, arguments: Arguments) -> list[str]:
    _check_database(server, arguments)
    gates = server.pools.gates
    if arguments and arguments[0] not in gates.paused:
        what = "all databases are paused: RESUME without a name" if gates.all_paused else "it is not paused"
        raise ClientError(CONSOLE_FAILED, f"database {arguments[0]} can't be resumed: {what}", fatal=False)
    if server.shutting_down:
        raise ClientError(CONSOLE_FAILED, "the pooler is shutting down", fatal=False)
    if not arguments and not gates.all_paused and not gates.paused:
        raise ClientError(CONSOLE_FAILED, "the pooler is not paused", fatal=False)
    logger.info("%s", " ".join(["RESUME", *arguments]))
    await server.node.tell_all("RESUME", arguments)
    return []


async def _kill_client(server: Server, arguments: Arguments) -> list[str]:
    logger.info("KILL_CLIENT %s", arguments[0])
    answers = await server.node.tell_all("KILL_CLIENT", arguments)
    if not any(answers):
        raise ClientError(
            CONSOLE_FAILED, f"client not found: {arguments[0]}", hint="SHOW CLIENTS lists their ids.", fatal=False
        )
    return []


async def _shut_down(server: Server, arguments: Arguments) -> list[str]:
    mode = arguments[0]
    logger.info("%s", f"SHUTDOWN {mode}".rstrip())
    if server.shutting_down:
        _end(server)
    else:
        spawn(_shut_down_later(server, mode), name="shutdown")
    return []


async def _shut_down_later(server: Server, mode: str) -> None:
    while True:
        try:
            await server.node.tell_all("SHUTDOWN", (mode,))
        except ClientError:
            # There is no control just now. Nobody minds to be told twice.
            await asyncio.sleep(_AGAIN)
        else:
            _end(server)
            return


def _end(server: Server) -> None:
    """End this process, or rather its node."""
    assert server.on_shutdown is not None, "nobody serves"
    server.on_shutdown()


async def _unban(server: Server, arguments: Arguments) -> list[str]:
    logger.info("UNBAN %s", " ".join(arguments))
    if not any(await server.node.tell_all("UNBAN", arguments)):
        where = f' from database "{arguments[1]}"' if len(arguments) > 1 else ""
        raise ClientError(
            CONSOLE_FAILED, f"{arguments[0]} is not banned{where}", hint="SHOW BANS lists who is.", fatal=False
        )
    return []


async def _suspend(server: Server, arguments: Arguments) -> list[str]:
    raise ClientError(
        CONSOLE_FAILED,
        "SUSPEND does not exist here: it is the half of an online restart in which PgBouncer hands over its sockets",
        hint="PAUSE holds up clients and closes all connections to servers.",
        fatal=False,
    )


def _named(name: str) -> Callable[[Arguments], str]:
    return lambda arguments: name


CHANGES: Final[dict[str, Change]] = {
    "DISABLE": Change(_reader("DISABLE", needed=True), _telling("DISABLE", database=True), _named("DISABLE")),
    "ENABLE": Change(_reader("ENABLE", needed=True), _telling("ENABLE", database=True), _named("ENABLE")),
    "KILL": Change(_reader("KILL"), _telling("KILL", database=True), _named("KILL")),
    "KILL_CLIENT": Change(_read_client, _kill_client, _named("KILL_CLIENT")),
    "PAUSE": Change(_reader("PAUSE"), _pause, _named("PAUSE")),
    "RECONNECT": Change(_reader("RECONNECT"), _telling("RECONNECT", database=True), _named("RECONNECT")),
    "RELOAD": Change(_read_nothing, _telling("RELOAD"), _named("RELOAD")),
    "RESET QUERIES": Change(_read_nothing, _telling("RESET QUERIES"), _named("RESET QUERIES")),
    "RESUME": Change(_reader("RESUME"), _resume, _named("RESUME")),
    "SET": Change(_read_setting, _telling("SET"), lambda arguments: f"SET {arguments[0]}={arguments[1]}"),
    "SHUTDOWN": Change(_read_shutdown, _shut_down, _named("SHUTDOWN")),
    "SUSPEND": Change(_read_nothing, _suspend, _named("SUSPEND")),
    "UNBAN": Change(_read_ban, _unban, _named("UNBAN")),
    "WAIT_CLOSE": Change(_reader("WAIT_CLOSE"), _telling("WAIT_CLOSE", database=True), _named("WAIT_CLOSE")),
}
