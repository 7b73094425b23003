"""One client's connection: its session, and the flow of bytes between its socket and a backend's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

from interceptor.errors import QUERY_CANCELED, BackendError, ClientError
from interceptor.hooks.statement import Session
from interceptor.protocol import messages
from interceptor.session import BackendSession, ClientSession, PoolMode
from interceptor.sql.effects import Effect
from pooler.admission import admit
from pooler.cancel import cancel_backend
from pooler.client_login import ClientLoginFlow
from pooler.client_socket import ClientSocket, ClientState, Pause
from pooler.config.values import ListenMode
from pooler.metrics.counting import count_error
from pooler.numbering import next_number
from pooler.pins import note_pins
from pooler.tasks import Handle, spawn
from pooler.writing import direct_writer

if TYPE_CHECKING:
    from interceptor.session.listening import Notifications
    from pooler.backend import Backend
    from pooler.config import PoolSettings
    from pooler.login import Welcome
    from pooler.plugins.flux import Uncovering
    from pooler.pool import Pool
    from pooler.pool_counts import PoolStats
    from pooler.server import Server
    from pooler.waiting import Profile

logger = logging.getLogger(__name__)

CANCELED: Final = messages.encode_failure(
    ClientError(QUERY_CANCELED, "canceling statement due to user request while it waited for a backend", fatal=False)
)

_READY_IDLE: Final = messages.READY[messages.IDLE]
_COMMITTED: Final = b"COMMIT\0"
"""The tag of a CommandComplete."""


class ClientConnection(ClientSocket):
    """A client. Implements ``ClientHost`` for its session."""

    __slots__ = (
        "active_at",
        "admitted_at",
        "asked",
        "backend",
        "connected_at",
        "drained",
        "login",
        "number",
        "plugin_session",
        "pool",
        "process_id",
        "profile",
        "secret",
        "session",
        "settings",
        "stats",
        "told_defined",
        "uncovering",
        "wait",
    )

    # Set when the client has logged in
    pool: Pool
    stats: PoolStats
    asked: Pool
    """Where it has its backend, waits for one, or had one last: its own pool, or that of another target."""
    profile: Profile
    settings: PoolSettings
    session: ClientSession
    process_id: int
    secret: bytes
    admitted_at: float
    """When plugins let it in, where there are any."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.login: ClientLoginFlow | None = ClientLoginFlow(self)
        self.backend: Backend | None = None
        self.wait: Handle | None = None
        """Something that a plugin takes its time for."""
        self.drained: asyncio.Future[None] | None = None
        """What waits until the client has read what it was sent."""
        self.plugin_session: Session | None = None
        """What plugins see of it; None where no plugin wants to."""
        self.uncovering: Uncovering | None = None
        """Since its transaction takes something away that may have hidden another."""
        self.told_defined = False
        """All others know what its transaction defined, which is over."""
        self.number = next_number()
        """By which the console names it."""
        self.connected_at = self.active_at = server.clock.now

    def __str__(self) -> str:
        if self.state in (ClientState.LOGIN, ClientState.CLOSED) and not hasattr(self, "settings"):
            return f"client {self.peer}"
        return f"client {self.peer} {self.settings.database}/{self.settings.client_user}"

    def log_fields(self) -> Mapping[str, str | int]:
        """As ``LogSubject``."""
        known = hasattr(self, "settings")
        names = {"database": self.settings.database, "user": self.settings.client_user} if known else {}
        return {"client": self.number, "address": self.peer, **names}

    @property
    def holds_session(self) -> bool:
        """It had a backend for itself because of the pool mode, not because something pinned it."""
        return self.session.mode is PoolMode.SESSION

    @property
    def is_idle(self) -> bool:
        """It has nothing under way: no request, no transaction."""
        if self.state is not ClientState.READY or self.session.waiting:
            return False
        return self.backend is None or self.backend.session.reusable

    @property
    def is_in(self) -> bool:
        """It has logged in, and is there."""
        return self.state is ClientState.READY

    @property
    def is_gone(self) -> bool:
        """Its connection is closed, or about to be."""
        return self.state in (ClientState.FINISHING, ClientState.CLOSED)

    # --- asyncio -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an asyncio.Transport by inheritance where uvloop made it, but one in all it does.
        self.transport = cast("asyncio.Transport", transport)
        self.write = direct_writer(self.transport)
        peer = transport.get_extra_info("peername")
        self.peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "unix"
        self.server.on_client_connected(self)

    def data_received(self, data: bytes) -> None:
        self.active_at = self.server.clock.now
        try:
            if self.login is None:
                self.stats.received += len(data)
                if self.backend is not None:
                    self.backend.on_request()
                slate = self.server.slate
                if slate is not None and slate.bell[0] != slate.heard:
                    self.server.catch_up()
                self.session.feed(data)
            else:
                self.login.feed(data)
        except ClientError as error:
            self.on_failed(error)

    def pause_writing(self) -> None:
        self.slow = True
        if self.backend is not None:
            self.backend.transport.pause_reading()
        else:
            self._pause(Pause.SLOW)

    def resume_writing(self) -> None:
        self.slow = False
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)
        self._resume(Pause.SLOW)
        if self.backend is not None:
            self.backend.transport.resume_reading()
        if self.login is None and self.session.listening is not None:
            self.session.listening.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.on_client_lost(self)
        if self.state is ClientState.READY and self.session.on_hung_up():
            self.state = ClientState.FINISHING
            self.session.write = _discard
            self.resume_writing()
        else:
            self._leave()

    # --- Login ---------------------------------------------------------------------------------------------------

    def on_welcome(self, welcome: Welcome) -> None:
        """What the server says at login is there, for which this client waited."""
        admit(self, welcome)

    def take_over(self) -> bytes:
        """Hand the connection to a relay, with what the client sent ahead."""
        assert self.login is not None
        return self.login.take_rest()

    # --- ClientHost ------------------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """It does not read as fast as it is sent to."""
        return self.slow

    def acquire(self, target: str | None) -> BackendSession | None:
        if target is None:
            self.asked = self.pool
        else:
            try:
                self.asked = self.server.pool_for_target(self.settings, target)
            except ClientError as error:
                self.refuse_soon(error)
                return None
        backend = self.asked.acquire(self)
        if backend is None and self.asked.unreachable is not None and self.session.may_go_elsewhere:
            asyncio.get_running_loop().call_soon(self._leave_target, self.asked)
        return backend

    def refuse_soon(self, error: ClientError) -> None:
        """The session waits from now on, as for a backend, and is refused as one that was canceled."""
        asyncio.get_running_loop().call_soon(self._refuse_waiting, error)

    def move_to(self, pool: Pool, settings: PoolSettings) -> None:
        """From now on it is a client of another pool. It neither has a backend nor waits for one."""
        self.pool.clients.discard(self)
        self.pool = self.asked = pool
        self.stats = pool.stats
        self.settings = settings
        pool.clients.add(self)

    def _refuse_waiting(self, error: ClientError) -> None:
        if self.state is ClientState.READY and self.session.waiting and not self._goes_elsewhere(error):
            self.session.refuse(messages.encode_failure(error))

    def _leave_target(self, target: Pool) -> None:
        """Go on elsewhere rather than wait for a target that can't be reached."""
        error = target.unreachable
        if error is not None and self.state is ClientState.READY and self.session.waiting and self.asked is target:
            target.forget(self)
            self._goes_elsewhere(error)

    def _goes_elsewhere(self, error: BackendError | ClientError) -> bool:
        try:
            return self.session.go_elsewhere(error)
        except ClientError as failure:
            self.on_failed(failure)
            return True

    def wait_for(self, awaitable: Awaitable[object], on_done: Callable[[object], None]) -> None:
        self.wait = spawn(self._wait_for(awaitable, on_done), name=f"plugins of {self}")

    async def _wait_for(self, awaitable: Awaitable[object], on_done: Callable[[object], None]) -> None:
        try:
            result = await awaitable
            if self.state is ClientState.READY:
                on_done(result)
        except ClientError as error:
            self.on_failed(error)
        except Exception:
            # A bug of ours, which the log will show. The client would wait for ever, and its state is unknown.
            self.close()
            raise

    async def drain(self) -> None:
        while self.slow and self.state is ClientState.READY:
            self.drained = asyncio.get_running_loop().create_future()
            await self.drained
        self.drained = None

    def on_pins_changed(self, pins: frozenset[Effect]) -> None:
        note_pins(self.asked, self, pins)

    def notifications(self) -> Notifications | None:
        if self.settings.listen is ListenMode.PIN:
            return None
        return self.server.boards.get(self.settings, self.pool.credential)

    def catch_up(self) -> None:
        self.server.catch_up()

    def on_uncovering(self) -> Awaitable[object] | None:
        if self.uncovering is not None:
            return None
        host = self.server.host
        self.uncovering = host.flux.begin(self.settings)
        others = self.server.others
        return None if others is None or not host.plugins.needs_catalogue else others.settle()

    def on_defining(self) -> None:
        self.told_defined = False
        if self.session.write is self.write:
            self.session.write = self._write_defining

    def _write_defining(self, data: bytes) -> None:
        """Tell the client something while its transaction defines. Before it hears of the end, all others have."""
        if _READY_IDLE in data or _COMMITTED in data:
            self.told_defined = _READY_IDLE in data
            self.server.host.flux.on_defined(self.settings)
        self.write(data)

    def on_defined(self) -> None:
        if self.session.write == self._write_defining:
            self.session.write = self.write
        if self.uncovering is not None:
            self.uncovering.end()
            self.uncovering = None
        elif self.told_defined:
            return
        self.server.host.flux.on_defined(self.settings)

    def on_finished(self) -> None:
        self.close()

    def on_failed(self, error: ClientError) -> None:
        """Tell the client why, and close its connection."""
        if self.state is not ClientState.CLOSED:
            # In the midst of a message an error would be read as a part of it.
            self._end(error, told=self.backend is not None and self.backend.session.streaming > 0)

    def pause_reading(self) -> None:
        self._pause(Pause.SESSION)

    def resume_reading(self) -> None:
        self._resume(Pause.SESSION)

    # --- What the pool and the backend report ----------------------------------------------------------------------

    def on_backend_linked(self, backend: BackendSession) -> None:
        """The backend that this client waited for is there."""
        try:
            self.session.on_linked(backend)
        except ClientError as error:
            self.on_failed(error)

    def on_backend_failed(self, error: BackendError, *, told: bool = False) -> None:
        """The backend that this client used or waits for can't be had. ``told``: it knows why, or can't be told."""
        if self.state is ClientState.READY and self._goes_elsewhere(error):
            return
        if self.state is not ClientState.CLOSED:
            self._end(error, told=told)

    def on_backend_unlinked(self) -> None:
        """The client has no backend any more."""
        self.backend = None
        self.active_at = self.server.clock.now
        if self.pauses:
            self._resume(Pause.BACKEND_FULL)
        if self.slow:
            self._pause(Pause.SLOW)

    def on_backend_full(self) -> None:
        """The backend takes no more at the moment, so take no more from the client."""
        self._pause(Pause.BACKEND_FULL)

    def on_backend_drained(self) -> None:
        """Undo ``on_backend_full``."""
        self._resume(Pause.BACKEND_FULL)

    def cancel(self, on_done: Callable[[], None]) -> None:
        """Cancel what this client runs, if it runs anything. A request that waits for a backend fails.

        ``on_done`` is called when that has been dealt with.
        """
        if self.state is ClientState.READY:
            if self.session.waiting:
                self.asked.forget(self)
                self.session.refuse(CANCELED)
            elif self.wait is not None and self.session.interception is not None and self.session.interception.cancel():
                # Not at once, for what has not begun would never begin.
                asyncio.get_running_loop().call_soon(self.wait.cancel)
            elif self._cancel_run(on_done):
                return
        on_done()

    def _cancel_run(self, on_done: Callable[[], None]) -> bool:
        """Cancel what the backend runs, and a LISTEN that waits behind it. Whether ``on_done`` will be called."""
        backend, listening = self.backend, self.session.listening
        runs = backend is not None and bool(backend.session.owed)
        if listening is not None and listening.waits:
            listening.cancel()
        if runs and backend is self.backend and backend is not None:
            cancel_backend(backend, lambda _: on_done())
            return True
        return False

    # --- The end ---------------------------------------------------------------------------------------------------

    def _end(self, error: ClientError | BackendError, *, told: bool) -> None:
        if self.server.config.server.log_pooler_errors:
            logger.warning("%s: %s", self, error)
        self._end_runs(error)
        count_error(self.server.errors, error.sqlstate if isinstance(error, BackendError) else error.failure.sqlstate)
        if not told and self.state is not ClientState.FINISHING:
            self.write(messages.encode_failure(error))
        self.close()

    def close(self) -> None:
        """Close the connection once what was written has been sent."""
        if self.state is not ClientState.CLOSED:
            self._leave()
            if self.transport.get_write_buffer_size():
                self.server.leaving[self] = self.server.clock.now
            self.transport.close()

    def _leave(self) -> None:
        """Give up what the client holds. Done once, whoever hangs up first."""
        if self.state is ClientState.CLOSED:
            return
        logged_in = self.state is not ClientState.LOGIN
        self._end_runs(None)
        self.state = ClientState.CLOSED
        if self.uncovering is not None:
            self.uncovering.abandon()
        if self.login is not None:
            self.login.cancel()
        if self.wait is not None:
            # Not at once, for what has not begun would never begin, and so not end what it was given.
            asyncio.get_running_loop().call_soon(self.wait.cancel)
        if self.login is None and self.session.interception is not None:
            self.session.write = _discard
            self.session.interception.on_gone()
        if self.login is None and self.session.listening is not None:
            self.session.listening.leave()
        if logged_in:
            self.pool.forget(self)
            self.asked.forget(self)
            self.pool.clients.discard(self)
        if self.backend is not None:
            self.backend.pool.abandon(self.backend)
        if logged_in:
            self.asked.pinned.pop(self, None)
            self.server.close_plugin_session(self)

    def _end_runs(self, error: ClientError | BackendError | None) -> None:
        if self.plugin_session is not None and self.login is None and self.session.interception is not None:
            self.session.interception.executions.give_up(error)


def _discard(data: bytes) -> None:
    """Where answers go that nobody waits for."""
