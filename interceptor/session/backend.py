"""The backend's half of a conversation: what it still owes, and what its answers mean."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from interceptor.errors import BACKEND_PROTOCOL, BackendError
from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.actions import BackendHost
from interceptor.session.prepared import ClientStatements, Prepared
from interceptor.session.states import NOTHING_OWED, REPLIES, Action, Request

if TYPE_CHECKING:
    from interceptor.session.client import ClientSession

# Plain integers: an enum member costs an attribute look-up and a slower comparison, in a loop over every message.
_RELAY: Final = int(Action.RELAY)
_COMPLETE: Final = int(Action.COMPLETE)
_PARSED_UNNAMED: Final = int(Action.PARSED_UNNAMED)
_READY: Final = int(Action.READY)
_PARAMETER: Final = int(Action.PARAMETER)
_QUERY: Final = int(Request.QUERY)
_SYNC: Final = int(Request.SYNC)
_LOCAL: Final = int(Request.LOCAL)
_LOCAL_CHANGE: Final = int(Request.LOCAL_CHANGE)
_FAIL: Final = int(Action.FAIL)
_CHANGED: Final = int(Action.CHANGED)
_SWALLOW_CHANGED: Final = int(Action.SWALLOW_CHANGED)
_SWALLOW_UNNAMED: Final = int(Action.SWALLOW_UNNAMED)
_TAG: Final = int(Action.TAG)
_EXECUTED: Final = int(Action.EXECUTED)
_NOT_FOR_CLIENT: Final = frozenset({_SWALLOW_CHANGED, _SWALLOW_UNNAMED})
_CHANGES: Final = frozenset(
    {Request.NAMED_PARSE, Request.INJECTED_NAMED_PARSE, Request.INJECTED_NAMED_CLOSE, Request.LOCAL_CHANGE}
)
_PARSE_UNNAMED: Final = int(Request.PARSE_UNNAMED)
_IDLE: Final = messages.IDLE

_STALE_PLAN: Final = b"\0RRevalidateCachedQuery\0"
"""The routine that says "cached plan must not change result type" (plancache.c), in an ErrorResponse."""

_ALL_GONE: Final = frozenset({b"DEALLOCATE ALL\0", b"DISCARD ALL\0"})

_ENDS_BATCH: Final = frozenset({Request.QUERY, Request.SYNC, Request.FUNCTION_CALL})

_OPEN: Final = frozenset((messages.IN_TRANSACTION, messages.FAILED_TRANSACTION))

MAX_MESSAGE: Final = 0x3FFFFFFF + 4
"""What PostgreSQL can send at most: its MaxAllocSize, and the length itself."""

MAX_WHOLE_ERROR: Final = 64 * 1024
"""Bytes of an ErrorResponse in which a statement's name is looked for; a longer one passes as it is."""

MAX_PARAMETER_STATUS: Final = 1024 * 1024
"""Bytes. A ParameterStatus has to be read whole, unlike what is merely forwarded, so it needs a bound."""


