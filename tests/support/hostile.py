"""Servers that are none, or that behave badly: each connection is handed to a function of the test's own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.support.frontend import ssl_request
from tests.support.recorder import message, ready

__all__ = ["WELCOME", "Behaviour", "Connection", "HostileServer"]

Behaviour = Callable[["Connection"], None]
"""What to do with a connection whose startup packet is still unread. When it returns, the connection is closed."""

SSL_REQUEST = ssl_request().data

WELCOME = (
    message("R", bytes(4))
    + message("S", b"server_version\x0018.0\0")
    + message("S", b"client_encoding\0UTF8\0")
    + message("K", bytes(4) + b"1234")
    + ready()
)


class Connection:
    """The server's end of one connection."""

    def __init__(self, stream: socket.socket, ended: threading.Event) -> None:
        self._stream = stream
        self._ended = ended

    def read_packet(self) -> bytes:
        """A packet without a type: length and what follows. Empty at the end of the stream.

        The question for TLS, which comes before all else by default, is answered here: there is none.
        """
        header = self.read(4)
        packet = header + self.read(int.from_bytes(header, "big") - 4) if header else b""
        if packet == SSL_REQUEST:
            self.write(b"N")
            return self.read_packet()
        return packet

    def read_message(self) -> bytes:
        """A message, whole. Empty at the end of the stream."""
        header = self.read(5)
        return header + self.read(int.from_bytes(header[1:], "big") - 4) if header else b""

    def write(self, data: bytes) -> None:
        """Send."""
        self._stream.sendall(data)

    def welcome(self) -> None:
        """Let the proxy in without a password."""
        self.read_packet()
        self.write(WELCOME)

    def hang(self) -> None:
        """Say nothing, whatever comes, until the test is over or the peer is gone."""
        self._stream.settimeout(0.1)
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                if not self._stream.recv(1 << 16):
                    return

    def read(self, size: int) -> bytes:
        """So many bytes. Empty at the end of the stream."""
        data = b""
        while len(data) < size:
            piece = self._stream.recv(size - len(data))
            if not piece:
                return b""
            data += piece
        return data


class HostileServer:
    """Listens on a port of its own. ``behaviour`` may be changed between two connections. Close it, or use ``with``."""

    host = "127.0.0.1"

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.connections = 0
        self._ended = threading.Event()
        self._listener = socket.create_server((self.host, 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream = self._listener.accept()[0]
                self.connections += 1
                threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: socket.socket) -> None:
        with stream, contextlib.suppress(OSError):
            self.behaviour(Connection(stream, self._ended))
