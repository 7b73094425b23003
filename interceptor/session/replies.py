"""What a backend says beside the plain course of a query: errors, COPY, parameters, and what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.protocol.rows import with_formats
from interceptor.session.counting import Counting
from interceptor.session.notes import become, note_of
from interceptor.session.prelude import PASSING_NAME
from interceptor.session.prepared import Prepared
from interceptor.session.states import PLAIN, SYNCS, Action, Request
from interceptor.session.substitutes import SUBSTITUTE

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession
    from interceptor.session.observed import Run
    from interceptor.session.retrying import Retrying

_STALE_PLAN: Final = b"\0RRevalidateCachedQuery\0"
_DISCARDED_ALL: Final = b"DISCARD ALL\0"
ALL_GONE: Final = frozenset({b"DEALLOCATE ALL\0", _DISCARDED_ALL})

_CHANGES: Final = frozenset(
    {
        Request.NAMED_PARSE,
        Request.NAMED_CLOSE,
        Request.INJECTED_NAMED_PARSE,
        Request.INJECTED_NAMED_CLOSE,
        Request.LOCAL_CHANGE,
    }
)
_PARSE_UNNAMED: Final = int(Request.PARSE_UNNAMED)
_RETRIED: Final = int(Request.RETRIED)
_REUSED: Final = frozenset({Request.REUSED_BIND, Request.REUSED_DESCRIBE})
_PRELUDE: Final = frozenset({Request.PRELUDE, Request.FILL, Request.DESCRIBED_QUERY})
_OF_OURS: Final = _PRELUDE | {
    Request.INJECTED_PARSE,
    Request.INJECTED_CLOSE,
    Request.INJECTED_NAMED_PARSE,
    Request.INJECTED_NAMED_CLOSE,
}
_NOTHING_TO_COPY: Final = messages.encode_message(
    messages.COPY_FAIL, b"what a plugin runs before a statement copies rows by CopyRows alone\0"
)
_PASSING: Final = b'"%b"' % PASSING_NAME
_DATA_EXCEPTION: Final = b"\0C22"
"""Where the SQLSTATE of an ErrorResponse begins with class 22."""

_BLOCKED: Final = int(Request.BLOCKED)
_INJECTED_SYNC: Final = int(Request.INJECTED_SYNC)
_LOCAL: Final = int(Request.LOCAL)
_LOCAL_CHANGE: Final = int(Request.LOCAL_CHANGE)
_FAIL: Final = int(Action.FAIL)
_ERROR: Final = int(Action.ERROR)
_PARAMETER: Final = int(Action.PARAMETER)


def on_tag(backend: BackendSession, client: ClientSession, tag: bytes) -> None:
    """DEALLOCATE ALL and DISCARD ALL took every named statement, as their tags tell once they have succeeded."""
    if tag in ALL_GONE:
        backend.prepared.clear()
        if client.named is not None:
            client.named.clear()
        if client.listening is not None and tag == _DISCARDED_ALL:
            client.listening.on_all_gone()


def on_error_in_batch(
    backend: BackendSession, client: ClientSession, data: bytes, start: int, position: int, end: int
) -> int:
    """An error of the extended protocol: tell the client in its own words, and take back what is skipped.

    Of one that is too long to be collected only the beginning is there, and passes as it is.
    """
    body = data[position + 5 : end]
    whole = end <= len(data)
    start = hold_back(client, data, start, position)
    retrying = retrying_of(client, body)
    if retrying is not None and whole:
        retrying.fail_with(body)
        # What will be sent again has not failed.
        backend.watched.clear()
        is_sent = any([one in SYNCS for one in backend.owed])
        if not is_sent:
            retrying.take_back()
        if not is_farewell(body):
            fail_until_sync(backend, client)
            if is_sent:
                backend.owed[0] = _RETRIED
            else:
                client.ignoring = False
                backend.owed.append(_RETRIED)
                backend.write(messages.SYNC_MESSAGE)
        return end
    run = None
    if backend.owed[0] in PLAIN:
        become(backend.owed, PLAIN[backend.owed[0]])
        run = backend.watched.popleft()
    if backend.owed[0] in _REUSED and _DATA_EXCEPTION in body:
        # A parameter is at fault, and PostgreSQL would have parsed the statement before it looked at that.
        client.write(data[start:position] + messages.PARSE_COMPLETE_MESSAGE)
        start = position
        client.unnamed = backend.parses[0]
    if len(backend.owed) > 1 and backend.owed[1] == _INJECTED_SYNC and whole:
        # What can't be parsed apart is parsed where its client asks for it, and fails there.
        if start < position:
            client.write(data[start:position])
        fail_until_sync(backend, client)
        return end
    if (
        client.retry
        and whole
        and _STALE_PLAN in body
        and not client.finishing
        and _none_is_answered(backend, *client.retry)
    ):
        if start < position:
            client.write(data[start:position])
        # What will be sent again has not failed.
        backend.watched.clear()
        fail_until_sync(backend, client)
        backend.owed[0] = _RETRIED
        return end
    note = note_of(backend.owed[0])
    if note is not None and note.error and whole and not is_farewell(body):
        body = note.error[5:]
    observed = _observed_in_batch(backend) if run is None else None
    if run is not None:
        run.fail_with(body)
        run.settle()
    elif observed is not None:
        # A message before its Execute has failed.
        observed.fail_with(body)
    elif backend.owed[0] in _OF_OURS:
        _fail_prelude(backend, client, body)
    elif note is not None and note.parse is not None and client.interception is not None:
        note.parse.fail_with(body, backend.target, list(client.interception.executions.runs))
    if not on_rare(backend, client, _FAIL, body):
        raise AssertionError("an error is never out of place")
    if not whole:
        return start
    # Only now, for a Close that is skipped had taken the name away.
    renamed = body if client.named is None else client.named.rename_in_error(body)
    replaced = note is not None and bool(note.error)
    if note is not None and note.rewriting is not None and not replaced:
        renamed = note.rewriting.mend(renamed)
        if note.statement is not None:
            renamed = renamed.replace(_PASSING, b'"%b"' % note.statement)
    if renamed == body and not replaced:
        return start
    client.write(data[start:position] + messages.encode_message(messages.ERROR_RESPONSE, renamed))
    return end


def _observed_in_batch(backend: BackendSession) -> Run | None:
    """The execution of the batch under way that passed by and is observed, if it is one."""
    for one in backend.owed:
        if one == Request.OBSERVED_EXECUTE:
            return backend.watched[0]
        if one in SYNCS:
            break
    return None


def hold_back(client: ClientSession, data: bytes, start: int, position: int) -> int:
    """See that nothing before an error is unsent, if it may be held back. Returns from where on all is unsent."""
    if client.interception is not None and client.interception.retrying is not None and start < position:
        client.write(data[start:position])
        return position
    return start


def retrying_of(client: ClientSession, body: bytes) -> Retrying | None:
    """What is to be run once more because of this error; None where the error is the client's."""
    retrying = None if client.interception is None else client.interception.retrying
    if retrying is None or (client.retry and _STALE_PLAN in body) or not retrying.takes(body):
        return None
    return retrying


