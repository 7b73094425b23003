"""What is said between us and a server until it is ready for the first query, over a connection that is there."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from interceptor.errors import BACKEND_LOGIN, BACKEND_LOST, BackendError, ProtocolViolation
from interceptor.protocol import messages
from interceptor.protocol.framing import FrameBuffer
from interceptor.session.reported import Reported, reported_of
from pooler.auth import BackendCredential, BackendLogin, KeyCache, Work
from pooler.config import PoolSettings
from pooler.config.tls import ServerTls
from pooler.tasks import derive
from pooler.tls import TlsTransport
from pooler.tls.connecting import connect_with_tls

__all__ = ["MAX_LOGIN_MESSAGE", "BackendAddress", "FrameReader", "LoggedIn", "Welcome", "ask", "converse"]

MAX_LOGIN_MESSAGE: Final = 1024 * 1024
"""Bytes of all that a server says when it logs us in, and of one message when it does housekeeping for us."""

_FAREWELL: Final = 1.0
"""Seconds that a server of no use has to hang up, before the next one is tried."""


@dataclass(frozen=True, slots=True)
class BackendAddress:
    """Where a server listens: a TCP address, or the directory of a Unix socket where ``host`` begins with "/"; and how
    it is spoken to."""

    host: str
    port: int
    tls: ServerTls | None = None
    """None: in the clear."""
    ip: str = ""
    """The address that ``host`` had when we connected; "" before that, or where it is the directory of a socket."""

    @property
    def socket_path(self) -> str | None:
        """The Unix socket, as PostgreSQL names it; None for TCP."""
        return f"{self.host}/.s.PGSQL.{self.port}" if self.host.startswith("/") else None

    def __str__(self) -> str:
        place = self.socket_path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")
        return place if self.ip in ("", self.host) else f"{place} ({self.ip})"

    async def connect(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Connect, with TLS if that is said. Raises OSError, and BackendError where TLS can't be had."""
        if self.tls is None:
            return await self._connect(protocol)
        return await connect_with_tls(self._connect, self.host, self.tls, protocol)

    async def _connect(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        path = self.socket_path
        if path is not None:
            return (await loop.create_unix_connection(lambda: protocol, path))[0]
        return (await loop.create_connection(lambda: protocol, self.ip or self.host, self.port))[0]


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a server tells at login, for the clients of the same startup parameters."""

    messages: bytes
    """The ParameterStatus messages as they came."""
    reported: Reported
    """What they say."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A connection to a server that is ready for its first query."""

    transport: asyncio.Transport
    address: BackendAddress
    process_id: int
    secret: bytes = field(repr=False)
    welcome: Welcome = field(repr=False)


async def converse(
    reader: FrameReader,
    address: BackendAddress,
    settings: PoolSettings,
    profile: Mapping[str, str],
    credential: BackendCredential | None,
    keys: KeyCache,
) -> LoggedIn:
    """Log in over a connection. Raises what ends it: BackendError, ProtocolViolation, OSError."""
    transport = reader.transport
    transport.write(messages.encode_startup({"user": settings.user, "database": settings.dbname, **profile}))
    end_point = transport.peer_end_point() if isinstance(transport, TlsTransport) else None
    tls = settings.tls
    login = BackendLogin(settings.user, credential, keys, end_point, tls.channel_binding, tls.require_auth)
    parameters: dict[bytes, bytes] = {}
    reports: list[bytes] = []
    process_id, secret = 0, b""
    while True:
        kind, body = await reader.read_frame()
        if kind == messages.AUTHENTICATION and not login.done:
            step = login.receive(body)
            if isinstance(step, Work):
                step = login.resume(await derive(step.function))
            if step is not None:
                transport.write(step.data)
        elif kind == messages.ERROR_RESPONSE:
            raise _refusal(body)
        elif kind == messages.PARAMETER_STATUS and login.done:
            name, position = messages.decode_cstring(body, 0)
            parameters[name] = messages.decode_cstring(body, position)[0]
            reports.append(messages.encode_message(kind, body))
        elif kind == messages.BACKEND_KEY_DATA and login.done and len(body) >= 8:
            process_id, secret = int.from_bytes(body[:4], "big"), body[4:]
        elif kind == messages.READY_FOR_QUERY and login.done and body == b"I":
            welcome = Welcome(b"".join(reports), reported_of(parameters))
            return LoggedIn(transport, address, process_id, secret, welcome)
        elif kind not in (messages.NOTICE_RESPONSE, messages.NEGOTIATE_PROTOCOL_VERSION):
            raise ProtocolViolation(f"message type {kind} during login")


async def ask(reader: FrameReader, query: str) -> bytes:
    """Run a query on a connection that has logged in, and return the one value of its row. Raises as ``converse``."""
    reader.transport.write(messages.encode_query(query))
    value = b""
    while True:
        kind, body = await reader.read_frame()
        if kind == messages.ERROR_RESPONSE:
            raise _refusal(body)
        if kind == messages.DATA_ROW:
            value = body[6:]  # the count of columns, and the length of the one that there is
        elif kind == messages.READY_FOR_QUERY:
            return value


def _refusal(body: bytes) -> BackendError:
    """The server's own error, with its own SQLSTATE: the client asked for what the server refuses."""
    fields = messages.decode_error_fields(body)
    return BackendError(
        BACKEND_LOGIN,
        fields.get("M", "it gave no reason"),
        sqlstate=fields.get("C", ""),
        detail=fields.get("D", ""),
        hint=fields.get("H", ""),
    )


class FrameReader(asyncio.Protocol):
    """Frames to await, for a conversation that is written down as one function."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._buffer = FrameBuffer(MAX_LOGIN_MESSAGE)
        self._frames: deque[tuple[int, bytes]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an asyncio.Transport by inheritance where uvloop made it, but one in all it does.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        self._buffer.feed(data)
        try:
            if self._received > MAX_LOGIN_MESSAGE:
                raise ProtocolViolation(f"more than {MAX_LOGIN_MESSAGE} bytes during login")
            while (frame := self._buffer.next_frame()) is not None:
                self._frames.append(frame)
        except ProtocolViolation as error:
            self._failure = error
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._failure = self._failure or BackendError(
            BACKEND_LOST, f"the server closed the connection during login{f' ({exc})' if exc else ''}"
        )
        self._wake()

    async def read_frame(self) -> tuple[int, bytes]:
        """The next message. Raises what ended the connection."""
        while not self._frames:
            if self._failure is not None:
                raise self._failure
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._frames.popleft()

    async def farewell(self) -> None:
        """Say goodbye, and wait until the server has hung up, or for a second."""
        self.transport.write(messages.TERMINATE_MESSAGE)
        self.transport.close()
        try:
            async with asyncio.timeout(_FAREWELL):
                while self._failure is None:
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
        except TimeoutError:
            self.transport.abort()

    def abort(self) -> None:
        """Cut the connection, if there is one."""
        if hasattr(self, "transport"):
            self.transport.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
