"""The backend's half of a conversation: what its answers mean, and where they go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor.errors import BACKEND_PROTOCOL, BackendError
from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.backend_state import BackendState
from interceptor.session.notes import Noted
from interceptor.session.observing import on_observed
from interceptor.session.prepared import renew
from interceptor.session.replies import (
    is_farewell,
    on_blocked,
    on_error_in_batch,
    on_error_of_rewritten,
    on_parameter,
    on_rare,
    on_tag,
    on_unseen,
)
from interceptor.session.states import ENDED, NOTHING_OWED, REPLIES, Action, Request
from interceptor.session.watching import MORE, on_cut, on_watched

if TYPE_CHECKING:
    from interceptor.session.client import ClientSession

# Plain integers: an enum member costs an attribute look-up and a slower comparison, in a loop over every message.
_RELAY: Final = int(Action.RELAY)
_COMPLETE: Final = int(Action.COMPLETE)
_PARSED_UNNAMED: Final = int(Action.PARSED_UNNAMED)
_READY: Final = int(Action.READY)
_PARAMETER: Final = int(Action.PARAMETER)
_QUERY: Final = int(Request.QUERY)
_TRACKED_SYNC: Final = int(Request.TRACKED_SYNC)
_LOCAL: Final = int(Request.LOCAL)
_LOCAL_CHANGE: Final = int(Request.LOCAL_CHANGE)
_FAIL: Final = int(Action.FAIL)
_ERROR: Final = int(Action.ERROR)
_FATAL: Final = int(Action.FATAL)
_CHANGED: Final = int(Action.CHANGED)
_SWALLOW_CHANGED: Final = int(Action.SWALLOW_CHANGED)
_SWALLOW_UNNAMED: Final = int(Action.SWALLOW_UNNAMED)
_TAG: Final = int(Action.TAG)
_EXECUTED: Final = int(Action.EXECUTED)
_REUSED: Final = int(Action.REUSED)
_REUSED_FIRST: Final = int(Action.REUSED_FIRST)
_DESCRIBE_STATEMENT: Final = int(Request.DESCRIBE_STATEMENT)
_SWALLOW_READY: Final = int(Action.SWALLOW_READY)
_BLOCK_QUERY: Final = int(Action.BLOCK_QUERY)
_BLOCK: Final = int(Action.BLOCK)
_RETRY: Final = int(Action.RETRY)
_WATCHED: Final = int(Action.WATCHED)
_OBSERVED: Final = int(Action.OBSERVED)
_CUT: Final = int(Action.CUT)
_ENDING: Final = int(Action.ENDING)
_NOTIFIED: Final = int(Action.NOTIFIED)
_ASKED_ROW: Final = int(Action.ASKED_ROW)
_ASKED_READY: Final = int(Action.ASKED_READY)
_NOT_FOR_CLIENT: Final = frozenset(
    {
        _SWALLOW_CHANGED,
        _SWALLOW_UNNAMED,
        Action.SWALLOW,
        Action.FILL,
        Action.NO_COPY,
        Action.DESCRIBE_AS,
        Action.COUNTING,
        Action.ASKED_ROW,
        Action.ASKED_PARAMETER,
        Action.ASKED_ERROR,
        Action.ASKED_DROP,
        Action.ASKED_READY,
        Action.RETRY,
        Action.SWALLOW_READY,
        Action.BLOCK_QUERY,
        Action.BLOCK,
    }
)
_COUNTING: Final = int(Action.COUNTING)
_IDLE: Final = messages.IDLE
_OPEN: Final = frozenset((messages.IN_TRANSACTION, messages.FAILED_TRANSACTION))

MAX_MESSAGE: Final = 0x3FFFFFFF + 4
"""What PostgreSQL can send at most: its MaxAllocSize, and the length itself."""

MAX_WHOLE_ERROR: Final = 1024 * 1024
"""Bytes of an ErrorResponse in which names and places are the client's; a longer one, which quotes its text, passes as
it is."""

MAX_ERROR_HEAD: Final = 1024
"""Bytes at the beginning of an ErrorResponse that surely hold its severity and SQLSTATE."""

MAX_PARAMETER_STATUS: Final = 1024 * 1024
"""Bytes. A ParameterStatus has to be read whole, unlike what is merely forwarded, so it needs a bound. The same goes
for an answer to a question of ours."""


class BackendSession(BackendState):
    """What a backend's answers mean, and where they go.

    ``client`` is the session that it works for, if any: only then may ``feed`` be called.
    """

    __slots__ = ()

    def link(self, client: ClientSession) -> None:
        """Work for this client from now on."""
        assert self.client is None
        self.client = client
        client.backend = self
        self.watches_tags = False
        self.unnamed_ready = False
        self.unnamed_in_batch = False

    def unlink(self) -> None:
        """Work for nobody. The caller decides what becomes of the backend."""
        if self.client is not None:
            self.broken_off = self.client.streaming > 0
            self.client.backend = None
            self.client = None

    def feed(self, data: bytes) -> None:
        """Take what the backend sent: forward it, and tell the client's session when nothing is owed any more.

        One loop over message headers. What is merely relayed leaves as the slice that it came in, and so does
        everything between two places where something is left out or put in.
        """
        client = self.client
        assert client is not None
        if self.partial:
            data = self._behind_partial(data)
            if not data:
                return
        size = len(data)
        position = self.streaming
        if position >= size:
            self.streaming = position - size
            client.write(data)
            if client.held and not self.streaming:
                client.on_answered(self)
            return
        self.streaming = 0
        start = 0
        ready = self.ready
        owed = self.owed
        row = REPLIES[owed[0]] if owed else NOTHING_OWED
        while size - position >= 5:
            kind, length = unpack_header(data, position)
            end = position + 1 + length
            action = row[kind]
            if action == _RELAY and 4 <= length <= MAX_MESSAGE:
                position = end
                continue
            if action == _COMPLETE and 4 <= length <= MAX_MESSAGE:
                owed.popleft()
                ready = False
            elif action == _TAG or action == _EXECUTED:
                if self.watches_tags:
                    if end > size and length <= MAX_PARAMETER_STATUS:
                        break
                    on_tag(self, client, data[position + 5 : end])
                if action == _EXECUTED:
                    owed.popleft()
                    ready = False
            elif action == _READY and length == 5:
                if end > size:
                    break
                self.status = data[position + 5]
                if self.status == _IDLE:
                    self.transactions += 1
                elif self.status not in _OPEN:
                    self._on_violation(kind, length)
                    return
                if owed.popleft() == _QUERY:
                    # A simple query destroys the unnamed statement (postgres.c, exec_simple_query).
                    client.unnamed = b""
                ready = True
                self.queries += 1
                if end < size and not owed and not client.pinned:
                    # What the server says next, such as its farewell, is not this client's.
                    position = end
                    break
            elif action == _PARSED_UNNAMED:
                owed.popleft()
                client.unnamed = self.parses.popleft()
                self.unnamed_ready = True
                ready = False
            elif action == _REUSED or action == _REUSED_FIRST:
                client.write(data[start:position] + messages.PARSE_COMPLETE_MESSAGE)
                start = position
                client.unnamed = self.parses.popleft()
                owed.popleft()
                if action == _REUSED_FIRST:
                    owed.appendleft(_DESCRIBE_STATEMENT)
                ready = False
            elif action == _CHANGED:
                owed.popleft()
                self.settle_change()
                ready = False
            elif action == _ENDING and length == 5:
                if end > size:
                    break
                if client.interception is not None:
                    client.interception.executions.on_end(data[position + 5])
                owed[0] = ENDED[owed[0]]
                end = position
            elif action == _OBSERVED:
                end = on_observed(self, data, position)
                if end < 0:
                    if end == MORE:
                        break
                    self._on_violation(kind, length)
                    return
            elif action == _WATCHED:
                start, end = on_watched(self, client, data, start, position)
                if end < 0:
                    if start >= 0:
                        break
                    self._on_violation(kind, length)
                    return
            elif action in _NOT_FOR_CLIENT:
                if not 4 <= length <= MAX_PARAMETER_STATUS:
                    self._on_violation(kind, length)
                    return
                if end > size:
                    break
                if start < position:
                    client.write(data[start:position])
                start = end
                if action < _ASKED_ROW:
                    if not on_unseen(self, client, action, data[position + 5 : end]):
                        self._on_violation(kind, length)
                        return
                elif action == _SWALLOW_READY and length == 5:
                    self.status = data[position + 5]
                    ready = True
                    owed.popleft()
                elif action == _BLOCK_QUERY or action == _BLOCK:
                    ready = False
                    on_blocked(self, client, data[position + 5 : end], in_batch=action == _BLOCK)
                elif action == _RETRY:
                    ready = True
                    owed.popleft()
                    prepared = client.take_up_retry()
                    if prepared is not None:
                        renew(self, prepared)
                elif action == _COUNTING:
                    if not self._count(client, data[position:end]):
                        self._on_violation(kind, length)
                        return
                    ready = not owed
                elif not self._on_answer(action, data[position + 5 : end]):
                    return
                elif action == _ASKED_READY:
                    ready = True
            elif action == _CUT:
                if start < position:
                    client.write(data[start:position])
                start = position
                end = on_cut(self, client, data, position)
                if end < 0:
                    if end == MORE:
                        break
                    self._on_violation(kind, length)
                    return
                start = end
                ready = False
            elif action == _FAIL or (action == _ERROR and (type(owed[0]) is Noted or owed[0] == _TRACKED_SYNC)):
                if not 4 <= length <= MAX_MESSAGE:
                    self._on_violation(kind, length)
                    return
                if end > size and (length <= MAX_WHOLE_ERROR or size - position < MAX_ERROR_HEAD):
                    break
                on_error = on_error_in_batch if action == _FAIL else on_error_of_rewritten
                start = on_error(self, client, data, start, position, end)
                ready = False
            elif action == _NOTIFIED and 4 <= length <= MAX_PARAMETER_STATUS:
                listening = client.listening
                if listening is not None:
                    if end > size:
                        break
                    if listening.takes(data[position:end]):
                        if start < position:
                            client.write(data[start:position])
                        start = end
            elif action == _PARAMETER and end > size and length <= MAX_PARAMETER_STATUS:
                break
            elif (action == _ERROR or action == _FATAL) and end > size and size - position < MAX_ERROR_HEAD:
                # Whether it is a farewell has to be known at once: the connection may end with this message.
                break
            elif not self._is_sound(action, length) or not on_rare(self, client, action, data[position + 5 : end]):
                self._on_violation(kind, length)
                return
            elif action != _PARAMETER:
                ready = False
            position = end
            if owed and (owed[0] == _LOCAL or owed[0] == _LOCAL_CHANGE):
                start = self._send_local_replies(client, data, start, position)
            row = REPLIES[owed[0]] if owed else NOTHING_OWED
        if position < size:
            self.partial = data[position:]
            if start < position:
                client.write(data[start:position])
        else:
            self.streaming = position - size
            if start < size:
                client.write(data[start:] if start else data)
        self.ready = ready
        if ready and not owed:
            client.on_ready(self)
        elif client.held:
            client.on_answered(self)

    def _behind_partial(self, data: bytes) -> bytes:
        """What came, with what it goes on with, or without what goes nowhere."""
        stopping = self.stopping
        if stopping is None or not stopping.dropping:
            data = self.partial + data
            self.partial = b""
            return data
        taken = min(stopping.dropping, len(data))
        stopping.dropping -= taken
        if not stopping.dropping:
            self.partial = b""
        return data[taken:]

    def _count(self, client: ClientSession, message: bytes) -> bool:
        counting = self.counting
        assert counting is not None
        if message[0] == messages.PARAMETER_STATUS:
            if not on_parameter(self, message[5:]):
                return False
            client.belongings.on_told(self.reported)
        elif message[0] == messages.ERROR_RESPONSE:
            self.said_why = is_farewell(message[5:])
        return counting.take(message)

    def _on_answer(self, action: int, body: bytes) -> bool:
        """A message of the answer to a question of ours. False if the backend must not be used any more."""
        if action == Action.ASKED_DROP:
            return True
        asked = self.asked[0]
        if action == _ASKED_ROW:
            asked.rows.append(body)
        elif action == Action.ASKED_ERROR:
            asked.error = body
        elif action == Action.ASKED_PARAMETER:
            if not on_parameter(self, body):
                self._on_violation(ord("S"), len(body) + 4)
                return False
        elif action == _ASKED_READY:
            if len(body) != 1 or body not in b"ITE":
                self._on_violation(ord("Z"), len(body) + 4)
                return False
            self.status = body[0]
            self.owed.popleft()
            self.asked.popleft()
            return asked.on_answer(self, asked.rows, asked.error)
        return True

    def _send_local_replies(self, client: ClientSession, data: bytes, start: int, position: int) -> int:
        if start < position:
            client.write(data[start:position])
        owed = self.owed
        while owed and (owed[0] == _LOCAL or owed[0] == _LOCAL_CHANGE):
            if owed.popleft() == _LOCAL_CHANGE:
                self.settle_change()
            client.write(self.local_replies.popleft())
        return position

    def _is_sound(self, action: int, length: int) -> bool:
        return 4 <= length <= (MAX_PARAMETER_STATUS if action == _PARAMETER else MAX_MESSAGE)

    def _on_violation(self, kind: int, length: int) -> None:
        name = chr(kind) if 32 <= kind < 127 else hex(kind)
        self.host.on_failed(
            BackendError(
                BACKEND_PROTOCOL,
                f'the server sent a message of type "{name}" and length {length} '
                "where the protocol has no place for it, so its connection was closed",
                hint="Check that the server is a PostgreSQL server, and report this if it is.",
            )
        )
