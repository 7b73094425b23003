"""Opening a connection to a PostgreSQL server, from the first packet to the first ReadyForQuery."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from interceptor.errors import (
    BACKEND_CONNECT,
    BACKEND_LOGIN,
    BACKEND_LOST,
    BACKEND_PROTOCOL,
    BACKEND_TLS,
    BackendError,
    ProtocolViolation,
)
from interceptor.protocol import messages
from interceptor.protocol.framing import FrameBuffer
from interceptor.session.reported import Reported, reported_of
from pooler.auth import BackendCredential, BackendLogin, KeyCache, Work
from pooler.config import PoolSettings
from pooler.config.tls import ServerTls, SslMode
from pooler.tasks import derive
from pooler.tls import TlsTransport
from pooler.tls.connecting import connect_with_tls

MAX_LOGIN_MESSAGE: Final = 1024 * 1024
"""Bytes of all that a server says when it logs us in, and of one message when it does housekeeping for us."""


_NOT_IN_HBA: Final = "28000"
"""The SQLSTATE of "no pg_hba.conf entry", which may be different with TLS, or without it."""


@dataclass(frozen=True, slots=True)
class BackendAddress:
    """Where a server listens: a TCP address, or the directory of a Unix socket where ``host`` begins with "/"; and how
    it is spoken to."""

    host: str
    port: int
    tls: ServerTls | None = None
    """None: in the clear."""

    @property
    def socket_path(self) -> str | None:
        """The Unix socket, as PostgreSQL names it; None for TCP."""
        return f"{self.host}/.s.PGSQL.{self.port}" if self.host.startswith("/") else None

    def __str__(self) -> str:
        return self.socket_path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")

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
        return (await loop.create_connection(lambda: protocol, self.host, self.port))[0]


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


async def log_in(
    settings: PoolSettings, profile: Mapping[str, str], credential: BackendCredential | None, keys: KeyCache
) -> LoggedIn:
    """Connect and log in as the settings say. ``profile`` holds the startup parameters beside user and database.

    Raises BackendError that says which server and why; then nothing is left open.
    """
    place = BackendAddress(settings.host, settings.port)
    try:
        async with asyncio.timeout(settings.server_connect_timeout or None):
            *others, last = _ways(settings)
            for address in others:
                try:
                    return await _log_in(address, settings, profile, credential, keys)
                except _TryOtherWay:
                    continue
            return await _log_in(last, settings, profile, credential, keys)
    except OSError as error:
        # TimeoutError is an OSError too, and says nothing by itself.
        reason = (
            f"no answer within {settings.server_connect_timeout:g} s"
            if isinstance(error, TimeoutError)
            else (error.strerror or str(error))
        )
        raise BackendError(
            BACKEND_CONNECT,
            f'cannot connect to the server of database "{settings.database}" at {place}: {reason}',
            hint="Check that the server runs, and the address in the configuration.",
        ) from error
    except ProtocolViolation as error:
        raise BackendError(
            BACKEND_PROTOCOL,
            f'the server of database "{settings.database}" at {place} does not speak PostgreSQL\'s protocol: '
            f"{error.message}",
        ) from error
    except (BackendError, _TryOtherWay) as failed:
        refusal = failed.error if isinstance(failed, _TryOtherWay) else failed
        raise BackendError(
            refusal.failure,
            f'cannot log in to the server of database "{settings.database}" at {place}: {refusal.message}',
            sqlstate=refusal.sqlstate,
            detail=refusal.detail,
            hint=refusal.hint,
        ) from refusal


class _TryOtherWay(Exception):
    """The login failed in a way that says nothing about the same login with TLS, or without it."""

    def __init__(self, error: BackendError) -> None:
        super().__init__(error.message)
        self.error = error


def _ways(settings: PoolSettings) -> list[BackendAddress]:
    """With TLS or without it, in the order in which libpq tries them."""
    plain = BackendAddress(settings.host, settings.port)
    tls = settings.tls
    if tls.mode is SslMode.DISABLE or plain.socket_path is not None:
        return [plain]
    encrypted = BackendAddress(settings.host, settings.port, tls)
    if tls.mode is SslMode.ALLOW:
        return [plain, BackendAddress(settings.host, settings.port, tls.without_fallback())]
    return [encrypted, plain] if tls.mode is SslMode.PREFER else [encrypted]


async def _log_in(
    address: BackendAddress,
    settings: PoolSettings,
    profile: Mapping[str, str],
    credential: BackendCredential | None,
    keys: KeyCache,
) -> LoggedIn:
    """One attempt. Raises _TryOtherWay where a connection that is encrypted in another way may fare better."""
    reader = _FrameReader()
    as_asked = True
    try:
        transport = await address.connect(reader)
        encrypted = isinstance(transport, TlsTransport)
        as_asked = encrypted or address.tls is None
        # What is sent later, such as a cancel request, goes the way that this went.
        tls = address.tls.without_fallback() if address.tls is not None and encrypted else None
        address = BackendAddress(address.host, address.port, tls)
        return await _converse(reader, address, settings, profile, credential, keys)
    except BackendError as error:
        reader.abort()
        if error.failure is BACKEND_TLS or (error.sqlstate == _NOT_IN_HBA and as_asked):
            raise _TryOtherWay(error) from error
        raise
    except BaseException:
        reader.abort()
        raise


async def _converse(
    reader: _FrameReader,
    address: BackendAddress,
    settings: PoolSettings,
    profile: Mapping[str, str],
    credential: BackendCredential | None,
    keys: KeyCache,
) -> LoggedIn:
    transport = reader.transport
    transport.write(messages.encode_startup({"user": settings.user, "database": settings.dbname, **profile}))
    end_point = transport.peer_end_point() if isinstance(transport, TlsTransport) else None
    login = BackendLogin(settings.user, credential, keys, end_point, settings.tls.channel_binding)
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


class _FrameReader(asyncio.Protocol):
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

    def abort(self) -> None:
        if hasattr(self, "transport"):
            self.transport.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
