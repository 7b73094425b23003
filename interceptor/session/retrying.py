"""A routed statement that may be run once more on another target (``Route.retry``).

Until the first sign that it succeeds, what the server says of it is held back: its ParseComplete, BindComplete and
RowDescription. So when it fails the client has been told nothing, and its batch, which is kept as plugins decided
about it, can go to the other target. Nothing else is in that batch, and no transaction is open; and what fails with an
error has been undone by the server. Statements that could commit by themselves are never sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.substitutes import Bound, Described
from interceptor.sql.facts import Group

if TYPE_CHECKING:
    from interceptor.errors import BackendError, ClientError
    from interceptor.hooks.chain import Outcome
    from interceptor.session.interception import Interception
    from interceptor.session.notes import Note

__all__ = ["Retrying", "may_be_retried"]

MAX_HELD: Final = 64 * 1024
"""Bytes that are held back. A result with a longer beginning is not tried again."""

_HELD: Final = frozenset(b"123tTnN")
_ASIDE: Final = frozenset(b"SA")
"""What a server may say at any time is not held back."""


class Retrying:
    """A batch of one statement, from its decision until it has succeeded, or failed for good."""

    __slots__ = ("_held", "_write", "batch", "due", "interception", "notes", "outcome", "substitutes")

    def __init__(self, interception: Interception, outcome: Outcome, batch: bytes) -> None:
        """``batch``: as plugins decided about it, and nobody has acted on it yet."""
        self.interception = interception
        self.outcome = outcome
        self.batch = batch
        self.notes: tuple[Note | None, ...] = tuple(interception.known.journal)
        self.substitutes = tuple(interception.substitutes)
        self.due = False
        """It has failed, and is to go on elsewhere as soon as its server has said all of it."""
        self._held = b""
        session = interception.session
        self._write = session.write
        session.write = self.take

    def take(self, data: bytes) -> None:
        """What would be sent to the client (``ClientSession.write``)."""
        self._held += data
        position = 0
        while len(self._held) - position >= 5:
            kind, length = unpack_header(self._held, position)
            end = position + 1 + length
            if kind in _ASIDE and end <= len(self._held):
                self._write(self._held[position:end])
                self._held = self._held[:position] + self._held[end:]
            elif kind in _HELD and end <= MAX_HELD:
                position = end
            else:
                self.settle()
                break

    def settle(self) -> None:
        """It is not to be tried again, whatever comes. What was held back goes to the client."""
        self._end()
        if self._held:
            self._write(self._held)

    def takes(self, body: bytes) -> bool:
        """Whether this ErrorResponse is one after which it is tried again."""
        fields = messages.decode_error_fields(body)
        retry = self.outcome.retry
        assert retry is not None
        if fields.get("C") not in retry.sqlstates:
            return False
        # A server that hangs up may have done so after its commit.
        return fields.get("V") not in ("FATAL", "PANIC") or self._only_reads

    @property
    def _only_reads(self) -> bool:
        if self.interception.session.belongings.doubt is not None:
            return False
        facts = self.outcome.execution.statement.facts
        return not facts.writes and facts.statements[0].group is not Group.WRITE

    def fail(self, sqlstate: str, message: str) -> None:
        """It has failed on its first target, and is tried again: observers hear of it."""
        self.due = True
        for note in self.notes:
            if note is not None and note.run is not None:
                note.run.retry(sqlstate, message)
                break

    def fail_with(self, body: bytes) -> None:
        """As ``fail``, by an ErrorResponse."""
        fields = messages.decode_error_fields(body)
        self.fail(fields.get("C", ""), fields.get("M", ""))

    def take_back(self) -> None:
        """The end of the batch was held back until more of it would be answered, and is not to be sent any more."""
        session = self.interception.session
        position, kind = 0, 0
        while kind != messages.SYNC:
            kind, length = unpack_header(session.rest, position)
            position += 1 + length
        session.rest = session.rest[position:]
        self.interception.known.journal.clear()

    def leave(self, error: BackendError | ClientError) -> bool:
        """Its backend can't be had, or has hung up. Whether it goes on elsewhere, at once."""
        session = self.interception.session
        if not (session.waiting or self.due):
            self.settle()
            return False
        if not self.due:
            sqlstate = getattr(error, "sqlstate", "") or error.failure.sqlstate
            self.fail(sqlstate, error.message)
        if session.waiting:
            # Nobody has acted on any of it.
            session.waiting = False
            self._end()
            assert self.outcome.retry is not None
            self.interception.target = self.outcome.retry.target
        else:
            self.take_up()
        session.ignoring = session.held = False
        return True

    def take_up(self) -> None:
        """Put the batch in front of what the client sent after it, to be sent to the other target."""
        self._end()
        session, interception = self.interception.session, self.interception
        retry = self.outcome.retry
        assert retry is not None
        interception.known.begin(self.notes)
        interception.substitutes.clear()
        interception.put_back(self.substitutes)
        interception.target = retry.target
        session.retry = None
        session.reused = None
        session.reused_parse = b""
        session.rest = self.batch + session.rest

    def _end(self) -> None:
        self.interception.session.write = self._write
        self.interception.retrying = None


def may_be_retried(interception: Interception, outcome: Outcome, batch: bytes) -> bool:
    """Whether a batch is one statement, outside of a transaction, that a server undoes if it fails."""
    facts = outcome.execution.statement.facts
    if len(facts.statements) != 1 or facts.opaque or interception.session.pinned:
        return False
    statement = facts.statements[0]
    if statement.group not in (Group.READ, Group.WRITE) and statement.kind != "begin":
        return False
    if statement.copy is not None and statement.copy.is_from:
        return False
    for substitute in interception.substitutes:
        if not isinstance(substitute, (Bound, Described)) or (isinstance(substitute, Bound) and substitute.before):
            return False
    return _runs_one(batch, len(interception.known.journal))


def _runs_one(batch: bytes, count: int) -> bool:
    """Whether a batch is a Query, or runs one portal and makes and drops no named statement."""
    position = 0
    executes = 0
    kind = 0
    while position < len(batch):
        kind, length = unpack_header(batch, position)
        if kind == messages.CLOSE or (kind == messages.PARSE and batch[position + 5] != 0):
            return False
        executes += kind == messages.EXECUTE
        position += 1 + length
    return (kind == messages.SYNC and executes == 1) or (kind != messages.SYNC and count == 1 and executes == 0)
