"""The client's half of a conversation: what it asks, when it needs a backend, and what keeps it there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from interceptor.errors import (
    NOT_JUDGED,
    PROTOCOL_VIOLATION,
    STATEMENT_POOLING,
    BackendError,
    ClientError,
    ProtocolViolation,
)
from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.actions import ClientHost
from interceptor.session.backend import BackendSession
from interceptor.session.belongings import Belongings
from interceptor.session.bounds import MAX_JUDGED, MAX_SMALL_MESSAGE, WHOLE_MESSAGE, must_wait
from interceptor.session.copying import process_copy_in, skip_to_sync
from interceptor.session.noting import first_effects, runs_several
from interceptor.session.passing import end_of_unwanted
from interceptor.session.prepared import ClientStatements, Meaning, Prepared, PreparedRegistry
from interceptor.session.reported import Reported
from interceptor.session.requests import HANDLERS, INTERCEPTED, Handler
from interceptor.session.splice import HOLD
from interceptor.session.stand_ins import stand_ins_for
from interceptor.session.states import PoolMode, Request
from interceptor.session.substitutes import SUBSTITUTE, act_alone, is_query, refuse
from interceptor.session.watching import must_hold
from interceptor.sql.effects import OPAQUE, Effect, SessionEffects

if TYPE_CHECKING:
    from interceptor.session.interception import Interception
    from interceptor.session.listening import Listening

# Plain integers: an enum member costs an attribute look-up and a slower comparison, in a loop over every message.
_QUERY: Final = messages.QUERY
_EXECUTE: Final = messages.EXECUTE
_SYNC: Final = messages.SYNC
_OWED_EXECUTE: Final = int(Request.EXECUTE)
_OWED_SYNC: Final = int(Request.SYNC)

MAX_KEPT_INPUT: Final = 256 * 1024
"""Bytes that a client may send ahead while it waits; beyond them its socket is not read."""

MAX_OWED: Final = 10_000
"""Requests that a pipeline may run ahead of their answers; beyond them the client's messages wait."""

_COPY_KINDS: Final = frozenset(b"dcf")
_NEED_BACKEND: Final = frozenset(b"QPBDECF")
_NO_BODY: Final = frozenset((_SYNC, messages.FLUSH))

_INVALID_FORMAT: Final = messages.encode_failure(
    ClientError(PROTOCOL_VIOLATION, "invalid message format: Sync and Flush have no body", fatal=False)
)


