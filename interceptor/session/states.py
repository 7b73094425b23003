"""What a backend owes, and which replies pay it: the protocol as data.

Every message that a backend was sent and that calls for an answer stands in a queue as a ``Request``. The oldest one
decides what each incoming message means: ``REPLIES[request][message type]`` is an ``Action``. A message for which the
table says VIOLATION comes from a backend that can't be understood any more, so it is closed.

Source: PostgreSQL documentation, "Message Flow"; postgres.c, PostgresMain and SocketBackend.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum, unique
from typing import Final


class PoolMode(StrEnum):
    """How long a client keeps a backend. Values are PgBouncer's ``pool_mode`` settings."""

    SESSION = "session"
    TRANSACTION = "transaction"
    STATEMENT = "statement"


@unique
class Request(IntEnum):
    """A message sent to a backend that it has to answer. INJECTED ones are ours: the client must not see the answer."""

    QUERY = 0
    PARSE = 1
    PARSE_UNNAMED = 2
    BIND = 3
    DESCRIBE_STATEMENT = 4
    DESCRIBE_PORTAL = 5
    EXECUTE = 6
    CLOSE = 7
    CLOSE_UNNAMED = 8
    SYNC = 9
    FUNCTION_CALL = 10
    INJECTED_PARSE = 11
    """Of the unnamed statement, as is INJECTED_CLOSE."""
    INJECTED_CLOSE = 12
    LOCAL = 13
    """No request at all: a reply of our own, whose turn comes when all before it are answered."""
    NAMED_PARSE = 15
    """A Parse of a shared statement (``prepared``). This and the next three stand for a change noted in ``changes``."""
    INJECTED_NAMED_PARSE = 16
    INJECTED_NAMED_CLOSE = 17
    LOCAL_CHANGE = 18
    """A reply of our own, as LOCAL, for a request that changes something."""
    REUSED_BIND = 21
    """A Bind of the unnamed statement whose Parse was left out (``reuse``): its answer stands for two."""
    REUSED_DESCRIBE = 22
    """Likewise, a Describe."""
    INJECTED_SYNC = 23
    """Ends a batch of ours."""
    BLOCKED_QUERY = 24
    """A Query in the place of one that a plugin blocked; the server refuses it, with an error that we replace."""
    BLOCKED = 25
    """Likewise, a Parse in the place of a message of the extended protocol."""
    NAMED_CLOSE = 26
    """A Close of a statement by the client's own name, which stands for a change noted in ``changes``."""
    WATCHED_QUERY = 27
    """A Query whose answer is looked at (``watching``), until that comes to its end. So are the next five."""
    WATCHED_CALL = 28
    """A FunctionCall."""
    WATCHED_BIND = 29
    WATCHED_REUSED_BIND = 30
    WATCHED_DESCRIBE = 31
    """Of a portal."""
    WATCHED_EXECUTE = 32
    CUT_QUERY = 33
    """A Query or FunctionCall whose client has been told of its end, as that of a result beyond its limits."""
    CUT_EXECUTE = 34
    """Likewise, an Execute."""
    TRACKED_QUERY = 35
    """A Query whose end plugins hear of, before its client does. So are the next two."""
    TRACKED_CALL = 36
    TRACKED_SYNC = 37
    PRELUDE = 38
    """A message of ours in the client's batch, of the extended protocol (``prelude``)."""
    FILL = 39
    """Likewise, the Execute of a COPY into which rows of a plugin go (``filling``)."""
    DESCRIBED_QUERY = 40
    """A Describe in the place of what a Query would have told of its rows by itself."""
    DESCRIBED_PORTAL = 41
    """A Describe of a statement that answers for a portal: the formats are to be the portal's."""
    REFUSED_COMMIT = 42
    """A ROLLBACK in the place of a COMMIT that a plugin refused, with its error in the place of the answer."""
    COUNTING = 43
    """All that comes while it is found out which Syncs count (``counting``)."""
    OBSERVED_QUERY = 44
    """A Query whose rows are counted, and of whose end observers hear (``observing``)."""
    OBSERVED_EXECUTE = 45
    """Likewise, an Execute."""
    RETRIED = 20
    """The Sync of a batch that has failed and is to be sent again."""
    ASKED = 19
    """A Query of ours (``BackendSession.ask``)."""
    UNCOUNTED = 14
    """It can't be told any more what is owed. Everything is relayed, and the backend serves this client to the end."""


