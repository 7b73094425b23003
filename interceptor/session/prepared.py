"""Named prepared statements of the extended protocol, shared between clients.

A client's name stands for a ``Prepared``: text and parameter types, under the settings that parsing depends on. All
clients that prepare the same share one object, and each backend that has it knows it by the object's own name.

What a client asks may still fail, or be skipped because of an error before it. So each change to what exists is noted
in the backend's ``changes``, in the order of the requests that make it, and undone if the request is skipped.
"""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from interceptor.protocol.messages import CLOSE, PARSE, SYNC_MESSAGE, encode_message
from interceptor.session.lacking import nothing, own
from interceptor.session.settings import Settings
from interceptor.session.states import Request
from interceptor.sql.effects import Effect, SessionEffects
from interceptor.sql.lexical import MAX_SKIMMED

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession

MAX_STATEMENTS: Final = 10_000
"""Named statements that one client may have at a time."""

MAX_STATEMENT_BYTES: Final = 16 * 1024 * 1024
"""Bytes of text that they may have together."""

MAX_UNNAMED: Final = 5000
"""Texts of unnamed statements that are known at a time."""

_NEW: Final = "new"
_SEEN: Final = "seen once"

# PostgreSQL reads these as a date when it parses the literal, and a statement that is kept keeps the date. A call of
# now() is none of them. With an escape in the text, anything may be.
_TIMELY: Final = re.compile(
    rb"(?<![A-Za-z0-9_])(?:now|today|tomorrow|yesterday)(?![A-Za-z0-9_]|\s*\()|\\|[uU]&", re.IGNORECASE
)

# Drawn anew by each process: nobody can guess the names and use them by accident.
_PREFIX: Final = b"_" + secrets.token_hex(4).encode() + b"_"


def is_timeless(text: bytes) -> bool:
    """Say whether the text surely means the same tomorrow. Of a long one that is not looked into."""
    return len(text) <= MAX_SKIMMED and _TIMELY.search(text) is None


class Prepared:
    """A statement that can be prepared on any backend of its clients' profile."""

    __slots__ = ("__weakref__", "body", "effects", "era", "is_noticed", "name", "settings", "standard_lexing")

    def __init__(
        self,
        body: bytes,
        name: bytes,
        effects: SessionEffects,
        settings: Settings | None = None,
        *,
        standard_lexing: bool = False,
    ) -> None:
        self.body = body
        """What follows the name in a Parse message: the text, its zero, the parameter types."""
        self.name = name
        """What backends know it by."""
        self.effects = effects
        """What its execution does to the session, as it was judged last: see ``ClientSession.judge_anew``."""
        self.era: object = None
        """When that was."""
        self.standard_lexing = standard_lexing
        """Its text surely reads as under standard_conforming_strings."""
        self.is_noticed = False
        """Its Parse has something to say, such as a warning, which each client is to hear."""
        self.settings = settings
        """Those that it is to be parsed under (``Settings.parsing``); None where they aren't known."""

    @property
    def parse_message(self) -> bytes:
        """The Parse message that prepares it."""
        return encode_message(PARSE, self.name + b"\0" + self.body)

    @property
    def close_message(self) -> bytes:
        """The Close message that takes it from a backend."""
        return encode_message(CLOSE, b"S" + self.name + b"\0")


Meaning = tuple[Settings, bool, object]
"""What the meaning of a text depends on when it is parsed: the settings (``Settings.parsing``), whether it surely reads
as under standard_conforming_strings, and what names stand for (``Judgements.generation``)."""


