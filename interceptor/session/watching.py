"""The answers of executions that somebody looks after: rows counted, shown to observers, and cut off at a limit.

The requests of such an execution are owed as kinds of their own (``Request.WATCHED_QUERY`` and its kin). What ends one
is left to the plain kind, which takes its place, so that nothing else of the session knows of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor.errors import BACKEND_LOST, BackendError
from interceptor.hooks.answers import over_limit
from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.answers import encode_block
from interceptor.session.notes import become
from interceptor.session.observed import Run
from interceptor.session.replies import fail_until_sync, hold_back, on_tag, retrying_of
from interceptor.session.states import ENDED, PLAIN, SYNCS, WATCHED, Request
from interceptor.session.substitutes import REFUSED_PARSE, REFUSED_QUERY

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession

MAX_ROW: Final = 1024 * 1024
"""Bytes of a row that an observer is shown. A longer one is only counted."""

_MAX_CONTROL: Final = 1024 * 1024
_MAX_MESSAGE: Final = 0x3FFFFFFF + 4

WRONG: Final[tuple[int, int]] = (-2, -2)
"""The message has no place here."""

MORE: Final = -1
"""More of the message has to come."""

_AS_WATCHED: Final = {int(ENDED.get(plain, plain)): watched for watched, plain in WATCHED.items()}
_CUT: Final = frozenset({Request.CUT_QUERY, Request.CUT_EXECUTE})
_ROWS: Final = frozenset(b"DdV")
_FUNCTION_RESULT: Final = ord("V")
_COPY_OUT: Final = ord("H")
_COPY_IN: Final = ord("G")
_NOTHING_TO_COPY: Final = messages.encode_message(messages.COPY_FAIL, b"a result before it was larger than it may be\0")
_TAGS: Final = frozenset(b"CI")
_ENDS_EXECUTE: Final = frozenset(b"CIs")


def watch_last(backend: BackendSession, run: Run, owed_before: int) -> bool:
    """A message of this run has been acted on: look at what answers it. ``owed_before`` is how much was owed then.

    False if the server was sent nothing that could end it.
    """
    owed = backend.owed
    for place in range(len(owed) - 1, owed_before - 1, -1):
        watched = _AS_WATCHED.get(owed[place])
        if watched is not None:
            owed[place] = watched
            backend.watched.append(run)
            run.target = backend.target
            return True
    if len(owed) > owed_before and backend.blocks:
        # Refused, as a question for a sequence value that may be another client's.
        run.fail_with(backend.blocks[-1][5:], "proxy")
    else:
        # Answered by the session itself.
        run.finish(run.execution.statement.facts.statements[0].kind.upper())
    run.settle()
    return False


def on_watched(
    backend: BackendSession, client: ClientSession, data: bytes, start: int, position: int
) -> tuple[int, int]:
    """Look at messages from ``position`` on, as many as are alike.

    Returns from where on the client has not been sent anything yet, and where to go on: at ``position`` itself if the
    message is now the plain request's to act on; ``MORE`` if it has to come whole first.
    """
    run = backend.watched[0]
    kind, length = unpack_header(data, position)
    if not 4 <= length <= _MAX_MESSAGE:
        return WRONG
    if kind in _ROWS:
        run.answered()
        return _on_rows(backend, client, run, data, start, position)
    end: int = position + 1 + length
    if kind == messages.COPY_DONE or kind == _COPY_OUT:
        run.answered()
        return start, end
    if length > _MAX_CONTROL:
        return WRONG
    if end > len(data):
        return start, MORE
    body = data[position + 5 : end]
    simple = backend.owed[0] == Request.WATCHED_QUERY
    if kind != messages.BIND_COMPLETE:
        run.answered()
    if kind == messages.ROW_DESCRIPTION:
        run.describe(body)
        if simple:
            return start, end
    elif kind in _TAGS:
        tag = body[:-1].decode("utf-8", "replace")
        assert client.interception is not None
        client.interception.executions.on_tag(run, tag)
        if simple:
            run.end_statement(tag)
            if backend.watches_tags:
                on_tag(backend, client, body)
            if run.done:
                _give_back(backend)
                if not client.interception.executions.tells:
                    become(backend.owed, ENDED[backend.owed[0]])
            return start, end
        run.end_portal(tag)
    elif kind == messages.READY_FOR_QUERY:
        # What could not be counted before: a text that can't be read, a function call.
        run.finish(run.tag)
    elif kind == messages.ERROR_RESPONSE:
        start = hold_back(client, data, start, position)
        retrying = retrying_of(client, body)
        if retrying is not None:
            retrying.fail_with(body)
            become(backend.owed, PLAIN[backend.owed[0]])
            backend.watched.popleft()
            return start, position
        run.fail_with(body)
    elif kind == messages.PORTAL_SUSPENDED:
        run.suspended = True
    _give_back(backend)
    return start, position


def _give_back(backend: BackendSession) -> None:
    """What is owed next is a plain request from here on."""
    become(backend.owed, PLAIN[backend.owed[0]])
    backend.watched.popleft().settle()


def _on_rows(
    backend: BackendSession, client: ClientSession, run: Run, data: bytes, start: int, position: int
) -> tuple[int, int]:
    wants_rows = run.wants_rows and data[position] == messages.DATA_ROW
    limited = run.limited
    if not limited and not wants_rows:
        return start, count_rows(run, data, position)
    size = len(data)
    first = position
    while size - position >= 5:
        kind, length = unpack_header(data, position)
        if kind not in _ROWS or not 4 <= length <= _MAX_MESSAGE:
            break
        end = position + 1 + length
        if limited and (run.rows_left < 1 or run.bytes_left <= length):
            _show(run, data, first, position, wants_rows)
            _cut(backend, client, run, data, start, position)
            return position, position
        if end > size and wants_rows and length <= MAX_ROW:
            _show(run, data, first, position, wants_rows)
            return start, position if position > first else MORE
        run.rows += kind != _FUNCTION_RESULT
        run.size += length + 1
        if limited:
            run.rows_left -= 1
            run.bytes_left -= length + 1
        if wants_rows and length > MAX_ROW:
            _show(run, data, first, position, wants_rows)
            first = end
        position = end
    _show(run, data, first, position, wants_rows)
    return start, position


def count_rows(run: Run, data: bytes, position: int) -> int:
    """Where the messages of one kind end that begin here."""
    size = len(data)
    first, begin, rows = data[position], position, 0
    while size - position >= 5:
        kind, length = unpack_header(data, position)
        if kind != first or not 4 <= length <= _MAX_MESSAGE:
            break
        position += 1 + length
        rows += 1
    run.size += position - begin
    if first != _FUNCTION_RESULT:
        run.rows += rows
    return position


def _show(run: Run, data: bytes, first: int, end: int, wants_rows: bool) -> None:
    if wants_rows and first < end:
        run.receive(data[first:end])


# --- A result that ends here -----------------------------------------------------------------------------------------


def _cut(backend: BackendSession, client: ClientSession, run: Run, data: bytes, start: int, position: int) -> None:
    """Tell the client that its result ends here, and have the server stop."""
    if start < position:
        client.write(data[start:position])
    block = over_limit(run.limits)
    run.block(block, "proxy")
    assert client.interception is not None
    client.write(encode_block(block, client.interception.style))
    client.belongings.on_error()
    simple = backend.owed[0] != Request.WATCHED_EXECUTE
    backend.owed[0] = Request.CUT_QUERY if simple else Request.CUT_EXECUTE
    backend.watched.popleft().settle()
    backend.stopping = Stopping(backend, client)
    backend.host.cancel(backend.stopping.on_canceled)


class Stopping:
    """A result that was cut off: over when the server has nothing more to say of it, and no cancel request can hit
    what comes next."""

    __slots__ = ("_backend", "_client", "canceled", "dropping")

    def __init__(self, backend: BackendSession, client: ClientSession) -> None:
        self._backend = backend
        self._client = client
        self.canceled = False
        self.dropping = 0
        """Bytes still to come of a message that goes nowhere."""

    def on_canceled(self, certain: bool) -> None:
        """The server has dealt with the request; or, not ``certain``, it may still do so."""
        self.canceled = True
        backend = self._backend
        if backend.stopping is not self or backend.client is not self._client:
            return
        if not certain:
            backend.host.on_failed(
                BackendError(
                    BACKEND_LOST,
                    "the server could not be asked to stop a result that is larger than it may be, so its connection "
                    "was closed",
                    hint="Connect again, and look whether the server takes cancel requests.",
                )
            )
        elif self.is_over:
            backend.stopping = None
            if backend.ready and not backend.owed:
                self._client.on_ready(backend)
            else:
                self._client.on_answered(backend)

    @property
    def is_over(self) -> bool:
        """What comes next can be sent."""
        owed = self._backend.owed
        return self.canceled and not any([one in _CUT for one in owed])


def must_hold(backend: BackendSession) -> bool:
    """Whether what follows must wait: a result may be cut off yet, which fails all that is behind it.

    Not what is sent into a COPY, for the server waits for that.
    """
    if backend.stopping is not None:
        if not backend.stopping.is_over:
            return True
        backend.stopping = None
    return not backend.copy_in and any([run.limited for run in backend.watched])


def _fail_behind(backend: BackendSession) -> None:
    """An Execute ended well before it could be stopped: fail its batch, or its transaction, behind it."""
    owed = backend.owed
    owed.popleft()
    sync = next((place for place, one in enumerate(owed) if one in SYNCS), None)
    if sync is None:
        owed.append(Request.CUT_EXECUTE)
        backend.write(REFUSED_PARSE + messages.FLUSH_MESSAGE)
    else:
        # That of a Query which runs as a batch.
        owed[sync] = Request.CUT_QUERY


def on_cut(backend: BackendSession, client: ClientSession, data: bytes, position: int) -> int:
    """Drop a message of a result that has ended for its client.

    Returns where to go on: at ``position`` itself if the message is now the plain request's to act on, ``MORE`` if it
    has to come whole first; less than that if it has no place here.
    """
    kind, length = unpack_header(data, position)
    if not 4 <= length <= _MAX_MESSAGE:
        return WRONG[0]
    end: int = position + 1 + length
    size = len(data)
    if kind in _ROWS:
        if end > size:
            assert backend.stopping is not None
            backend.stopping.dropping = end - size
            backend.partial = data[position : position + 1]
        return min(end, size)
    if length > _MAX_CONTROL:
        return WRONG[0]
    if end > size:
        return MORE
    if kind == messages.READY_FOR_QUERY:
        if data[position + 5] != messages.IN_TRANSACTION:
            backend.owed[0] = Request.TRACKED_QUERY
            return position
        # It ended well before it could be stopped. Its client knows of an error, so the transaction has to fail.
        backend.write(REFUSED_QUERY)
    elif kind == _COPY_IN:
        # A statement behind the one that was cut off: of a Query that ends before it could be stopped.
        backend.write(_NOTHING_TO_COPY)
    elif backend.owed[0] == Request.CUT_EXECUTE:
        if kind == messages.ERROR_RESPONSE:
            fail_until_sync(backend, client)
        elif kind in _ENDS_EXECUTE:
            _fail_behind(backend)
    return end
