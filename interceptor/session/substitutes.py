"""Messages of our own making in a client's stream: what stands in the place of one that a plugin decided about.

A client's messages are looked at once, where a batch begins (``interception``). Each that is blocked or answered here
is replaced by a substitute: a message of a kind that no client may send, whose meaning is in
``Interception.substitutes``, in the same order. From there on it takes its turn among the other messages, and so do its
replies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from interceptor.protocol import messages
from interceptor.session.notes import Note, Noted
from interceptor.session.prelude import PASSING_NAME, close_passing, parse_passing
from interceptor.session.splice import Outcome, hold
from interceptor.session.states import Request

if TYPE_CHECKING:
    from interceptor.hooks.containment import Hook
    from interceptor.hooks.decisions import CopyRows
    from interceptor.session.answers import LocalPortal
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession
    from interceptor.session.conditions import Conditions
    from interceptor.session.interception import Interception
    from interceptor.session.observed import Run

SUBSTITUTE: Final = 1
"""The message type. PostgreSQL's are printable."""

_DESCRIBE_PASSING: Final = messages.encode_message(messages.DESCRIBE, b"S" + PASSING_NAME + b"\0")
SUBSTITUTE_MESSAGE: Final = b"\x01\0\0\0\x04"

_OWED_BLOCKED_QUERY: Final = int(Request.BLOCKED_QUERY)
_OWED_BLOCKED: Final = int(Request.BLOCKED)

# PostgreSQL refuses these before it looks at anything, with a syntax error, and so ends what was begun: the transaction
# is failed as the statement itself would have failed it. The text is what its log shows.
REFUSED_QUERY: Final = messages.encode_query("interceptor: a plugin blocked this statement")
REFUSED_PARSE: Final = messages.encode_message(
    messages.PARSE, b"_interceptor_blocked\0interceptor: a plugin blocked this statement\0\0\0"
)


@dataclass(frozen=True, slots=True)
class Blocked:
    """An error in the place of a statement."""

    error: bytes
    """The ErrorResponse message."""
    simple: bool
    """It was a Query, or a FunctionCall, which a ReadyForQuery ends."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Fixed messages in the place of a message of the extended protocol: ParseComplete, a description."""

    messages: bytes
    unnamed: bytes | None = None
    """What is the client's unnamed statement from then on (``ClientSession.unnamed``); None where it stays."""


@dataclass(slots=True)
class _OfPortal:
    """What is done with a portal that a plugin answers."""

    portal: LocalPortal
    name: bytes = b""
    asked: bool = False
    """The backend was asked for what stands for the portal there (``stand_ins``)."""


class Opened(_OfPortal):
    """BindComplete in the place of a Bind."""

    __slots__ = ()


class Shown(_OfPortal):
    """The description of its rows in the place of a Describe."""

    __slots__ = ()


class Closed(_OfPortal):
    """CloseComplete in the place of a Close."""

    __slots__ = ()


@dataclass(slots=True)
class Answered(_OfPortal):
    """Rows in the place of a Query or an Execute."""

    max_rows: int = 0
    """As in Execute; 0 is all."""
    simple: bool = False


@dataclass(frozen=True, slots=True)
class Fill:
    """A COPY into which rows of a plugin go."""

    sql: bytes
    rows: CopyRows
    hook: Hook
    """In whose name they are pulled."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A Bind to a statement other than the one that the client named: one that is prepared for it alone."""

    body: bytes
    """Its text, zero, and the types of its parameters."""
    message: bytes
    """The Bind, to ``prelude.PASSING_NAME``."""
    note: Note
    before: tuple[bytes | Fill, ...] = ()
    named: bytes = b""
    """The client's statement, if it has a name and the server has it: see ``statements.check_named``."""


@dataclass(frozen=True, slots=True)
class Described:
    """A Describe of a portal that another statement answers for: the client's own, where a rewritten one runs."""

    body: bytes
    """As of a ``Bound``."""
    formats: tuple[int, ...]
    """Those of the portal's columns."""
    run: Run | None = None
    """The execution that it is of, where somebody looks after that."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A Query that runs as a batch of the extended protocol."""

    body: bytes
    """As of a ``Bound``."""
    bind: bytes
    """The Bind, of the unnamed statement and portal."""
    note: Note
    before: tuple[bytes | Fill, ...] = ()
    commits: bool = False
    """Plugins are asked before its Sync is sent."""
    described: bytes = b""
    """The text whose columns the client is told of; empty where it is that which runs."""
    conditions: Conditions | None = None
    """Settings that hold for it."""


