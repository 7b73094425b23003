"""The console's half of a conversation: the simple and the extended protocol over commands instead of SQL.

Every message is answered before the next is looked at, so there are no queues; a command that waits (PAUSE) is a
coroutine that its connection can cancel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from struct import Struct
from typing import TYPE_CHECKING, Final, Protocol

from interceptor.errors import CONSOLE_FAILED, CONSOLE_SYNTAX, PROTOCOL_VIOLATION, QUERY_CANCELED, ClientError
from interceptor.protocol import messages
from interceptor.protocol.datatypes import find_type
from interceptor.protocol.messages import decode_cstring
from interceptor.protocol.rows import (
    ColumnDescription,
    RowEncoder,
    encode_command_complete,
    encode_parameter_description,
    encode_row_description,
)
from pooler.console.commands import Answer, Command, Console, find_command
from pooler.console.words import split
from pooler.reports.turns import in_turns

if TYPE_CHECKING:
    from pooler.console.columns import Columns

__all__ = ["ConsoleHost", "ConsoleSession"]

_EMPTY_QUERY: Final = messages.encode_message(messages.EMPTY_QUERY_RESPONSE, b"")
_NO_DATA: Final = messages.encode_message(messages.NO_DATA, b"")
_BIND_COMPLETE: Final = messages.encode_message(messages.BIND_COMPLETE, b"")
_SUSPENDED: Final = messages.encode_message(messages.PORTAL_SUSPENDED, b"")
_COUNT: Final = Struct("!H")
_ROW_LIMIT: Final = Struct("!i")

MAX_STATEMENTS: Final = 1000
"""Statements and portals that one console may keep."""


class ConsoleHost(Protocol):
    """The connection."""

    def write(self, data: bytes) -> None:
        """Send."""

    async def drain(self) -> None:
        """Return when the client has read what it was sent, or nearly."""

    async def interruptible(self, work: Awaitable[Answer]) -> Answer:
        """Await this; a cancel request of the client's cancels it."""


@dataclass(slots=True)
class _Portal:
    """A command with the formats of its columns, and what is left of its rows once it has run."""

    command: Command | None
    formats: tuple[int, ...]
    rows: Iterator[bytes] | None = None
    done: bool = False


