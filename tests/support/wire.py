"""A client that speaks the protocol message by message and remembers all that went each way.

Blocking calls over a non-blocking socket. While it writes it also reads, since a server that cannot get rid of its
replies stops reading, and both would wait for ever.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from tests.support import frontend
from tests.support.backend import Reply, decode_error, row_values
from tests.support.frontend import Frontend
from tests.support.login import Authenticator, LoginFailed

__all__ = ["DEFAULT_TIMEOUT", "Endpoint", "ReplyTimeout", "WireClient", "WireError"]

DEFAULT_TIMEOUT = 60.0
"""Seconds, of which a quiet machine needs a hundredth: it only ends what would wait for ever."""
_CHUNK = 1 << 18


class WireError(Exception):
    """A conversation broke off, or an ErrorResponse came where none was expected."""


class ReplyTimeout(WireError):
    """What was awaited did not come in time."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect, and as whom."""

    host: str
    port: int
    database: str
    user: str = "postgres"
    password: str | None = None

    def at(self, *, database: str) -> Endpoint:
        """The same server's other database."""
        return replace(self, database=database)

    def __repr__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.database}"


class WireClient:
    """One connection. ``replies`` and ``sent`` grow; ``closed`` is set when the peer has hung up."""

    def __init__(self, host: str, port: int, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Connect. ``timeout`` in seconds bounds every wait of this client, not all of them together."""
        self.timeout = timeout
        self.sent: list[Frontend] = []
        self.replies: list[Reply] = []
        self.closed = False
        self.bytes_received = 0
        self.bytes_written = 0
        self.ready_count = 0
        self.last_status = ""
        self._buffer = bytearray()
        self._wanted = 5
        self._socket = socket.create_connection((host, port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)

    @classmethod
    def connect(
        cls,
        endpoint: Endpoint,
        *,
        version: int = frontend.PROTOCOL_3_0,
        parameters: Mapping[str, str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Self:
        """Connect and log in. Raises LoginFailed with the server's words if it refuses."""
        client = cls(endpoint.host, endpoint.port, timeout)
        try:
            client.log_in(endpoint, version=version, parameters=parameters)
        except BaseException:
            client.close()
            raise
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> tuple[str, int]:
        """Our own end: host and port."""
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    @property
    def peer(self) -> tuple[str, int]:
        """The other end: host and port."""
        host, port = self._socket.getpeername()[:2]
        return str(host), int(port)

    @property
    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def limit_receive_buffer(self, size: int) -> None:
        """Let the kernel keep few bytes that were not read yet: about this many, and no more later on."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    def close(self) -> None:
        """Hang up without a word."""
        self._socket.close()
        self.closed = True

    # Login

    def log_in(
        self,
        endpoint: Endpoint,
        *,
        version: int = frontend.PROTOCOL_3_0,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """Send the startup message and answer what is asked until the server is ready. Raises LoginFailed."""
        named = {"user": endpoint.user, "database": endpoint.database, **(parameters or {})}
        self.send(frontend.startup(named, version))
        authenticator = Authenticator(endpoint.user, endpoint.password)
        seen = 0
        while not self.ready_count:
            self.read_count(seen + 1)
            while seen < len(self.replies):
                reply = self.replies[seen]
                seen += 1
                if reply.tag == b"E":
                    raise LoginFailed(decode_error(reply.body).get("M", str(reply)))
                if reply.tag == b"R" and (answer := authenticator.answer(reply)):
                    self.send(answer)
            if self.closed and not self.ready_count:
                raise LoginFailed("The server hung up during the login.")

    def ask_for_encryption(self, request: Frontend) -> bytes:
        """Send an SSLRequest or a GSSENCRequest and return the one byte that answers it; none if it hung up."""
        self.send(request)
        deadline = time.monotonic() + self.timeout
        while True:
            self._wait_readable(deadline)
            try:
                answer = self._socket.recv(1)
            except BlockingIOError:
                continue
            self.bytes_received += len(answer)
            return answer

    @property
    def key(self) -> tuple[int, bytes]:
        """Process id and secret for a CancelRequest."""
        body = next(reply.body for reply in self.replies if reply.tag == b"K")
        return struct.unpack_from("!i", body)[0], body[4:]

    # Writing

    def send(self, *messages: Frontend) -> None:
        """Write messages in one piece."""
        self.sent.extend(messages)
        self.write(b"".join(message.data for message in messages))

    def write(self, data: bytes) -> None:
        """Write bytes, reading what comes meanwhile. A peer that has hung up is noted and no error."""
        view = memoryview(data)
        deadline = time.monotonic() + self.timeout
        while view and not self.closed:
            readable, writable, _ = select.select([self._socket], [self._socket], [], self._left(deadline))
            if readable:
                self._receive()
            if writable and not self.closed:
                try:
                    count = self._socket.send(view)
                except BlockingIOError:
                    continue
                except (BrokenPipeError, ConnectionResetError):
                    # What the peer said before it hung up is still to be read.
                    self._receive_rest()
                    return
                view = view[count:]
                self.bytes_written += count

    def send_goodbye(self) -> None:
        """Terminate, and read until the peer has hung up. Raises ReplyTimeout."""
        self.send(frontend.terminate())
        self.read_to_end()

    def half_close(self) -> None:
        """Say that nothing more will be written."""
        if not self.closed:
            self._socket.shutdown(socket.SHUT_WR)

    # Reading

    def read_available(self) -> None:
        """Take what has arrived, waiting for nothing."""
        while not self.closed and self._receive():
            pass

    def read_until(self, done: Callable[[], bool]) -> None:
        """Read until ``done()``, asked after each piece. Raises ReplyTimeout, or returns early if the peer hangs up."""
        deadline = time.monotonic() + self.timeout
        # One piece, and not all that is there: a sender as fast as we are would be read to the end of what it has.
        self._receive()
        while not done() and not self.closed:
            self._wait_readable(deadline)
            self._receive()

    def read_count(self, count: int) -> None:
        """Read until there are ``count`` replies in all. Raises ReplyTimeout."""
        self.read_until(lambda: len(self.replies) >= count)

    def read_until_ready(self, count: int = 1) -> None:
        """Read until ``count`` ReadyForQuery came in all, that of the login included. Raises ReplyTimeout."""
        self.read_until(lambda: self.ready_count >= count)

    def read_to_end(self) -> None:
        """Read until the peer hangs up. Raises ReplyTimeout."""
        self.read_until(lambda: False)

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """Run ``sql`` in the simple protocol and return all rows as text. Raises WireError for an ErrorResponse."""
        start, ready = len(self.replies), self.ready_count
        self.send(frontend.query(sql))
        self.read_until_ready(ready + 1)
        return _rows(self.replies[start:])

    def _wait_readable(self, deadline: float) -> None:
        if not select.select([self._socket], [], [], self._left(deadline))[0]:
            self._left(deadline)

    def _left(self, deadline: float) -> float:
        left = deadline - time.monotonic()
        if left <= 0:
            last = f"the last was {self.replies[-1]}" if self.replies else "there was none"
            raise ReplyTimeout(f"No more within {self.timeout} s after {len(self.replies)} replies; {last}.")
        return left

    def _receive_rest(self) -> None:
        while not self.closed:
            self._wait_readable(time.monotonic() + self.timeout)
            self._receive()

    def _receive(self) -> bool:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return False
        self.bytes_received += len(data)
        self._buffer += data
        if len(self._buffer) >= self._wanted:
            self._split()
        return True

    def _split(self) -> None:
        buffer, at = self._buffer, 0
        while True:
            left = len(buffer) - at
            self._wanted = 5
            if left >= 5:
                (length,) = struct.unpack_from("!I", buffer, at + 1)
                self._wanted = length + 1
            if left < self._wanted:
                break
            end = at + self._wanted
            self._take(Reply(bytes(buffer[at : at + 1]), bytes(buffer[at + 5 : end])))
            at = end
        del buffer[:at]

    def _take(self, reply: Reply) -> None:
        self.replies.append(reply)
        if reply.tag == b"Z":
            self.ready_count += 1
            self.last_status = reply.body.decode("ascii", "replace")


def _rows(replies: Iterable[Reply]) -> list[tuple[str | None, ...]]:
    rows = []
    for reply in replies:
        if reply.tag == b"E":
            raise WireError(str(reply))
        if reply.tag == b"D":
            rows.append(tuple(None if value is None else value.decode() for value in row_values(reply)))
    return rows