def _fail_prelude(backend: BackendSession, client: ClientSession, body: bytes) -> None:
    """What ran before a statement has failed, and the statement with it."""
    stage = None if client.interception is None else client.interception.stage
    if stage is not None and stage.run is not None:
        stage.run.fail_with(body)
    else:
        request = next((one for one in backend.owed if one not in _OF_OURS), None)
        if request in PLAIN:
            backend.watched[0].fail_with(body)


def on_error_of_rewritten(
    backend: BackendSession, client: ClientSession, data: bytes, start: int, position: int, end: int
) -> int:
    """An error of a Query that was rewritten, or of a commit: tell the client where it is in its own text."""
    body = data[position + 5 : end]
    whole = end <= len(data)
    note = note_of(backend.owed[0])
    start = hold_back(client, data, start, position)
    retrying = retrying_of(client, body)
    if retrying is not None and whole:
        if not retrying.due:
            retrying.fail_with(body)
        if not is_farewell(body):
            client.belongings.on_error()
            backend.owed[0] = _RETRIED
        return end
    if not on_rare(backend, client, _ERROR, body):
        raise AssertionError("an error is never out of place")
    if note is None or note.rewriting is None or not whole:
        return start
    client.write(data[start:position] + messages.encode_message(messages.ERROR_RESPONSE, note.rewriting.mend(body)))
    return end


def on_blocked(backend: BackendSession, client: ClientSession, body: bytes, *, in_batch: bool) -> None:
    """The server has refused what stands for a blocked statement, or says farewell."""
    if is_farewell(body):
        backend.said_why = True
        client.write(messages.encode_message(messages.ERROR_RESPONSE, body))
        return
    client.write(backend.blocks[0])
    client.belongings.on_error()
    if in_batch:
        fail_until_sync(backend, client)
    else:
        backend.blocks.popleft()


def on_unseen(backend: BackendSession, client: ClientSession, action: int, body: bytes) -> bool:
    """An answer to a message of ours in the client's batch. False for one that can't be right."""
    if action == Action.FILL:
        stage = None if client.interception is None else client.interception.stage
        assert stage is not None
        stage.on_copy_in()
        return True
    if action == Action.NO_COPY:
        backend.write(_NOTHING_TO_COPY)
        return True
    request = backend.owed.popleft()
    if action == Action.SWALLOW_UNNAMED:
        backend.unnamed_ready = True
    elif action == Action.SWALLOW_CHANGED:
        backend.settle_change()
    elif action == Action.DESCRIBE_AS:
        note = note_of(request)
        described: bytes | None = messages.encode_message(messages.ROW_DESCRIPTION, body)
        if request == Request.DESCRIBED_PORTAL:
            assert note is not None
            described = with_formats(body, note.formats)
        if described is None:
            return False
        if note is not None and note.describes is not None:
            note.describes.answered()
            note.describes.describe(described[5:])
        client.write(described)
    return True