@unique
class Action(IntEnum):
    """What a message from a backend does to the queue."""

    VIOLATION = 0
    RELAY = 1
    """To the client; the request is not done yet."""
    COMPLETE = 2
    """To the client; the request is done."""
    SWALLOW_UNNAMED = 3
    """Not to the client; the request is done. The backend's unnamed statement is the client's, or both have none."""
    TAG = 16
    """CommandComplete of a simple query: as RELAY, but its tag may tell that statements are gone."""
    EXECUTED = 17
    """CommandComplete of an Execute: as COMPLETE, with TAG's proviso."""
    SWALLOW = 14
    """Not to the client; the request is done."""
    FILL = 15
    """CopyInResponse: not to the client; rows of a plugin can be sent."""
    NO_COPY = 18
    """CopyInResponse: not to the client; there is nothing to copy."""
    DESCRIBE_AS = 19
    """RowDescription: to the client, with other formats; the request is done."""
    PARSED_UNNAMED = 4
    """As COMPLETE; the client's unnamed statement is the one of the oldest outstanding Parse."""
    CLOSED_UNNAMED = 5
    """As COMPLETE; the client's unnamed statement is gone."""
    READY = 6
    """ReadyForQuery: to the client; the request is done and the transaction status is known."""
    ERROR = 7
    """To the client; a ReadyForQuery is still to come for this very request."""
    FAIL = 8
    """To the client; the backend ignores everything up to the next Sync."""
    CHANGED = 12
    """As COMPLETE; the oldest noted change is settled."""
    SWALLOW_CHANGED = 13
    """Not to the client; the request is done, and the oldest noted change is settled."""
    NOTIFIED = 40
    """NotificationResponse: to the client, unless it hears of the channel in another way."""
    PARAMETER = 9
    """ParameterStatus: to the client, and remembered."""
    COPY_IN = 10
    """To the client, which may now send CopyData."""
    ASKED_ROW = 20
    """Not to the client; what we asked for."""
    ASKED_PARAMETER = 21
    """ParameterStatus: remembered, and not to the client."""
    ASKED_ERROR = 22
    """Not to the client; what we asked was refused."""
    ASKED_DROP = 23
    """Not to the client, and nothing to us."""
    REUSED = 26
    """As COMPLETE, with a ParseComplete of ours before it; the client's unnamed statement is the oldest Parse's."""
    REUSED_FIRST = 27
    """As REUSED, but the request is not done yet."""
    NOTICED = 29
    """NoticeResponse of a Parse: to the client, and remembered, since each client that prepares the text gets it."""
    SWALLOW_READY = 28
    """ReadyForQuery: not to the client; the request is done and the transaction status is known."""
    BLOCK_QUERY = 30
    """The error of a blocked statement, in the place of the server's; a ReadyForQuery is still to come."""
    BLOCK = 31
    """Likewise; the backend ignores everything up to the next Sync."""
    WATCHED = 32
    """A message of an answer that is looked at: to the client."""
    OBSERVED = 36
    """A row, or the end, of what is observed: to the client."""
    COUNTING = 35
    """Seen whole: the client's, unless it is the answer to a message of ours."""
    ENDING = 34
    """ReadyForQuery, of which plugins hear first; then it is the plain request's."""
    CUT = 33
    """Not to the client, which has been told that there is no more."""
    RETRY = 25
    """ReadyForQuery: not to the client; its batch can be sent again."""
    ASKED_READY = 24
    """Not to the client; what we asked is answered."""
    FATAL = 11
    """To the client; if it is FATAL, the backend is about to hang up and has said why."""


def _row(*, error: Action, **actions: Action) -> bytes:
    """A table row: 256 actions by message type. Notices, notifications and parameters may come at any time."""
    row = bytearray(256)
    row[ord("N")] = Action.RELAY
    row[ord("A")] = Action.NOTIFIED
    for kinds, action in actions.items():
        for kind in kinds.strip("_"):
            row[ord(kind)] = action
    row[ord("S")] = Action.PARAMETER
    row[ord("E")] = error
    return bytes(row)


