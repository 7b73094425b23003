"""What each message of a client means while a backend is linked: one function for each type.

A function notes what the backend will owe for the message, and returns what takes the place of its beginning, where it
can't be forwarded as it came (``Splice``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from interceptor.errors import TOO_MANY_STATEMENTS, ClientError, ProtocolViolation
from interceptor.protocol import messages
from interceptor.protocol.framing import pack_header, unpack_header
from interceptor.session.backend import BackendSession
from interceptor.session.prepared import (
    MAX_STATEMENT_BYTES,
    MAX_STATEMENTS,
    ClientStatements,
    Prepared,
    make_private,
    make_room,
    provide,
)
from interceptor.session.states import PoolMode, Request
from interceptor.sql.effects import NONE, OPAQUE, Effect, SessionEffects

if TYPE_CHECKING:
    from interceptor.session.client import ClientSession

CLOSE_COMPLETE: Final = b"3\0\0\0\x04"
PARSE_COMPLETE: Final = b"1\0\0\0\x04"
_DEALLOCATED: Final = messages.encode_message(messages.COMMAND_COMPLETE, b"DEALLOCATE\0")

Splice = tuple[bytes, int]
"""What takes the place of a message, or of its beginning: these bytes, and then the data from this offset on."""

Outcome = Splice | None
"""None: the message goes as it came."""

HOLD: Final[Splice] = (b"", -1)
"""Not now: this message and what follows wait for the backend's answers."""

_DEALLOCATE: Final = re.compile(
    rb'\s*deallocate\s+(?:prepare\s+)?(?!all\b)(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>[a-z_][a-z0-9_$]*))\s*;?\s*',
    re.IGNORECASE,
)

_PREPARES: Final = SessionEffects(Effect.PREPARED_STATEMENT, 1, reads_sequence=True, touches_sequence=True)
_TAKES_AWAY: Final = SessionEffects(None, 1, ends_pin=True)

_OWED_QUERY: Final = int(Request.QUERY)
_OWED_PARSE: Final = int(Request.PARSE)
_OWED_PARSE_UNNAMED: Final = int(Request.PARSE_UNNAMED)
_OWED_BIND: Final = int(Request.BIND)
_OWED_DESCRIBE_STATEMENT: Final = int(Request.DESCRIBE_STATEMENT)
_OWED_DESCRIBE_PORTAL: Final = int(Request.DESCRIBE_PORTAL)


# --- One message each. What is returned is put in the place of the message's beginning: see Splice. --------------