class ClientSession:
    """What one client says, from the end of its login on.

    An idle client owns no buffer and no queue: the queue is the backend's, and a backend is linked only while there is
    work for it, or while something pins it.
    """

    __slots__ = (
        "analyse",
        "backend",
        "begins",
        "belongings",
        "deciding",
        "discarding",
        "effects_of",
        "finishing",
        "follows",
        "handlers",
        "held",
        "host",
        "ignoring",
        "interception",
        "listening",
        "max_whole",
        "mode",
        "named",
        "paused",
        "pinned",
        "reads_unnamed",
        "registry",
        "rest",
        "retry",
        "reused",
        "reused_parse",
        "reuses",
        "settling",
        "streaming",
        "texts",
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
        analyse: Callable[..., SessionEffects],
        told: Reported,
        registry: PreparedRegistry | None = None,
        *,
        reuses: bool = False,
        texts: Judgements | None = None,
    ) -> None:
        """``analyse`` tells what a text of SQL does to a session (``StatementCache.effects``).

        ``told``: the settings that the client was told of at login. With a ``registry`` named prepared statements are
        shared; without one they pin. ``reuses``: an unnamed statement whose text is known runs as a shared one.
        ``texts`` tells when what ``analyse`` said before counts no more.
        """
        self.host = host
        self.write = host.write
        self.mode = mode
        self.analyse = analyse
        self.texts: Judgements = texts or _LASTING
        self.effects_of: Callable[[bytes], SessionEffects] = analyse
        """What a text may do to this client's session."""
        self.backend: BackendSession | None = None

        # What plugins decide
        self.interception: Interception | None = None
        self.handlers = HANDLERS
        self.settling = False
        """Its last transaction is over, and its backend is asked what it left in its session."""
        self.deciding = False
        """Until a plugin has decided about what came."""
        self.begins = False
        """What is held begins a batch that nobody has looked at."""
        self.max_whole = WHOLE_MESSAGE
        """Bytes up to which a message is collected before it is acted on."""

        # What it has in its session, and what keeps its backend
        self.follows = mode is not PoolMode.SESSION
        """Its session follows it from backend to backend."""
        self.belongings = Belongings(self, told)
        if not told.standard_lexing:
            self.read_carefully()
        self.pinned = not self.follows
        self.unnamed = b""
        """The Parse message of the unnamed statement, which the next backend has to be given; empty if none."""

        self.reads_unnamed = False
        """It has prepared an unnamed statement that may ask for a sequence value."""
        self.retry: tuple[bytes, int, Prepared] | tuple[()] | None = None
        """The batch under way, from the message on that runs this statement; empty if it has been sent again."""
        self.registry = registry if self.follows else None
        self.reuses = reuses
        self.reused: Prepared | None = None
        """What stands for the unnamed statement in this batch."""
        self.reused_parse = b""
        """Its Parse, while nothing has been sent yet that uses it."""
        self.named = None if self.registry is None else ClientStatements(self.registry)
        """The named statements that follow it; None where they are the backend's own, by their own names."""

        self.listening: Listening | None = None
        """What it hears of channels, once it has listened to one with others."""

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
            self.keep_input(data)
            return
        if self.streaming or self.discarding:
            data = self._continue_message(data)
            if not data:
                return
        if self.backend is None:
            self._process_unlinked(data)
        else:
            self._run(self.backend, data, 0)

    def intercept(self, interception: Interception) -> None:
        """From now on plugins decide about the statements of this client."""
        self.interception = interception
        self.handlers = INTERCEPTED
        self.max_whole = MAX_JUDGED

    def keep_input(self, data: bytes) -> None:
        """Act on this later."""
        if self.finishing:
            return
        self.rest = data
        most = MAX_KEPT_INPUT if self.interception is None else MAX_JUDGED + MAX_KEPT_INPUT
        if len(data) > most and not self.paused:
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
            if not self.streaming and backend.counting is not None:
                backend.counting.ask()
                self.keep_input(data[taken:])
                return b""
            elif not self.streaming and backend.reusable:
                # The tail of CopyData that the backend did not wait for, its COPY having failed.
                self.on_ready(backend)
        return data[taken:]

    def _process_unlinked(self, data: bytes) -> None:
        """Act on messages without a backend, up to the first one that needs it."""
        size = len(data)
        if size >= 5 and data[0] in _NEED_BACKEND and not self.ignoring:
            # What nearly every transaction begins with: past what the loop below is for.
            length = unpack_header(data)[1]
            if 4 <= length < size and length <= MAX_SMALL_MESSAGE:
                self._look_then_acquire(data, 0)
                return
        position = 0
        syncs = 0
        needs_backend = False
        interception = self.interception
        while size - position >= 5:
            kind, length = unpack_header(data, position)
            end = position + 1 + length
            if (end > size or not 4 <= length <= MAX_SMALL_MESSAGE) and must_wait(
                kind, length, size - position, self.max_whole
            ):
                break
            if kind in _NEED_BACKEND:
                if not self.ignoring:
                    needs_backend = True
                    break
                if interception is not None:
                    interception.skip(kind)
            elif kind == SUBSTITUTE and interception is not None and interception.substitutes:
                if syncs:
                    self.write(messages.READY[messages.IDLE] * syncs)
                    syncs = 0
                if self.ignoring:
                    interception.skip(kind)
                elif act_alone(self, interception):
                    interception.done()
                else:
                    needs_backend = True
                    break
                if interception.busy:
                    self.held = True
                    self.keep_input(data[end:])
                    return
            elif length != 4 and kind in _NO_BODY:
                if kind == _SYNC or not self.ignoring:
                    # As PostgreSQL (pq_getmsgend): a failure of this one message, which a Sync ends itself.
                    self.write(messages.READY[messages.IDLE] * syncs + _INVALID_FORMAT)
                    syncs = int(kind == _SYNC)
                    self.ignoring = kind != _SYNC
            elif kind == _SYNC:
                if interception is not None and not self.ignoring and interception.committing.holds_sync(None):
                    break
                self.ignoring = False
                syncs += 1
                if interception is not None:
                    interception.on_ready(messages.IDLE)
            elif kind == messages.TERMINATE:
                self.finishing = self.held = True
                break
            elif kind not in _COPY_KINDS and kind != messages.FLUSH:
                raise ProtocolViolation(f"invalid frontend message type {kind}")
            position = end
        if syncs:
            # In one write, for a client may send fifty thousand of them at once.
            self.write(messages.READY[messages.IDLE] * syncs)
            if self.listening is not None:
                self.listening.flush()
        if self.finishing:
            self.host.on_finished()
        elif needs_backend:
            self._look_then_acquire(data, position)
        elif position > size:
            self.discarding = position - size
        else:
            self.rest = data[position:]

    def _look_then_acquire(self, data: bytes, position: int) -> None:
        interception = self.interception
        if interception is None:
            self._acquire(data, position, None)
        elif interception.planned:
            self._acquire(data, position, interception.take_target())
        elif (end := end_of_unwanted(interception, data, position)) > position:
            self._acquire(data, position, None, unwanted_to=end)
        else:
            decided = self._look_at(interception, data, position)
            if decided is not None:
                self._process_unlinked(decided)

    def _look_at(self, interception: Interception, data: bytes, position: int) -> bytes | None:
        decided = interception.look_at(data, position)
        if decided is None:
            self.deciding = self.held = True
        return decided

    def _acquire(self, data: bytes, position: int, target: str | None, *, unwanted_to: int = 0) -> None:
        backend = self.host.acquire(target)
        if backend is None:
            self.waiting = True
            self.keep_input(data[position:])
            return
        belongings = self.belongings
        if (
            backend.settings is belongings.settings
            and backend.reported is belongings.told
            and not (backend.sequences_of or backend.hidden_of)
        ) or self._move_to(backend, data, position):
            if self.interception is None:
                self._process(backend, data, position)
            else:
                self._run(backend, data, position, unwanted_to=unwanted_to)

    def _move_to(self, backend: BackendSession, data: bytes, position: int) -> bool:
        """See that a backend has what this client has; False if the client's messages must wait until then."""
        belongings = self.belongings
        if backend.sequences_of not in (0, belongings.serial) and self.follows:
            effects = first_effects(self, backend, data, position)
            if (
                effects.reads_sequence
                or effects.transaction_control
                or effects.statement_count != 1
                or runs_several(data, position)
            ):
                belongings.hide_sequences(backend)
        if belongings.move_to(backend):
            return True
        self.held = True
        self.keep_input(data[position:])
        return False

    def read_carefully(self) -> None:
        """Judge texts by what is known now of how SQL reads in this session."""
        belongings = self.belongings
        if belongings.settings.misleading:
            self.effects_of = _judge_nothing
        elif belongings.told.standard_lexing and belongings.doubt is None:
            self.effects_of = self.analyse
        else:
            # A statement is under way that may have changed it: only what reads alike is understood.
            self.effects_of = partial(self.analyse, standard_lexing=False)

    def _run(self, backend: BackendSession, data: bytes, position: int, *, unwanted_to: int = 0) -> None:
        """Act on messages while a backend is linked, each batch of them once plugins have decided about it.

        ``unwanted_to``: what ``end_of_unwanted`` says, if the caller has asked.
        """
        self.begins = False
        interception = self.interception
        end = unwanted_to
        if interception is not None and not (end or interception.planned or self.ignoring or backend.copy_in):
            end = end_of_unwanted(interception, data, position)
        if end > position:
            self._pass(backend, data, position, end)
        else:
            self._process(backend, data, position)
        while interception is not None and self.begins and self.backend is backend:
            # It was held at the beginning of a batch.
            end = end_of_unwanted(interception, self.rest, 0)
            if end:
                self.begins = self.held = False
                self._pass(backend, self._take_kept(), 0, end)
                continue
            if backend.owed or backend.asked or (not backend.ready and not interception.in_batch):
                self.wants_flush = False
                if backend.owed:
                    backend.write(messages.FLUSH_MESSAGE)
                return
            self.begins = self.held = False
            decided = self._look_at(interception, self._take_kept(), 0)
            if decided is None:
                return
            self._process(backend, decided, 0)

    def _pass(self, backend: BackendSession, data: bytes, position: int, end: int) -> None:
        """Act on batches, up to ``end``, that no plugin wants anything of, and on what follows them."""
        assert self.interception is not None
        self.interception.known.again = ()
        if end == len(data):
            self._process(backend, data, position, HANDLERS)
            return
        self._process(backend, data[position:end], 0, HANDLERS)
        if self.held:
            self.keep_input(self.rest + data[end:])
        elif self.backend is None:
            self._process_unlinked(data[end:])
        else:
            self._process(backend, data[end:], 0)

    def on_decided(self, data: bytes) -> None:
        """What plugins had to think about is decided: ``data`` takes the place of what was looked at."""
        self.deciding = self.held = False
        data += self._take_kept()
        if self.backend is None:
            self._process_unlinked(data)
        else:
            self._run(self.backend, data, 0)

    def on_answer_sent(self) -> None:
        """The rows of an answer have all been sent, and what came meanwhile may be acted on."""
        self.held = False
        if self.listening is not None:
            self.listening.flush()
        data = self._take_kept()
        if self.backend is None:
            self._process_unlinked(data)
        else:
            self._run(self.backend, data, 0)

    def fail(self, error: bytes, *, simple: bool) -> None:
        """End what was being answered here with an error, as a server would have."""
        if self.backend is not None:
            first = b"" if self.interception is None else stand_ins_for(self.backend, self.interception)
            self.backend.write(first + refuse(self, self.backend, error, simple=simple))
            return
        if self.interception is not None:
            self.interception.executions.on_error()
            if simple:
                self.interception.executions.on_end(messages.IDLE)
        if simple:
            self.write(error + messages.READY[messages.IDLE])
            if self.interception is not None:
                self.interception.on_ready(messages.IDLE)
        else:
            self.write(error)
            self.ignoring = True

    @property
    def meaning(self) -> Meaning:
        """What the meaning of a text that it prepares now depends on."""
        belongings = self.belongings
        return belongings.settings.parsing, belongings.told.standard_lexing, self.texts.generation

    def judge_anew(self, prepared: Prepared) -> SessionEffects:
        """What a prepared statement may do, by what is known now."""
        if prepared.era is not self.texts.era:
            settings = prepared.settings
            if settings is not None and settings.misleading:
                prepared.effects = OPAQUE
            else:
                text = prepared.body[: prepared.body.find(0)]
                prepared.effects = self.analyse(text, prepared.standard_lexing)
            prepared.era = self.texts.era
        return prepared.effects

    def _process(
        self, backend: BackendSession, data: bytes, position: int, handlers: tuple[Handler, ...] | None = None
    ) -> None:
        """Act on messages while a backend is linked. ``handlers``: other than the session's own.

        One loop over message headers; what goes to the backend leaves as the slice that it came in.
        """
        if self.ignoring:
            position = skip_to_sync(self, data, position)
        elif backend.copy_in:
            position = process_copy_in(self, backend, data, position)
        if position < 0:
            return
        size = len(data)
        start = position
        out = b""
        owed = backend.owed
        if handlers is None:
            handlers = self.handlers
        is_plain = handlers is HANDLERS
        interception = self.interception
        while size - position >= 5:
            kind, length = unpack_header(data, position)
            end = position + 1 + length
            if (end > size or not 4 <= length <= MAX_SMALL_MESSAGE) and must_wait(
                kind, length, size - position, self.max_whole
            ):
                break
            if kind == _EXECUTE and is_plain:
                owed.append(_OWED_EXECUTE)
            elif kind == _SYNC:
                if interception is not None and interception.committing.holds_sync(backend):
                    break
                backend.unnamed_in_batch = False
                if self.named is not None:
                    self.named.in_batch.clear()
                owed.append(_OWED_SYNC if interception is None else interception.executions.owed_sync)
            else:
                splice = handlers[kind](self, backend, data, position, end)
                if splice is not None:
                    if splice is HOLD:
                        break
                    out += data[start:position] + splice[0]
                    start = splice[1]
                    if self.held:
                        # An answer of a plugin is being sent; what follows waits for its end.
                        position = end
                        break
            position = end
        if start == 0 < position == size and not out and not self.held and len(owed) <= MAX_OWED:
            backend.write(data)
        else:
            self.send(backend, out, data, start, position)

    def send(self, backend: BackendSession, out: bytes, data: bytes, start: int, position: int) -> None:
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
            self.keep_input(data[position:])
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

    # --- What the backend's half reports -----------------------------------------------------------------------------

    def on_linked(self, backend: BackendSession) -> None:
        """The backend that ``acquire`` could not give at once is linked now."""
        assert self.waiting and self.backend is backend
        self.waiting = False
        data = self._take_kept()
        if self._move_to(backend, data, 0):
            self._run(backend, data, 0)

    def take_up_retry(self) -> Prepared | None:
        """Send the batch again that failed because of a statement's old plan. Returns that statement.

        It was the first thing that its transaction did, so nothing else was undone. Or it failed on one target and goes
        to another: then there is no statement.
        """
        retrying = None if self.interception is None else self.interception.retrying
        if retrying is not None and retrying.due and self.interception is not None:
            retrying.take_up()
            self.interception.redoes = True
            self.held = self.settling = True
            return None
        assert self.retry
        data, position, prepared = self.retry
        self.retry = ()
        if self.interception is not None:
            # Plugins have decided about all of it.
            self.interception.plan_again(data, position)
        self.rest = data[position:] + self.rest
        self.held = True
        return prepared

    def on_hung_up(self) -> bool:
        """The client's connection has ended. Whether its backend has to finish what it was asked, for nobody."""
        backend = self.backend
        if backend is not None and backend.asked and self.held and self.rest in (b"", messages.TERMINATE_MESSAGE):
            # It would be a pity to close a backend for a question that is as good as answered.
            self.finishing = True
        return self.finishing and backend is not None

    def refuse(self, error: bytes) -> None:
        """Answer the request that waits for a backend with this ErrorResponse, as a backend would have."""
        assert self.waiting
        self.waiting = False
        if self.interception is not None:
            self.interception.executions.on_refused(error)
        data = self._take_kept()
        kind, length = unpack_header(data)
        self.write(error)
        if kind == _QUERY or kind == messages.FUNCTION_CALL or is_query(self.interception, kind):
            self.write(messages.READY[messages.IDLE])
            if self.interception is not None:
                self.interception.skip(kind)
                self.interception.on_ready(messages.IDLE)
            self.discarding = max(0, length + 1 - len(data))
            data = data[length + 1 :]
        else:
            self.ignoring = True
        self._process_unlinked(data)

    @property
    def may_go_elsewhere(self) -> bool:
        """If its target fails, what it asks may be run on another one."""
        return self.interception is not None and self.interception.retrying is not None

    def go_elsewhere(self, error: BackendError | ClientError) -> bool:
        """The backend that it used or waits for can't be had. False if that ends what it asked for."""
        if self.interception is None or self.interception.retrying is None:
            return False
        if not self.interception.retrying.leave(error):
            return False
        self.streaming = self.discarding = 0
        self._process_unlinked(self._take_kept())
        return True

    def on_ignored(self) -> None:
        """The backend ignores everything up to a Sync that the client has not sent yet."""
        self.ignoring = True

    def on_uncounted(self) -> None:
        """It can't be told any more what the backend owes, so it stays with this client.

        Where plugins decide, the connection ends: of what would be relayed from here on nobody could judge.
        """
        if self.interception is not None:
            self.held = False
            self.rest = b""
            self.host.on_failed(
                ClientError(
                    NOT_JUDGED,
                    "a COPY failed into which Syncs were sent, so what follows can't be told apart for plugins",
                    hint="Send Sync only when CopyDone or CopyFail has ended a COPY.",
                )
            )
            return
        self.keep(Effect.UNCOUNTED)

    def keep(self, effect: Effect) -> None:
        """Keep the backend for this reason, until the client goes."""
        if self.follows:
            self.belongings.pin(effect)

    def on_answered(self, backend: BackendSession) -> None:
        """The backend answered something while messages were held: see whether they may go on."""
        if self.finishing:
            # A COPY that waits for data waits in vain.
            if backend.copy_in or not (backend.owed or backend.streaming):
                self.host.on_finished()
            return
        if len(backend.owed) > MAX_OWED // 2 or backend.copy_outcome_open or backend.asked or self.deciding:
            return
        if backend.counting is not None:
            return
        interception = self.interception
        stage = None if interception is None else interception.stage
        if stage is not None and stage.waits and not backend.owed:
            stage.commit()
        if interception is not None and (interception.busy or (self.begins and backend.owed) or must_hold(backend)):
            return
        self.held = False
        if not backend.copy_in:
            # The COPY has ended well: what was sent into it counts for nothing any more.
            backend.copy_syncs = 0
        self._run(backend, self._take_kept(), 0)

    def on_ready(self, backend: BackendSession) -> None:
        """Nothing is owed and no batch is open: the one moment at which a backend may be released."""
        if backend.stopping is not None and must_hold(backend):
            self.held = True
            return
        idle = backend.status == messages.IDLE
        if self.belongings.defines and idle:
            # At once: what comes next, from whomever, may use it.
            self.belongings.defines = False
            self.host.on_defined()
        if idle and self.interception is not None and not self.follows:
            self.interception.settle_definitions()
        if self.belongings.doubt is not None and idle and not self.streaming and not self.belongings.settle(backend):
            self.held = self.settling = True
            return
        interception = self.interception
        if (
            interception is not None
            and interception.stirred
            and idle
            and not self.streaming
            and interception.wants_names
        ):
            self.belongings.ask_names(backend)
            self.held = self.settling = True
            return
        if self.held and self.rest == messages.TERMINATE_MESSAGE:
            # The backend is given back before the host hears of it.
            self.finishing = True
        if interception is not None:
            if interception.redoes:
                interception.redoes = False
            elif not interception.begins_transaction:
                interception.on_ready(backend.status)
        if self.listening is not None:
            self.listening.on_ready(idle=idle)
        if self.settling:
            self.settling = False
            if self.held and idle and not self.pinned and not self.finishing:
                self._go_on_elsewhere(backend)
                return
        if self.held and not self.finishing:
            self.on_answered(backend)
            if backend.owed or self.backend is not backend or self.finishing:
                return
        if self.streaming:
            return
        if idle:
            self.retry = None
            backend.watches_tags = False
            self.belongings.deviates = False
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

    def _go_on_elsewhere(self, backend: BackendSession) -> None:
        """What came while the backend was asked begins another transaction: it waits its turn, like anybody's."""
        self.held = self.begins = False
        self.retry = None
        backend.watches_tags = False
        self.belongings.deviates = False
        data = self._take_kept()
        backend.unlink()
        backend.host.release()
        self._process_unlinked(data)


class Judgements(Protocol):
    """Where judgements of texts come from, as far as it matters how old they are."""

    @property
    def era(self) -> object:
        """Another object whenever all texts have to be judged anew."""

    @property
    def generation(self) -> object:
        """Another object whenever a text may mean something else to who parses it now."""


class _Lasting:
    era: Final = object()
    generation: Final = object()


_LASTING: Final = _Lasting()


def _judge_nothing(sql: bytes) -> SessionEffects:
    """What is known of a text whose words may not be what they look like."""
    return OPAQUE
