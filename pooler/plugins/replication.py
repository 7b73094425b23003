"""Logical replication for plugins: pgoutput from a temporary slot, over a connection of its own for each stream.

Source: PostgreSQL documentation, "Streaming Replication Protocol" and "Logical Streaming Replication Parameters".
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from struct import Struct
from typing import TYPE_CHECKING, Final

from interceptor.errors import BACKEND_CONNECT, HELPER_QUERY, BackendError
from interceptor.protocol import messages
from interceptor.services import ReplicationMessage, ReplicationStream
from pooler.helpers.incoming import Incoming
from pooler.login import LoggedIn, log_in

if TYPE_CHECKING:
    from pooler.auth import BackendCredential, KeyCache
    from pooler.config import PoolSettings

__all__ = ["PluginReplication"]

STATUS_SECONDS: Final = 10.0
"""Between two reports to the server, whose wal_sender_timeout is 60 s by default."""

_EPOCH: Final = 946_684_800
"""Seconds from 1970 to 2000, from which PostgreSQL counts."""

_XLOG_DATA: Final = Struct("!cQQq")
_KEEPALIVE: Final = Struct("!cQq?")
_STATUS: Final = Struct("!cQQQq?")
_COPY_BOTH: Final = ord("W")
_POSITION: Final = re.compile(rb"[0-9A-F]{1,8}/[0-9A-F]{1,8}")
_OWN_OPTIONS: Final = frozenset(["publication_names"])

FindLogin = Callable[[str], "tuple[PoolSettings, BackendCredential | None]"]
"""Where a database is, and as whom to log in. Raises LookupError."""


class PluginReplication:
    """Implements ``Replication`` for one plugin."""

    def __init__(self, plugin: str, find_login: FindLogin, keys: KeyCache) -> None:
        self._plugin = plugin
        self._find_login = find_login
        self._keys = keys
        self._streams: set[_Stream] = set()

    def stream(
        self, database: str, *, publications: Sequence[str], options: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[ReplicationStream]:
        """As ``Replication.stream``. LookupError, when it is entered, as in ``Services.queries``."""
        given = dict(options or {})
        wrong = sorted(_OWN_OPTIONS & given.keys())
        if wrong or not publications:
            raise ValueError("name the publications in their own argument, at least one")
        return _Entry(self, database, tuple(publications), {"proto_version": "1", **given})

    async def open(self, database: str, publications: Sequence[str], options: Mapping[str, str]) -> _Stream:
        """Start one. Raises BackendError."""
        settings, credential = self._find_login(database)
        parameters = {
            **dict(settings.parameters),
            "replication": "database",
            "application_name": f"interceptor {self._plugin}",
            "client_encoding": "UTF8",
        }
        logged_in = await log_in(settings, parameters, credential, self._keys)
        stream = _Stream(logged_in)
        try:
            async with asyncio.timeout(settings.server_connect_timeout or None):
                await stream.begin(f"interceptor_{secrets.token_hex(8)}", publications, options)
        except TimeoutError:
            stream.abort()
            raise BackendError(
                BACKEND_CONNECT,
                f'no replication stream of the database "{database}" from {logged_in.address} within '
                f"{settings.server_connect_timeout:g} s",
                hint="A slot waits for the transactions that are open when it is made: look for old ones.",
            ) from None
        except BaseException:
            stream.abort()
            raise
        self._streams.add(stream)
        return stream

    async def close(self, stream: _Stream | None = None) -> None:
        """End one stream, or all of them."""
        for one in [stream] if stream is not None else list(self._streams):
            self._streams.discard(one)
            one.abort()
            await one.wait_closed()


class _Entry:
    """A stream that is started when it is entered."""

    def __init__(
        self, replication: PluginReplication, database: str, publications: Sequence[str], options: Mapping[str, str]
    ) -> None:
        self._replication = replication
        self._arguments = (database, publications, options)
        self._stream: _Stream | None = None

    async def __aenter__(self) -> ReplicationStream:
        self._stream = await self._replication.open(*self._arguments)
        return self._stream

    async def __aexit__(self, *exc: object) -> None:
        assert self._stream is not None
        await self._replication.close(self._stream)


class _Stream(Incoming):
    """One connection in replication mode. Implements ``ReplicationStream``."""

    def __init__(self, logged_in: LoggedIn) -> None:
        super().__init__(logged_in)
        self._timer: asyncio.TimerHandle | None = None
        self._streaming = False
        self._received = 0
        """The end of what was given to the plugin."""
        self._confirmed = 0

    # --- Beginning ---------------------------------------------------------------------------------------------------

    async def begin(self, slot: str, publications: Sequence[str], options: Mapping[str, str]) -> None:
        """Make the slot, and start the stream from it."""
        # PostgreSQL 18 only warns of one that does not exist, in its log.
        listed = ", ".join(_literal(name) for name in publications)
        there = await self._command(f"SELECT FROM pg_catalog.pg_publication WHERE pubname IN ({listed})")
        if len(there) < len(set(publications)):
            raise BackendError(
                HELPER_QUERY,
                f"not all of these publications exist: {', '.join(publications)}",
                sqlstate="42704",
                hint="Make them with CREATE PUBLICATION.",
            )
        rows = await self._command(f'CREATE_REPLICATION_SLOT "{slot}" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT')
        found = _POSITION.search(rows[0]) if rows else None
        if found is None:
            raise self.broken("no position for a new replication slot")
        names = ",".join(_identifier(name) for name in publications)
        given = {**options, "publication_names": names}
        words = ", ".join(f"{_identifier(name)} {_literal(value)}" for name, value in given.items())
        start = found[0].decode()
        await self._command(f'START_REPLICATION SLOT "{slot}" LOGICAL {start} ({words})')
        high, low = (int(part, 16) for part in start.split("/"))
        self._received = self._confirmed = (high << 32) + low
        self._streaming = True
        self._report()

    async def _command(self, sql: str) -> list[bytes]:
        """Its rows, as they came. Returns when the server is ready, or begins to stream."""
        self.transport.write(messages.encode_query(sql))
        rows = []
        while True:
            kind, body = await self.next()
            if kind == messages.DATA_ROW:
                rows.append(body)
            elif kind == messages.ERROR_RESPONSE:
                raise _refusal(body)
            elif kind in (messages.READY_FOR_QUERY, _COPY_BOTH):
                return rows

    # --- ReplicationStream -------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[ReplicationMessage]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[ReplicationMessage]:
        while True:
            kind, body = await self.next()
            if kind == messages.ERROR_RESPONSE:
                self.abort()
                raise _refusal(body)
            if kind != messages.COPY_DATA:
                if kind in (messages.NOTICE_RESPONSE, messages.PARAMETER_STATUS):
                    continue
                raise self.broken(f"message type {kind} in a replication stream")
            message = self._decode(body)
            if message is not None:
                self._received = max(self._received, message.end)
                yield message

    def _decode(self, body: bytes) -> ReplicationMessage | None:
        try:
            if body[:1] == b"w":
                _, start, end, sent = _XLOG_DATA.unpack_from(body)
                # What describes a table is sent at no position.
                end = max(end, self._received)
                return ReplicationMessage(start or end, end, _seconds(sent), body[_XLOG_DATA.size :])
            if body[:1] == b"k":
                _, end, sent, wants_reply = _KEEPALIVE.unpack(body)
                if self._confirmed >= self._received:
                    # Nothing is unconfirmed, so what is of no publication need not be kept for us.
                    self._confirmed = max(self._confirmed, end)
                if wants_reply:
                    self._report()
                return ReplicationMessage(end, end, _seconds(sent), b"")
        except Exception as error:
            raise self.broken("a replication message that is cut off") from error
        return None

    def confirm(self, position: int) -> None:
        """As ``ReplicationStream.confirm``."""
        self._confirmed = max(self._confirmed, position)

    def ask_position(self) -> None:
        """As ``ReplicationStream.ask_position``."""
        self._report(wants_reply=True)

    def _report(self, *, wants_reply: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.transport.is_closing() or not self._streaming:
            return
        now = int((time.time() - _EPOCH) * 1_000_000)
        confirmed = self._confirmed
        status = _STATUS.pack(b"r", max(self._received, confirmed), confirmed, confirmed, now, wants_reply)
        self.transport.write(messages.encode_message(messages.COPY_DATA, status))
        self._timer = asyncio.get_running_loop().call_later(STATUS_SECONDS, self._report)

    # --- The end -----------------------------------------------------------------------------------------------------

    def abort(self) -> None:
        """Cut the connection; the server drops the slot with it."""
        self._stop_reporting()
        super().abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_reporting()
        super().connection_lost(exc)

    def _stop_reporting(self) -> None:
        self._streaming = False
        if self._timer is not None:
            self._timer.cancel()


def _refusal(body: bytes) -> BackendError:
    fields = messages.decode_error_fields(body)
    return BackendError(
        HELPER_QUERY,
        f"the server refuses a replication stream: {fields.get('M', 'it gave no reason')}",
        sqlstate=fields.get("C", ""),
        detail=fields.get("D", ""),
        hint=fields.get("H", "It needs wal_level = logical, and a login with the REPLICATION attribute."),
    )


def _seconds(sent: int) -> float:
    return sent / 1_000_000 + _EPOCH


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
