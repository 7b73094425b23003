"""Finding out which Syncs count that were sent into a COPY, where it failed.

A backend that copies in ignores Sync. When the COPY fails, those that it had not read by then are answered, and which
these are can't be told from here. So behind all that was sent goes a Sync of ours and a marker: a Close, whose answer
comes when all before it has been answered.
What comes until then is the client's, but for the last ReadyForQuery, which is that of our own Sync. Meanwhile the
client's messages wait.

In the extended protocol no ReadyForQuery at all means that the backend had read every Sync. Then the client's messages
are ignored up to its next one, as PostgreSQL would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor.protocol import messages
from interceptor.session.prelude import PASSING_NAME
from interceptor.session.states import Request

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession

__all__ = ["Counting"]

_MARKER: Final = messages.encode_message(messages.CLOSE, b"P" + PASSING_NAME + b"\0")
"""It closes nothing, begins no transaction, and is not refused in a failed one."""

_OPEN_OR_NOT: Final = frozenset((messages.IDLE, messages.IN_TRANSACTION, messages.FAILED_TRANSACTION))


class Counting:
    """What has come since a COPY failed into which Syncs were sent (``BackendSession.counting``)."""

    __slots__ = ("_backend", "_behind", "_client", "_last", "_shown", "_simple")

    def __init__(self, backend: BackendSession, client: ClientSession, *, simple: bool) -> None:
        """Begin it: the error of the COPY has come, and nothing else is owed. ``simple``: it was a Query."""
        self._backend = backend
        self._client = client
        self._simple = simple
        self._last = b""
        """The last ReadyForQuery, which may be our own Sync's,"""
        self._behind = b""
        """what came after it,"""
        self._shown = 0
        """and how many came before it."""
        backend.counting = self
        backend.owed.clear()
        backend.owed.append(Request.COUNTING)
        backend.copy_in = False
        backend.copy_syncs = 0
        if not client.streaming:
            self.ask()

    def ask(self) -> None:
        """Send the marker. The client's last message must have been sent to its end."""
        self._client.held = True
        self._backend.write(messages.SYNC_MESSAGE + _MARKER + messages.FLUSH_MESSAGE)

    def take(self, message: bytes) -> bool:
        """What the backend says. False for a message that has no place here."""
        kind = message[0]
        if kind == messages.READY_FOR_QUERY:
            if len(message) != 6 or message[5] not in _OPEN_OR_NOT:
                return False
            self._show()
            self._last = message
        elif kind == messages.CLOSE_COMPLETE:
            if not self._last:
                return False
            self._end()
        elif self._last:
            self._behind += message
        else:
            self._client.write(message)
        return True

    def _show(self) -> None:
        """What waits was not our Sync's."""
        if not self._last:
            return
        self._shown += 1
        status = self._last[5]
        if self._client.interception is not None:
            self._client.interception.executions.on_end(status)
        self._client.write(self._last + self._behind)
        self._last = self._behind = b""

    def _end(self) -> None:
        backend, client = self._backend, self._client
        backend.counting = None
        backend.owed.clear()
        backend.status = self._last[5]
        backend.queries += self._shown
        if backend.status == messages.IDLE:
            backend.transactions += 1
        if self._behind:
            client.write(self._behind)
        if self._simple or self._shown:
            backend.unnamed_in_batch = False
            if client.named is not None:
                client.named.in_batch.clear()
        if self._simple:
            # A simple query destroys the unnamed statement (postgres.c, exec_simple_query).
            client.unnamed = b""
        elif not self._shown:
            client.ignoring = True
