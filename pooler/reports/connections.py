"""Every connection of one process: clients, servers, and the sockets of both."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pooler.backend import BackendState
from pooler.client_socket import ClientState
from pooler.reports.pools import is_due_for_check

if TYPE_CHECKING:
    import asyncio

    from pooler.backend import Backend
    from pooler.client import ClientConnection
    from pooler.console.connection import ConsoleConnection
    from pooler.node import Row, Value
    from pooler.relay import Relay
    from pooler.server import Server

__all__ = ["clients", "file_descriptors", "servers", "sockets"]

_STATES: Final = {
    BackendState.ACTIVE: "active",
    BackendState.IDLE: "idle",
    BackendState.TESTED: "tested",
    BackendState.RESET: "tested",
    BackendState.BEING_CANCELED: "being_canceled",
    BackendState.CLOSING: "closing",
}
_IN: Final = frozenset({ClientState.WELCOME, ClientState.READY})
_PEER_CREDENTIALS: Final = struct.Struct("3i")
_STATE: Final = 4

_BUFFERS: Final = 7
"""Columns that SHOW SOCKETS has and SHOW CLIENTS has not."""


def clients(server: Server) -> Iterator[Row]:
    """The columns of SHOW CLIENTS. Who leaves while this is read may be missing."""
    clock = _Clock(server)
    for client in list(server.clients):
        if client.state in _IN and not client.transport.is_closing():
            yield _client(client, clock)
    yield from [_relayed_client(one, clock) for one in server.relays]
    yield from [_console(one, clock) for one in server.consoles]


def servers(server: Server) -> Iterator[Row]:
    """The columns of SHOW SERVERS."""
    clock = _Clock(server)
    for backend in _backends(server):
        if backend.state is not BackendState.GONE:
            yield _server(backend, clock)
    yield from [_relayed_server(one, clock) for one in server.relays]


def _backends(server: Server) -> list[Backend]:
    return [backend for pool in server.pools for some in pool.backends.values() for backend in some]


def sockets(server: Server) -> Iterator[Row]:
    """The columns of SHOW SOCKETS."""
    clock = _Clock(server)
    for client in list(server.clients):
        if client.transport.is_closing():
            continue
        if client.state is ClientState.READY and client.login is None:
            kept, unsent = len(client.session.rest), client.transport.get_write_buffer_size()
            yield _with_buffers(_client(client, clock), "cl_", kept, client.session.streaming, unsent)
        elif client.state is ClientState.WELCOME:
            yield _with_buffers(_client(client, clock), "cl_", 0, 0, 0)
    for client in list(server.logins):
        address = _address_of_peer(client)
        row = _row("C", "(nouser)", "(nodb)", "login", client.transport, address, clock, client)
        yield _with_buffers(row, "cl_", 0, 0, 0)
    for backend in _backends(server):
        if backend.state is not BackendState.GONE:
            session, unsent = backend.session, backend.transport.get_write_buffer_size()
            yield _with_buffers(_server(backend, clock), "sv_", len(session.partial), session.streaming, unsent)


def file_descriptors(server: Server) -> Iterator[Row]:
    """The columns of SHOW FDS; cancel keys, passwords and keys are left out."""
    for listening in server.listening.sockets:
        yield [listening.fileno(), "pooler", None, None, *_name_of(listening), None, None, *[None] * 7]
    for client in list(server.clients):
        if client.state is not ClientState.READY or client.login is not None or client.transport.is_closing():
            continue
        settings, backend, told = client.settings, client.backend, client.session.belongings.told.values
        link = None if backend is None else _descriptor(backend.transport)
        seen = [_text(told.get(name)) for name in _SHOWN]
        address = _address_of_peer(client)
        known: Row = [settings.client_user, settings.database, *address]
        yield [_descriptor(client.transport), "client", *known, None, link, *seen, None, None, None]
    for backend in _backends(server):
        if backend.state is BackendState.GONE:
            continue
        link = None if backend.client is None else _descriptor(backend.client.transport)
        seen = [_text(backend.session.reported.values.get(name)) for name in _SHOWN]
        known = [backend.pool.settings.user, backend.pool.settings.database, *_address(backend)]
        yield [_descriptor(backend.transport), "server", *known, None, link, *seen, None, None, None]


_SHOWN: Final = (b"client_encoding", b"standard_conforming_strings", b"DateStyle", b"TimeZone")


# --- One row each ------------------------------------------------------------------------------------------------


class _Clock:
    """Turns times of the server's clock into times of day."""

    def __init__(self, server: Server) -> None:
        self.now = server.clock.tick()
        self._offset = time.time() - self.now
        self._dates: dict[int, str] = {}
        """Many connections have been made, or used, in the same second."""

    def date(self, seconds: float) -> str:
        """As PgBouncer writes it."""
        second = int(seconds + self._offset)
        date = self._dates.get(second)
        if date is None:
            date = self._dates[second] = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S} UTC"
        return date