PortalSubstitute = Opened | Shown | Closed | Answered
Substitute = Blocked | Reply | PortalSubstitute | Bound | Described | Staged


def on_substitute(session: ClientSession, backend: BackendSession, interception: Interception, end: int) -> Outcome:
    """Act on the next substitute while a backend is linked (a handler of ``requests``)."""
    substitute = interception.substitutes[0]
    if isinstance(substitute, Reply) and backend.owed:
        session.wants_flush = True
        return hold(session)
    assert isinstance(substitute, (Reply, Blocked))
    interception.substitutes.popleft()
    if isinstance(substitute, Blocked):
        return refuse(session, backend, substitute.error, simple=substitute.simple), end
    if substitute.unnamed is not None:
        session.unnamed = substitute.unnamed
        backend.unnamed_ready = backend.unnamed_in_batch = False
    session.write(substitute.messages)
    return b"", end


def deliver(session: ClientSession, backend: BackendSession, interception: Interception, answered: Answered) -> None:
    """Send the rows of an answer while a backend is linked, which owes nothing."""
    if answered.simple:
        # As a Query would have.
        session.unnamed = b""
        backend.unnamed_ready = backend.unnamed_in_batch = False
    else:
        interception.executed_here = True
    interception.deliver(answered, messages.READY[backend.status] if answered.simple else b"")
    session.held = session.held or interception.busy


def on_described(backend: BackendSession, described: Described, end: int) -> Outcome:
    """Act on a Describe that another statement answers for (a handler of ``requests``)."""
    note = Note(formats=described.formats, describes=described.run)
    parse = parse_passing(backend, described.body, note)
    backend.owed.append(Noted(Request.DESCRIBED_PORTAL, note))
    return parse + _DESCRIBE_PASSING + close_passing(backend), end


def refuse(session: ClientSession, backend: BackendSession, error: bytes, *, simple: bool) -> bytes:
    """What has to be sent so that the transaction fails as by this error, which the client then gets."""
    backend.blocks.append(error)
    if simple:
        session.unnamed = b""
        backend.owed.append(_OWED_BLOCKED_QUERY)
        return REFUSED_QUERY
    backend.owed.append(_OWED_BLOCKED)
    return REFUSED_PARSE


def is_query(interception: Interception | None, kind: int) -> bool:
    """Whether a message of this kind stands for a Query that runs as a batch: the next of the substitutes."""
    return kind == SUBSTITUTE and interception is not None and isinstance(interception.substitutes[0], Staged)


def act_alone(session: ClientSession, interception: Interception) -> bool:
    """Act on the next substitute without a backend. False if it needs one."""
    substitute = interception.substitutes[0]
    if isinstance(substitute, (Bound, Described, Staged)):
        return False
    if isinstance(substitute, Opened) and substitute.name and substitute.name in interception.standing:
        # The name is taken, and the server says so best.
        return False
    interception.substitutes.popleft()
    if isinstance(substitute, Reply):
        if substitute.unnamed is not None:
            session.unnamed = substitute.unnamed
        session.write(substitute.messages)
    elif isinstance(substitute, Opened):
        interception.note_standing(substitute.name, substitute.portal)
        session.write(messages.BIND_COMPLETE_MESSAGE)
    elif isinstance(substitute, Shown):
        session.write(substitute.portal.description)
    elif isinstance(substitute, Closed):
        interception.standing.pop(substitute.name, None)
        session.write(messages.CLOSE_COMPLETE_MESSAGE)
    elif isinstance(substitute, Answered):
        if substitute.simple:
            session.unnamed = b""
            interception.standing.pop(b"", None)
        else:
            interception.executed_here = True
        interception.deliver(substitute, messages.READY[messages.IDLE] if substitute.simple else b"")
    elif substitute.simple:
        session.unnamed = b""
        interception.executions.on_error()
        interception.executions.on_end(messages.IDLE)
        session.write(substitute.error + messages.READY[messages.IDLE])
        interception.on_ready(messages.IDLE)
    else:
        interception.executions.on_error()
        session.write(substitute.error)
        session.ignoring = True
    return True