def _on_query(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    splice = None
    if session.follows:
        if not backend.between_batches:
            # PostgreSQL takes the Query into the transaction of the batch and may go astray at its end: what comes next
            # is then answered with "StartTransactionCommand: unexpected state STARTED". Let that meet nobody else.
            session.keep(Effect.UNCOUNTED)
        effects = OPAQUE if end > len(data) else session.effects_of(data[position + 5 : end - 1])
        if effects is not NONE:
            if effects.effect is Effect.REDUCTION and _deallocates(session, backend, data[position + 5 : end - 1]):
                return b"", end
            splice = _on_effects(session, backend, effects, position)
            if splice is HOLD:
                return splice
    if session.named is not None:
        session.named.in_batch.clear()
    session.unnamed = b""
    backend.owed.append(_OWED_QUERY)
    return splice


def _on_parse(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    name_end = data.find(0, position + 5, end)
    if name_end != position + 5:
        return _on_parse_named(session, backend, data, position, name_end, end)
    splice = None
    whole = end <= len(data)
    if session.follows:
        sql_end = data.find(0, position + 6, end)
        sql = data[position + 6 : sql_end if sql_end >= 0 else end]
        effects = session.effects_of(sql) if whole else OPAQUE
        if effects is not NONE:
            if effects.effect is Effect.REDUCTION and _named_in_deallocate(session, sql) is not None:
                effects = _PREPARES
            splice = _on_effects(session, backend, effects, position)
            if splice is HOLD:
                return splice
    backend.owed.append(_OWED_PARSE_UNNAMED)
    backend.unnamed_in_batch = True
    backend.parses.append(data[position:end] if whole and session.mode is not PoolMode.SESSION else b"")
    return splice


def _on_parse_named(
    session: ClientSession, backend: BackendSession, data: bytes, position: int, name_end: int, end: int
) -> Outcome:
    named = session.named
    if named is not None and (end > len(data) or name_end < 0):
        # Too long to be remembered, so it can be on this backend only.
        splice = _on_effects(session, backend, _PREPARES, position)
        if splice is not HOLD:
            backend.owed.append(_OWED_PARSE)
        return splice
    if named is None:
        if session.follows:
            sql = data[name_end + 1 : data.find(0, name_end + 1, end)]
            effects = OPAQUE if end > len(data) or name_end < 0 else session.effects_of(sql)
            session.belongings.note(effects, backend)
            session.belongings.note(_PREPARES, backend)
        backend.owed.append(_OWED_PARSE)
        return None
    name = data[position + 5 : name_end]
    if named.must_wait(name):
        return _hold(session)
    existing = named.by_name.get(name)
    if existing is not None:
        # PostgreSQL says best itself what is wrong with that.
        named.speak(existing, name)
        before = provide(backend, existing)
        backend.owed.append(_OWED_PARSE)
        return before + _renamed(session, data, position, position + 5, name_end, existing.name), name_end
    if named.full:
        raise ClientError(
            TOO_MANY_STATEMENTS,
            f"this client has {len(named.by_name)} prepared statements with {named.bytes} bytes of text, and the "
            f"limits are {MAX_STATEMENTS} and {MAX_STATEMENT_BYTES}",
            hint="Close statements that are not needed any more.",
        )
    prepared = _prepared_for(session, named, data[name_end + 1 : end])
    named.add(name, prepared)
    named.in_batch.add(name)
    undo = partial(named.drop, name)
    if prepared in backend.prepared and backend.status != messages.FAILED_TRANSACTION:
        backend.reply_to_change(PARSE_COMPLETE, named, name, undo)
        return b"", end
    if prepared in backend.prepared:
        named.drop(name)
        backend.owed.append(_OWED_PARSE)
        return _renamed(session, data, position, position + 5, name_end, prepared.name), name_end
    before = make_room(backend)
    backend.prepared[prepared] = None
    backend.note_change(partial(_undo_parse, named, name, backend, prepared), named, name)
    backend.owed.append(Request.NAMED_PARSE)
    return before + _renamed(session, data, position, position + 5, name_end, prepared.name), name_end


def _on_bind(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    name_at = data.find(0, position + 5, end) + 1
    name_end = data.find(0, name_at, end)
    splice: Splice | None = None
    if name_end <= name_at:
        splice = _needs_unnamed(session, backend, position)
    elif session.named is not None:
        splice = _on_named(session, backend, data, position, name_at, name_end)
    if splice is not HOLD:
        backend.owed.append(_OWED_BIND)
    return splice


def _on_describe(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    splice: Splice | None = None
    if data[position + 5 : position + 6] != b"S" or end - position < 7:
        backend.owed.append(_OWED_DESCRIBE_PORTAL)
        return None
    if data[position + 6] == 0:
        splice = _needs_unnamed(session, backend, position)
    elif session.named is not None:
        splice = _on_named(session, backend, data, position, position + 6, end - 1)
    if splice is not HOLD:
        backend.owed.append(_OWED_DESCRIBE_STATEMENT)
    return splice


def _on_close(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    if data[position + 5 : position + 7] == b"S\0":
        session.unnamed = b""
        backend.owed.append(Request.CLOSE_UNNAMED)
    elif data[position + 5 : position + 6] == b"S" and session.named is not None:
        named = session.named
        name = data[position + 6 : end - 1]
        if named.must_wait(name):
            return _hold(session)
        prepared = named.drop(name)
        named.in_batch.add(name)
        undo = _nothing if prepared is None else partial(named.add, name, prepared)
        backend.reply_to_change(CLOSE_COMPLETE, named, name, undo)
        return b"", end
    else:
        if session.follows:
            session.belongings.note(_TAKES_AWAY, backend)
        backend.owed.append(Request.CLOSE)
    return None


def _on_function_call(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    # A function by number, so what it does to the session is not known.
    splice = _on_effects(session, backend, OPAQUE, position)
    if splice is not HOLD:
        backend.owed.append(Request.FUNCTION_CALL)
    return splice


def _on_copy_message(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    """CopyData, CopyDone and CopyFail where the backend does not copy, or not yet.

    What comes before the backend has agreed to a COPY waits: if it never agrees, the data has to be dropped. The
    Flush makes it answer what it was asked, for a client may send all this in one go. What comes outside of COPY
    is ignored, like that which follows a failed one (postgres.c, PostgresMain).
    """
    if backend.owed:
        session.wants_flush = True
        return _hold(session)
    return b"", end


def _on_flush(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    return None


def _on_terminate(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    session.finishing = True
    return _hold(session)


def _hold(session: ClientSession) -> Splice:
    session.held = True
    return HOLD


# --- Prepared statements -----------------------------------------------------------------------------------------


def _needs_unnamed(session: ClientSession, backend: BackendSession, position: int) -> Outcome:
    """Give the backend this client's unnamed statement, or take away the one that another client left there."""
    if backend.unnamed_in_batch or backend.unnamed_ready:
        return None
    if backend.parses:
        return _hold(session)
    backend.unnamed_in_batch = True
    if session.unnamed:
        backend.owed.append(Request.INJECTED_PARSE)
        return session.unnamed, position
    backend.owed.append(Request.INJECTED_CLOSE)
    return messages.CLOSE_UNNAMED_STATEMENT, position


def _on_named(
    session: ClientSession, backend: BackendSession, data: bytes, position: int, name_at: int, name_end: int
) -> Outcome:
    """Put the backend's name for a statement in the place of the client's, and the statement on the backend.

    A name that the client has not prepared goes as it is: PostgreSQL's error is the right one.
    """
    named = session.named
    assert named is not None
    name = data[name_at:name_end]
    if named.must_wait(name):
        return _hold(session)
    prepared = named.by_name.get(name)
    if prepared is None:
        return None
    if prepared.effects is not NONE:
        splice = _on_effects(session, backend, prepared.effects, position)
        if splice is not None:
            return splice
    named.speak(prepared, name)
    if session.retry is None and backend.reusable and data.endswith(messages.SYNC_MESSAGE):
        session.retry = (data, position, prepared)
    before = provide(backend, prepared)
    return before + _renamed(session, data, position, name_at, name_end, prepared.name), name_end


def _renamed(session: ClientSession, data: bytes, position: int, name_at: int, name_end: int, name: bytes) -> bytes:
    """The beginning of the message at ``position``, up to and with the new name."""
    kind, length = unpack_header(data, position)
    return pack_header(kind, length + len(name) - (name_end - name_at)) + data[position + 5 : name_at] + name


def _named_in_deallocate(session: ClientSession, sql: bytes) -> bytes | None:
    """The statement that a DEALLOCATE names, if it was prepared by message."""
    match = _DEALLOCATE.fullmatch(sql)
    if match is None or session.named is None:
        return None
    name = match["quoted"].replace(b'""', b'"') if match["quoted"] is not None else match["plain"].lower()
    return name if name in session.named.by_name else None


def _deallocates(session: ClientSession, backend: BackendSession, sql: bytes) -> bool:
    """Carry out a DEALLOCATE of a statement that was prepared by message, which no backend knows by that name."""
    name = _named_in_deallocate(session, sql)
    if name is None or session.named is None or not backend.ready or backend.owed:
        return False
    if backend.status == messages.FAILED_TRANSACTION:
        return False
    session.named.drop(name)
    session.write(_DEALLOCATED + messages.READY[backend.status])
    session.wants_release = True
    return True


# --- What a statement does to the session ------------------------------------------------------------------------


def _on_effects(session: ClientSession, backend: BackendSession, effects: SessionEffects, position: int) -> Outcome:
    """Note what the statement at ``position`` may do to the session; send before it what that calls for."""
    if not session.follows:
        return None
    session.belongings.note(effects, backend)
    if effects.effect is not Effect.PREPARED_STATEMENT or session.named is None:
        return None
    # It looks at prepared statements, or runs them, by their names.
    if backend.owed:
        # Whether the transaction stands, and which statements there are, is known when all is answered.
        session.wants_flush = True
        return _hold(session)
    if backend.status == messages.FAILED_TRANSACTION:
        return None
    named, session.named = session.named, None
    return make_private(backend, named, partial(setattr, session, "named", named)), position


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
    if kind == messages.BIND and session.named is not None:
        name_at = data.find(0, position + 5, end) + 1
        prepared = session.named.by_name.get(data[name_at : data.find(0, name_at, end)])
        return NONE if prepared is None else prepared.effects
    return NONE if kind == messages.DESCRIBE else OPAQUE


def _prepared_for(session: ClientSession, named: ClientStatements, body: bytes) -> Prepared:
    """The statement that a Parse of the client's makes: one that it shares with others, where that is the same."""
    belongings = session.belongings
    if belongings.deviates:
        return named.registry.unshared(body, session.effects_of(body[: body.find(0)]))
    return named.registry.shared(body, belongings.settings, belongings.told.standard_lexing, session.effects_of)


def _undo_parse(named: ClientStatements, name: bytes, backend: BackendSession, prepared: Prepared) -> None:
    named.drop(name)
    backend.prepared.pop(prepared, None)


def _nothing() -> None:
    """There is nothing to take back."""


Handler = Callable[["ClientSession", BackendSession, bytes, int, int], Outcome]


def _on_invalid(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    raise ProtocolViolation(f"invalid frontend message type {data[position]}")


_KNOWN_HANDLERS: Final[dict[int, Handler]] = {
    messages.QUERY: _on_query,
    messages.PARSE: _on_parse,
    messages.BIND: _on_bind,
    messages.DESCRIBE: _on_describe,
    messages.CLOSE: _on_close,
    messages.FUNCTION_CALL: _on_function_call,
    messages.COPY_DATA: _on_copy_message,
    messages.COPY_DONE: _on_copy_message,
    messages.COPY_FAIL: _on_copy_message,
    messages.FLUSH: _on_flush,
    messages.TERMINATE: _on_terminate,
}
HANDLERS: Final[tuple[Handler, ...]] = tuple(_KNOWN_HANDLERS.get(kind, _on_invalid) for kind in range(256))
