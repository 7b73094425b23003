"""How a proxy is while somebody ill-treats it: its memory, its descriptors, and whether others get their work done."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psutil

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend
from tests.support.proxy import Proxy, Value, run_proxy
from tests.support.watch import TIMEOUT, Activity, wait_for
from tests.support.wire import Endpoint, WireClient

__all__ = ["DATABASE", "MEGABYTE", "Neighbour", "Victim", "Vitals", "neighbour", "peak_memory", "run_victim"]

MEGABYTE = 1_000_000
DATABASE = "bad_input"
"""A database where nobody else is, so that who is there can be counted."""
POOL_SIZE = 4


@dataclass(frozen=True, slots=True)
class Vitals:
    """One look at a process. ``memory`` in bytes: what is its own, not what it shares with others."""

    memory: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> Vitals:
        process = psutil.Process(pid)
        return cls(process.memory_info().rss, process.num_fds())


class Neighbour:
    """A client in a thread of its own that runs one query after another, and checks each answer."""

    def __init__(self, endpoint: Endpoint, *, reconnect: bool = False, pause: float = 0.0) -> None:
        self._endpoint = endpoint
        self._reconnect = reconnect
        self._pause = pause
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self.answers = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop; whatever went wrong for it comes out here."""
        self._stopping.set()
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "the neighbour waits for an answer"
        if self._failure is not None:
            raise AssertionError(f"the neighbour was harmed after {self.answers} answers") from self._failure

    def wait_for_progress(self, more: int = 20) -> None:
        """Wait until it has had this many more answers."""
        goal = self.answers + more
        wait_for("the neighbour gets answers", lambda: self._failure is not None or self.answers >= goal)
        assert self._failure is None, self._failure

    def _run(self) -> None:
        try:
            client = WireClient.connect(self._endpoint)
            while not self._stopping.wait(self._pause):
                if self._reconnect:
                    client.close()
                    client = WireClient.connect(self._endpoint)
                assert client.query(f"SELECT {self.answers}") == [(str(self.answers),)]
                client.replies.clear()
                client.sent.clear()
                self.answers += 1
            client.close()
        except BaseException as error:
            self._failure = error


@contextmanager
def neighbour(endpoint: Endpoint, *, reconnect: bool = False, pause: float = 0.0) -> Iterator[Neighbour]:
    """A neighbour that works for as long as the block lasts. ``reconnect``: anew for each query.

    ``pause``: seconds between two queries, where it is not alone on the machine.
    """
    working = Neighbour(endpoint, reconnect=reconnect, pause=pause)
    working.start()
    try:
        working.wait_for_progress(1)
        yield working
    finally:
        working.stop()


class Victim:
    """A proxy that is to be ill-treated, and the server behind it."""

    def __init__(self, proxy: Proxy, server: PostgresServer, database: str) -> None:
        self.proxy = proxy
        self.endpoint = Endpoint(proxy.host, proxy.port, database)
        self.direct = Endpoint(server.host, server.port, database)
        self._server = server

    def activity(self) -> Activity:
        """Who is at work in the server."""
        return Activity(self._server, self.direct.database)

    def warm_up(self) -> None:
        """Fill the pool, so that its size is no reason for another count of descriptors later."""
        with ExitStack() as clients:
            each = [clients.enter_context(WireClient.connect(self.endpoint)) for _ in range(POOL_SIZE)]
            for client in each:
                client.send(frontend.query("SELECT pg_sleep(0.1)"))
            for client in each:
                client.read_until_ready(2)

    @contextmanager
    def unharmed(self, *, growth: int = 16 * MEGABYTE) -> Iterator[Neighbour]:
        """Hold that what happens in the block harms nobody.

        A neighbour gets answers all the time, and new clients at the end; afterwards the proxy has no more descriptors
        than before, and its memory has grown by no more than ``growth`` bytes at its highest.
        """
        pid = self.proxy.pid
        self.warm_up()
        wait_for("those who warmed up are gone", lambda: self._clients() == 0)
        before = Vitals.of(pid)
        with neighbour(self.endpoint) as working, peak_memory(pid) as peak:
            yield working
            working.wait_for_progress()
            with WireClient.connect(self.endpoint) as client:
                assert client.query("SELECT 'still here'") == [("still here",)]
        wait_for(
            f"the descriptors are back to {before.descriptors}",
            lambda: Vitals.of(pid).descriptors <= before.descriptors,
        )
        assert peak[0] - before.memory <= growth, f"memory went from {before.memory} to {peak[0]} bytes"
        assert "Traceback" not in self.proxy.log

    def _clients(self) -> int:
        connections = psutil.Process(self.proxy.pid).net_connections("tcp")
        return sum(each.laddr.port == self.proxy.port and bool(each.raddr) for each in connections)


@contextmanager
def run_victim(
    server: PostgresServer, settings: Mapping[str, Value] | None = None, *, database: str = DATABASE
) -> Iterator[Victim]:
    """A proxy before a new database of this server, with these settings of ``[server]``."""
    tables: dict[str, dict[str, Value]] = {
        "server": {"log_connections": False, "log_disconnections": False, **(settings or {})},
        f"databases.{database}": {
            "primary": f"postgresql://{server.host}:{server.port}/{database}",
            "pool_size": POOL_SIZE,
        },
    }
    server.create_database(database)
    try:
        with run_proxy(tables) as proxy:
            yield Victim(proxy, server, database)
    finally:
        server.drop_database(database)


@contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    """The highest memory seen, in a list of one."""
    process = psutil.Process(pid)
    peak = [0]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
