"""What has been acted on goes to the backend; what has not is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interceptor.protocol import messages
from interceptor.session.bounds import MAX_OWED
from interceptor.session.replies import stop_counting

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession

__all__ = ["finish", "send"]


def send(session: ClientSession, backend: BackendSession, out: bytes, data: bytes, start: int, position: int) -> None:
    """Forward what was accepted; keep what was not: an incomplete message, or one that has to wait.

    ``out`` goes first. ``position`` beyond the end of the data means that the last message is still coming;
    ``start`` beyond it, that this message goes nowhere.
    """
    size = len(data)
    if start < min(position, size):
        out = out + data[start:position] if out else data[start:position]
    if out:
        backend.write(out)
    if position < size:
        session.keep_input(data[position:])
    elif start > size:
        session.discarding = start - size
    else:
        session.streaming = position - size
    if session.wants_flush:
        session.wants_flush = False
        backend.write(messages.FLUSH_MESSAGE)
    if len(backend.owed) > MAX_OWED:
        session.held = True
    if session.finishing:
        finish(session, backend)
    elif session.wants_release:
        session.wants_release = False
        if not backend.owed and backend.ready:
            session.on_ready(backend)


def finish(session: ClientSession, backend: BackendSession) -> None:
    """The client has said Terminate: let it go as soon as all is answered, or will never be."""
    if backend.uncounted:
        # Only the server knows when it has answered all: then it hangs up. Called once in this state.
        backend.write(messages.TERMINATE_MESSAGE)
    elif backend.streaming:
        return
    elif backend.copy_in:
        # Whether the COPY has failed before, the server knows. It refuses Terminate in a COPY, and hangs up as well.
        stop_counting(backend, session)
    elif not backend.owed:
        session.host.on_finished()