class BackendSession:
    """What one backend has been asked, and what it answers.

    Lives as long as the connection to the backend, from the end of its login on. ``client`` is the session that it
    works for, if any: only then may ``feed`` be called.
    """

    __slots__ = (
        "broken_off",
        "changed_parameters",
        "changes",
        "client",
        "copy_in",
        "copy_syncs",
        "host",
        "local_replies",
        "max_prepared",
        "owed",
        "parameters",
        "parses",
        "partial",
        "prepared",
        "queries",
        "ready",
        "said_why",
        "status",
        "streaming",
        "transactions",
        "unnamed_in_batch",
        "unnamed_ready",
        "watches_tags",
        "write",
    )

    def __init__(self, host: BackendHost, parameters: dict[bytes, bytes], max_prepared: int = 200) -> None:
        """``parameters`` are the settings that the backend reported at login.

        ``max_prepared`` is how many shared statements it may have at a time, at least one.
        """
        self.max_prepared = max_prepared
        self.host = host
        self.write = host.write
        self.client: ClientSession | None = None

        # What it owes
        self.owed: deque[int] = deque()
        """Requests sent and not yet answered, oldest first."""
        self.parses: deque[bytes] = deque()
        """The Parse messages of the unnamed statement among them."""
        self.local_replies: deque[bytes] = deque()
        """The replies of our own among them."""
        self.changes: deque[tuple[Callable[[], object], ClientStatements | None, bytes]] = deque()
        """What those of them change that make or drop a named statement: how to take it back, whose name it is."""
        self.prepared: dict[Prepared, None] = {}
        """The shared statements that it will have when all is answered, the longest unused first."""

        # Where it is
        self.status = _IDLE
        """Transaction status of the last ReadyForQuery."""
        self.ready = True
        """The last request that it answered was one that ends a batch."""
        self.queries = 0
        """How many such requests it has answered."""
        self.transactions = 0
        """How many of them left no transaction open."""
        self.copy_in = False
        """It waits for CopyData, CopyDone or CopyFail."""
        self.copy_syncs = 0
        """Syncs that it was sent while it copied, or just before."""
        self.parameters = parameters
        self.changed_parameters: set[bytes] = set()
        """Reported settings that differ now from what they were at login."""
        self.watches_tags = False
        """It was sent something that may take its named statements."""
        self.unnamed_ready = False
        """Its unnamed statement is the client's."""
        self.unnamed_in_batch = False
        """It has been sent a Parse of the unnamed statement since the last Sync."""

        self.broken_off = False
        """Its last client left it with half a message, which nothing but the end of the stream must follow."""
        self.said_why = False
        """Its last error was FATAL: it hangs up, and the client has been told why."""

        # Where the bytes are
        self.streaming = 0
        """Bytes still to come of a message that is being forwarded in pieces."""
        self.partial = b""
        """The beginning of a message that has to be seen whole."""

    @property
    def reusable(self) -> bool:
        """Nothing is owed, no message is half done, no transaction or batch is open."""
        return self.ready and not self.owed and self.status == _IDLE and not self.streaming and not self.partial

    @property
    def between_batches(self) -> bool:
        """What it is sent next begins a batch: all before is ended by a Sync, or is a Query or FunctionCall."""
        return self.owed[-1] in _ENDS_BATCH if self.owed else self.ready

    @property
    def copy_outcome_open(self) -> bool:
        """It has been sent the end of a COPY with Syncs in it, and has yet to say whether they count."""
        return self.copy_syncs > 0 and not self.copy_in and bool(self.owed)

    @property
    def uncounted(self) -> bool:
        """It can't be told any more what it owes."""
        return bool(self.owed) and self.owed[0] == Request.UNCOUNTED

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
            data = self.partial + data
            self.partial = b""
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
                    self._on_tag(client, data[position + 5 : end])
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
            elif action == _PARSED_UNNAMED:
                owed.popleft()
                client.unnamed = self.parses.popleft()
                self.unnamed_ready = True
                ready = False
            elif action == _CHANGED:
                owed.popleft()
                self._settle()
                ready = False
            elif action in _NOT_FOR_CLIENT:
                if length > MAX_WHOLE_ERROR:
                    self._on_violation(kind, length)
                    return
                if end > size:
                    break
                if start < position:
                    client.write(data[start:position])
                start = end
                self._on_not_for_client(action)
            elif action == _FAIL:
                if end > size and length <= MAX_WHOLE_ERROR:
                    break
                start = self._on_error_in_batch(client, data, start, position, min(end, size))
                ready = False
            elif action == _PARAMETER and end > size and length <= MAX_PARAMETER_STATUS:
                break
            elif not self._is_sound(action, length) or not self._on_rare(client, action, data[position + 5 : end]):
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

    def _on_not_for_client(self, action: int) -> None:
        self.owed.popleft()
        if action == _SWALLOW_UNNAMED:
            self.unnamed_ready = True
        else:
            self._settle()

    def reply_in_turn(self, reply: bytes) -> None:
        """Send the client something of our own once all that was asked before it has been answered."""
        if self.owed:
            self.owed.append(_LOCAL)
            self.local_replies.append(reply)
        else:
            assert self.client is not None
            self.client.write(reply)

    def _send_local_replies(self, client: ClientSession, data: bytes, start: int, position: int) -> int:
        if start < position:
            client.write(data[start:position])
        owed = self.owed
        while owed and (owed[0] == _LOCAL or owed[0] == _LOCAL_CHANGE):
            if owed.popleft() == _LOCAL_CHANGE:
                self._settle()
            client.write(self.local_replies.popleft())
        return position

    def reply_to_change(
        self, reply: bytes, statements: ClientStatements, name: bytes, undo: Callable[[], object]
    ) -> None:
        """As ``reply_in_turn``, for a request of the client that changes what ``name`` stands for."""
        if self.owed:
            self.note_change(undo, statements, name)
            self.owed.append(_LOCAL_CHANGE)
            self.local_replies.append(reply)
        else:
            assert self.client is not None
            self.client.write(reply)

    def note_change(
        self, undo: Callable[[], object], statements: ClientStatements | None = None, name: bytes = b""
    ) -> None:
        """Remember how to take back what the next request changes, should it be skipped."""
        self.changes.append((undo, statements, name))
        if statements is not None:
            statements.unsettled[name] = statements.unsettled.get(name, 0) + 1

    def _on_tag(self, client: ClientSession, tag: bytes) -> None:
        """DEALLOCATE ALL and DISCARD ALL took every named statement, as their tags tell once they have succeeded."""
        if tag in _ALL_GONE:
            self.prepared.clear()
            if client.named is not None:
                client.named.clear()

    def on_own_tag(self, tag: bytes) -> None:
        """A command ended that no client asked for, such as server_reset_query: it may have taken every statement."""
        if tag in _ALL_GONE:
            self.prepared.clear()

    def _settle(self) -> None:
        _, statements, name = self.changes.popleft()
        if statements is not None:
            statements.settle(name)

    def _on_error_in_batch(self, client: ClientSession, data: bytes, start: int, position: int, end: int) -> int:
        """An error of the extended protocol: tell the client in its own words, and take back what is skipped."""
        body = data[position + 5 : end]
        if not self._on_rare(client, _FAIL, body):
            raise AssertionError("an error is never out of place")
        # Only now, for a Close that is skipped had taken the name away.
        renamed = body if client.named is None else client.named.rename_in_error(body)
        if renamed == body:
            return start
        client.write(data[start:position] + messages.encode_message(messages.ERROR_RESPONSE, renamed))
        return end

    def _is_sound(self, action: int, length: int) -> bool:
        return 4 <= length <= (MAX_PARAMETER_STATUS if action == _PARAMETER else MAX_MESSAGE)

    def _on_rare(self, client: ClientSession, action: int, body: bytes) -> bool:
        """Errors, COPY, parameters: everything but the plain course of a query. False for a message out of place."""
        owed = self.owed
        if action in (Action.FAIL, Action.ERROR, Action.FATAL):
            # Not translated, unlike the severity in field S (since PostgreSQL 9.6).
            self.said_why = b"VFATAL\0" in body or b"VPANIC\0" in body
            if action == Action.FATAL:
                return True
            if self.copy_syncs:
                self._stop_counting(client)
                return True
            if client.named is not None and _STALE_PLAN in body:
                client.named.registry.forget_all()
            self.copy_in = False
            if action == Action.FAIL:
                self._fail_until_sync(client)
        elif action == _PARAMETER:
            return self._on_parameter(body)
        elif action == Action.COPY_IN:
            self.copy_in = True
            self.copy_syncs = 0
            # A backend that copies in ignores Sync (copyfromparse.c, CopyGetData): no ReadyForQuery comes for it.
            while len(owed) > 1 and owed[1] == _SYNC:
                del owed[1]
                self.copy_syncs += 1
        elif action == Action.CLOSED_UNNAMED:
            owed.popleft()
            client.unnamed = b""
        else:
            return False
        return True

    def _fail_until_sync(self, client: ClientSession) -> None:
        """After an error in the extended protocol the backend ignores all up to the next Sync, and owes nothing."""
        owed = self.owed
        if owed[0] == _PARSE_UNNAMED:
            # The old unnamed statement went before the new one was parsed (postgres.c, exec_parse_message).
            client.unnamed = b""
            self.unnamed_ready = True
        undone = 0
        while owed and owed[0] != _SYNC:
            request = owed.popleft()
            if request == _PARSE_UNNAMED:
                self.parses.popleft()
            elif request == _LOCAL or request == _LOCAL_CHANGE:
                self.local_replies.popleft()
            undone += request in _CHANGES
        skipped = [self.changes.popleft() for _ in range(undone)]
        for undo, statements, name in reversed(skipped):
            undo()
            if statements is not None:
                statements.settle(name)
        if not owed:
            client.on_ignored()

    def _stop_counting(self, client: ClientSession) -> None:
        """A COPY failed that Syncs were sent into: count no more.

        Those that the backend had read by then were ignored, the others will be answered, and which are which can't be
        told. So from here on all is relayed, and nothing is owed by name.
        """
        self.owed.clear()
        self.owed.append(Request.UNCOUNTED)
        self.parses.clear()
        self.local_replies.clear()
        self.changes.clear()
        self.copy_in = True
        client.on_uncounted()

    def _on_parameter(self, body: bytes) -> bool:
        name, separator, value = body.partition(b"\0")
        if not separator or not value.endswith(b"\0"):
            return False
        if self.parameters.get(name) == value[:-1]:
            self.changed_parameters.discard(name)
        else:
            self.changed_parameters.add(name)
        return True

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
