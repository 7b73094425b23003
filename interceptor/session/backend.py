"""The backend's half of a conversation: what it still owes, and what its answers mean."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from interceptor.errors import BACKEND_PROTOCOL, BackendError
from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.actions import BackendHost
from interceptor.session.notes import Noted
from interceptor.session.prepared import ClientStatements, Prepared, renew
from interceptor.session.probe import decode_probe
from interceptor.session.replies import (
    ALL_GONE,
    on_blocked,
    on_error_in_batch,
    on_error_of_rewritten,
    on_parameter,
    on_rare,
    on_tag,
    on_unseen,
)
from interceptor.session.reported import Reported
from interceptor.session.settings import NO_SETTINGS, ROLE, UNKNOWN_SETTINGS, settings_of
from interceptor.session.states import ENDED, NOTHING_OWED, REPLIES, Action, Request
from interceptor.session.watching import MORE, on_cut, on_watched

if TYPE_CHECKING:
    from interceptor.session.client import ClientSession
    from interceptor.session.counting import Counting
    from interceptor.session.observed import Run
    from interceptor.session.watching import Stopping

# Plain integers: an enum member costs an attribute look-up and a slower comparison, in a loop over every message.
_RELAY: Final = int(Action.RELAY)
_COMPLETE: Final = int(Action.COMPLETE)
_PARSED_UNNAMED: Final = int(Action.PARSED_UNNAMED)
_READY: Final = int(Action.READY)
_PARAMETER: Final = int(Action.PARAMETER)
_QUERY: Final = int(Request.QUERY)
_SYNC: Final = int(Request.SYNC)
_TRACKED_SYNC: Final = int(Request.TRACKED_SYNC)
_LOCAL: Final = int(Request.LOCAL)
_LOCAL_CHANGE: Final = int(Request.LOCAL_CHANGE)
_FAIL: Final = int(Action.FAIL)
_ERROR: Final = int(Action.ERROR)
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
_CUT: Final = int(Action.CUT)
_ENDING: Final = int(Action.ENDING)
_NOTIFIED: Final = int(Action.NOTIFIED)
_ASKED: Final = int(Request.ASKED)
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

"""The routine that says "cached plan must not change result type" (plancache.c), in an ErrorResponse."""

_ENDS_BATCH: Final = frozenset(
    {
        Request.ASKED,
        Request.BLOCKED_QUERY,
        Request.CUT_QUERY,
        Request.FUNCTION_CALL,
        Request.INJECTED_SYNC,
        Request.QUERY,
        Request.SYNC,
        Request.TRACKED_CALL,
        Request.TRACKED_QUERY,
        Request.TRACKED_SYNC,
        Request.REFUSED_COMMIT,
        Request.WATCHED_CALL,
        Request.WATCHED_QUERY,
    }
)

_OPEN: Final = frozenset((messages.IN_TRANSACTION, messages.FAILED_TRANSACTION))

MAX_MESSAGE: Final = 0x3FFFFFFF + 4
"""What PostgreSQL can send at most: its MaxAllocSize, and the length itself."""

MAX_WHOLE_ERROR: Final = 64 * 1024
"""Bytes of an ErrorResponse in which a statement's name is looked for; a longer one passes as it is."""

MAX_PARAMETER_STATUS: Final = 1024 * 1024
"""Bytes. A ParameterStatus has to be read whole, unlike what is merely forwarded, so it needs a bound. The same goes
for an answer to a question of ours."""

MIXED_SEQUENCES: Final = -1
"""No client's serial number."""


@dataclass(slots=True)
class _Asked:
    """A question of ours, and what has come of its answer."""

    on_answer: OnAnswer
    rows: list[bytes] = field(default_factory=list)
    error: bytes = b""


OnAnswer = Callable[["BackendSession", list[bytes], bytes], bool]
"""Called with the backend, the bodies of the DataRows, and the body of the ErrorResponse, if there is one."""