class PreparedRegistry:
    """All statements that some client or backend of a process has, each once for what its parsing depends on.

    That is a ``Meaning``. PostgreSQL does not look again at what the names of a prepared statement stand for when a
    table appears earlier in its search_path. So who prepares a text after such a change must not get the older one.
    """

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[Meaning, bytes], Prepared] = WeakValueDictionary()
        self._unnamed: dict[tuple[Meaning, bytes], Prepared | str | None] = {}
        """Texts of unnamed statements: seen once, kept, or None for what can't be."""
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._known)

    def forget_all(self) -> None:
        """Let every text be prepared anew from now on: somebody's result changed its type, and whose can't be told.

        Who has prepared a statement keeps it, and goes on to get PostgreSQL's error until it prepares it again.
        """
        self._known.clear()

    def shared(self, body: bytes, meaning: Meaning, effects: Callable[[bytes], SessionEffects]) -> Prepared:
        """The statement with this text and these parameter types, as parsed now under these settings.

        A literal is read when the statement is parsed: '1-2-2020' is another day under another DateStyle.
        """
        prepared = self._known.get((meaning, body))
        if prepared is None:
            settings, standard_lexing, _ = meaning
            prepared = self._known[meaning, body] = Prepared(
                body, self._new_name(), effects(body[: body.find(0)]), settings, standard_lexing=standard_lexing
            )
        return prepared

    def known_unnamed(
        self, body: bytes, meaning: Meaning, effects: Callable[[bytes], SessionEffects]
    ) -> Prepared | None:
        """A statement to run in place of an unnamed one; None where the text is new, or must not be kept."""
        key = (meaning, body)
        found = self._unnamed.get(key, _NEW)
        if found is None or isinstance(found, Prepared):
            return found
        if found is _NEW:
            if len(self._unnamed) >= MAX_UNNAMED:
                self._unnamed.clear()
            text = body[: body.find(0)]
            judged = effects(text)
            if judged.effect is Effect.OPAQUE:
                return None  # perhaps more is known next time
            keeps = judged.effect is None and not judged.reads_sequence and is_timeless(text)
            self._unnamed[key] = _SEEN if keeps else None
            return None
        prepared = self._unnamed[key] = self.shared(body, meaning, effects)
        return prepared

    def unshared(self, body: bytes, effects: SessionEffects) -> Prepared:
        """A statement for one client alone."""
        return Prepared(body, self._new_name(), effects)

    def _new_name(self) -> bytes:
        return b"%b%x" % (_PREFIX, next(self._numbers))


class ClientStatements:
    """The named statements of one client, as they will be when all that was sent has been answered."""

    __slots__ = ("by_name", "bytes", "in_batch", "registry", "spoken", "undescribed", "unsettled")

    def __init__(self, registry: PreparedRegistry) -> None:
        self.registry = registry
        self.by_name: dict[bytes, Prepared] = nothing()
        self.bytes = 0
        self.spoken: dict[bytes, bytes] = nothing()
        """What the client called a statement last, by the name that backends know it by."""
        self.undescribed: dict[bytes, None] = nothing()
        """Names whose rows the client has not been told of since it prepared them."""
        self.in_batch: dict[bytes, None] = nothing()
        """Names that were made or dropped since the last Sync."""
        self.unsettled: dict[bytes, int] = nothing()
        """Names that unanswered requests make or drop, and how many such requests there are."""

    def add(self, name: bytes, prepared: Prepared) -> None:
        """The client prepares a statement."""
        self.by_name = own(self.by_name)
        self.by_name[name] = prepared
        self.bytes += len(prepared.body)

    def note_change(self, name: bytes, *, undescribed: bool = False) -> None:
        """A name is made or dropped in the batch under way. ``undescribed``: its client has yet to hear of its rows."""
        self.in_batch = own(self.in_batch)
        self.in_batch[name] = None
        if undescribed:
            self.undescribed = own(self.undescribed)
            self.undescribed[name] = None

    def drop(self, name: bytes) -> Prepared | None:
        """The client closes a statement."""
        prepared = self.by_name.pop(name, None)
        if prepared is not None:
            self.bytes -= len(prepared.body)
            self.undescribed.pop(name, None)
        return prepared

    def clear(self) -> None:
        """All are gone."""
        self.by_name.clear()
        self.undescribed.clear()
        self.bytes = 0

    def must_wait(self, name: bytes) -> bool:
        """Whether what the name stands for depends on an unanswered request of an earlier batch."""
        return name in self.unsettled and name not in self.in_batch

    def unsettle(self, name: bytes) -> None:
        """A request is sent that makes or drops this name."""
        self.unsettled = own(self.unsettled)
        self.unsettled[name] = self.unsettled.get(name, 0) + 1

    def settle(self, name: bytes) -> None:
        """One of the requests that make or drop this name has been answered, or skipped."""
        left = self.unsettled[name] - 1
        if left:
            self.unsettled[name] = left
        else:
            del self.unsettled[name]

    def rename_in_error(self, body: bytes) -> bytes:
        """An ErrorResponse with the client's own names in place of those that backends know statements by."""
        if _PREFIX in body:
            for backend_name, name in self.spoken.items():
                body = body.replace(b'"%b"' % backend_name, b'"%b"' % name)
        return body

    def speak(self, prepared: Prepared, name: bytes) -> None:
        """The client names a statement in a message, which may be answered with an error."""
        if len(self.spoken) > MAX_STATEMENTS:
            self.spoken.clear()
        self.spoken = own(self.spoken)
        self.spoken[prepared.name] = name

    def speaks_otherwise(self, prepared: Prepared, name: bytes) -> bool:
        """Whether it has another name too for this statement, and used that last."""
        return self.spoken.get(prepared.name, name) != name

    @property
    def full(self) -> bool:
        """Whether one more is one too many."""
        return len(self.by_name) >= MAX_STATEMENTS or self.bytes >= MAX_STATEMENT_BYTES


