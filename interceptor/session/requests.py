"""What each message of a client means while a backend is linked: one function for each type.

A function notes what the backend will owe for the message, and returns what takes the place of its beginning, where it
can't be forwarded as it came (``Splice``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from interceptor.errors import ProtocolViolation
from interceptor.protocol import messages
from interceptor.session.backend import BackendSession
from interceptor.session.conditions import put_around
from interceptor.session.listening import await_channels, put_channels_back
from interceptor.session.notes import mark
from interceptor.session.noting import TAKES_AWAY, note_effects, refuse_stale_value
from interceptor.session.reuse import reuse_parse, use_reused
from interceptor.session.splice import HOLD, Outcome, Splice, hold
from interceptor.session.staging import on_bound, on_staged
from interceptor.session.stand_ins import act_on_portal, execute_for, note_bind, stand_ins_before
from interceptor.session.statements import (
    close_named,
    deallocate,
    look_up_by_name,
    need_unnamed,
    parse_named,
    use_named,
)
from interceptor.session.states import PoolMode, Request
from interceptor.session.substitutes import (
    SUBSTITUTE,
    Answered,
    Bound,
    Closed,
    Described,
    Opened,
    Reply,
    Shown,
    Staged,
    on_described,
    on_substitute,
)
from interceptor.session.watching import watch_last
from interceptor.sql.analysis import opaque_effects
from interceptor.sql.effects import NONE, OPAQUE, Effect, SessionEffects

if TYPE_CHECKING:
    from interceptor.session.client import ClientSession
    from interceptor.session.interception import Interception
    from interceptor.session.known import Change

_OWED_QUERY: Final = int(Request.QUERY)
_OWED_PARSE_UNNAMED: Final = int(Request.PARSE_UNNAMED)
_OWED_BIND: Final = int(Request.BIND)
_OWED_DESCRIBE_STATEMENT: Final = int(Request.DESCRIBE_STATEMENT)
_OWED_DESCRIBE_PORTAL: Final = int(Request.DESCRIBE_PORTAL)
_OWED_EXECUTE: Final = int(Request.EXECUTE)


# --- One message each. What is returned is put in the place of the message's beginning: see Splice. --------------


def _on_query(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    splice = None
    if session.follows:
        if not backend.between_batches:
            # PostgreSQL takes the Query into the transaction of the batch and may go astray at its end: what comes next
            # is then answered with "StartTransactionCommand: unexpected state STARTED". Let that meet nobody else.
            session.keep(Effect.UNCOUNTED)
            session.reused = None
        whole = end <= len(data)
        effects = session.effects_of(data[position + 5 : end - 1]) if whole else opaque_effects(data[position + 5 :])
        if effects is not NONE:
            if effects.effect is Effect.REDUCTION:
                splice = deallocate(session, backend, data[position + 5 : end - 1], end)
                if splice is not None:
                    return splice
            refusal = refuse_stale_value(session, backend, effects, end, simple=True)
            if refusal is not None:
                return refusal
            if effects.channels:
                splice = await_channels(session, backend, effects, end, simple=True)
                if splice is not None:
                    return splice
            if effects.reduces:
                effects = look_up_by_name(session, data[position + 5 : end - 1], effects)
            splice = note_effects(session, backend, effects, position, simple=True)
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
        return parse_named(session, backend, data, position, name_end, end)
    splice = None
    whole = end <= len(data)
    if session.follows:
        sql_end = data.find(0, position + 6, end)
        sql = data[position + 6 : sql_end if sql_end >= 0 else end]
        effects = session.effects_of(sql) if whole else opaque_effects(sql)
        if effects is not NONE:
            if effects.reads_sequence:
                session.reads_unnamed = True
            if data[end : end + 1] == b"B":
                refusal = refuse_stale_value(session, backend, effects, end, simple=False)
                if refusal is not None:
                    return refusal
            if effects.channels:
                splice = await_channels(session, backend, effects, end, simple=False)
                if splice is not None:
                    return splice
            if effects.reduces:
                effects = look_up_by_name(session, sql, effects)
            splice = note_effects(session, backend, effects, position)
            if splice is HOLD:
                return splice
        if session.reuses:
            reuse = reuse_parse(session, backend, data, position, end)
            if reuse is not None:
                return reuse
            session.reused = None
    backend.owed.append(_OWED_PARSE_UNNAMED)
    backend.unnamed_in_batch = True
    keeps = whole and (session.mode is not PoolMode.SESSION or session.interception is not None)
    backend.parses.append(data[position:end] if keeps else b"")
    return splice


def _on_bind(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    name_at = data.find(0, position + 5, end) + 1
    name_end = data.find(0, name_at, end)
    if session.belongings.doubt is not None:
        session.belongings.note_values(data[name_end:end])
    splice: Splice | None = None
    if name_end <= name_at and session.reused is not None and backend.unnamed_in_batch:
        return use_reused(session, backend, data, position, name_at, name_end)
    if backend.sequences_of and (name_end > name_at or session.reads_unnamed):
        refusal = refuse_stale_value(
            session, backend, _effects_of_bound(session, backend, data[name_at:name_end]), end, simple=False
        )
        if refusal is not None:
            return refusal
    if name_end <= name_at:
        splice = _bind_unnamed(session, backend, position, end)
    elif session.named is not None:
        splice = use_named(session, backend, data, position, name_at, name_end)
    if splice is not HOLD:
        backend.owed.append(_OWED_BIND)
    return splice


def _effects_of_bound(session: ClientSession, backend: BackendSession, name: bytes) -> SessionEffects:
    """What the statement may do that a Bind names, as far as it is known here; else that was noted at its Parse."""
    if name:
        prepared = None if session.named is None else session.named.by_name.get(name)
        return NONE if prepared is None else session.judge_anew(prepared)
    parse = backend.parses[-1] if backend.parses else session.unnamed
    return session.effects_of(parse[6 : parse.find(0, 6)]) if parse else NONE


def _bind_unnamed(session: ClientSession, backend: BackendSession, position: int, end: int) -> Outcome:
    """Note what the unnamed statement may do, where it was parsed in an earlier batch; see that the backend has it."""
    if not session.follows or backend.unnamed_in_batch or not session.unnamed:
        return need_unnamed(session, backend, position)
    sql = session.unnamed[6 : session.unnamed.find(0, 6)]
    effects = session.effects_of(sql)
    before = None
    if effects is not NONE:
        if effects.reduces:
            effects = look_up_by_name(session, sql, effects)
        if effects.channels:
            before = await_channels(session, backend, effects, end, simple=False)
        elif effects.effect is Effect.PREPARED_STATEMENT:
            before = note_effects(session, backend, effects, position)
        elif session.listening is not None:
            before = put_channels_back(session, backend, effects, position)
        if before is not None and (before is HOLD or before[1] == end):
            return before
    splice = need_unnamed(session, backend, position)
    if splice is HOLD:
        return splice
    if effects is not NONE:
        session.belongings.note(effects, backend)
    return splice if before is None else (before[0] + (b"" if splice is None else splice[0]), position)


def _on_describe(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    splice: Splice | None = None
    if data[position + 5 : position + 6] != b"S" or end - position < 7:
        backend.owed.append(_OWED_DESCRIBE_PORTAL)
        return None
    if data[position + 6] == 0:
        if session.reused is not None and backend.unnamed_in_batch:
            return use_reused(session, backend, data, position, position + 6, end - 1)
        splice = need_unnamed(session, backend, position)
    elif session.named is not None:
        splice = use_named(session, backend, data, position, position + 6, end - 1)
    if splice is not HOLD:
        backend.owed.append(_OWED_DESCRIBE_STATEMENT)
    return splice


def _on_execute(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    backend.owed.append(_OWED_EXECUTE)
    return None


def _on_close(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    if data[position + 5 : position + 7] == b"S\0":
        session.unnamed = b""
        session.reused = None
        backend.owed.append(Request.CLOSE_UNNAMED)
    elif data[position + 5 : position + 6] == b"S" and session.named is not None:
        return close_named(session, backend, session.named, data[position + 6 : end - 1], end)
    else:
        if session.follows:
            session.belongings.note(TAKES_AWAY, backend)
        backend.owed.append(Request.CLOSE)
    return None


def _on_function_call(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    if session.follows and not backend.between_batches:
        # As a Query in such a place.
        session.keep(Effect.UNCOUNTED)
    # A function by number, so what it does to the session is not known.
    splice = note_effects(session, backend, OPAQUE, position)
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
        return hold(session)
    return b"", end


def _on_flush(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    if end - position != len(messages.FLUSH_MESSAGE):
        # PostgreSQL refuses one with a body (pq_getmsgend), and skips all up to the next Sync. Owed is an error, as for
        # a Close that fails.
        backend.owed.append(Request.CLOSE)
    return None


def _on_terminate(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    session.finishing = True
    # What a batch without a Sync has answered stays in the server's buffer, and would be waited for.
    session.wants_flush = bool(backend.owed)
    return hold(session)


Handler = Callable[["ClientSession", BackendSession, bytes, int, int], Outcome]


def _on_invalid(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    raise ProtocolViolation(f"invalid frontend message type {data[position]}")


_KNOWN_HANDLERS: Final[dict[int, Handler]] = {
    messages.QUERY: _on_query,
    messages.PARSE: _on_parse,
    messages.BIND: _on_bind,
    messages.DESCRIBE: _on_describe,
    messages.EXECUTE: _on_execute,
    messages.CLOSE: _on_close,
    messages.FUNCTION_CALL: _on_function_call,
    messages.COPY_DATA: _on_copy_message,
    messages.COPY_DONE: _on_copy_message,
    messages.COPY_FAIL: _on_copy_message,
    messages.FLUSH: _on_flush,
    messages.TERMINATE: _on_terminate,
}


def _on_substitute(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    if session.interception is None or not session.interception.substitutes:
        raise ProtocolViolation(f"invalid frontend message type {data[position]}")
    interception = session.interception
    substitute = interception.substitutes[0]
    if isinstance(substitute, Bound):
        return on_bound(session, backend, interception, substitute, end)
    if isinstance(substitute, Staged):
        return on_staged(session, backend, interception, substitute, end)
    if isinstance(substitute, Described):
        interception.substitutes.popleft()
        return on_described(backend, substitute, end)
    if isinstance(substitute, (Opened, Shown, Closed, Answered)):
        return act_on_portal(session, backend, interception, substitute, end)
    return on_substitute(session, backend, interception, end)


def _on_unlooked_at(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Outcome:
    """A message where plugins decide about statements: it is acted on once it has been looked at."""
    interception = session.interception
    assert interception is not None
    if not interception.planned:
        if data[position] == SUBSTITUTE:
            raise ProtocolViolation(f"invalid frontend message type {data[position]}")
        session.begins = True
        return hold(session)
    planned = interception.known.journal[0]
    if planned is not None and planned.control:
        if interception.committing.refusal:
            interception.done()
            return interception.committing.refuse(session, backend, data[position]), end
        if interception.committing.holds(backend, planned):
            return HOLD
        interception.committing.pass_on(backend, planned)
    if interception.executed_here and data[position] in _BREAKS_IN:
        return execute_for(session, backend, interception)
    if not interception.standing:
        return _act(session, backend, interception, data, position, end)
    substitute = interception.substitutes[0] if data[position] == SUBSTITUTE else None
    owed = len(backend.owed)
    outcome = _act(session, backend, interception, data, position, end)
    if outcome is HOLD or isinstance(substitute, (Reply, Opened, Shown, Closed, Answered)):
        return outcome
    outcome = stand_ins_before(backend, interception, outcome, position, owed)
    if isinstance(substitute, Bound):
        note_bind(interception, substitute.message)
    elif data[position] == messages.BIND:
        note_bind(interception, data[position:end])
    return outcome


def _act(
    session: ClientSession, backend: BackendSession, interception: Interception, data: bytes, position: int, end: int
) -> Outcome:
    noted, owed = len(backend.changes), len(backend.owed)
    retries = session.retry is not None
    outcome = HANDLERS[data[position]](session, backend, data, position, end)
    if outcome is not HOLD:
        if session.retry is not None and not retries:
            interception.known.again = tuple(interception.known.journal)
        note = interception.done()
        run = None if note is None else note.run
        may_be_cut = run is not None and watch_last(backend, run, owed) and run.limited
        if backend.owed and backend.owed[-1] in _TRACKED and interception.executions.tells:
            backend.owed[-1] = _TRACKED[backend.owed[-1]]
        if note is None:
            return outcome
        if note.change is not None:
            _note_change(interception, backend, note.change, noted)
        if note.concerns_answers:
            mark(backend.owed, owed, note)
        holds = may_be_cut and backend.owed[-1] in _MAY_BE_CUT
        if note.conditions is not None and backend.status != messages.FAILED_TRANSACTION:
            outcome = put_around(backend, note, outcome, data, (position, end), owed)
        if holds:
            # What is behind a result that may be cut off is sent when it has been answered.
            session.held = True
            session.wants_flush = data[position] == messages.EXECUTE
            return outcome or (b"", position)
    return outcome


def _note_change(interception: Interception, backend: BackendSession, change: Change, noted: int) -> None:
    """See that what a message changed is taken back, should it fail or be skipped."""
    mine = partial(interception.known.undo, change)
    if backend.owed and backend.owed[-1] in _AS_CHANGES:
        # What was noted besides is of what goes ahead of it, and may go well where this fails.
        backend.owed[-1] = _AS_CHANGES[backend.owed[-1]]
        backend.note_change(mine)
    elif len(backend.changes) > noted:
        undo, statements, name = backend.changes[-1]
        backend.changes[-1] = (partial(_undo_both, undo, mine), statements, name)


def _undo_both(first: Callable[[], object], second: Callable[[], object]) -> None:
    first()
    second()


_KNOWN_HANDLERS[SUBSTITUTE] = _on_substitute
HANDLERS: Final[tuple[Handler, ...]] = tuple(_KNOWN_HANDLERS.get(kind, _on_invalid) for kind in range(256))

_AS_CHANGES: Final[dict[int, Request]] = {
    Request.PARSE: Request.NAMED_PARSE,
    Request.CLOSE: Request.NAMED_CLOSE,
}
"""What is owed, where it is to be noticed that it is not done."""

_TRACKED: Final[dict[int, Request]] = {
    Request.QUERY: Request.TRACKED_QUERY,
    Request.FUNCTION_CALL: Request.TRACKED_CALL,
}
_MAY_BE_CUT: Final = frozenset({Request.WATCHED_QUERY, Request.WATCHED_CALL, Request.WATCHED_EXECUTE})
_BREAKS_IN: Final = frozenset((messages.QUERY, messages.FUNCTION_CALL))
"""What is no message of the extended protocol, and in the midst of a batch goes on with its transaction."""
_LOOKED_AT: Final = frozenset(b"QPBDECF") | {SUBSTITUTE}
INTERCEPTED: Final[tuple[Handler, ...]] = tuple(
    _on_unlooked_at if kind in _LOOKED_AT else handler for kind, handler in enumerate(HANDLERS)
)
"""The handlers of a client about whose statements plugins decide."""
