"""A client without a backend: what it asks is acted on as far as that goes, and then it is given one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor.errors import PROTOCOL_VIOLATION, ClientError, ProtocolViolation
from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.bounds import MAX_SMALL_MESSAGE, must_wait
from interceptor.session.linked import look_at, process, run
from interceptor.session.noting import first_effects, runs_several
from interceptor.session.passing import end_of_unwanted
from interceptor.session.substitutes import SUBSTITUTE, act_alone

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession

__all__ = ["move_to", "process_unlinked"]

_COPY_KINDS: Final = frozenset(b"dcf")
_NEED_BACKEND: Final = frozenset(b"QPBDECF")
_SYNC: Final = messages.SYNC
_NO_BODY: Final = frozenset((_SYNC, messages.FLUSH))

_INVALID_FORMAT: Final = messages.encode_failure(
    ClientError(PROTOCOL_VIOLATION, "invalid message format: Sync and Flush have no body", fatal=False)
)


def process_unlinked(session: ClientSession, data: bytes) -> None:
    """Act on messages without a backend, up to the first one that needs it."""
    size = len(data)
    if size >= 5 and data[0] in _NEED_BACKEND and not session.ignoring:
        # What nearly every transaction begins with: past what the loop below is for.
        length = unpack_header(data)[1]
        if 4 <= length < size and length <= MAX_SMALL_MESSAGE:
            _look_then_acquire(session, data, 0)
            return
    position = 0
    syncs = 0
    needs_backend = False
    interception = session.interception
    while size - position >= 5:
        kind, length = unpack_header(data, position)
        end = position + 1 + length
        if (end > size or not 4 <= length <= MAX_SMALL_MESSAGE) and must_wait(
            kind, length, size - position, session.max_whole
        ):
            break
        if kind in _NEED_BACKEND:
            if not session.ignoring:
                needs_backend = True
                break
            if interception is not None:
                interception.skip(kind)
        elif kind == SUBSTITUTE and interception is not None and interception.substitutes:
            if syncs:
                session.write(messages.READY[messages.IDLE] * syncs)
                syncs = 0
            if session.ignoring:
                interception.skip(kind)
            elif act_alone(session, interception):
                interception.done()
            else:
                needs_backend = True
                break
            if interception.busy:
                session.held = True
                session.keep_input(data[end:])
                return
        elif length != 4 and kind in _NO_BODY:
            if kind == _SYNC or not session.ignoring:
                # As PostgreSQL (pq_getmsgend): a failure of this one message, which a Sync ends itself.
                session.write(messages.READY[messages.IDLE] * syncs + _INVALID_FORMAT)
                syncs = int(kind == _SYNC)
                session.ignoring = kind != _SYNC
        elif kind == _SYNC:
            if interception is not None and not session.ignoring and interception.holds_sync(None):
                break
            session.ignoring = False
            syncs += 1
            if interception is not None:
                interception.on_ready(messages.IDLE)
        elif kind == messages.TERMINATE:
            session.finishing = session.held = True
            break
        elif kind not in _COPY_KINDS and kind != messages.FLUSH:
            raise ProtocolViolation(f"invalid frontend message type {kind}")
        position = end
    if syncs:
        # In one write, for a client may send fifty thousand of them at once.
        session.write(messages.READY[messages.IDLE] * syncs)
        if session.listening is not None:
            session.listening.flush()
    if session.finishing:
        session.host.on_finished()
    elif needs_backend:
        _look_then_acquire(session, data, position)
    elif position > size:
        session.discarding = position - size
    else:
        session.rest = data[position:]


def _look_then_acquire(session: ClientSession, data: bytes, position: int) -> None:
    """Act on messages that need a backend, once plugins have decided about them."""
    interception = session.interception
    if interception is None:
        _acquire(session, data, position, None)
    elif interception.planned:
        _acquire(session, data, position, interception.take_target())
    elif (end := end_of_unwanted(interception, data, position)) > position:
        _acquire(session, data, position, None, unwanted_to=end)
    else:
        decided = look_at(session, interception, data, position)
        if decided is not None:
            process_unlinked(session, decided)


def _acquire(session: ClientSession, data: bytes, position: int, target: str | None, *, unwanted_to: int = 0) -> None:
    backend = session.host.acquire(target)
    if backend is None:
        session.waiting = True
        session.keep_input(data[position:])
        return
    belongings = session.belongings
    if (
        backend.settings is belongings.settings
        and backend.reported is belongings.told
        and not (backend.sequences_of or backend.hidden_of)
    ) or move_to(session, backend, data, position):
        if session.interception is None:
            process(session, backend, data, position)
        else:
            run(session, backend, data, position, unwanted_to=unwanted_to)


def move_to(session: ClientSession, backend: BackendSession, data: bytes, position: int) -> bool:
    """See that a backend has what this client has; False if the client's messages must wait until then."""
    belongings = session.belongings
    if backend.sequences_of not in (0, belongings.serial) and session.follows:
        effects = first_effects(session, backend, data, position)
        if (
            effects.reads_sequence
            or effects.transaction_control
            or effects.statement_count != 1
            or runs_several(data, position)
        ):
            belongings.hide_sequences(backend)
    if belongings.move_to(backend):
        return True
    session.held = True
    session.keep_input(data[position:])
    return False