def _prelude(copy_in: Action) -> bytes:
    """The row of a message of ours that one message answers to the end, whatever it is."""
    row = bytearray(_row(_123CITn=Action.SWALLOW, tDHdcN=Action.ASKED_DROP, error=Action.FAIL))
    row[ord("G")] = copy_in
    return bytes(row)


def _asked() -> bytes:
    """The row of a query of ours: only notifications are the client's."""
    row = bytearray(_row(TCINn=Action.ASKED_DROP, D=Action.ASKED_ROW, Z=Action.ASKED_READY, error=Action.ASKED_ERROR))
    row[ord("S")] = Action.ASKED_PARAMETER
    return bytes(row)


# Keyword names are the message types of the row; a type that is no identifier (1, 2, 3) has an underscore before it.
_ROWS: Final[Mapping[Request, bytes]] = {
    Request.QUERY: _row(TDIHdc=Action.RELAY, C=Action.TAG, G=Action.COPY_IN, Z=Action.READY, error=Action.ERROR),
    Request.PARSE: _row(_1=Action.COMPLETE, error=Action.FAIL),
    Request.PARSE_UNNAMED: _row(_1=Action.PARSED_UNNAMED, error=Action.FAIL),
    Request.BIND: _row(_2=Action.COMPLETE, error=Action.FAIL),
    Request.DESCRIBE_STATEMENT: _row(t=Action.RELAY, Tn=Action.COMPLETE, error=Action.FAIL),
    Request.DESCRIBE_PORTAL: _row(Tn=Action.COMPLETE, error=Action.FAIL),
    Request.EXECUTE: _row(
        DHdc=Action.RELAY, Is=Action.COMPLETE, C=Action.EXECUTED, G=Action.COPY_IN, error=Action.FAIL
    ),
    Request.CLOSE: _row(_3=Action.COMPLETE, error=Action.FAIL),
    Request.CLOSE_UNNAMED: _row(_3=Action.CLOSED_UNNAMED, error=Action.FAIL),
    # A Sync commits the implicit transaction, and a deferred constraint may fail that.
    Request.SYNC: _row(Z=Action.READY, error=Action.ERROR),
    Request.FUNCTION_CALL: _row(V=Action.RELAY, Z=Action.READY, error=Action.ERROR),
    Request.INJECTED_PARSE: _row(_1=Action.SWALLOW_UNNAMED, N=Action.ASKED_DROP, error=Action.FAIL),
    Request.INJECTED_CLOSE: _row(_3=Action.SWALLOW_UNNAMED, error=Action.FAIL),
    # Never the head while a message is looked at: a local reply leaves as soon as its turn comes.
    Request.LOCAL: bytes(256),
    Request.LOCAL_CHANGE: bytes(256),
    Request.NAMED_PARSE: _row(_1=Action.CHANGED, N=Action.NOTICED, error=Action.FAIL),
    Request.NAMED_CLOSE: _row(_3=Action.CHANGED, error=Action.FAIL),
    Request.INJECTED_NAMED_PARSE: _row(_1=Action.SWALLOW_CHANGED, N=Action.ASKED_DROP, error=Action.FAIL),
    Request.INJECTED_NAMED_CLOSE: _row(_3=Action.SWALLOW_CHANGED, error=Action.FAIL),
    Request.REUSED_BIND: _row(_2=Action.REUSED, error=Action.FAIL),
    Request.REUSED_DESCRIBE: _row(t=Action.REUSED_FIRST, error=Action.FAIL),
    Request.INJECTED_SYNC: _row(Z=Action.SWALLOW_READY, error=Action.ERROR),
    Request.BLOCKED_QUERY: _row(Z=Action.ENDING, error=Action.BLOCK_QUERY),
    Request.BLOCKED: _row(error=Action.BLOCK),
    Request.WATCHED_QUERY: _row(TDIHdcCZ=Action.WATCHED, G=Action.COPY_IN, error=Action.WATCHED),
    Request.WATCHED_CALL: _row(VZ=Action.WATCHED, error=Action.WATCHED),
    Request.WATCHED_BIND: _row(_2=Action.WATCHED, error=Action.FAIL),
    Request.WATCHED_REUSED_BIND: _row(_2=Action.WATCHED, error=Action.FAIL),
    Request.WATCHED_DESCRIBE: _row(Tn=Action.WATCHED, error=Action.FAIL),
    Request.WATCHED_EXECUTE: _row(DHdcIsC=Action.WATCHED, G=Action.COPY_IN, error=Action.FAIL),
    Request.OBSERVED_QUERY: _row(T=Action.RELAY, DC=Action.OBSERVED, error=Action.OBSERVED),
    Request.OBSERVED_EXECUTE: _row(DC=Action.OBSERVED, error=Action.FAIL),
    Request.CUT_QUERY: _row(TDIHGdcCVZ=Action.CUT, error=Action.CUT),
    Request.CUT_EXECUTE: _row(DHdcIsC=Action.CUT, error=Action.CUT),
    Request.TRACKED_QUERY: _row(
        TDIHdc=Action.RELAY, C=Action.TAG, G=Action.COPY_IN, Z=Action.ENDING, error=Action.ERROR
    ),
    Request.TRACKED_CALL: _row(V=Action.RELAY, Z=Action.ENDING, error=Action.ERROR),
    Request.TRACKED_SYNC: _row(Z=Action.ENDING, error=Action.ERROR),
    Request.REFUSED_COMMIT: _row(C=Action.BLOCK_QUERY, N=Action.ASKED_DROP, Z=Action.ENDING, error=Action.BLOCK_QUERY),
    Request.PRELUDE: _prelude(Action.NO_COPY),
    Request.FILL: _prelude(Action.FILL),
    Request.DESCRIBED_QUERY: _row(t=Action.ASKED_DROP, T=Action.DESCRIBE_AS, n=Action.SWALLOW, error=Action.FAIL),
    Request.DESCRIBED_PORTAL: _row(t=Action.ASKED_DROP, T=Action.DESCRIBE_AS, n=Action.COMPLETE, error=Action.FAIL),
    Request.COUNTING: bytes(Action.COUNTING if chr(kind) in "Z3NASE" else Action.VIOLATION for kind in range(256)),
    Request.RETRIED: _row(Z=Action.RETRY, error=Action.ERROR),
    Request.ASKED: _asked(),
    Request.UNCOUNTED: bytes(Action.FATAL if kind == ord("E") else Action.RELAY for kind in range(256)),
}

