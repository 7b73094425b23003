"""A relay between a client and PostgreSQL that spoils replies, to show that the comparison would notice.

It knows just enough of the protocol to find the borders of messages, and it is no example of a proxy: one thread for
each direction of each connection.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.support.backend import Reply
from tests.support.frontend import gssenc_request, ssl_request

__all__ = ["MUTATIONS", "MutatingRelay", "Mutation", "faithful"]

Mutation = Callable[[Iterator[Reply]], Iterator[Reply]]
"""Takes the replies that follow the login, as they come, and gives those to pass on."""


def faithful(replies: Iterator[Reply]) -> Iterator[Reply]:
    """Change nothing."""
    yield from replies


def _swap_adjacent(replies: Iterator[Reply]) -> Iterator[Reply]:
    """Give the first row description after its successor."""
    return _swap(replies, b"T")


def _swap(replies: Iterator[Reply], tag: bytes) -> Iterator[Reply]:
    done = False
    for reply in replies:
        if reply.tag == tag and not done:
            done = True
            successor = next(replies, None)
            if successor is not None:
                yield successor
        yield reply


def _drop_ready(replies: Iterator[Reply]) -> Iterator[Reply]:
    """Keep the first ReadyForQuery back."""
    for reply in replies:
        if reply.tag == b"Z":
            break
        yield reply
    yield from replies


def _wrong_status(replies: Iterator[Reply]) -> Iterator[Reply]:
    """Report a transaction where there is none."""
    for reply in replies:
        yield Reply(b"Z", b"T") if reply == Reply(b"Z", b"I") else reply


def _duplicate_complete(replies: Iterator[Reply]) -> Iterator[Reply]:
    """Say the first CommandComplete twice."""
    done = False
    for reply in replies:
        yield reply
        if reply.tag == b"C" and not done:
            done = True
            yield reply


def _forget_notices(replies: Iterator[Reply]) -> Iterator[Reply]:
    """Lose notices."""
    return (reply for reply in replies if reply.tag != b"N")


def _change_a_byte(replies: Iterator[Reply]) -> Iterator[Reply]:
    """Flip a bit of the last byte of each row."""
    for reply in replies:
        if reply.tag == b"D" and len(reply.body) > 2:
            yield Reply(b"D", reply.body[:-1] + bytes([reply.body[-1] ^ 1]))
        else:
            yield reply


def _drop_parameters(replies: Iterator[Reply]) -> Iterator[Reply]:
    """Lose changes of parameters."""
    return (reply for reply in replies if reply.tag != b"S")


def _say_more_at_the_end(replies: Iterator[Reply]) -> Iterator[Reply]:
    """Add one reply that nobody asked for, when all is over."""
    yield from replies
    yield Reply(b"Z", b"I")


MUTATIONS: dict[str, Mutation] = {
    "swaps two replies": _swap_adjacent,
    "drops a ReadyForQuery": _drop_ready,
    "changes a status byte": _wrong_status,
    "says a CommandComplete twice": _duplicate_complete,
    "loses notices": _forget_notices,
    "changes a byte of a row": _change_a_byte,
    "loses parameter changes": _drop_parameters,
    "says more at the end": _say_more_at_the_end,
}


@dataclass(slots=True)
class MutatingRelay:
    """Listens on a port of its own; each connection is relayed to ``target`` with its replies mutated."""

    target: tuple[str, int]
    mutation: Mutation = faithful
    _listener: socket.socket = field(init=False)
    _threads: list[threading.Thread] = field(init=False, default_factory=list)
    _sockets: list[socket.socket] = field(init=False, default_factory=list)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    @property
    def port(self) -> int:
        """Where it listens, on the loopback."""
        return int(self._listener.getsockname()[1])

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.target)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(each)
            self._start(self._relay, client, server)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while _asks_for_encryption(packet := _packet(client)):
                server.sendall(packet)
                # One byte without a header.
                client.sendall(server.recv(1))
            server.sendall(packet)
        self._start(self._pass_replies, server, client)
        self._pass_requests(client, server)

    def _pass_requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _pass_replies(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError), server.makefile("rb") as stream:
            replies = _replies(stream.read)
            for reply in replies:
                client.sendall(_encoded(reply))
                if reply.tag == b"Z":
                    break
            for reply in self.mutation(replies):
                client.sendall(_encoded(reply))
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)


def _packet(client: socket.socket) -> bytes:
    """A packet of the time before the login: a length and what follows. Empty at the end of the connection."""
    header = client.recv(4, socket.MSG_WAITALL)
    if len(header) < 4:
        return b""
    return header + client.recv(struct.unpack("!I", header)[0] - 4, socket.MSG_WAITALL)


def _asks_for_encryption(packet: bytes) -> bool:
    return packet in (ssl_request().data, gssenc_request().data)


def _encoded(reply: Reply) -> bytes:
    return reply.tag + struct.pack("!I", len(reply.body) + 4) + reply.body


def _replies(read: Callable[[int], bytes]) -> Iterator[Reply]:
    while len(header := read(5)) == 5:
        (length,) = struct.unpack_from("!I", header, 1)
        yield Reply(header[:1], read(length - 4))