class ConsoleSession:
    """One console's statements, portals, and the transaction that its driver thinks it is in."""

    def __init__(self, host: ConsoleHost, console: Console) -> None:
        self._host = host
        self._console = console
        self._statements: dict[bytes, Command | None] = {}
        self._portals: dict[bytes, _Portal] = {}
        self._status = messages.IDLE
        self._ignoring = False
        """Up to the next Sync, because of an error."""
        self._handlers = {
            messages.PARSE: self._parse,
            messages.BIND: self._bind,
            messages.DESCRIBE: self._describe,
            messages.EXECUTE: self._execute,
            messages.CLOSE: self._close,
        }

    async def handle(self, kind: int, body: bytes) -> bool:
        """Answer one message. False if it was the last. Raises ProtocolViolation for one that is none."""
        if kind == messages.TERMINATE:
            return False
        if kind == messages.QUERY:
            self._ignoring = False
            await self._query(body)
        elif kind == messages.SYNC:
            self._ignoring = False
            if self._status == messages.IDLE:
                self._portals.clear()
            self._write_ready()
        elif kind in self._handlers:
            if not self._ignoring:
                try:
                    await self._handlers[kind](body)
                except ClientError as error:
                    if error.fatal:
                        raise
                    self._fail(error)
                    self._ignoring = True
        elif kind != messages.FLUSH:
            raise ClientError(PROTOCOL_VIOLATION, f"the admin console has no use for a message of type {chr(kind)!r}")
        await self._host.drain()
        return True

    # --- The simple protocol ---------------------------------------------------------------------------------------

    async def _query(self, body: bytes) -> None:
        self._statements.pop(b"", None)
        try:
            text, _ = decode_cstring(body, 0)
            statements = split(_decode(text))
            if not statements:
                self._host.write(_EMPTY_QUERY)
            for words in statements:
                command = find_command(self._console, words)
                answer = await self._run(command)
                self._write_notices(answer)
                if command.columns:
                    self._host.write(encode_row_description(_described(command.columns)))
                await self._write_rows(self._encoded(command, answer, ()), 0)
                self._write_end(command)
        except ClientError as error:
            if error.fatal:
                raise
            self._fail(error)
        self._write_ready()

    # --- The extended protocol -------------------------------------------------------------------------------------

    async def _parse(self, body: bytes) -> None:
        name, position = decode_cstring(body, 0)
        text, _ = decode_cstring(body, position)
        if name and name in self._statements:
            raise ClientError(CONSOLE_SYNTAX, f'prepared statement "{_decode(name)}" already exists', fatal=False)
        self._make_room(self._statements)
        found = split(_decode(text))
        if len(found) > 1:
            raise ClientError(CONSOLE_SYNTAX, "cannot insert multiple commands into a prepared statement", fatal=False)
        self._statements[name] = find_command(self._console, found[0]) if found else None
        self._host.write(messages.PARSE_COMPLETE_MESSAGE)

    async def _bind(self, body: bytes) -> None:
        portal, position = decode_cstring(body, 0)
        name, position = decode_cstring(body, position)
        command = self._statement(name)
        formats, position = _read_formats(body, position)
        (parameters,) = _COUNT.unpack_from(_need(body, position, 2), position)
        if parameters:
            raise ClientError(
                CONSOLE_SYNTAX, "commands of the admin console have no parameters: write them out", fatal=False
            )
        formats, _ = _read_formats(body, position + 2)
        columns = () if command is None else command.columns
        if len(formats) > 1 and len(formats) != len(columns):
            raise ClientError(
                PROTOCOL_VIOLATION,
                f"bind message has {len(formats)} result formats but the command has {len(columns)} columns",
                fatal=False,
            )
        self._make_room(self._portals)
        self._portals[portal] = _Portal(command, formats)
        self._host.write(_BIND_COMPLETE)

    async def _describe(self, body: bytes) -> None:
        name, _ = decode_cstring(body, 1)
        formats: tuple[int, ...] = ()
        if body[:1] == b"S":
            command = self._statement(name)
            self._host.write(encode_parameter_description(()))
        else:
            portal = self._portal(name)
            command, formats = portal.command, portal.formats
        if command is None or not command.columns:
            self._host.write(_NO_DATA)
        else:
            self._host.write(encode_row_description(_described(command.columns), formats))

    async def _execute(self, body: bytes) -> None:
        name, position = decode_cstring(body, 0)
        (limit,) = _ROW_LIMIT.unpack_from(_need(body, position, 4), position)
        portal = self._portal(name)
        command = portal.command
        if command is None:
            self._host.write(_EMPTY_QUERY)
            return
        if portal.done:
            raise ClientError(CONSOLE_FAILED, f'portal "{_decode(name)}" cannot be run', fatal=False)
        if portal.rows is None:
            answer = await self._run(command)
            self._write_notices(answer)
            portal.rows = self._encoded(command, answer, portal.formats)
        if await self._write_rows(portal.rows, limit):
            portal.done = True
            self._write_end(command)
        else:
            self._host.write(_SUSPENDED)

    async def _close(self, body: bytes) -> None:
        name, _ = decode_cstring(body, 1)
        if body[:1] == b"S":
            self._statements.pop(name, None)
        else:
            self._portals.pop(name, None)
        self._host.write(messages.CLOSE_COMPLETE_MESSAGE)

    def _statement(self, name: bytes) -> Command | None:
        if name not in self._statements:
            raise ClientError(CONSOLE_SYNTAX, f'prepared statement "{_decode(name)}" does not exist', fatal=False)
        return self._statements[name]

    def _portal(self, name: bytes) -> _Portal:
        found = self._portals.get(name)
        if found is None:
            raise ClientError(CONSOLE_SYNTAX, f'portal "{_decode(name)}" does not exist', fatal=False)
        return found

    def _make_room(self, kept: dict[bytes, Command | None] | dict[bytes, _Portal]) -> None:
        if len(kept) >= MAX_STATEMENTS:
            raise ClientError(
                CONSOLE_FAILED, f"a console may keep {MAX_STATEMENTS} statements, and this one has so many", fatal=False
            )

    # --- Both ------------------------------------------------------------------------------------------------------

    async def _run(self, command: Command) -> Answer:
        if self._status == messages.FAILED_TRANSACTION and command.transaction != "end":
            raise ClientError(
                CONSOLE_FAILED,
                "current transaction is aborted, commands ignored until end of transaction block",
                hint="Send ROLLBACK. The console has no transactions, but your driver has begun one.",
                fatal=False,
            )
        try:
            return await self._host.interruptible(command.run())
        except asyncio.CancelledError as canceled:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ClientError(QUERY_CANCELED, "canceling statement due to user request", fatal=False) from canceled

    def _encoded(self, command: Command, answer: Answer, formats: Sequence[int]) -> Iterator[bytes]:
        if not command.columns:
            return
        encoder = RowEncoder(_described(command.columns), formats)
        try:
            for row in answer.rows:
                yield encoder.encode(row)
        except ValueError as error:
            # What a plugin answers is checked by nobody before.
            raise ClientError(
                CONSOLE_FAILED, f"the answer does not fit the columns that were announced: {error}", fatal=False
            ) from error

    async def _write_rows(self, rows: Iterator[bytes], limit: int) -> bool:
        """Send so many rows, all if ``limit`` is 0. Whether that was the end."""
        sent = 0
        async for piece in in_turns(islice(rows, limit) if limit else rows):
            sent += len(piece)
            self._host.write(b"".join(piece))
            await self._host.drain()
        return not limit or sent < limit

    def _write_notices(self, answer: Answer) -> None:
        for text, detail in answer.notices:
            self._host.write(
                messages.encode_error("NOTICE", "00000", text, detail=detail, kind=messages.NOTICE_RESPONSE)
            )

    def _write_end(self, command: Command) -> None:
        if command.transaction == "begin":
            self._status = messages.IN_TRANSACTION
        elif command.transaction == "end":
            self._status = messages.IDLE
        self._host.write(encode_command_complete(command.tag))

    def _write_ready(self) -> None:
        self._host.write(messages.READY[self._status])

    def _fail(self, error: ClientError) -> None:
        if self._status == messages.IN_TRANSACTION:
            self._status = messages.FAILED_TRANSACTION
        self._host.write(messages.encode_failure(error))


def _described(columns: Columns) -> list[ColumnDescription]:
    return [ColumnDescription(name, find_type(kind)) for name, kind in columns]


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _need(body: bytes, position: int, size: int) -> bytes:
    if len(body) < position + size:
        raise ClientError(PROTOCOL_VIOLATION, "insufficient data left in message")
    return body


def _read_formats(body: bytes, position: int) -> tuple[tuple[int, ...], int]:
    (count,) = _COUNT.unpack_from(_need(body, position, 2), position)
    end = position + 2 + 2 * count
    _need(body, end, 0)
    return tuple(_COUNT.unpack_from(body, at)[0] for at in range(position + 2, end, 2)), end
