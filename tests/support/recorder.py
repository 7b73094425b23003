"""Both halves of a session without sockets: what goes in is fed, what comes out is recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from struct import pack

from interceptor.errors import TOO_MANY_PINNED, BackendError, ClientError
from interceptor.session import BackendSession, ClientSession, PoolMode
from interceptor.session.listening import Notifications
from interceptor.session.prepared import PreparedRegistry
from interceptor.session.reported import reported_of
from interceptor.sql.analysis import StatementCache
from interceptor.sql.effects import Effect


def message(kind: str, body: bytes = b"") -> bytes:
    """A message of either side."""
    return kind.encode() + pack("!I", len(body) + 4) + body


def query(sql: str) -> bytes:
    return message("Q", sql.encode() + b"\0")


def parse(sql: str, name: str = "") -> bytes:
    return message("P", name.encode() + b"\0" + sql.encode() + b"\0\0\0")


def bind(statement: str = "", portal: str = "") -> bytes:
    return message("B", portal.encode() + b"\0" + statement.encode() + b"\0" + bytes(6))


def describe(what: str, name: str = "") -> bytes:
    return message("D", what.encode() + name.encode() + b"\0")


def close(what: str, name: str = "") -> bytes:
    return message("C", what.encode() + name.encode() + b"\0")


def execute(portal: str = "", rows: int = 0) -> bytes:
    return message("E", portal.encode() + b"\0" + pack("!I", rows))


SYNC = message("S")
FLUSH = message("H")
TERMINATE = message("X")
COPY_DONE = message("c")


def ready(status: str = "I") -> bytes:
    return message("Z", status.encode())


def error(text: str = "no", severity: str = "ERROR") -> bytes:
    return message("E", f"S{severity}\0V{severity}\0C42601\0M{text}\0\0".encode())


def row(value: bytes = b"1") -> bytes:
    return message("D", pack("!HI", 1, len(value)) + value)


def complete(tag: str = "SELECT 1") -> bytes:
    return message("C", tag.encode() + b"\0")


def found(kind: str, name: str = "", value: bytes | None = None, more: str | None = None) -> bytes:
    """A row of the answer to a question of the proxy's (``interceptor.session.probe``)."""
    columns = [kind.encode(), name.encode(), value, None if more is None else more.encode()]
    sizes = [b"\xff" * 4 if column is None else pack("!I", len(column)) + column for column in columns]
    return message("D", pack("!H", 4) + b"".join(sizes))


def is_set(name: str, value: bytes) -> bytes:
    """A row that tells the value of a setting."""
    return found("set", name, value.hex().encode())


def answer(*rows: bytes, count: int | None = None, reports: bytes = b"") -> bytes:
    """What a server answers to such a question. ``count``: of all prepared statements, where all is asked for.

    ``reports``: ParameterStatus messages.
    """
    counted = b"" if count is None else found("count", "", str(count).encode())
    return ROW_DESCRIPTION + b"".join(rows) + counted + complete() + reports + ready()


ROW_DESCRIPTION = message("T", b"\0\x01a\0" + bytes(18))
RESULT = ROW_DESCRIPTION + row() + complete()
COPY_IN = message("G", b"\0\0\x01\0\0")


REPORTED = reported_of(
    {
        b"TimeZone": b"UTC",
        b"standard_conforming_strings": b"on",
        b"client_encoding": b"UTF8",
        b"session_authorization": b"app",
    }
)
"""What a server says at login."""

ASKS_BY_NAME = b"SELECT 'set'"
ASKS_FOR_ALL = b"WITH g AS MATERIALIZED"
"""How the questions of ours begin."""