def _none_is_answered(backend: BackendSession, data: bytes, position: int, prepared: Prepared) -> bool:
    """Whether all that this batch asks for, from this message on, is still owed, and nothing else."""
    count = 0
    looked_at = backend.client is not None and backend.client.interception is not None
    while position < len(data):
        kind, length = unpack_header(data, position)
        position += 1 + length
        if kind == SUBSTITUTE or (looked_at and _changes_names(data, position - 1 - length, kind)):
            return False
        count += kind != messages.FLUSH
    if backend.owed[0] in _REUSED:
        count -= 1
    return len(backend.owed) == count and backend.owed[-1] in SYNCS and sum([one in SYNCS for one in backend.owed]) == 1


def _changes_names(data: bytes, position: int, kind: int) -> bool:
    if kind == messages.CLOSE:
        return data[position + 5 : position + 6] == b"S"
    return kind == messages.PARSE and data[position + 5] != 0


def on_rare(backend: BackendSession, client: ClientSession, action: int, body: bytes) -> bool:
    """Errors, COPY, parameters: everything but the plain course of a query. False for a message out of place."""
    owed = backend.owed
    if action in (Action.FAIL, Action.ERROR, Action.FATAL):
        backend.said_why = is_farewell(body)
        client.belongings.on_error()
        backend.host.on_error(_sqlstate(body))
        if action == Action.FATAL:
            return True
        if action == Action.ERROR and client.interception is not None:
            client.interception.executions.on_commit_failed(body)
        if backend.copy_syncs:
            if len(owed) == 1:
                Counting(backend, client, simple=action == Action.ERROR)
            else:
                stop_counting(backend, client)
            return True
        if client.named is not None and _STALE_PLAN in body:
            client.named.registry.forget_all()
        backend.copy_in = False
        if action == Action.FAIL:
            fail_until_sync(backend, client)
    elif action == _PARAMETER:
        if not on_parameter(backend, body):
            return False
        client.belongings.on_told(backend.reported)
    elif action == Action.COPY_IN:
        backend.copy_in = True
        backend.copy_syncs = 0
        # A backend that copies in ignores Sync (copyfromparse.c, CopyGetData): no ReadyForQuery comes for it.
        while len(owed) > 1 and owed[1] in SYNCS:
            del owed[1]
            backend.copy_syncs += 1
    elif action == Action.NOTICED:
        _, statements, name = backend.changes[0]
        prepared = None if statements is None else statements.by_name.get(name)
        if prepared is not None:
            prepared.is_noticed = True
    elif action == Action.CLOSED_UNNAMED:
        owed.popleft()
        client.unnamed = b""
    else:
        return False
    return True


def is_farewell(body: bytes) -> bool:
    """Whether the server hangs up behind this ErrorResponse.

    Field V is not translated, unlike the severity in field S (since PostgreSQL 9.6). Only a field begins behind a zero.
    """
    return b"\0VFATAL\0" in body or b"\0VPANIC\0" in body


def _sqlstate(body: bytes) -> bytes:
    """Field C of an ErrorResponse (protocol, 54.8)."""
    found = body.find(b"\0C")
    return body[found + 2 : found + 7] if found >= 0 else b""


def fail_until_sync(backend: BackendSession, client: ClientSession) -> None:
    """After an error in the extended protocol the backend ignores all up to the next Sync, and owes nothing."""
    owed = backend.owed
    if owed[0] == _PARSE_UNNAMED:
        # The old unnamed statement went before the new one was parsed (postgres.c, exec_parse_message).
        client.unnamed = b""
        backend.unnamed_ready = True
    undone = 0
    while owed and owed[0] not in SYNCS and owed[0] != _INJECTED_SYNC:
        request = owed.popleft()
        if request == _PARSE_UNNAMED or request in _REUSED:
            backend.parses.popleft()
        elif request == _LOCAL or request == _LOCAL_CHANGE:
            backend.local_replies.popleft()
        elif request == _BLOCKED:
            backend.blocks.popleft()
        elif request in PLAIN and backend.watched:
            backend.watched.popleft().skip()
        undone += request in _CHANGES
    skipped = [backend.changes.popleft() for _ in range(undone)]
    for undo, statements, name in reversed(skipped):
        undo()
        if statements is not None:
            statements.settle(name)
    if not owed:
        client.on_ignored()
    if client.interception is not None and client.interception.stage is not None:
        client.interception.stage.on_failed()


def stop_counting(backend: BackendSession, client: ClientSession) -> None:
    """A client that copies sent what has no place in a COPY, such as a statement or Terminate: count no more.

    The server refuses it and hangs up. But if the COPY has failed before the server reads it, it is carried out, and
    which of the two it is can't be told. So from here on all is relayed, and nothing is owed by name.
    """
    backend.owed.clear()
    backend.owed.append(Request.UNCOUNTED)
    backend.parses.clear()
    backend.local_replies.clear()
    backend.changes.clear()
    backend.watched.clear()
    backend.copy_in = True
    client.on_uncounted()


def on_parameter(backend: BackendSession, body: bytes) -> bool:
    name, separator, value = body.partition(b"\0")
    if not separator or not value.endswith(b"\0"):
        return False
    backend.reported = backend.reported.changed(name, value[:-1])
    return True
