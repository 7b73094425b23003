"""A relay through which one client's session reaches another's, to show that the comparison would notice.

One thread serves all clients, each over a connection of its own to the target. When another client speaks than the one
who spoke before, something of the one's session is carried over to the other's first.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.support import frontend
from tests.support.backend import Reply, row_values

__all__ = ["LEAKS", "LeakingRelay"]

LEAKS: dict[str, tuple[str, str]] = {
    **{
        f"leaks {name}": (f"SELECT current_setting('{name}', true)", f"SELECT set_config('{name}', $1, false)")
        for name in (
            "TimeZone",
            "DateStyle",
            "IntervalStyle",
            "search_path",
            "work_mem",
            "statement_timeout",
            "extra_float_digits",
            "bytea_output",
            "application_name",
            "client_encoding",
            "standard_conforming_strings",
            "default_transaction_isolation",
            "default_transaction_read_only",
            "app.tenant",
            "role",
        )
    },
    "resets settings": ("", "RESET ALL"),
    "resets the role": ("", "RESET ROLE"),
    "forgets statements": ("", "DEALLOCATE ALL"),
}
"""By name: how to read the one's session, and what to run in the other's with the value that was read. Without a
question the one loses what it had, each time that another takes its turn."""


@dataclass(slots=True, eq=False)
class _Pair:
    """A client and its connection to the target."""

    client: socket.socket
    server: socket.socket
    idle: bool = False
    """The last that the target said was a ReadyForQuery without a transaction."""
    replies: bytearray = field(default_factory=bytearray)


class LeakingRelay:
    """Listens on a port of its own. ``question`` and ``order`` are a pair of ``LEAKS``."""

    def __init__(self, target: tuple[str, int], question: str, order: str) -> None:
        self._target = target
        self._question = question
        self._order = order
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._pairs: list[_Pair] = []
        self._last: _Pair | None = None

    @property
    def port(self) -> int:
        """Where it listens, on the loopback."""
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wake.close()
        self._thread.join(10)
        for pair in list(self._pairs):
            self._end(pair)
        for each in (self._listener, self._woken, self._selector):
            each.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif key.data in self._pairs:
                    self._pass(key.data, from_client=key.fileobj is key.data.client)

    def _accept(self) -> None:
        pair = _Pair(self._listener.accept()[0], socket.create_connection(self._target))
        self._pairs.append(pair)
        for each in (pair.client, pair.server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(each, selectors.EVENT_READ, pair)

    def _end(self, pair: _Pair) -> None:
        for each in (pair.client, pair.server):
            self._selector.unregister(each)
            each.close()
        self._pairs.remove(pair)
        if self._last is pair:
            self._last = None

    def _pass(self, pair: _Pair, *, from_client: bool) -> None:
        source, sink = (pair.client, pair.server) if from_client else (pair.server, pair.client)
        try:
            data = source.recv(1 << 16)
            if not data:
                self._end(pair)
                return
            if from_client:
                self._carry_over_to(pair)
                pair.idle = False
            else:
                pair.replies += data
                pair.idle = pair.replies[-6:] == b"Z\0\0\0\5I"
                del pair.replies[:-6]
            sink.sendall(data)
        except OSError:
            self._end(pair)

    def _carry_over_to(self, pair: _Pair) -> None:
        last = self._last
        if pair.idle:
            self._last = pair
        if last is None or last is pair or not (pair.idle and last.idle):
            return
        if not self._question:
            _run(last.server, self._order, [])
            return
        rows = [reply for reply in _run(last.server, self._question, []) if reply.tag == b"D"]
        value = row_values(rows[0])[0] if rows else None
        if value is not None:
            _run(pair.server, self._order, [value])


def _run(server: socket.socket, sql: str, values: list[bytes]) -> list[Reply]:
    """Run a statement under a name and in a portal that nobody else has, so that nothing else is disturbed."""
    messages = [
        frontend.parse(sql, "_leak"),
        frontend.bind(values, portal="_leak", statement="_leak"),
        frontend.execute("_leak"),
        frontend.close_statement("_leak"),
        frontend.sync(),
    ]
    server.sendall(b"".join(message.data for message in messages))
    replies: list[Reply] = []
    while not replies or replies[-1].tag != b"Z":
        header = server.recv(5, socket.MSG_WAITALL)
        (length,) = struct.unpack("!I", header[1:])
        replies.append(Reply(header[:1], server.recv(length - 4, socket.MSG_WAITALL) if length > 4 else b""))
    return replies