class BackendSession:
    """What one backend has been asked, and what it answers.

    Lives as long as the connection to the backend, from the end of its login on. ``client`` is the session that it
    works for, if any: only then may ``feed`` be called.
    """

    __slots__ = (
        "asked",
        "base_role",
        "base_settings",
        "binds",
        "blocks",
        "broken_off",
        "changes",
        "client",
        "client_parses",
        "copy_in",
        "copy_syncs",
        "counting",
        "custom_names",
        "hidden_of",
        "host",
        "local_replies",
        "login_role",
        "max_prepared",
        "owed",
        "parses",
        "partial",
        "prepared",
        "queries",
        "ready",
        "reported",
        "said_why",
        "sequences_of",
        "server_parses",
        "settings",
        "status",
        "stopping",
        "streaming",
        "target",
        "transactions",
        "unnamed_in_batch",
        "unnamed_ready",
        "watched",
        "watches_tags",
        "write",
    )

    def __init__(
        self,
        host: BackendHost,
        reported: Reported,
        max_prepared: int = 200,
        custom_names: set[str] | None = None,
        target: str = "primary",
    ) -> None:
        """``reported`` are the settings that the backend reported at login.

        ``max_prepared`` is how many shared statements it may have at a time, at least one. ``custom_names``: names of
        custom settings that somebody has set on this server; the session adds to them. ``target``: which server of its
        database it is.
        """
        self.max_prepared = max_prepared
        self.host = host
        self.target = target
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
        self.client_parses = 0
        """How many named statements its clients have prepared,"""
        self.server_parses = 0
        """and how many of those were parsed on it, for them or again for others;"""
        self.binds = 0
        """and how often one was bound."""
        self.copy_in = False
        """It waits for CopyData, CopyDone or CopyFail."""
        self.copy_syncs = 0
        """Syncs that it was sent while it copied, or just before."""
        self.counting: Counting | None = None
        """It is found out which of them count."""
        self.blocks: deque[bytes] = deque()
        """The errors that take the place of the server's, for blocked statements among what is owed."""
        self.watched: deque[Run] = deque()
        """The executions of those among them whose answers are looked at."""
        self.stopping: Stopping | None = None
        """A result that was cut off, and has not come to its end."""
        self.asked: deque[_Asked] = deque()
        """The questions of our own among what is owed."""

        # What is in its session
        self.reported = reported
        self.login_role = reported.values.get(b"session_authorization", b"")
        """Who logged in, as the server calls it."""
        self.base_settings = NO_SETTINGS
        """What was set in its session before its first client came. It belongs to no client, and so is in nobody's."""
        self.base_role = b""
        """Its role after login, "none" in most cases; empty while it isn't known."""
        self.settings = NO_SETTINGS
        """As of the end of its last transaction."""
        self.custom_names = set() if custom_names is None else custom_names
        self.hidden_of = 0
        """Whose settings may be set under names that nobody knows: a client's serial number, or 0."""
        self.sequences_of = 0
        """Whose values lastval() and currval() tell: a client's serial number, 0 if none's, or MIXED_SEQUENCES."""
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

    def ask(self, message: bytes, on_answer: OnAnswer) -> None:
        """Send a Query message of ours. ``on_answer`` is called with its rows, or its error, when it has been answered.

        No batch may be open. ``on_answer`` returns False if the backend must not be used any more.
        """
        assert self.between_batches
        self.owed.append(_ASKED)
        self.asked.append(_Asked(on_answer))
        # A simple query destroys the unnamed statement (postgres.c, exec_simple_query).
        self.unnamed_ready = False
        self.write(message)

    def note_sequence(self, serial: int) -> None:
        """The client with this serial number may leave values for lastval() and currval()."""
        if self.sequences_of != serial:
            self.sequences_of = MIXED_SEQUENCES if self.sequences_of else serial

    def on_prepared_for_clients(self, rows: list[bytes]) -> None:
        """Its session was set up by a query of the user's; the rows answer ``probe.ask_for_all``."""
        probed = decode_probe(rows)
        self.base_role = probed.base_role
        self.base_settings = settings_of([item for item in probed.settings.items() if item[0] != ROLE])

    def on_reset(self, *, everything: bool) -> None:
        """A reset query of the user's was run: all is gone, or it can't be told what is left."""
        if not everything or self.base_settings is not NO_SETTINGS:
            self.settings = UNKNOWN_SETTINGS
        else:
            self.settings = NO_SETTINGS
        self.sequences_of = 0 if everything else MIXED_SEQUENCES

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
                if end > size and length <= MAX_WHOLE_ERROR:
                    break
                on_error = on_error_in_batch if action == _FAIL else on_error_of_rewritten
                start = on_error(self, client, data, start, position, min(end, size))
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
            self.said_why = True
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
                self.settle_change()
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

    def on_own_tag(self, tag: bytes) -> None:
        """A command ended that no client asked for, such as server_reset_query: it may have taken every statement."""
        if tag in ALL_GONE:
            self.prepared.clear()

    def settle_change(self) -> None:
        """The oldest noted change has been made, or will never be."""
        _, statements, name = self.changes.popleft()
        if statements is not None:
            statements.settle(name)

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
