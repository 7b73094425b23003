"""What a client's statements may do to its session, noted before they are sent."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.backend import BackendSession
from interceptor.session.listening import put_channels_back
from interceptor.session.prepared import make_private
from interceptor.session.splice import HOLD, Outcome, hold
from interceptor.session.substitutes import refuse
from interceptor.sql.effects import NONE, OPAQUE, Effect, SessionEffects

if TYPE_CHECKING:
    from interceptor.session.client import ClientSession

PREPARES: Final = SessionEffects(Effect.PREPARED_STATEMENT, 1, reads_sequence=True, touches_sequence=True)
"""Those of a Parse that only its client's backend can have."""

_NO_VALUE: Final = messages.encode_error(
    "ERROR",
    "55000",
    "lastval is not yet defined in this session",
    detail="Sequence values don't follow a client from one transaction to another in transaction pooling.",
    hint="Use RETURNING, or ask in the transaction that takes the value.",
)

TAKES_AWAY: Final = SessionEffects(None, 1, ends_pin=True)
"""Those of a Close."""


def note_effects(
    session: ClientSession, backend: BackendSession, effects: SessionEffects, position: int, *, simple: bool = False
) -> Outcome:
    """Note what the statement at ``position`` may do to the session; send before it what that calls for.

    ``simple``: it is a Query.
    """
    if not session.follows:
        return None
    by_name = effects.effect is Effect.PREPARED_STATEMENT and session.named is not None
    if by_name and backend.owed:
        # It looks at prepared statements, or runs them, by their names. Whether the transaction stands, and which
        # statements there are, is known when all is answered.
        session.wants_flush = True
        return hold(session)
    apart = simple and backend.reusable
    splice = None if session.listening is None else put_channels_back(session, backend, effects, position)
    if splice is HOLD:
        return splice
    session.belongings.note(effects, backend)
    if not by_name or session.named is None or backend.status == messages.FAILED_TRANSACTION:
        return splice
    named, session.named = session.named, None
    out = make_private(backend, named, partial(setattr, session, "named", named), apart=apart)
    return out if splice is None else splice[0] + out, position


def refuse_stale_value(
    session: ClientSession, backend: BackendSession, effects: SessionEffects, end: int, *, simple: bool
) -> Outcome:
    """What is sent in the place of a statement that would read another client's sequence value; None if it would not.

    ``end``: where its message ends. Where it begins a transaction, such values are taken away; in the midst of one that
    can't be done any more.
    """
    if not _would_read(session, backend, effects):
        return None
    if backend.reusable or (backend.owed and backend.between_batches):
        return hide_stale_values(session, backend, effects)
    return refuse(session, backend, _NO_VALUE, simple=simple), end


def hide_stale_values(session: ClientSession, backend: BackendSession, effects: SessionEffects) -> Outcome:
    """Take away other clients' sequence values before a batch that would read them. May hold it."""
    if _would_read(session, backend, effects) and backend.between_batches:
        if backend.owed:
            # Whether a transaction is open is known when all is answered.
            session.wants_flush = True
            return hold(session)
        if backend.reusable:
            session.belongings.hide_sequences(backend)
    return None


def _would_read(session: ClientSession, backend: BackendSession, effects: SessionEffects) -> bool:
    if effects.effect is not None or not effects.reads_sequence or not session.follows:
        return False
    return not session.belongings.may_read_sequences(backend)


def runs_several(data: bytes, position: int) -> bool:
    """Whether the batch that begins here runs more than one statement, as far as it has come."""
    count = 0
    while len(data) - position >= 5:
        kind, length = unpack_header(data, position)
        if kind == messages.SYNC or kind == messages.QUERY or length < 4:
            break
        count += kind == messages.BIND
        position += 1 + length
    return count > 1


def first_effects(session: ClientSession, backend: BackendSession, data: bytes, position: int) -> SessionEffects:
    """What the first statement that a client sends to a new backend may do; the worst if that can't be told."""
    kind, length = unpack_header(data, position)
    end = position + 1 + length
    if end > len(data):
        return OPAQUE
    if kind == messages.QUERY:
        return session.effects_of(data[position + 5 : end - 1])
    if kind == messages.PARSE:
        sql_at = data.find(0, position + 5, end) + 1
        return session.effects_of(data[sql_at : data.find(0, sql_at, end)])
    if kind == messages.BIND:
        name_at = data.find(0, position + 5, end) + 1
        name = data[name_at : data.find(0, name_at, end)]
        if not name:
            text = session.unnamed[6 : session.unnamed.find(0, 6)]
            return session.effects_of(text) if session.unnamed else NONE
        prepared = None if session.named is None else session.named.by_name.get(name)
        return NONE if prepared is None else session.judge_anew(prepared)
    return NONE if kind == messages.DESCRIBE else OPAQUE
