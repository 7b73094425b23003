"""The prepared statements of a client whose messages plugins decide about: what it said, and what runs in its place."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from interceptor.hooks.decisions import Shape
from interceptor.protocol import messages
from interceptor.session.lacking import nothing, own
from interceptor.session.notes import Note
from interceptor.session.positions import Rewriting

if TYPE_CHECKING:
    from interceptor.session.client import ClientSession


_SQL_NAMES: Final = re.compile(rb"\b(?:deallocate(?:\s+prepare)?|prepare)\s+([a-z_\x80-\xff][a-z0-9_$\x80-\xff]*)")


@dataclass(frozen=True, slots=True)
class Known:
    """A statement that the client prepared, as it stands."""

    body: bytes
    """What followed the name in Parse: the text, its zero, the parameter types."""
    sent: bytes
    """What is prepared on a backend in its place; empty where nothing is."""
    shape: Shape | None = None
    sql: bytes = field(init=False, repr=False, compare=False)
    """The client's text."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sql", self.body[: self.body.find(0)])

    def rewriting(self, encoding: str) -> Rewriting | None:
        """What the server calls by places of a text that the client has not sent."""
        if self.sent is self.body or not self.sent:
            return None
        return Rewriting(self.sql, self.sent[: self.sent.find(0)], encoding)


_NOTHING_TO_DO: Final[deque[Note | None]] = deque()
"""Never changed: another one is put in its place. Even an empty one takes 600 bytes."""

NO_NAMES: Final[frozenset[bytes]] = frozenset()
"""One for all: each empty set takes 200 bytes."""

Change = tuple[bytes, Known | None]
"""The name of a statement, and what it stood for before."""


class KnownStatements:
    """Which statement each name stands for, once all that was looked at has been answered."""

    __slots__ = ("_session", "again", "by_name", "journal", "undone", "unnamed")

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self.by_name: dict[bytes, Known] = nothing()
        """``b""`` is the unnamed one."""
        self.journal = _NOTHING_TO_DO
        """About each message that was looked at and has not been acted on yet."""
        self.again: tuple[Note | None, ...] = ()
        """About the messages of ``ClientSession.retry``; some that it begins with may be missing."""
        self.undone = NO_NAMES
        """Names whose changes were taken back since an error, up to the Sync that ends it."""
        self.unnamed: list[Known] | tuple[()] = ()
        """Those of which one is the unnamed statement."""

    def begin(self, notes: Iterable[Note | None] = ()) -> None:
        """A batch is looked at, or one that was looked at comes: these are the notes that there are about it so far."""
        self.journal = deque(notes)

    def end(self) -> None:
        """A transaction is over: own nothing."""
        if not self.journal:
            self.journal = _NOTHING_TO_DO

    def settle_unnamed(self) -> None:
        """See which statement the unnamed one is, now that all before has been answered."""
        session = self._session
        if session.reused is not None and session.backend is not None and session.backend.unnamed_in_batch:
            return
        body = session.unnamed[6:]
        self.by_name.pop(b"", None)
        if not body:
            self.unnamed = ()
            return
        found = next((one for one in self.unnamed if (one.sent or one.body) == body), None)
        self.unnamed = ()
        self.put(b"", found or Known(body, body))

    def put(self, name: bytes, known: Known) -> None:
        """What is looked at gives a statement this name."""
        self.by_name = own(self.by_name)
        self.by_name[name] = known
        if not name:
            if isinstance(self.unnamed, tuple):
                self.unnamed = []
            self.unnamed.append(known)

    def change_of(self, kind: int, message: bytes) -> Change | None:
        """What a message is about to change; the unnamed statement is known otherwise (``settle_unnamed``)."""
        if kind == messages.PARSE:
            name = message[5 : message.find(0, 5)]
        elif kind == messages.CLOSE and message[5:6] == b"S":
            name = message[6:-1]
        else:
            return None
        return (name, self.by_name.get(name)) if name else None

    def undo(self, change: Change) -> None:
        """A message that was sent is skipped because of an error. Called in the reverse order of the messages."""
        name, known = change
        self.undone |= {name}
        if known is None:
            self.by_name.pop(name, None)
        else:
            self.put(name, known)

    def on_sql(self, sql: bytes) -> None:
        """A text is about to run that may make or take away statements by SQL: their names may stand for others."""
        if not self.by_name:
            return
        lowered = sql.lower()
        # Not by a pattern: a text of a megabyte would hold up the loop.
        if lowered.find(b"deallocate") < 0 and lowered.find(b"discard") < 0 and lowered.find(b"prepare") < 0:
            return
        names = [name for name in _SQL_NAMES.findall(lowered) if name != b"all"]
        if names and b'"' not in sql and b";" not in sql.rstrip(b"; \n"):
            for name in names:
                self._forget(name)
        else:
            for name in list(self.by_name):
                self._forget(name)

    def _forget(self, name: bytes) -> None:
        known = self.by_name.get(name)
        if known is not None and known.shape is None and name:
            del self.by_name[name]

    def find(self, name: bytes) -> Known | None:
        """What a name stands for; None if the client has no such statement, or made it by SQL."""
        known = self.by_name.get(name)
        named = self._session.named
        if known is None and named is not None and name in named.by_name and not self._changes(name):
            # It was thought to be gone, but what was to take it away never ran.
            body = named.by_name[name].body
            known = Known(body, body)
            self.put(name, known)
        if known is None or known.shape is not None or not name:
            return known
        if named is not None and name not in named.by_name and not self._changes(name):
            # DEALLOCATE took it.
            del self.by_name[name]
            return None
        return known

    def _changes(self, name: bytes) -> bool:
        """Whether what has been looked at, and nobody has acted on yet, makes or drops this statement."""
        return any(one is not None and one.change is not None and one.change[0] == name for one in self.journal)
