"""What is known of a message that plugins looked at, beside its bytes.

A ``Note`` waits in ``KnownStatements.journal`` until its message is acted on. Then it stands with what is owed for the
message: in ``BackendSession.owed`` a request may be ``Noted``, which is a number like any other where answers are taken
apart, and tells its note in the few places that ask for it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interceptor.session.committing import Control
    from interceptor.session.conditions import Conditions
    from interceptor.session.known import Change
    from interceptor.session.observed import ObservedParse, Run
    from interceptor.session.positions import Rewriting

__all__ = ["Note", "Noted", "become", "mark", "note_of"]


@dataclass(slots=True)
class Note:
    """About one message."""

    change: Change | None = None
    """The prepared statement that it makes or drops, and what its name stood for before."""
    run: Run | None = None
    """The execution that it is a part of, where somebody looks after that."""
    rewriting: Rewriting | None = None
    """The server was sent another text than the client's, of which its errors speak."""
    statement: bytes | None = None
    """What the client calls the statement that the server knows by ``prelude.PASSING_NAME``."""
    may_fail: bool = False
    """An error of it may be one after which it is run elsewhere."""
    conditions: Conditions | None = None
    """Settings that hold for the execution that it is a part of."""
    sets: bool = False
    """They have to be set before it."""
    resets: bool = False
    """They have to be taken back behind it."""
    control: Control = ""
    """It begins or ends a transaction."""
    error: bytes = b""
    """An ErrorResponse that takes the place of the server's."""
    parse: ObservedParse | None = None
    """It prepares a text that somebody hears of, should it fail."""
    describes: Run | None = None
    """It tells of the rows of this execution, whose statement is another."""
    formats: tuple[int, ...] = ()
    """Those of the portal for which a statement is described."""

    @property
    def concerns_answers(self) -> bool:
        """It has to be at hand when the message is answered."""
        return self.rewriting is not None or self.may_fail or self.parse is not None


class Noted(int):
    """A request that is owed, with a note."""

    note: Note

    def __new__(cls, request: int, note: Note) -> Noted:
        """As an integer it is the request."""
        made = super().__new__(cls, request)
        made.note = note
        return made


def mark(owed: deque[int], since: int, note: Note) -> None:
    """Put a note to all that is owed from this place on."""
    for place in range(since, len(owed)):
        if not isinstance(owed[place], Noted):
            owed[place] = Noted(owed[place], note)


def become(owed: deque[int], request: int) -> None:
    """The oldest that is owed is another kind of request from now on. It keeps its note."""
    note = note_of(owed[0])
    owed[0] = request if note is None else Noted(request, note)


def note_of(request: int) -> Note | None:
    """The note of something that is owed, if it has one."""
    return request.note if isinstance(request, Noted) else None
