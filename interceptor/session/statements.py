"""Prepared statements among a client's messages: its names and the backend's, and what is sent in between."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from interceptor.errors import TOO_MANY_STATEMENTS, ClientError
from interceptor.protocol import messages
from interceptor.protocol.framing import pack_header, unpack_header
from interceptor.session.backend import BackendSession
from interceptor.session.listening import await_channels
from interceptor.session.noting import PREPARES, hide_stale_values, note_effects
from interceptor.session.prepared import (
    MAX_STATEMENT_BYTES,
    MAX_STATEMENTS,
    ClientStatements,
    Prepared,
    make_room,
    provide,
    renewal,
)
from interceptor.session.splice import HOLD, Outcome, Splice, hold
from interceptor.session.states import Request
from interceptor.sql.effects import NONE, OPAQUE, Effect, SessionEffects, graver

if TYPE_CHECKING:
    from interceptor.session.client import ClientSession

_DEALLOCATED: Final = messages.encode_message(messages.COMMAND_COMPLETE, b"DEALLOCATE\0")

_DEALLOCATE: Final = re.compile(
    rb'\s*deallocate\s+(?:prepare\s+)?(?!all\b)(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>[a-z_][a-z0-9_$]*))\s*;?\s*',
    re.IGNORECASE,
)

_DEALLOCATE_ONE: Final = re.compile(rb"\bdeallocate\b(?!\s+(?:prepare\s+)?all\b)", re.IGNORECASE)

_OWED_PARSE: Final = int(Request.PARSE)


def parse_named(
    session: ClientSession, backend: BackendSession, data: bytes, position: int, name_end: int, end: int
) -> Outcome:
    """Prepare the client's statement on this backend, unless it is there already, made for another client."""
    named = session.named
    if named is not None and (end > len(data) or name_end < 0):
        # Too long to be remembered, so it can be on this backend only.
        splice = note_effects(session, backend, PREPARES, position)
        if splice is not HOLD:
            backend.owed.append(_OWED_PARSE)
        return splice
    if named is None:
        splice = None
        if session.follows:
            sql = data[name_end + 1 : data.find(0, name_end + 1, end)]
            effects = OPAQUE if end > len(data) or name_end < 0 else session.effects_of(sql)
            splice = note_effects(session, backend, effects, position)
            if splice is HOLD:
                return splice
            session.belongings.note(PREPARES, backend)
        backend.owed.append(_OWED_PARSE)
        return splice
    name = data[position + 5 : name_end]
    if named.must_wait(name) or _may_be_taken(session, backend) or _settings_may_change(session, backend):
        return hold(session)
    existing = named.by_name.get(name)
    if existing is not None:
        # PostgreSQL says best itself what is wrong with that.
        if backend.owed and named.speaks_otherwise(existing, name):
            session.wants_flush = True
            return hold(session)
        named.speak(existing, name)
        before = provide(backend, existing)
        backend.owed.append(_OWED_PARSE)
        return before + renamed(data, position, position + 5, name_end, existing.name), name_end
    if named.full:
        raise ClientError(
            TOO_MANY_STATEMENTS,
            f"this client has {len(named.by_name)} prepared statements with {named.bytes} bytes of text, and the "
            f"limits are {MAX_STATEMENTS} and {MAX_STATEMENT_BYTES}",
            hint="Close statements that are not needed any more.",
        )
    prepared = _prepared_for(session, named, data[name_end + 1 : end])
    if backend.sequences_of and hide_stale_values(session, backend, prepared.effects) is HOLD:
        return HOLD
    backend.client_parses += 1
    named.add(name, prepared)
    named.note_change(name, undescribed=True)
    undo = partial(named.drop, name)
    before = b""
    if prepared in backend.prepared:
        if not (prepared.is_noticed or backend.may_be_in_transaction):
            backend.reply_to_change(messages.PARSE_COMPLETE_MESSAGE, named, name, undo)
            return b"", end
        # Its plan may be of a table that is another now, and in a transaction an error can't be mended. And where that
        # has failed already, the Parse has to.
        before = renewal(backend, prepared)
    before = before or make_room(backend)
    backend.prepared[prepared] = None
    backend.server_parses += 1
    backend.note_change(partial(_undo_parse, named, name, backend, prepared), named, name)
    backend.owed.append(Request.NAMED_PARSE)
    return before + renamed(data, position, position + 5, name_end, prepared.name), name_end


