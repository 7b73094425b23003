"""Waiting for what can be seen from outside: conditions, and who is at work in PostgreSQL."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import closing
from types import TracebackType
from typing import Self, TypeVar

from interceptor.testing.postgres import PostgresServer
from tests.support.sockets import SocketDiagnosis
from tests.support.wire import Endpoint, WireClient

__all__ = ["TIMEOUT", "Activity", "Gate", "wait_for", "wait_until"]

T = TypeVar("T")

TIMEOUT = 60.0
"""Seconds, of which a quiet machine needs a hundredth: it only ends what would wait for ever."""
_PAUSE = 0.005
_numbers = itertools.count(4_000_000)

_BACKENDS = (
    "SELECT pid, state, wait_event, query FROM pg_stat_activity "
    "WHERE {} AND backend_type = 'client backend' AND pid <> pg_backend_pid() {} ORDER BY backend_start"
)


def wait_for(what: str, look: Callable[[], T | None], timeout: float = TIMEOUT) -> T:
    """The first true result of ``look``. Fails, with the sentence ``what`` and the last look, after ``timeout`` s."""
    deadline = time.monotonic() + timeout
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what}: not within {timeout:g} s; the last look saw {seen!r}"
        time.sleep(_PAUSE)
    return seen


def wait_until(condition: Callable[[], bool], what: str = "the condition", timeout: float = TIMEOUT) -> None:
    """Return as soon as ``condition`` holds; ``wait_for`` without a result."""
    wait_for(what, condition, timeout)


class Activity:
    """A connection to PostgreSQL itself, which sees some of its backends. Close it, or use ``with``."""

    def __init__(self, server: PostgresServer, database: str = "", *, application: str = "") -> None:
        """See the backends of this database, or of this application_name."""
        self._whose = f"datname = '{database}'" if database else f"application_name = '{application}'"
        self.control = WireClient.connect(Endpoint(server.host, server.port, "postgres"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.control.close()

    def backends(self, condition: str = "") -> list[tuple[str | None, ...]]:
        """Process id, state, wait event and last query of each, the oldest first; ``condition`` begins with AND."""
        return self.control.query(_BACKENDS.format(self._whose, condition))

    def pids(self, condition: str = "") -> list[int]:
        """The process ids alone."""
        return [int(row[0] or 0) for row in self.backends(condition)]

    def count(self, condition: str = "") -> int:
        """How many backends there are."""
        return len(self.backends(condition))

    def states(self) -> list[str | None]:
        """The state of each backend: idle, active, idle in transaction, ..."""
        return [row[1] for row in self.backends()]

    def wait_for_query(self, part: str) -> int:
        """Wait until a backend is at work on a query with this text in it; its process id."""
        escaped = part.replace("'", "''")
        condition = f"AND state = 'active' AND strpos(query, '{escaped}') > 0"
        return wait_for(f"a backend runs {part!r}", lambda: self.pids(condition))[0]

    def wait_for_rest(self, count: int | None = None) -> None:
        """Wait until no backend has a query or a transaction under way, and there are ``count`` of them."""

        def rests() -> bool:
            states = self.states()
            return all(state == "idle" for state in states) and count in (None, len(states))

        wait_until(rests, f"the backends with {self._whose} rest, as they did not before: {self.backends()}")

    def terminate(self, pid: int) -> None:
        """pg_terminate_backend, and wait until it is gone and its client has hung up too.

        A proxy that has not noticed yet would give the backend to the next client, who would be told of the loss.
        """
        found = self.control.query(f"SELECT host(client_addr), client_port FROM pg_stat_activity WHERE pid = {pid}")
        self.control.query(f"SELECT pg_terminate_backend({pid}, 5000)")
        if found and found[0][0] is not None:
            client = (found[0][0], int(found[0][1] or 0))
            with closing(SocketDiagnosis()) as diagnosis:
                wait_until(
                    lambda: not diagnosis.is_open(client, self.control.peer), "the client of the backend noticed"
                )


class Gate:
    """What statements in a database wait at until a test lets them through. Close it, or use ``with``.

    A statement that sleeps for some tenths of a second is over before anybody has looked where the machine is busy.
    """

    def __init__(self, server: PostgresServer, database: str) -> None:
        self._number = next(_numbers)
        self.sql = f"pg_advisory_xact_lock_shared({self._number})"
        """The call that waits, for a SELECT; it leaves nothing in its session."""
        self._control = WireClient.connect(Endpoint(server.host, server.port, database))
        self._control.query(f"SELECT pg_advisory_lock({self._number})")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._control.close()

    def wait_for(self, count: int = 1) -> list[int]:
        """Wait until so many backends stand at the gate; their process ids."""
        question = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = {self._number} AND NOT granted"

        def those() -> list[int] | None:
            pids = [int(row[0] or 0) for row in self._control.query(question)]
            return pids if len(pids) == count else None

        return wait_for(f"{count} backends stand at the gate", those)

    def open(self) -> None:
        """Let all through, now and later."""
        self._control.query(f"SELECT pg_advisory_unlock({self._number})")
