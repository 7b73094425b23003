"""What is known of one backend: what it has been asked and still owes, and what is in its session."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from interceptor.protocol import messages
from interceptor.session.actions import BackendHost
from interceptor.session.prepared import ClientStatements, Prepared
from interceptor.session.probe import decode_probe
from interceptor.session.replies import ALL_GONE
from interceptor.session.reported import Reported
from interceptor.session.settings import NO_SETTINGS, ROLE, UNKNOWN_SETTINGS, settings_of
from interceptor.session.states import Request

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession
    from interceptor.session.counting import Counting
    from interceptor.session.observed import Run
    from interceptor.session.watching import Stopping

_IDLE: Final = messages.IDLE
_LOCAL: Final = int(Request.LOCAL)
_LOCAL_CHANGE: Final = int(Request.LOCAL_CHANGE)
_ASKED: Final = int(Request.ASKED)

_ENDS_BATCH: Final = frozenset(
    {
        Request.ASKED,
        Request.BLOCKED_QUERY,
        Request.CUT_QUERY,
        Request.FUNCTION_CALL,
        Request.INJECTED_SYNC,
        Request.OBSERVED_QUERY,
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

_OF_CLIENTS: Final = _ENDS_BATCH - {Request.ASKED, Request.INJECTED_SYNC}

MAX_LOOK_BACK: Final = 64
"""How many requests are looked through for the end of an earlier batch: a client may send fifty thousand ahead."""

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


class BackendState:
    """What one backend has been asked, and what it answers.

    Lives as long as the connection to the backend, from the end of its login on. ``client`` is the session that it
    works for, if any.
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
    def may_be_in_transaction(self) -> bool:
        """A transaction block may be open by when it comes to what it is sent next, or that can't be told soon."""
        if self.status != _IDLE:
            return True
        for place, request in enumerate(reversed(self.owed)):
            if request in _OF_CLIENTS or place == MAX_LOOK_BACK:
                return True
        return False

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

    def reply_in_turn(self, reply: bytes) -> None:
        """Send the client something of our own once all that was asked before it has been answered."""
        if self.owed:
            self.owed.append(_LOCAL)
            self.local_replies.append(reply)
        else:
            assert self.client is not None
            self.client.write(reply)

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
            statements.unsettle(name)

    def on_own_tag(self, tag: bytes) -> None:
        """A command ended that no client asked for, such as server_reset_query: it may have taken every statement."""
        if tag in ALL_GONE:
            self.prepared.clear()

    def settle_change(self) -> None:
        """The oldest noted change has been made, or will never be."""
        _, statements, name = self.changes.popleft()
        if statements is not None:
            statements.settle(name)
