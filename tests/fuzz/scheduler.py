"""Clients and model servers, joined by the product's sessions, with every byte's journey decided by chance."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from interceptor.errors import BackendError, ClientError
from interceptor.session import BackendSession, ClientSession, PoolMode, bounds, client_state
from interceptor.session import backend as backend_module
from interceptor.session.listening import Notifications
from interceptor.session.prepared import PreparedRegistry
from interceptor.sql.analysis import StatementCache
from interceptor.sql.effects import Effect
from tests.support.model import ModelServer
from tests.support.recorder import REPORTED

__all__ = ["Scheduler"]

PIECES = (1, 2, 5, 6, 20, 100, 1000)
"""Bytes that move at once."""

_effects = StatementCache().effects


@dataclass(eq=False)
class Client:
    """One client: what it has yet to say, and what it has heard. Its session's host."""

    scheduler: Scheduler
    to_say: bytes
    mode: PoolMode
    said: bytes = b""
    heard: bytes = b""
    paused: bool = False
    gone: bool = False
    lingers: bool = False
    """It has hung up, and its backend finishes what it was asked."""
    finished: bool = False
    sure: int | None = None
    """How many bytes it had heard when it lost its named statements; None if it did not."""
    session: ClientSession = field(init=False)

    def __post_init__(self) -> None:
        self.session = ClientSession(self, self.mode, _effects, REPORTED, self.scheduler.registry)

    @property
    def speaks(self) -> bool:
        return bool(self.to_say) and not self.paused and not self.gone and not self.lingers

    @property
    def heard_for_sure(self) -> bytes:
        return self.heard[: self.sure]

    def say(self, count: int) -> None:
        piece, self.to_say = self.to_say[:count], self.to_say[count:]
        self.said += piece
        self.session.feed(piece)

    def write(self, data: bytes) -> None:
        assert data, "an empty write"
        assert not self.gone, "written to a client that is gone"
        if not self.lingers:
            self.heard += data

    @property
    def is_full(self) -> bool:
        return False

    def wait_for(self, awaitable: Awaitable[object], on_done: Callable[[object], None]) -> None:
        raise AssertionError("no plugin is at work here")

    async def drain(self) -> None:
        raise AssertionError("no plugin is at work here")

    def acquire(self, target: str | None) -> BackendSession | None:
        return self.scheduler.acquire(self)

    def on_pins_changed(self, pins: frozenset[Effect]) -> None:
        assert self.mode is not PoolMode.SESSION

    def notifications(self) -> Notifications | None:
        return None

    def catch_up(self) -> None:
        pass

    def on_defining(self) -> None:
        raise AssertionError("nobody judges what is defined")

    def on_uncovering(self) -> None:
        raise AssertionError("no plugin is at work here")

    def on_defined(self) -> None:
        raise AssertionError("no judge told of definitions")

    def on_finished(self) -> None:
        assert not self.finished
        self.finished = True

    def on_failed(self, error: ClientError) -> None:
        raise error

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False


@dataclass(eq=False)
class Backend:
    """One backend: the model behind it, and the bytes on their way each way. Its session's host."""

    scheduler: Scheduler
    model: ModelServer = field(default_factory=ModelServer)
    forth: bytes = b""
    back: bytes = b""
    session: BackendSession = field(init=False)

    def __post_init__(self) -> None:
        # Few, so that they are often in each other's way.
        self.session = BackendSession(self, REPORTED, 2, self.scheduler.custom_names)

    def write(self, data: bytes) -> None:
        assert data, "an empty write"
        self.forth += data

    def cancel(self, on_done: Callable[[bool], None]) -> None:
        raise AssertionError("no result has a limit here")

    @property
    def is_full(self) -> bool:
        return False

    async def drain(self) -> None:
        raise AssertionError("no plugin is at work here")

    def release(self) -> None:
        self.scheduler.release(self)

    def on_error(self, sqlstate: bytes) -> None:
        """Nobody counts."""

    def on_failed(self, error: BackendError) -> None:
        raise AssertionError(f"the model broke the protocol? {error}")

    def assert_clean(self) -> None:
        """Hold that by the model's reckoning nothing is owed: what is on its way to it calls for no answer."""
        assert self.session.reusable
        answer = self.model.feed(self.forth)
        self.forth = b""
        assert not self.back, f"given back with {self.back!r} unread"
        assert not answer, f"given back, and then it answers {answer!r}"
        assert not self.model.outstanding, f"given back in the midst of something: {self.model}"

    def assert_known(self) -> None:
        """Hold that nothing in the model's session is there that the session engine does not know of."""
        session, model = self.session, self.model
        assert model.holds(session.settings.values), (session.settings.values, model.settings)
        assert session.reported.values[b"TimeZone"] == model.zone_told
        assert {prepared.name for prepared in session.prepared} == model.named_statements
        assert not model.listens
        assert not model.locks