WATCHED: Final[Mapping[int, Request]] = {
    Request.WATCHED_QUERY: Request.TRACKED_QUERY,
    Request.WATCHED_CALL: Request.TRACKED_CALL,
    Request.WATCHED_BIND: Request.BIND,
    Request.WATCHED_REUSED_BIND: Request.REUSED_BIND,
    Request.WATCHED_DESCRIBE: Request.DESCRIBE_PORTAL,
    Request.WATCHED_EXECUTE: Request.EXECUTE,
}
"""What a request whose answer is looked at is, once that has come to its end."""

OBSERVED: Final[Mapping[int, Request]] = {
    Request.OBSERVED_QUERY: Request.QUERY,
    Request.OBSERVED_EXECUTE: Request.EXECUTE,
}
"""Likewise, one of which observers hear the end."""

PLAIN: Final[Mapping[int, Request]] = {**WATCHED, **OBSERVED}
"""What both are then. For each of them there is a ``Run`` in ``BackendSession.watched``."""

ENDED: Final[Mapping[int, Request]] = {
    Request.TRACKED_QUERY: Request.QUERY,
    Request.TRACKED_CALL: Request.FUNCTION_CALL,
    Request.TRACKED_SYNC: Request.SYNC,
    Request.BLOCKED_QUERY: Request.QUERY,
    Request.REFUSED_COMMIT: Request.QUERY,
}
"""What a request is, once plugins have heard of its end."""

SYNCS: Final = frozenset({Request.SYNC, Request.TRACKED_SYNC})

REPLIES: Final[tuple[bytes, ...]] = tuple(_ROWS[request] for request in sorted(Request))

NOTHING_OWED: Final[bytes] = _row(error=Action.FATAL)
"""The row of a backend that was asked nothing. An error here is FATAL, such as an administrator's shutdown."""