def _client(client: ClientConnection, clock: _Clock) -> Row:
    settings, backend = client.settings, client.backend
    waiting = client.asked.waiting
    since = waiting.for_backend.since.get(client) or waiting.for_welcome.since.get(client)
    state = "waiting" if since is not None else "idle" if backend is None else "active"
    row = _row(
        "C", settings.client_user, settings.database, state, client.transport, _address_of_peer(client), clock, client
    )
    if since is not None:
        row[11:13] = divmod(max(0, round((clock.now - since) * 1e6)), 1_000_000)
    if backend is not None:
        row[15] = _pointer(backend)
    if client.state is ClientState.READY:
        session = client.session
        row[18] = _text(session.belongings.told.values.get(b"application_name"))
        row[19] = 0 if session.named is None else len(session.named.by_name)
    return row


def _server(backend: Backend, clock: _Clock) -> Row:
    pool, client = backend.pool, backend.client
    state = _STATES[backend.state]
    if backend.state is BackendState.IDLE and is_due_for_check(pool, backend, clock.now):
        state = "used"
    since = backend.began_at if backend.state is BackendState.ACTIVE else backend.since
    row = _row(
        "S", pool.settings.user, pool.settings.database, state, backend.transport, _address(backend), clock, backend
    )
    row[10] = clock.date(since)
    row[13] = int(backend.close_needed)
    row[16] = backend.process_id
    row[19] = len(backend.session.prepared)
    if client is not None:
        row[15] = _pointer(client)
        row[18] = _text(client.session.belongings.told.values.get(b"application_name"))
    return row


def _console(console: ConsoleConnection, clock: _Clock) -> Row:
    client = console.client
    row = _row("C", console.user, console.database, "active", client.transport, _address_of_peer(client), clock, client)
    row[18] = console.application_name
    return row


def _relayed_client(relay: Relay, clock: _Clock) -> Row:
    client, settings = relay.client, relay.settings
    address = _address_of_peer(client)
    row = _row("C", settings.client_user, settings.database, "active", client.transport, address, clock, client)
    row[3] = relay.kind
    row[18] = _text(relay.application_name.encode("utf-8", "surrogateescape"))
    return row


def _relayed_server(relay: Relay, clock: _Clock) -> Row:
    client, settings = relay.client, relay.settings
    transport = relay.server_transport
    state = "new" if transport is None else "active"
    row = _row("S", settings.user, settings.database, state, transport, (settings.host, settings.port), clock, client)
    row[3] = relay.kind
    row[15] = _pointer(client)
    row[16] = relay.process_id
    row[18] = _text(relay.application_name.encode("utf-8", "surrogateescape"))
    return row


def _row(
    kind: str,
    user: str,
    database: str,
    state: str,
    transport: asyncio.Transport | None,
    address: tuple[str, int],
    clock: _Clock,
    connection: Backend | ClientConnection,
) -> Row:
    """The 21 columns of SHOW CLIENTS and SHOW SERVERS, as far as both have the same."""
    latest = getattr(connection, "active_at", connection.connected_at)
    return [
        kind,
        user,
        database,
        "none",
        state,
        *address,
        *_own_address(transport),
        clock.date(connection.connected_at),
        clock.date(latest),
        0,
        0,
        0,
        _pointer(connection),
        "",
        _peer_process(transport),
        _encryption(transport),
        "",
        0,
        connection.number,
    ]


def _with_buffers(row: Row, prefix: str, kept: int, streaming: int, unsent: int) -> Row:
    """The row with what SHOW SOCKETS adds: how much has come, or waits to be sent."""
    state = {"new": "login", "idle": "idle" if prefix == "sv_" else "active"}.get(str(row[_STATE]), row[_STATE])
    row[_STATE] = f"{prefix}{state}"
    return [*row, kept, 0, streaming, 0, unsent, kept, unsent]


def _pointer(connection: Backend | ClientConnection) -> str:
    return f"0x{connection.number:x}"


def _address_of_peer(client: ClientConnection) -> tuple[str, int]:
    host, _, port = client.peer.rpartition(":")
    return (host, int(port)) if host else ("unix", 0)


def _address(backend: Backend) -> tuple[str, int]:
    address = backend.address
    return ("unix" if address.socket_path else address.ip or address.host), address.port


def _own_address(transport: asyncio.Transport | None) -> tuple[str, int]:
    name = None if transport is None else transport.get_extra_info("sockname")
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else ("unix", 0)


def _name_of(listening: socket.socket) -> Iterator[Value]:
    name = listening.getsockname()
    yield from (str(name[0]), int(name[1])) if isinstance(name, tuple) else ("unix", 0)


def _peer_process(transport: asyncio.Transport | None) -> int:
    """The process at the other end of a Unix socket; 0 where that isn't known."""
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX:
        return 0
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    return int(_PEER_CREDENTIALS.unpack(data)[0])


def _descriptor(transport: asyncio.Transport) -> int:
    sock = transport.get_extra_info("socket")
    return -1 if sock is None else int(sock.fileno())


def _encryption(transport: asyncio.Transport | None) -> str:
    """Such as "TLSv1.3/TLS_AES_256_GCM_SHA384"; empty without TLS."""
    return "" if transport is None else str(transport.get_extra_info("tls") or "")


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "replace")
