"""What a client sends into a COPY, and what it sends behind an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interceptor.errors import ProtocolViolation
from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.bounds import LARGE_KINDS, MAX_SMALL_MESSAGE, SMALL_KINDS, must_wait
from interceptor.session.replies import stop_counting
from interceptor.session.sending import send
from interceptor.session.substitutes import SUBSTITUTE
from interceptor.session.watching import must_hold

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession


def process_copy_in(session: ClientSession, backend: BackendSession, data: bytes, position: int) -> int:
    """Forward the data of a COPY, where the backend ignores Sync and Flush (copyfromparse.c, CopyGetData).

    Returns the offset of what follows it; -1 if all of ``data`` is seen to.
    """
    size = len(data)
    start = position
    while backend.copy_in and size - position >= 5:
        kind, length = unpack_header(data, position)
        end = position + 1 + length
        if (end > size or not 4 <= length <= MAX_SMALL_MESSAGE) and must_wait(kind, length, size - position):
            break
        if kind == messages.SYNC:
            backend.copy_syncs += 1
        elif kind == messages.COPY_DONE or kind == messages.COPY_FAIL:
            backend.copy_in = backend.uncounted
            if backend.copy_syncs and not backend.copy_in:
                # Whether those Syncs count is known when the COPY has ended.
                session.held = session.wants_flush = True
                position = end
                break
            if session.interception is not None and must_hold(backend):
                # Other statements of the same Query may have rows.
                session.held = session.wants_flush = True
                position = end
                break
        elif kind == messages.TERMINATE:
            session.finishing = session.held = True
            break
        elif kind != messages.COPY_DATA and (kind != messages.FLUSH or length != 4) and not backend.uncounted:
            if session.interception is not None:
                # If the COPY had failed just now, it would be run, and nobody has looked at it. PostgreSQL, while it
                # copies, closes the connection as well.
                raise ProtocolViolation(f"unexpected message type 0x{kind:02X} during COPY from stdin")
            stop_counting(backend, session)
        position = end
    if backend.copy_in or session.held:
        send(session, backend, b"", data, start, position)
        return -1
    if start < position:
        backend.write(data[start:position])
    return position


def skip_to_sync(session: ClientSession, data: bytes, position: int) -> int:
    """Drop what the backend would ignore. Returns the offset of the Sync; -1 if all of ``data`` is seen to."""
    size = len(data)
    interception = session.interception
    while size - position >= 5:
        kind, length = unpack_header(data, position)
        end = position + 1 + length
        if (end > size or not 4 <= length <= MAX_SMALL_MESSAGE) and must_wait(kind, length, size - position):
            break
        if kind == messages.SYNC or kind == messages.TERMINATE:
            session.ignoring = False
            if interception is not None and kind == messages.SYNC:
                interception.committing.skipped = True
            return position
        if kind not in LARGE_KINDS and kind not in SMALL_KINDS:
            if kind != SUBSTITUTE or interception is None or not interception.planned:
                raise ProtocolViolation(f"invalid frontend message type {kind}")
        if interception is not None:
            interception.skip(kind)
        position = end
    if position > size:
        session.discarding = position - size
    else:
        session.keep_input(data[position:])
    return -1
