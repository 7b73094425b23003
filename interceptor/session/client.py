"""The client's half of a conversation: what it asks, when it needs a backend, and what keeps it there."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final

from interceptor.errors import STATEMENT_POOLING, TOO_MANY_STATEMENTS, ClientError, ProtocolViolation
from interceptor.protocol import messages
from interceptor.protocol.framing import pack_header, unpack_header
from interceptor.session.actions import ClientHost
from interceptor.session.backend import BackendSession
from interceptor.session.prepared import (
    MAX_STATEMENT_BYTES,
    MAX_STATEMENTS,
    ClientStatements,
    Prepared,
    PreparedRegistry,
    make_private,
    make_room,
    provide,
)
from interceptor.session.states import PoolMode, Request
from interceptor.sql.effects import PinReason, SessionEffects

# Plain integers: an enum member costs an attribute look-up and a slower comparison, in a loop over every message.
_QUERY: Final = messages.QUERY
_PARSE: Final = messages.PARSE
_BIND: Final = messages.BIND
_DESCRIBE: Final = messages.DESCRIBE
_EXECUTE: Final = messages.EXECUTE
_SYNC: Final = messages.SYNC
CLOSE_COMPLETE: Final = b"3\0\0\0\x04"
PARSE_COMPLETE: Final = b"1\0\0\0\x04"
_DEALLOCATED: Final = messages.encode_message(messages.COMMAND_COMPLETE, b"DEALLOCATE\0")

Splice = tuple[bytes, int]
"""What takes the place of a message, or of its beginning: these bytes, and then the data from this offset on."""

_HOLD: Final[Splice] = (b"", -1)
"""Not now: this message and what follows wait for the backend's answers."""

_PRIVATE: Final = frozenset({PinReason.PREPARED_STATEMENT, PinReason.OPAQUE})
"""What may look at prepared statements, or run them, by their names."""

_DEALLOCATE: Final = re.compile(
    rb'\s*deallocate\s+(?:prepare\s+)?(?!all\b)(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>[a-z_][a-z0-9_$]*))\s*;?\s*',
    re.IGNORECASE,
)

_OWED_QUERY: Final = int(Request.QUERY)
_OWED_PARSE: Final = int(Request.PARSE)
_OWED_PARSE_UNNAMED: Final = int(Request.PARSE_UNNAMED)
_OWED_BIND: Final = int(Request.BIND)
_OWED_DESCRIBE_STATEMENT: Final = int(Request.DESCRIBE_STATEMENT)
_OWED_DESCRIBE_PORTAL: Final = int(Request.DESCRIBE_PORTAL)
_OWED_EXECUTE: Final = int(Request.EXECUTE)
_OWED_SYNC: Final = int(Request.SYNC)

WHOLE_MESSAGE: Final = 64 * 1024
"""Bytes up to which a message is collected before it is acted on; a longer one streams through in pieces.
SQL that is longer is not analysed, so in transaction mode it pins."""

MAX_MESSAGE: Final = 0x3FFFFFFE
MAX_SMALL_MESSAGE: Final = 10_000
"""PostgreSQL's PQ_LARGE_MESSAGE_LIMIT and PQ_SMALL_MESSAGE_LIMIT (libpq.h), in bytes."""

MAX_KEPT_INPUT: Final = 256 * 1024
"""Bytes that a client may send ahead while it waits; beyond them its socket is not read."""

MAX_OWED: Final = 10_000
"""Requests that a pipeline may run ahead of their answers; beyond them the client's messages wait."""

_LARGE_KINDS: Final = frozenset(b"QPBFd")
_SMALL_KINDS: Final = frozenset(b"CDEHSXcf")
_COPY_KINDS: Final = frozenset(b"dcf")
_NEED_BACKEND: Final = frozenset(b"QPBDECF")


