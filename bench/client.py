"""The smallest PostgreSQL client: a bare socket that logs in under trust and runs simple queries.

Thousands of these are held at once, so a client is its socket and nothing else. It speaks the protocol by itself, so
that a fault in the proxy's own code can't hide in the instrument.
"""

from __future__ import annotations

import socket
import struct
import time

__all__ = ["ServerSaid", "open_client", "query", "run_extended", "wait_until_ready"]

_HEADER = struct.Struct("!ci")


class ServerSaid(Exception):
    """The server answered with an ErrorResponse; the text is its message."""


def open_client(
    address: tuple[str, int], *, user: str, database: str, source: str = "", wait: float = 30.0
) -> socket.socket:
    """Log in and wait for ReadyForQuery. ``source`` is the local address to come from; ``wait`` is in seconds.

    Raises: OSError, ServerSaid.
    """
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        client.settimeout(wait)
        if source:
            # Linux: choose the port at connect(), by all four parts of the address, so that ports don't run out.
            client.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
            client.bind((source, 0))
        client.connect(address)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = struct.pack("!i", 0x0003_0000)  # protocol 3.0
        body += b"".join(part.encode() + b"\0" for part in ("user", user, "database", database)) + b"\0"
        client.sendall(struct.pack("!i", len(body) + 4) + body)
        _read_until_ready(client)
    except BaseException:
        client.close()
        raise
    return client


def query(client: socket.socket, sql: str) -> None:
    """Run ``sql`` and read its answer to the end.

    Raises: OSError, ServerSaid.
    """
    text = sql.encode() + b"\0"
    client.sendall(_HEADER.pack(b"Q", len(text) + 4) + text)
    _read_until_ready(client)


def run_extended(client: socket.socket, sql: str) -> None:
    """Run ``sql`` in the extended protocol, as a statement without a name and without parameters.

    Raises: OSError, ServerSaid.
    """
    text = b"\0" + sql.encode() + b"\0\0\0"
    messages = [(b"P", text), (b"D", b"S\0"), (b"B", b"\0" * 8), (b"E", b"\0" * 5), (b"S", b"")]
    client.sendall(b"".join([_HEADER.pack(kind, len(body) + 4) + body for kind, body in messages]))
    _read_until_ready(client)


def _read_until_ready(client: socket.socket) -> None:
    received = bytearray()
    position = 0
    while True:
        while len(received) - position >= _HEADER.size:
            kind, length = _HEADER.unpack_from(received, position)
            end = position + 1 + length
            if len(received) < end:
                break
            body = bytes(received[position + _HEADER.size : end])
            if kind == b"Z":
                return
            if kind == b"E":
                raise ServerSaid(_message_of(body))
            if kind == b"R" and body[:4] != b"\0\0\0\0":
                raise ServerSaid("the server asks for a password; the bench needs trust")
            position = end
        data = client.recv(65536)
        if not data:
            raise ServerSaid("the server closed the connection")
        received += data


def _message_of(body: bytes) -> str:
    for part in body.split(b"\0"):
        if part.startswith(b"M"):
            return part[1:].decode(errors="replace")
    return "an error without a message"


def wait_until_ready(address: tuple[str, int], *, user: str, database: str, wait: float = 20.0) -> None:
    """Return once a query is answered at ``address``.

    Raises: TimeoutError, with what stood in the way, after ``wait`` seconds.
    """
    until = time.monotonic() + wait
    while True:
        try:
            client = open_client(address, user=user, database=database, wait=2.0)
            with client:
                query(client, "select 1")
        except (OSError, ServerSaid) as error:
            if time.monotonic() > until:
                raise TimeoutError(f"nothing answers at {address[0]}:{address[1]}: {error}") from error
            time.sleep(0.05)
        else:
            return