def provide(backend: BackendSession, prepared: Prepared) -> bytes:
    """What has to be sent so that the backend has this statement: nothing, or a Parse, and a Close to make room."""
    known = backend.prepared
    if prepared in known:
        # The order of the dict is the order of use.
        del known[prepared]
        known[prepared] = None
        return b""
    room = make_room(backend)
    known[prepared] = None
    backend.server_parses += 1
    backend.note_change(partial(known.pop, prepared, None))
    backend.owed.append(Request.INJECTED_NAMED_PARSE)
    return room + prepared.parse_message


def make_room(backend: BackendSession) -> bytes:
    """What has to be sent so that one more statement is within the backend's limit."""
    known = backend.prepared
    if len(known) < backend.max_prepared:
        return b""
    oldest = next(iter(known))
    del known[oldest]
    backend.note_change(partial(known.setdefault, oldest))
    backend.owed.append(Request.INJECTED_NAMED_CLOSE)
    return oldest.close_message


def parse_apart(backend: BackendSession, prepared: Prepared) -> None:
    """Prepare a statement in a batch of its own. Nothing must be owed but questions, and no batch open."""
    out = make_room(backend)
    backend.prepared[prepared] = None
    backend.server_parses += 1
    backend.note_change(partial(_give_up, backend, prepared))
    backend.owed += (Request.INJECTED_NAMED_PARSE, Request.INJECTED_SYNC)
    backend.write(out + prepared.parse_message + SYNC_MESSAGE)


def _give_up(backend: BackendSession, prepared: Prepared) -> None:
    backend.prepared.pop(prepared, None)
    # Or it would be tried again for ever.
    prepared.settings = None


def renew(backend: BackendSession, prepared: Prepared) -> None:
    """Take a statement from a backend for which it can't be run any more; who needs it there provides it anew."""
    if prepared in backend.prepared:
        backend.write(renewal(backend, prepared))


def renewal(backend: BackendSession, prepared: Prepared) -> bytes:
    """What has to be sent to take a statement from a backend that has it."""
    del backend.prepared[prepared]
    backend.note_change(partial(backend.prepared.setdefault, prepared))
    backend.owed.append(Request.INJECTED_NAMED_CLOSE)
    return prepared.close_message


def make_private(
    backend: BackendSession, statements: ClientStatements, undo: Callable[[], None], *, apart: bool
) -> bytes:
    """What has to be sent so that the backend has this client's statements under the client's own names, and no others.

    For a client that looks at, or runs, prepared statements by SQL. The backend must stay with it from now on. Nothing
    must be owed, and no transaction failed. ``undo`` is called should all this be skipped.

    A Close for each, and not DEALLOCATE ALL: whatever is executed in a batch, VACUUM behind it is refused, and a Query
    or a Sync of ours would end the client's batch. ``apart``: there is no batch, so that each statement may be parsed
    in one of its own. Else a Query would find a transaction begun, in which it can't set the isolation level.
    """
    owed = backend.owed
    out = []
    for prepared in list(backend.prepared):
        del backend.prepared[prepared]
        backend.note_change(partial(backend.prepared.setdefault, prepared))
        owed.append(Request.INJECTED_NAMED_CLOSE)
        out.append(prepared.close_message)
    for name, prepared in statements.by_name.items():
        owed.append(Request.INJECTED_NAMED_PARSE)
        out.append(Prepared(prepared.body, name, prepared.effects).parse_message)
        if apart:
            # One that can't be parsed any more is not there for the client either.
            backend.note_change(_nothing)
            owed.append(Request.INJECTED_SYNC)
            out.append(SYNC_MESSAGE)
        else:
            backend.note_change(undo)
    return b"".join(out)


def _nothing() -> None:
    """There is nothing to take back."""
