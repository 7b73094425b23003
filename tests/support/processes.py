"""The processes of a proxy that has several, and who of its clients is where."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from interceptor.testing.postgres import PostgresServer
from pooler.processes.cancels import slot_of
from tests.support.proxy import Proxy
from tests.support.watch import Activity, wait_for, wait_until
from tests.support.wire import WireClient

__all__ = ["Family", "Peak", "connect_to", "is_alive", "one_of_each", "peak", "worker_of"]


def worker_of(client: WireClient) -> int:
    """The number of the worker that has this client."""
    assert client.key is not None
    return slot_of(client.key[0])


class Family:
    """The children of a proxy's parent, by name: ``control``, ``worker 1``."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def pids(self) -> dict[str, int]:
        """Those that run now. A process that is being forked has no name yet, and is left out."""
        found = {}
        children = Path(f"/proc/{self._proxy.pid}/task/{self._proxy.pid}/children").read_text()
        for pid in map(int, children.split()):
            name = _name_of(pid)
            if name:
                found[name] = pid
        return found

    def pid(self, name: str) -> int:
        """Of one of them."""
        return wait_for(f"there is a {name}", lambda: self.pids().get(name))

    def replaced(self, name: str, before: int) -> int:
        """Wait until another process has the place of the one with this process id."""
        return wait_for(f"{name} is replaced", lambda: self._other(name, before))

    def _other(self, name: str, before: int) -> int | None:
        pid = self.pids().get(name)
        return pid if pid != before else None


def _name_of(pid: int) -> str:
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
    return name.removeprefix("icp ") if name.startswith("icp ") else ""


def connect_to(worker: int, connect: Callable[[], WireClient]) -> WireClient:
    """A client of this worker: the first that comes there, for a client can't choose. The others stay connected."""
    return wait_for(f"a client of worker {worker}", lambda: _if_at(worker, connect()))


def one_of_each(workers: int, connect: Callable[[], WireClient]) -> dict[int, WireClient]:
    """A client of each worker, by its number. Who comes to a worker that has one already leaves again."""
    found: dict[int, WireClient] = {}

    def complete() -> bool:
        client = connect()
        if found.setdefault(worker_of(client), client) is not client:
            client.send_goodbye()
        return len(found) == workers

    wait_until(complete, f"there is a client of each of {workers} workers")
    return found


def _if_at(worker: int, client: WireClient) -> WireClient | None:
    return client if worker_of(client) == worker else None


class Peak:
    """The most backends that were seen at once."""

    def __init__(self) -> None:
        self.most = 0
        self.looks = 0


@contextmanager
def peak(server: PostgresServer, application: str) -> Iterator[Peak]:
    """Count the backends of an application_name all the time."""
    seen = Peak()
    leave = threading.Event()

    def look() -> None:
        with Activity(server, application=application) as activity:
            while not leave.is_set():
                seen.most = max(seen.most, activity.count())
                seen.looks += 1
                leave.wait(0.005)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        leave.set()
        watcher.join()


def is_alive(pid: int) -> bool:
    """Whether a process runs: not whether somebody has yet to take note of its end."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