class Scheduler:
    """Plays pool, sockets and time.

    ``shared``: named prepared statements are shared between clients.
    ``vanishing``: a client that has said everything hangs up at any time, and not only when it has been answered.
    """

    def __init__(
        self,
        streams: list[bytes],
        mode: PoolMode,
        backends: int,
        random: Random,
        *,
        shared: bool = False,
        vanishing: bool = False,
    ) -> None:
        self.registry = PreparedRegistry() if shared else None
        self.custom_names: set[str] = set()
        self._random = random
        self._vanishing = vanishing
        self.clients = [Client(self, stream, mode) for stream in streams]
        self._backends = [Backend(self) for _ in range(backends)]
        self._idle = list(self._backends)
        self._waiting: list[Client] = []

    # --- The pool --------------------------------------------------------------------------------------------------

    def acquire(self, client: Client) -> BackendSession | None:
        if not self._idle:
            self._waiting.append(client)
            return None
        backend = self._idle.pop()
        backend.session.link(client.session)
        return backend.session

    def release(self, backend: Backend) -> None:
        assert backend.session.client is None
        backend.assert_clean()
        backend.assert_known()
        self._offer(backend)

    def _offer(self, backend: Backend) -> None:
        if not self._waiting:
            self._idle.append(backend)
            return
        client = self._waiting.pop(0)
        backend.session.link(client.session)
        client.session.on_linked(backend.session)

    def hang_up(self, client: Client) -> None:
        """The client is gone, in the midst of anything: as ``Pool.abandon``."""
        if not client.finished and client.session.on_hung_up():
            client.lingers = True
            return
        client.gone = True
        if client in self._waiting:
            self._waiting.remove(client)
        session = client.session.backend
        if session is None:
            return
        backend = next(each for each in self._backends if each.session is session)
        belongings = client.session.belongings
        usable = session.reusable and not client.session.streaming and belongings.doubt is None
        session.unlink()
        if usable:
            backend.assert_clean()
        if usable and not belongings.pins and client.mode is not PoolMode.SESSION:
            backend.assert_known()
            self._offer(backend)
            return
        self._replace(backend)

    def lose(self, backend: Backend) -> None:
        """The server has hung up: as ``Pool.on_backend_lost``."""
        session = backend.session
        client = next(each for each in self.clients if each.session is session.client)
        session.unlink()
        assert session.said_why or (client.session.finishing and session.uncounted), "the client would hear of a loss"
        client.gone = True
        self._replace(backend)

    def _replace(self, backend: Backend) -> None:
        self._backends.remove(backend)
        fresh = Backend(self)
        self._backends.append(fresh)
        self._offer(fresh)

    # --- Time ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Go on until all has been said and answered; who is through hangs up, so that others get their turn."""
        while True:
            while self._step():
                pass
            leaving = [each for each in self.clients if not (each.gone or each.lingers or each in self._waiting)]
            if not leaving:
                break
            self.hang_up(self._random.choice(leaving))
        assert all(client.gone for client in self.clients), "a client is stuck"

    def _step(self) -> bool:
        """Move some bytes one station further. False if there are none."""
        random = self._random
        moves: list[Client | Backend] = [client for client in self.clients if client.speaks]
        moves += [backend for backend in self._backends if backend.forth or backend.back or backend.model.closed]
        if not moves:
            return False
        if self._vanishing and random.random() < 0.1:
            silent = [each for each in self.clients if not (each.gone or each.lingers or each.to_say)]
            if silent:
                self.hang_up(random.choice(silent))
                return True
        mover = random.choice(moves)
        count = random.choice(PIECES)
        if isinstance(mover, Client):
            mover.say(count)
            if mover.finished:
                self.hang_up(mover)
        else:
            self._move(mover, count)
        self._check_bounds()
        return True

    def _move(self, backend: Backend, count: int) -> None:
        if backend.model.closed and not backend.back:
            self.lose(backend)
        elif backend.forth and (not backend.back or self._random.random() < 0.5):
            piece, backend.forth = backend.forth[:count], backend.forth[count:]
            backend.back += backend.model.feed(piece)
        else:
            assert backend.session.client is not None, f"an idle backend says {backend.back!r}"
            client = next(each for each in self.clients if each.session is backend.session.client)
            piece, backend.back = backend.back[:count], backend.back[count:]
            backend.session.feed(piece)
            if client.finished and not client.gone:
                self.hang_up(client)

    def _check_bounds(self) -> None:
        chunk = max(PIECES)
        for client in self.clients:
            backend = client.session.backend
            if client.sure is None and client.session.named is not None and backend is not None and backend.uncounted:
                # A known difference: a COPY failed into which Syncs were sent. From here on all passes as it is, and
                # the backend does not know the client's names.
                client.sure = len(client.heard)
            assert len(client.session.rest) <= client_state.MAX_KEPT_INPUT + bounds.WHOLE_MESSAGE + chunk
        for each in self._backends:
            longest = bounds.MAX_OWED + (client_state.MAX_KEPT_INPUT + chunk) // 5
            assert len(each.session.owed) <= longest
            assert len(each.session.partial) <= backend_module.MAX_PARAMETER_STATUS + 5
