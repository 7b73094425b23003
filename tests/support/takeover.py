"""A proxy that takes the place of another, and clients that come and go all the while."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.proxied import Clients
from tests.support.proxy import Proxy, wait_for_port
from tests.support.warm import WarmProcess, start_warm
from tests.support.watch import wait_until

__all__ = ["Load", "comers_and_goers", "start_successor", "take_over"]


@contextmanager
def take_over(proxy: Proxy, number: int) -> Iterator[Proxy]:
    """Start another proxy with the same configuration in the place of this one; when it listens, go on."""
    process = start_successor(proxy, number)
    log = proxy.directory / f"log{number}"
    try:
        successor = Proxy(proxy.host, wait_for_port(process, log), process, proxy.directory, log.name)
        yield successor
        successor.stop()
        assert "Traceback" not in successor.log, successor.log
    finally:
        process.kill()
        process.wait()


def start_successor(proxy: Proxy, number: int) -> WarmProcess:
    """Start another proxy in the place of this one, and don't wait for it. It logs into a file with this number."""
    arguments = ["serve", "--takeover", "--config", str(proxy.directory / "interceptor.toml")]
    return start_warm(arguments, proxy.directory / f"log{number}", os.environ, Path(__file__).parents[2])


class Load:
    """What has come of it so far."""

    def __init__(self) -> None:
        self.served = 0
        self.failures: list[str] = []
        self.leave = threading.Event()
        self.workers: list[threading.Thread] = []

    def wait_for_more(self, count: int) -> None:
        """Wait until so many more have been served."""
        before = self.served
        wait_until(lambda: self.served >= before + count, f"{count} more clients were served")

    def stop(self) -> None:
        """Nobody comes any more; those that are here finish."""
        self.leave.set()
        for worker in self.workers:
            worker.join()


@contextmanager
def comers_and_goers(proxy: Proxy, database: str, threads: int) -> Iterator[Load]:
    """So many clients at a time that connect, run one transaction and leave, until the block ends."""
    load = Load()

    def come_and_go() -> None:
        while not load.leave.is_set():
            try:
                with Clients(proxy) as clients:
                    client = clients.connect(database)
                    for sql in ("begin", "select 1", "commit"):
                        client.query(sql)
                    assert client.ready_count == 4, "all three were answered"
                    client.send_goodbye()
                load.served += 1
            except Exception as error:
                load.failures.append(f"{type(error).__name__}: {error}")

    load.workers += [threading.Thread(target=come_and_go) for _ in range(threads)]
    for worker in load.workers:
        worker.start()
    try:
        yield load
    finally:
        load.stop()