def need_unnamed(session: ClientSession, backend: BackendSession, position: int) -> Outcome:
    """Give the backend this client's unnamed statement, or take away the one that another client left there."""
    if backend.unnamed_in_batch or backend.unnamed_ready:
        return None
    if backend.parses:
        return hold(session)
    backend.unnamed_in_batch = True
    if session.unnamed:
        backend.owed.append(Request.INJECTED_PARSE)
        return session.unnamed, position
    backend.owed.append(Request.INJECTED_CLOSE)
    return messages.CLOSE_UNNAMED_STATEMENT, position


def use_named(
    session: ClientSession, backend: BackendSession, data: bytes, position: int, name_at: int, name_end: int
) -> Outcome:
    """Put the backend's name for a statement in the place of the client's, and the statement on the backend.

    A name that the client has not prepared goes as it is: PostgreSQL's error is the right one.
    """
    named = session.named
    assert named is not None
    name = data[name_at:name_end]
    if named.must_wait(name) or _may_be_taken(session, backend):
        return hold(session)
    prepared = named.by_name.get(name)
    if prepared is None:
        return None
    if backend.owed and named.speaks_otherwise(prepared, name):
        # An error of what is owed has to tell the name that was used there.
        session.wants_flush = True
        return hold(session)
    if prepared.era is not session.texts.era:
        session.judge_anew(prepared)
    # Before its effects are noted: what is in doubt is not moved to other settings and back.
    if prepared not in backend.prepared and session.belongings.parse_as_at_first(backend, prepared):
        return hold(session)
    effects = prepared.effects
    splice: Outcome = None
    if effects is not NONE:
        if effects.channels:
            end = position + 1 + unpack_header(data, position)[1]
            splice = await_channels(session, backend, effects, end, simple=False)
            if splice is not None:
                return splice
        if effects.reduces:
            effects = look_up_by_name(session, prepared.body[: prepared.body.find(0)], effects)
        splice = note_effects(session, backend, effects, position)
        if splice is not None and (splice is HOLD or session.named is None):
            return splice
    named.speak(prepared, name)
    describes = data[position] == messages.DESCRIBE
    if session.retry is None and backend.reusable and data.endswith(messages.SYNC_MESSAGE):
        if describes or name in named.undescribed or _is_described_in(data, position):
            session.retry = (data, position, prepared)
    if describes:
        named.undescribed.pop(name, None)
    else:
        backend.binds += 1
    before = b"" if splice is None else splice[0]
    before += provide(backend, prepared)
    return before + renamed(data, position, name_at, name_end, prepared.name), name_end


def check_named(session: ClientSession, backend: BackendSession, name: bytes) -> Splice:
    """What has the server look whether a named statement's result is of the type that its client was told.

    For a Bind in the place of which another statement is bound: PostgreSQL would have said that a "cached plan must not
    change result type". What is sent is a ``PRELUDE``.
    """
    if session.named is not None and (name in session.named.undescribed or name not in session.named.by_name):
        return b"", 0
    message = messages.encode_message(messages.DESCRIBE, b"S" + name + b"\0")
    splice = None
    if session.named is not None:
        splice = use_named(session, backend, message, 0, 6, len(message) - 1)
    if splice is HOLD:
        return HOLD
    backend.owed.append(Request.PRELUDE)
    first, start = splice or (b"", 0)
    return first + message[start:], 0


