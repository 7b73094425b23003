"""A server that says what a test tells it to: for faults that no PostgreSQL commits."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["FakeServer", "LastWords", "let_in", "message", "ready"]

Answer = Callable[[bytes, int], bytes | None]
"""Gets a message of the proxy, with its type (``b""`` for a startup packet), and the number of the connection. Gives
what is said to it; ``b""`` for nothing, None to hang up."""


class LastWords(bytes):
    """What is said before hanging up."""


def message(tag: bytes, body: bytes = b"") -> bytes:
    """One message of a server."""
    return tag + struct.pack("!I", len(body) + 4) + body


def ready(status: bytes = b"I") -> bytes:
    """ReadyForQuery."""
    return message(b"Z", status)


def let_in() -> bytes:
    """All that a server without a password says at login."""
    settings = message(b"S", b"server_version\x0018.0\0") + message(b"S", b"client_encoding\0UTF8\0")
    return message(b"R", struct.pack("!I", 0)) + settings + message(b"K", struct.pack("!I", 1) + b"abcd") + ready()


class FakeServer:
    """Listens, and gives each message to ``answer``, which may be replaced at any time. Close it, or use ``with``."""

    host = "127.0.0.1"

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.connections = 0
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server((self.host, 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                self._sockets.append(connection)
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            (size,) = struct.unpack("!I", stream.read(4) or b"\0\0\0\4")
            said = self.answer(b"", number) if stream.read(size - 4) else None
            while said is not None:
                connection.sendall(said)
                if isinstance(said, LastWords):
                    return
                head = stream.read(5)
                if len(head) < 5:
                    return
                (size,) = struct.unpack("!I", head[1:])
                stream.read(size - 4)
                said = self.answer(head[:1], number)
