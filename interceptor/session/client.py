"""The client's half of a conversation: what it asks, when it needs a backend, and what keeps it there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from interceptor.errors import NOT_JUDGED, STATEMENT_POOLING, BackendError, ClientError
from interceptor.protocol import messages
from interceptor.protocol.framing import unpack_header
from interceptor.session.actions import ClientHost
from interceptor.session.backend import BackendSession
from interceptor.session.belongings import Belongings
from interceptor.session.bounds import MAX_OWED
from interceptor.session.client_state import ClientState
from interceptor.session.judgements import Judgements
from interceptor.session.linked import run
from interceptor.session.outdated import forget_decision, is_outdated
from interceptor.session.prepared import Prepared, PreparedRegistry
from interceptor.session.reported import Reported
from interceptor.session.sending import finish
from interceptor.session.stand_ins import stand_ins_for
from interceptor.session.states import PoolMode
from interceptor.session.substitutes import is_query, refuse
from interceptor.session.unlinked import move_to, process_unlinked
from interceptor.session.watching import must_hold
from interceptor.sql.effects import Effect, SessionEffects

_PRIMARY: Final = "primary"


class ClientSession(ClientState):
    """What one client says, from the end of its login on.

    An idle client owns no buffer and no queue: the queue is the backend's, and a backend is linked only while there is
    work for it, or while something pins it.
    """

    __slots__ = ()

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
        super().__init__(host, mode, analyse, registry, reuses=reuses, texts=texts)
        self.belongings = Belongings(self, told)
        if not told.standard_lexing:
            self.read_carefully()

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
            process_unlinked(self, data)
        else:
            run(self, self.backend, data, 0)

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

    def process_unlinked(self, data: bytes) -> None:
        """Act on messages without a backend, up to the first one that needs it."""
        process_unlinked(self, data)

    def on_decided(self, data: bytes) -> None:
        """What plugins had to think about is decided: ``data`` takes the place of what was looked at."""
        self.deciding = self.held = False
        data += self.take_kept()
        if self.backend is None:
            process_unlinked(self, data)
        else:
            run(self, self.backend, data, 0)

    def on_answer_sent(self) -> None:
        """The rows of an answer have all been sent, and what came meanwhile may be acted on."""
        self.held = False
        if self.listening is not None:
            self.listening.flush()
        data = self.take_kept()
        if self.backend is None:
            process_unlinked(self, data)
        else:
            run(self, self.backend, data, 0)

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

    # --- What the backend's half reports -----------------------------------------------------------------------------

    def on_linked(self, backend: BackendSession) -> None:
        """The backend that ``acquire`` could not give at once is linked now."""
        assert self.waiting and self.backend is backend
        self.waiting = False
        data = self.take_kept()
        if self.interception is not None and is_outdated(self.interception):
            data = forget_decision(self.interception, data)
            if backend.target != _PRIMARY:
                # Where it is to run is to be decided, too.
                backend.unlink()
                backend.host.release()
                process_unlinked(self, data)
                return
        if move_to(self, backend, data, 0):
            run(self, backend, data, 0)

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
        data = self.take_kept()
        kind, length = unpack_header(data)
        self.write(error)
        if kind == messages.QUERY or kind == messages.FUNCTION_CALL or is_query(self.interception, kind):
            self.write(messages.READY[messages.IDLE])
            if self.interception is not None:
                self.interception.skip(kind)
                self.interception.on_ready(messages.IDLE)
            self.discarding = max(0, length + 1 - len(data))
            data = data[length + 1 :]
        else:
            self.ignoring = True
        process_unlinked(self, data)

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
        process_unlinked(self, self.take_kept())
        return True

    def on_ignored(self) -> None:
        """The backend ignores everything up to a Sync that the client has not sent yet."""
        self.ignoring = True

    def on_uncounted(self) -> None:
        """It can't be told any more what the backend owes, so it stays with this client.

        Where plugins decide, the connection ends: of what would be relayed from here on nobody could judge.
        """
        if self.finishing:
            assert self.backend is not None
            finish(self, self.backend)
        elif self.interception is not None:
            self.held = False
            self.rest = b""
            self.host.on_failed(
                ClientError(
                    NOT_JUDGED,
                    "a COPY failed into which Syncs were sent, so what follows can't be told apart for plugins",
                    hint="Send Sync only when CopyDone or CopyFail has ended a COPY.",
                )
            )
        else:
            self.keep(Effect.UNCOUNTED)

    def keep(self, effect: Effect) -> None:
        """Keep the backend for this reason, until the client goes."""
        if self.follows:
            self.belongings.pin(effect)

    def on_answered(self, backend: BackendSession) -> None:
        """The backend answered something while messages were held: see whether they may go on."""
        if self.finishing:
            if not backend.uncounted:
                finish(self, backend)
            return
        if len(backend.owed) > MAX_OWED // 2 or backend.copy_outcome_open or backend.asked or self.deciding:
            return
        if backend.counting is not None:
            return
        interception = self.interception
        stage = None if interception is None else interception.stage
        if stage is not None and stage.waits and not backend.owed:
            stage.commit()
        # What begins a batch in the midst of a COPY is refused, and need not be looked at.
        begins = self.begins and backend.owed and not backend.copy_in
        if interception is not None and (begins or interception.busy or must_hold(backend)):
            return
        self.held = False
        if not backend.copy_in:
            # The COPY has ended well: what was sent into it counts for nothing any more.
            backend.copy_syncs = 0
        run(self, backend, self.take_kept(), 0)

    def on_ready(self, backend: BackendSession) -> None:
        """Nothing is owed and no batch is open: the one moment at which a backend may be released."""
        if backend.stopping is not None and must_hold(backend):
            self.held = True
            return
        idle = backend.status == messages.IDLE
        if idle:
            self._settle_definitions()
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

    def _settle_definitions(self) -> None:
        """A transaction has ended. At once: what comes next, from whomever, may use what it defined."""
        defines, self.belongings.defines = self.belongings.defines, False
        if self.interception is None:
            if defines:
                self.host.on_defined()
        elif not self.interception.begins_transaction:
            self.interception.settle_definitions()

    def _go_on_elsewhere(self, backend: BackendSession) -> None:
        """What came while the backend was asked begins another transaction: it waits its turn, like anybody's."""
        self.held = self.begins = False
        self.retry = None
        backend.watches_tags = False
        self.belongings.deviates = False
        data = self.take_kept()
        backend.unlink()
        backend.host.release()
        process_unlinked(self, data)