def _is_described_in(data: bytes, position: int) -> bool:
    """Whether the client asks in this batch what rows it will get, so that it need not be what it was told before."""
    while len(data) - position >= 5:
        kind, length = unpack_header(data, position)
        if kind == messages.DESCRIBE:
            return True
        position += 1 + length
    return False


def _may_be_taken(session: ClientSession, backend: BackendSession) -> bool:
    """Whether what is under way may take all statements, so that which there are is known when it is answered."""
    if not backend.watches_tags or not backend.owed:
        return False
    session.wants_flush = True
    return True


def _settings_may_change(session: ClientSession, backend: BackendSession) -> bool:
    """Whether an earlier batch may change what a text means, and it is not known yet how."""
    return session.belongings.deviates and bool(backend.owed) and backend.between_batches


def close_named(
    session: ClientSession, backend: BackendSession, named: ClientStatements, name: bytes, end: int
) -> Outcome:
    """Close the client's statement. The backend keeps its own, for others."""
    if named.must_wait(name):
        return hold(session)
    prepared = named.drop(name)
    named.note_change(name)
    undo = _nothing if prepared is None else partial(named.add, name, prepared)
    backend.reply_to_change(messages.CLOSE_COMPLETE_MESSAGE, named, name, undo)
    return b"", end


def renamed(data: bytes, position: int, name_at: int, name_end: int, name: bytes) -> bytes:
    """The beginning of the message at ``position``, up to and with the new name."""
    kind, length = unpack_header(data, position)
    return pack_header(kind, length + len(name) - (name_end - name_at)) + data[position + 5 : name_at] + name


def named_in_deallocate(session: ClientSession, sql: bytes) -> bytes | None:
    """The statement that a DEALLOCATE names, if it was prepared by message."""
    match = _DEALLOCATE.fullmatch(sql)
    if match is None or session.named is None:
        return None
    name = match["quoted"].replace(b'""', b'"') if match["quoted"] is not None else match["plain"].lower()
    return name if name in session.named.by_name else None


def _says_deallocate_one(sql: bytes) -> bool:
    # The pattern alone takes 7 ms for a megabyte.
    return sql.lower().find(b"deallocate") >= 0 and _DEALLOCATE_ONE.search(sql) is not None


def look_up_by_name(session: ClientSession, sql: bytes, effects: SessionEffects) -> SessionEffects:
    """The effects of a text, which are graver if it deallocates by name and the client has prepared by message."""
    if session.named is None or not session.named.by_name or not _says_deallocate_one(sql):
        return effects
    return replace(effects, effect=graver(effects.effect, Effect.PREPARED_STATEMENT))


def deallocate(session: ClientSession, backend: BackendSession, sql: bytes, end: int) -> Outcome:
    """Carry out a DEALLOCATE of a statement that was prepared by message, which no backend knows by that name.

    None if it is of another.
    """
    name = named_in_deallocate(session, sql)
    if name is None or session.named is None:
        return None
    if backend.owed and backend.between_batches:
        session.wants_flush = True
        return hold(session)
    if not backend.between_batches or backend.status == messages.FAILED_TRANSACTION:
        return None
    session.named.drop(name)
    # As any Query (postgres.c, exec_simple_query).
    session.unnamed = b""
    backend.unnamed_ready = False
    session.write(_DEALLOCATED + messages.READY[backend.status])
    session.wants_release = True
    return b"", end


def _prepared_for(session: ClientSession, named: ClientStatements, body: bytes) -> Prepared:
    """The statement that a Parse of the client's makes: one that it shares with others, where that is the same."""
    belongings = session.belongings
    if belongings.deviates or belongings.defines:
        return named.registry.unshared(body, session.effects_of(body[: body.find(0)]))
    return named.registry.shared(body, session.meaning, session.effects_of)


def _undo_parse(named: ClientStatements, name: bytes, backend: BackendSession, prepared: Prepared) -> None:
    named.drop(name)
    backend.prepared.pop(prepared, None)


def _nothing() -> None:
    """There is nothing to take back."""