class ClientSession:
    """What one client says, from the end of its login on.

    An idle client owns no buffer and no queue: the queue is the backend's, and a backend is linked only while there is
    work for it, or while something pins it.
    """

    __slots__ = (
        "backend",
        "discarding",
        "effects",
        "finishing",
        "held",
        "host",
        "ignoring",
        "mode",
        "named",
        "paused",
        "pinned",
        "pins",
        "rest",
        "streaming",
        "unnamed",
        "waiting",
        "wants_flush",
        "wants_release",
        "write",
    )

    def __init__(
        self,
        host: ClientHost,
        mode: PoolMode,
        effects: Callable[[bytes], SessionEffects],
        registry: PreparedRegistry | None = None,
    ) -> None:
        """``effects`` tells what a text of SQL does to a session (``StatementCache.effects``).

        With a ``registry`` named prepared statements are shared; without one they pin.
        """
        self.host = host
        self.write = host.write
        self.mode = mode
        self.effects = effects
        self.backend: BackendSession | None = None

        # What keeps the backend
        self.pinned = mode is PoolMode.SESSION
        self.pins: tuple[PinReason, ...] = ()
        self.unnamed = b""
        """The Parse message of the unnamed statement, which the next backend has to be given; empty if none."""

        self.named = None if registry is None or mode is PoolMode.SESSION else ClientStatements(registry)
        """The named statements that follow it; None where they are the backend's own, by their own names."""

        # Where it is
        self.wants_flush = False
        self.wants_release = False
        self.waiting = False
        """For a backend."""
        self.held = False
        """Until the backend has answered more: what ``rest`` means depends on it."""
        self.ignoring = False
        """Up to the next Sync, because of an error."""
        self.finishing = False
        """It said Terminate."""
        self.paused = False
        """We asked the host to read no more."""

        # Where the bytes are
        self.rest = b""
        """What came and is not acted on yet."""
        self.streaming = 0
        """Bytes still to come of a message that is being forwarded in pieces."""
        self.discarding = 0
        """Bytes still to come of a message that goes nowhere."""

    # --- What comes from the client --------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take what the client sent. Raises ClientError if it is no message: the caller ends the connection."""
        if self.rest:
            data = self.rest + data
            self.rest = b""
        if self.waiting or self.held:
            self._keep(data)
            return
        if self.streaming or self.discarding:
            data = self._continue_message(data)
            if not data:
                return
        if self.backend is None:
            self._process_unlinked(data)
        else:
            self._process(self.backend, data, 0)

    def _keep(self, data: bytes) -> None:
        if self.finishing:
            return
        self.rest = data
        if len(data) > MAX_KEPT_INPUT and not self.paused:
            self.paused = True
            self.host.pause_reading()

    def _take_kept(self) -> bytes:
        data, self.rest = self.rest, b""
        if self.paused:
            self.paused = False
            self.host.resume_reading()
        return data

    def _continue_message(self, data: bytes) -> bytes:
        """Pass on, or drop, the next piece of a message longer than what came at once. Returns what is behind it."""
        size = len(data)
        if self.discarding:
            taken = min(size, self.discarding)
            self.discarding -= taken
        else:
            taken = min(size, self.streaming)
            self.streaming -= taken
            backend = self.backend
            assert backend is not None
            backend.write(data[:taken] if taken < size else data)
            if not self.streaming and backend.reusable:
                # The tail of CopyData that the backend did not wait for, its COPY having failed.
                self.on_ready(backend)
        return data[taken:]

    def _must_wait(self, kind: int, length: int, present: int) -> bool:
        """Whether to wait for more of an incomplete message, of which ``present`` bytes are there.

        Raises ProtocolViolation for one that can't be right.
        """
        if kind in _SMALL_KINDS:
            if not 4 <= length <= MAX_SMALL_MESSAGE:
                raise ProtocolViolation("invalid message length")
            return True
        if kind not in _LARGE_KINDS:
            raise ProtocolViolation(f"invalid frontend message type {kind}")
        if not 4 <= length <= MAX_MESSAGE:
            raise ProtocolViolation("invalid message length")
        return present < min(length + 1, WHOLE_MESSAGE) and kind != messages.COPY_DATA

    def _process_unlinked(self, data: bytes) -> None:
        """Act on messages without a backend, up to the first one that needs it."""
        size = len(data)
        position = 0
        syncs = 0
        needs_backend = False
        while size - position >= 5:
            kind, length = unpack_header(data, position)
            end = position + 1 + length
            if (end > size or not 4 <= length <= MAX_SMALL_MESSAGE) and self._must_wait(kind, length, size - position):
                break
            if kind in _NEED_BACKEND:
                if not self.ignoring:
                    needs_backend = True
                    break
            elif kind == _SYNC:
                self.ignoring = False
                syncs += 1
            elif kind == messages.TERMINATE:
                self.finishing = self.held = True
                break
            elif kind not in _COPY_KINDS and kind != messages.FLUSH:
                raise ProtocolViolation(f"invalid frontend message type {kind}")
            position = end
        if syncs:
            # In one write, for a client may send fifty thousand of them at once.
            self.write(messages.READY[messages.IDLE] * syncs)
        if self.finishing:
            self.host.on_finished()
        elif needs_backend:
            self._acquire(data, position)
        elif position > size:
            self.discarding = position - size
        else:
            self.rest = data[position:]

    def _acquire(self, data: bytes, position: int) -> None:
        backend = self.host.acquire()
        if backend is not None:
            self._process(backend, data, position)
        else:
            self.waiting = True
            self._keep(data[position:])

    def _process(self, backend: BackendSession, data: bytes, position: int) -> None:
        """Act on messages while a backend is linked.

        One loop over message headers; what goes to the backend leaves as the slice that it came in.
        """
        if self.ignoring:
            position = self._skip_to_sync(data, position)
        elif backend.copy_in:
            position = self._process_copy_in(backend, data, position)
        if position < 0:
            return
        size = len(data)
        start = position
        out = b""
        owed = backend.owed
        while size - position >= 5:
            kind, length = unpack_header(data, position)
            end = position + 1 + length
            if (end > size or not 4 <= length <= MAX_SMALL_MESSAGE) and self._must_wait(kind, length, size - position):
                break
            if kind == _EXECUTE:
                owed.append(_OWED_EXECUTE)
            elif kind == _SYNC:
                backend.unnamed_in_batch = False
                if self.named is not None:
                    self.named.in_batch.clear()
                owed.append(_OWED_SYNC)
            else:
                splice = _HANDLERS[kind](self, backend, data, position, end)
                if splice is not None:
                    if splice is _HOLD:
                        break
                    out += data[start:position] + splice[0]
                    start = splice[1]
            position = end
        if start == 0 < position == size and not out and not self.held and len(owed) <= MAX_OWED:
            backend.write(data)
        else:
            self._send(backend, out, data, start, position)

    def _send(self, backend: BackendSession, out: bytes, data: bytes, start: int, position: int) -> None:
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
            self._keep(data[position:])
        elif start > size:
            self.discarding = start - size
        else:
            self.streaming = position - size
        if self.wants_flush:
            self.wants_flush = False
            backend.write(messages.FLUSH_MESSAGE)
        if len(backend.owed) > MAX_OWED:
            self.held = True
        if self.finishing and (backend.copy_in or not (backend.owed or backend.streaming)):
            self.host.on_finished()
        elif self.wants_release:
            self.wants_release = False
            if not backend.owed and backend.ready:
                self.on_ready(backend)

    # --- One message each. What is returned is put in the place of the message's beginning: see Splice. --------------

    def _on_query(self, backend: BackendSession, data: bytes, position: int, end: int) -> Splice | None:
        splice = None
        if not self.pinned or self.named is not None:
            reason = PinReason.OPAQUE if end > len(data) else self.effects(data[position + 5 : end - 1]).pin
            if reason is not None:
                if reason is PinReason.RESET and self._deallocates(backend, data[position + 5 : end - 1]):
                    return b"", end
                splice = self._on_effect(backend, reason, position)
                if splice is _HOLD:
                    return splice
        if self.named is not None:
            self.named.in_batch.clear()
        self.unnamed = b""
        backend.owed.append(_OWED_QUERY)
        return splice

    def _on_parse(self, backend: BackendSession, data: bytes, position: int, end: int) -> Splice | None:
        name_end = data.find(0, position + 5, end)
        if name_end != position + 5:
            return self._on_parse_named(backend, data, position, name_end, end)
        splice = None
        whole = end <= len(data)
        if not self.pinned or self.named is not None:
            sql_end = data.find(0, position + 6, end)
            sql = data[position + 6 : sql_end if sql_end >= 0 else end]
            reason = self.effects(sql).pin if whole else PinReason.OPAQUE
            if reason is PinReason.RESET and self._named_in_deallocate(sql) is not None:
                reason = PinReason.PREPARED_STATEMENT
            if reason is not None:
                splice = self._on_effect(backend, reason, position)
                if splice is _HOLD:
                    return splice
        backend.owed.append(_OWED_PARSE_UNNAMED)
        backend.unnamed_in_batch = True
        backend.parses.append(data[position:end] if whole and self.mode is not PoolMode.SESSION else b"")
        return splice

    def _on_parse_named(
        self, backend: BackendSession, data: bytes, position: int, name_end: int, end: int
    ) -> Splice | None:
        named = self.named
        if named is not None and (end > len(data) or name_end < 0):
            # Too long to be remembered, so it can be on this backend only.
            splice = self._on_effect(backend, PinReason.OPAQUE, position)
            if splice is not _HOLD:
                backend.owed.append(_OWED_PARSE)
            return splice
        if named is None:
            self._pin(PinReason.PREPARED_STATEMENT)
            backend.owed.append(_OWED_PARSE)
            return None
        name = data[position + 5 : name_end]
        if named.must_wait(name):
            return self._hold()
        existing = named.by_name.get(name)
        if existing is not None:
            # PostgreSQL says best itself what is wrong with that.
            before = provide(backend, existing)
            backend.owed.append(_OWED_PARSE)
            return before + self._renamed(data, position, position + 5, name_end, existing.name), name_end
        if named.full:
            raise ClientError(
                TOO_MANY_STATEMENTS,
                f"this client has {len(named.by_name)} prepared statements with {named.bytes} bytes of text, and the "
                f"limits are {MAX_STATEMENTS} and {MAX_STATEMENT_BYTES}",
                hint="Close statements that are not needed any more.",
            )
        prepared = named.registry.get(data[name_end + 1 : end])
        named.add(name, prepared)
        named.in_batch.add(name)
        undo = partial(named.drop, name)
        if prepared in backend.prepared and backend.status != messages.FAILED_TRANSACTION:
            backend.reply_to_change(PARSE_COMPLETE, named, name, undo)
            return b"", end
        if prepared in backend.prepared:
            named.drop(name)
            backend.owed.append(_OWED_PARSE)
            return self._renamed(data, position, position + 5, name_end, prepared.name), name_end
        before = make_room(backend)
        backend.prepared[prepared] = None
        backend.note_change(partial(_undo_parse, named, name, backend, prepared), named, name)
        backend.owed.append(Request.NAMED_PARSE)
        return before + self._renamed(data, position, position + 5, name_end, prepared.name), name_end

    def _on_bind(self, backend: BackendSession, data: bytes, position: int, end: int) -> Splice | None:
        name_at = data.find(0, position + 5, end) + 1
        name_end = data.find(0, name_at, end)
        splice: Splice | None = None
        if name_end <= name_at:
            splice = self._needs_unnamed(backend, position)
        elif self.named is not None:
            splice = self._on_named(backend, data, position, name_at, name_end)
        if splice is not _HOLD:
            backend.owed.append(_OWED_BIND)
        return splice

    def _on_describe(self, backend: BackendSession, data: bytes, position: int, end: int) -> Splice | None:
        splice: Splice | None = None
        if data[position + 5 : position + 6] != b"S" or end - position < 7:
            backend.owed.append(_OWED_DESCRIBE_PORTAL)
            return None
        if data[position + 6] == 0:
            splice = self._needs_unnamed(backend, position)
        elif self.named is not None:
            splice = self._on_named(backend, data, position, position + 6, end - 1)
        if splice is not _HOLD:
            backend.owed.append(_OWED_DESCRIBE_STATEMENT)
        return splice

    def _on_close(self, backend: BackendSession, data: bytes, position: int, end: int) -> Splice | None:
        if data[position + 5 : position + 7] == b"S\0":
            self.unnamed = b""
            backend.owed.append(Request.CLOSE_UNNAMED)
        elif data[position + 5 : position + 6] == b"S" and self.named is not None:
            named = self.named
            name = data[position + 6 : end - 1]
            if named.must_wait(name):
                return self._hold()
            prepared = named.drop(name)
            named.in_batch.add(name)
            undo = _nothing if prepared is None else partial(named.add, name, prepared)
            backend.reply_to_change(CLOSE_COMPLETE, named, name, undo)
            return b"", end
        else:
            backend.owed.append(Request.CLOSE)
        return None

    def _on_function_call(self, backend: BackendSession, data: bytes, position: int, end: int) -> Splice | None:
        # A function by number, so what it does to the session is not known.
        splice = self._on_effect(backend, PinReason.OPAQUE, position)
        if splice is not _HOLD:
            backend.owed.append(Request.FUNCTION_CALL)
        return splice

    def _on_copy_message(self, backend: BackendSession, data: bytes, position: int, end: int) -> Splice | None:
        """CopyData, CopyDone and CopyFail where the backend does not copy, or not yet.

        What comes before the backend has agreed to a COPY waits: if it never agrees, the data has to be dropped. The
        Flush makes it answer what it was asked, for a client may send all this in one go. What comes outside of COPY
        is ignored, like that which follows a failed one (postgres.c, PostgresMain).
        """
        if backend.owed:
            self.wants_flush = True
            return self._hold()
        return b"", end

    def _on_flush(self, backend: BackendSession, data: bytes, position: int, end: int) -> Splice | None:
        return None

    def _on_terminate(self, backend: BackendSession, data: bytes, position: int, end: int) -> Splice | None:
        self.finishing = True
        return self._hold()

    def _hold(self) -> Splice:
        self.held = True
        return _HOLD

    # --- Prepared statements -----------------------------------------------------------------------------------------

    def _needs_unnamed(self, backend: BackendSession, position: int) -> Splice | None:
        """Give the backend this client's unnamed statement, or take away the one that another client left there."""
        if backend.unnamed_in_batch or backend.unnamed_ready:
            return None
        if backend.parses:
            return self._hold()
        backend.unnamed_in_batch = True
        if self.unnamed:
            backend.owed.append(Request.INJECTED_PARSE)
            return self.unnamed, position
        backend.owed.append(Request.INJECTED_CLOSE)
        return messages.CLOSE_UNNAMED_STATEMENT, position

    def _on_named(
        self, backend: BackendSession, data: bytes, position: int, name_at: int, name_end: int
    ) -> Splice | None:
        """Put the backend's name for a statement in the place of the client's, and the statement on the backend.

        A name that the client has not prepared goes as it is: PostgreSQL's error is the right one.
        """
        named = self.named
        assert named is not None
        name = data[name_at:name_end]
        if named.must_wait(name):
            return self._hold()
        prepared = named.by_name.get(name)
        if prepared is None:
            return None
        if prepared.pin is not None:
            splice = self._on_effect(backend, prepared.pin, position)
            if splice is not None:
                return splice
        before = provide(backend, prepared)
        return before + self._renamed(data, position, name_at, name_end, prepared.name), name_end

    def _renamed(self, data: bytes, position: int, name_at: int, name_end: int, name: bytes) -> bytes:
        """The beginning of the message at ``position``, up to and with the new name."""
        kind, length = unpack_header(data, position)
        return pack_header(kind, length + len(name) - (name_end - name_at)) + data[position + 5 : name_at] + name

    def _named_in_deallocate(self, sql: bytes) -> bytes | None:
        """The statement that a DEALLOCATE names, if it was prepared by message."""
        match = _DEALLOCATE.fullmatch(sql)
        if match is None or self.named is None:
            return None
        name = match["quoted"].replace(b'""', b'"') if match["quoted"] is not None else match["plain"].lower()
        return name if name in self.named.by_name else None

    def _deallocates(self, backend: BackendSession, sql: bytes) -> bool:
        """Carry out a DEALLOCATE of a statement that was prepared by message, which no backend knows by that name."""
        name = self._named_in_deallocate(sql)
        if name is None or self.named is None or not backend.ready or backend.owed:
            return False
        if backend.status == messages.FAILED_TRANSACTION:
            return False
        self.named.drop(name)
        self.write(_DEALLOCATED + messages.READY[backend.status])
        self.wants_release = True
        return True

    # --- What a statement does to the session ------------------------------------------------------------------------

    def _on_effect(self, backend: BackendSession, reason: PinReason, position: int) -> Splice | None:
        """Keep the backend for what the statement at ``position`` does to it; send before it what that calls for."""
        if reason is PinReason.RESET:
            backend.watches_tags = True
            return None
        self._pin(reason)
        if reason not in _PRIVATE or self.named is None:
            return None
        if backend.owed:
            # Whether the transaction stands, and which statements there are, is known when all is answered.
            self.wants_flush = True
            return self._hold()
        if backend.status == messages.FAILED_TRANSACTION:
            return None
        named, self.named = self.named, None
        return make_private(backend, named, partial(setattr, self, "named", named)), position

    def _pin(self, reason: PinReason) -> None:
        """Keep the backend: what the client does to its session can't follow it to another one."""
        # A backend serves clients of the same startup parameters only, so one that was reset suits the next as well.
        if reason not in self.pins and reason is not PinReason.RESET and self.mode is not PoolMode.SESSION:
            self.pinned = True
            self.pins += (reason,)
            self.host.on_pinned(reason)

    # --- COPY FROM STDIN, and errors -------------------------------------------------------------------------------

    def _process_copy_in(self, backend: BackendSession, data: bytes, position: int) -> int:
        """Forward the data of a COPY, where the backend ignores Sync and Flush (copyfromparse.c, CopyGetData).

        Returns the offset of what follows it; -1 if all of ``data`` is seen to.
        """
        size = len(data)
        start = position
        while backend.copy_in and size - position >= 5:
            kind, length = unpack_header(data, position)
            end = position + 1 + length
            if (end > size or not 4 <= length <= MAX_SMALL_MESSAGE) and self._must_wait(kind, length, size - position):
                break
            if kind == _SYNC:
                backend.copy_syncs += 1
            elif kind == messages.COPY_DONE or kind == messages.COPY_FAIL:
                backend.copy_in = backend.uncounted
                if backend.copy_syncs and not backend.copy_in:
                    # Whether those Syncs count is known when the COPY has ended.
                    self.held = self.wants_flush = True
                    position = end
                    break
            elif kind == messages.TERMINATE:
                self.finishing = self.held = True
                break
            position = end
        if backend.copy_in or self.held:
            self._send(backend, b"", data, start, position)
            return -1
        if start < position:
            backend.write(data[start:position])
        return position

    def _skip_to_sync(self, data: bytes, position: int) -> int:
        """Drop what the backend would ignore. Returns the offset of the Sync; -1 if all of ``data`` is seen to."""
        size = len(data)
        while size - position >= 5:
            kind, length = unpack_header(data, position)
            end = position + 1 + length
            if (end > size or not 4 <= length <= MAX_SMALL_MESSAGE) and self._must_wait(kind, length, size - position):
                break
            if kind == _SYNC or kind == messages.TERMINATE:
                self.ignoring = False
                return position
            if kind not in _LARGE_KINDS and kind not in _SMALL_KINDS:
                raise ProtocolViolation(f"invalid frontend message type {kind}")
            position = end
        if position > size:
            self.discarding = position - size
        else:
            self._keep(data[position:])
        return -1

    # --- What the backend's half reports -----------------------------------------------------------------------------

    def on_linked(self, backend: BackendSession) -> None:
        """The backend that ``acquire`` could not give at once is linked now."""
        assert self.waiting and self.backend is backend
        self.waiting = False
        self._process(backend, self._take_kept(), 0)

    def refuse(self, error: bytes) -> None:
        """Answer the request that waits for a backend with this ErrorResponse, as a backend would have."""
        assert self.waiting
        self.waiting = False
        data = self._take_kept()
        kind, length = unpack_header(data)
        self.write(error)
        if kind == _QUERY or kind == messages.FUNCTION_CALL:
            self.write(messages.READY[messages.IDLE])
            self.discarding = max(0, length + 1 - len(data))
            data = data[length + 1 :]
        else:
            self.ignoring = True
        self._process_unlinked(data)

    def on_ignored(self) -> None:
        """The backend ignores everything up to a Sync that the client has not sent yet."""
        self.ignoring = True

    def on_uncounted(self) -> None:
        """It can't be told any more what the backend owes, so it stays with this client."""
        self._pin(PinReason.OPAQUE)

    def on_answered(self, backend: BackendSession) -> None:
        """The backend answered something while messages were held: see whether they may go on."""
        if self.finishing:
            if not backend.owed and not backend.streaming:
                self.host.on_finished()
            return
        if len(backend.owed) > MAX_OWED // 2 or backend.copy_outcome_open:
            return
        self.held = False
        self._process(backend, self._take_kept(), 0)

    def on_ready(self, backend: BackendSession) -> None:
        """Nothing is owed and no batch is open: the one moment at which a backend may be released."""
        if self.held and not self.finishing:
            self.on_answered(backend)
            if backend.owed or self.backend is not backend:
                return
        if self.streaming:
            return
        if backend.status == messages.IDLE:
            if backend.changed_parameters:
                self._pin(PinReason.SETTING)
            if not self.pinned:
                backend.unlink()
                backend.host.release()
        elif self.mode is PoolMode.STATEMENT:
            self.host.on_failed(
                ClientError(
                    STATEMENT_POOLING,
                    "transaction blocks are not allowed in statement pooling mode",
                    hint='Use pool_mode = "transaction" for this database or user.',
                )
            )
            return
        if self.finishing:
            self.host.on_finished()


