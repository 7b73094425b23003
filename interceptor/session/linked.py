"""Acting on a client's messages while a backend is linked: message by message, each batch once it has been decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.bounds import MAX_OWED, MAX_SMALL_MESSAGE, must_wait
from interceptor.session.copying import process_copy_in, skip_to_sync
from interceptor.session.observing import attach
from interceptor.session.passing import end_of_unwanted
from interceptor.session.requests import HANDLERS, Handler
from interceptor.session.sending import send
from interceptor.session.splice import HOLD
from interceptor.session.states import Request

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession
    from interceptor.session.interception import Interception

__all__ = ["look_at", "process", "run"]

# Plain integers: an enum member costs an attribute look-up and a slower comparison, in a loop over every message.
_EXECUTE: Final = messages.EXECUTE
_SYNC: Final = messages.SYNC
_OWED_EXECUTE: Final = int(Request.EXECUTE)
_OWED_SYNC: Final = int(Request.SYNC)


def run(session: ClientSession, backend: BackendSession, data: bytes, position: int, *, unwanted_to: int = 0) -> None:
    """Act on messages while a backend is linked, each batch of them once plugins have decided about it.

    ``unwanted_to``: what ``end_of_unwanted`` says, if the caller has asked.
    """
    session.begins = False
    interception = session.interception
    end = unwanted_to
    if interception is not None and not (end or interception.planned or session.ignoring or backend.copy_in):
        end = end_of_unwanted(interception, data, position)
    if end > position:
        _pass(session, backend, data, position, end)
    else:
        process(session, backend, data, position)
    while interception is not None and session.begins and session.backend is backend:
        # It was held at the beginning of a batch.
        end = end_of_unwanted(interception, session.rest, 0)
        if end:
            session.begins = session.held = False
            _pass(session, backend, session.take_kept(), 0, end)
            continue
        if backend.owed or backend.asked or (not backend.ready and not interception.in_batch):
            session.wants_flush = False
            if backend.owed:
                backend.write(messages.FLUSH_MESSAGE)
            return
        session.begins = session.held = False
        decided = look_at(session, interception, session.take_kept(), 0)
        if decided is None:
            return
        process(session, backend, decided, 0)


def _pass(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> None:
    """Act on batches, up to ``end``, that no plugin wants anything of, and on what follows them."""
    interception = session.interception
    assert interception is not None
    interception.known.again = ()
    if end == len(data):
        process(session, backend, data, position, HANDLERS)
        if interception.passing is not None:
            attach(session, backend, interception)
        return
    process(session, backend, data[position:end], 0, HANDLERS)
    if interception.passing is not None:
        attach(session, backend, interception)
    if session.held:
        session.keep_input(session.rest + data[end:])
    elif session.backend is None:
        session.process_unlinked(data[end:])
    else:
        process(session, backend, data[end:], 0)


def look_at(session: ClientSession, interception: Interception, data: bytes, position: int) -> bytes | None:
    """The data with its first batch as plugins decided; None if that has to be waited for."""
    decided = interception.look_at(data, position)
    if decided is None:
        session.deciding = session.held = True
    return decided


def process(
    session: ClientSession,
    backend: BackendSession,
    data: bytes,
    position: int,
    handlers: tuple[Handler, ...] | None = None,
) -> None:
    """Act on messages while a backend is linked. ``handlers``: other than the session's own.

    One loop over message headers; what goes to the backend leaves as the slice that it came in.
    """
    if session.ignoring:
        position = skip_to_sync(session, data, position)
    elif backend.copy_in:
        position = process_copy_in(session, backend, data, position)
    if position < 0:
        return
    size = len(data)
    start = position
    out = b""
    owed = backend.owed
    if handlers is None:
        handlers = session.handlers
    is_plain = handlers is HANDLERS
    interception = session.interception
    listening = session.listening
    while size - position >= 5:
        kind, length = unpack_header(data, position)
        end = position + 1 + length
        if (end > size or not 4 <= length <= MAX_SMALL_MESSAGE) and must_wait(
            kind, length, size - position, session.max_whole
        ):
            break
        if listening is not None and owed and listening.in_doubt and backend.between_batches:
            # What the transaction makes of its LISTEN or UNLISTEN has to be asked before another begins.
            session.held = True
            break
        if kind == _EXECUTE and is_plain:
            owed.append(_OWED_EXECUTE)
        elif kind == _SYNC:
            if interception is not None and interception.holds_sync(backend):
                break
            backend.unnamed_in_batch = False
            if session.named is not None:
                session.named.in_batch.clear()
            owed.append(_OWED_SYNC if interception is None else interception.executions.owed_sync)
        else:
            splice = handlers[kind](session, backend, data, position, end)
            if splice is not None:
                if splice is HOLD:
                    break
                out += data[start:position] + splice[0]
                start = splice[1]
                if session.held:
                    # An answer of a plugin is being sent; what follows waits for its end.
                    position = end
                    break
        position = end
    if start == 0 < position == size and not out and not session.held and len(owed) <= MAX_OWED:
        backend.write(data)
    else:
        send(session, backend, out, data, start, position)