class Recorder:
    """One client session and the backends that it is given, each in turn, with all that they say.

    Plays the pooler for both of them: ``ClientHost`` and ``BackendHost`` in one.
    """

    def __init__(
        self,
        mode: PoolMode = PoolMode.TRANSACTION,
        *,
        backends: bool = True,
        shared: bool = True,
        max_prepared: int = 200,
    ) -> None:
        self.to_client = b""
        self.to_backend = b""
        self.released = 0
        self.errors: list[bytes] = []
        """SQLSTATEs of the errors that the backend has told of."""
        self.acquired = 0
        self.pins: list[frozenset[Effect]] = []
        """Each time that they changed."""
        self.may_pin = True
        self.defined = 0
        """How often a transaction ended that may have created something."""
        self.caught_up = 0
        """How often what came a while ago was about to be acted on."""
        self.defining = 0
        """How often something was noted that may create something."""
        self.uncovering = 0
        """How often something was about to be taken away that may have hidden another."""
        self.cancels: list[Callable[[bool], None]] = []
        """What is to be called when the server has dealt with a cancel request."""
        self.finished = False
        self.failure: ClientError | BackendError | None = None
        self.paused = False
        self.backend_is_full = False
        """It does not read as fast as it is sent to."""
        self.drained = 0
        """How often that was waited for."""
        self.has_backends = backends
        self._mode = mode
        self._max_prepared = max_prepared
        self._effects = StatementCache().effects
        self._registry = PreparedRegistry() if shared else None
        self.client = self.new_client()
        self.backend = self.new_backend()

    @property
    def linked(self) -> bool:
        return self.client.backend is not None

    def new_client(self) -> ClientSession:
        """Put another client in the place of the one before, which must have no backend."""
        self.client = ClientSession(_ClientHost(self), self._mode, self._effects, REPORTED, self._registry)
        return self.client

    def new_backend(self) -> BackendSession:
        """Put another backend in the place of the one before, which must have no client."""
        self.backend = BackendSession(_BackendHost(self), REPORTED, self._max_prepared)
        return self.backend

    def from_client(self, data: bytes) -> None:
        if not self.finished:
            self.client.feed(data)

    def from_backend(self, data: bytes) -> None:
        self.backend.feed(data)

    def give_backend(self) -> None:
        """What the pool does when a backend is free for a client that waits."""
        self.has_backends = True
        self.acquired += 1
        self.backend.link(self.client)
        self.client.on_linked(self.backend)

    def take(self) -> tuple[bytes, bytes]:
        """What went to the backend and to the client since the last call."""
        taken = self.to_backend, self.to_client
        self.to_backend = self.to_client = b""
        return taken

    def take_question(self) -> bytes:
        """The one Query message that went to the backend since the last call, where nothing went to the client."""
        to_backend, to_client = self.take()
        assert to_client == b""
        assert to_backend[:1] == b"Q"
        assert len(to_backend) == int.from_bytes(to_backend[1:5], "big") + 1
        return to_backend[5:-1]


class _ClientHost:
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def notifications(self) -> Notifications | None:
        return None

    def write(self, data: bytes) -> None:
        assert data, "an empty write"
        self._recorder.to_client += data

    @property
    def is_full(self) -> bool:
        return False

    def wait_for(self, awaitable: Awaitable[object], on_done: Callable[[object], None]) -> None:
        raise AssertionError("no plugin is at work here")

    async def drain(self) -> None:
        raise AssertionError("no plugin is at work here")

    def acquire(self, target: str | None) -> BackendSession | None:
        recorder = self._recorder
        if not recorder.has_backends:
            return None
        recorder.acquired += 1
        recorder.backend.link(recorder.client)
        return recorder.backend

    def on_pins_changed(self, pins: frozenset[Effect]) -> None:
        if pins and not self._recorder.may_pin:
            raise ClientError(TOO_MANY_PINNED, "no more")
        self._recorder.pins.append(pins)

    def catch_up(self) -> None:
        self._recorder.caught_up += 1

    def on_defining(self) -> None:
        self._recorder.defining += 1

    def on_uncovering(self) -> None:
        self._recorder.uncovering += 1

    def on_defined(self) -> None:
        self._recorder.defined += 1

    def on_finished(self) -> None:
        assert not self._recorder.finished, "finished twice"
        self._recorder.finished = True

    def on_failed(self, error: ClientError) -> None:
        self._recorder.failure = error

    def pause_reading(self) -> None:
        assert not self._recorder.paused
        self._recorder.paused = True

    def resume_reading(self) -> None:
        assert self._recorder.paused
        self._recorder.paused = False


class _BackendHost:
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def write(self, data: bytes) -> None:
        assert data, "an empty write"
        self._recorder.to_backend += data

    def cancel(self, on_done: Callable[[bool], None]) -> None:
        self._recorder.cancels.append(on_done)

    @property
    def is_full(self) -> bool:
        return self._recorder.backend_is_full

    async def drain(self) -> None:
        self._recorder.drained += 1
        self._recorder.backend_is_full = False

    def release(self) -> None:
        recorder = self._recorder
        backend = recorder.backend
        assert recorder.client.backend is None
        assert recorder.client.belongings.doubt is None
        recorder.released += 1
        if backend.partial or backend.streaming:
            # It says more than it was asked for: as ``Pool.release``.
            assert backend.ready
            assert not backend.owed
            recorder.new_backend()
        else:
            assert backend.reusable

    def on_failed(self, error: BackendError) -> None:
        self._recorder.failure = error

    def on_error(self, sqlstate: bytes) -> None:
        self._recorder.errors.append(sqlstate)