def _undo_parse(named: ClientStatements, name: bytes, backend: BackendSession, prepared: Prepared) -> None:
    named.drop(name)
    backend.prepared.pop(prepared, None)


def _nothing() -> None:
    """There is nothing to take back."""


Handler = Callable[[ClientSession, BackendSession, bytes, int, int], Splice | None]


def _on_invalid(session: ClientSession, backend: BackendSession, data: bytes, position: int, end: int) -> Splice | None:
    raise ProtocolViolation(f"invalid frontend message type {data[position]}")


_KNOWN_HANDLERS: Final[dict[int, Handler]] = {
    messages.QUERY: ClientSession._on_query,
    messages.PARSE: ClientSession._on_parse,
    messages.BIND: ClientSession._on_bind,
    messages.DESCRIBE: ClientSession._on_describe,
    messages.CLOSE: ClientSession._on_close,
    messages.FUNCTION_CALL: ClientSession._on_function_call,
    messages.COPY_DATA: ClientSession._on_copy_message,
    messages.COPY_DONE: ClientSession._on_copy_message,
    messages.COPY_FAIL: ClientSession._on_copy_message,
    messages.FLUSH: ClientSession._on_flush,
    messages.TERMINATE: ClientSession._on_terminate,
}
_HANDLERS: Final[tuple[Handler, ...]] = tuple(_KNOWN_HANDLERS.get(kind, _on_invalid) for kind in range(256))
