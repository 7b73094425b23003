"""Processes that hold idle clients, spread so that no process runs out of descriptors nor an address out of ports."""

from __future__ import annotations

import multiprocessing
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from bench.client import ServerSaid, open_client, query

__all__ = ["HolderFailed", "Holders", "holders"]

_REPORT_EVERY = 100
_SPARE_DESCRIPTORS = 64  # what a Python process has open besides its clients
_MOST_PER_HOLDER = 5_000
_PATIENCE = 60


class HolderFailed(Exception):
    """Clients could not be opened or served; the text says how many were, and what came in the way."""


@dataclass(slots=True)
class Holders:
    """Some thousand idle clients in other processes."""

    count: int
    _workers: list[SpawnProcess] = field(default_factory=list)
    _pipes: list[Connection] = field(default_factory=list)

    def open(self, progress: Callable[[int], None]) -> None:
        """Connect all clients and log them in. ``progress`` is told how many more have been done.

        Raises: HolderFailed.
        """
        self._everywhere("open", progress)

    def query_once(self, progress: Callable[[int], None]) -> None:
        """Let each client, one after another within a process, run one query.

        Raises: HolderFailed.
        """
        self._everywhere("query", progress)

    def close(self, progress: Callable[[int], None]) -> None:
        """Close all clients; the processes stay."""
        self._everywhere("close", progress)

    def _everywhere(self, order: str, progress: Callable[[int], None]) -> None:
        for pipe in self._pipes:
            pipe.send(order)
        busy = list(self._pipes)
        done = 0
        while busy:
            ready = wait(busy, timeout=_PATIENCE)
            if not ready:
                raise HolderFailed(f"{order}: nothing happened for {_PATIENCE} seconds after {done} clients")
            for pipe in [pipe for pipe in busy if pipe in ready]:
                try:
                    said = pipe.recv()
                except EOFError as error:
                    raise HolderFailed(f"{order}: a process that holds clients died after {done} clients") from error
                if isinstance(said, str):
                    raise HolderFailed(f"{order}: {said} after {done} clients")
                if said is None:
                    busy.remove(pipe)
                else:
                    done += said
                    progress(said)


@contextmanager
def holders(count: int, address: tuple[str, int], *, user: str, database: str) -> Iterator[Holders]:
    """Processes for ``count`` clients of ``address``, ended with the block; no client is connected yet."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    share = max(1, min(_MOST_PER_HOLDER, soft - _SPARE_DESCRIPTORS))
    context = multiprocessing.get_context("spawn")
    held = Holders(count)
    try:
        for index, first in enumerate(range(0, count, share)):
            here, there = context.Pipe()
            source = f"127.0.{index // 250}.{index % 250 + 2}"
            arguments = (there, min(share, count - first), address, user, database, source)
            worker = context.Process(target=_hold, args=arguments, daemon=True)
            worker.start()
            there.close()  # so that its death is an end of file here
            held._workers.append(worker)
            held._pipes.append(here)
        yield held
    finally:
        for pipe in held._pipes:
            pipe.close()
        for worker in held._workers:
            worker.terminate()
            worker.join(timeout=10)


def _hold(pipe: Connection, count: int, address: tuple[str, int], user: str, database: str, source: str) -> None:
    """The life of one such process: do as told, report every hundred clients, then None."""
    clients: list[socket.socket] = []
    while True:
        try:
            order = pipe.recv()
        except EOFError:
            return
        try:
            for number in range(count):
                if order == "open":
                    clients.append(open_client(address, user=user, database=database, source=source))
                elif order == "query":
                    query(clients[number], "select 1")
                else:
                    clients[number].close()
                if (number + 1) % _REPORT_EVERY == 0 or number + 1 == count:
                    pipe.send(number % _REPORT_EVERY + 1)
            if order == "close":
                clients.clear()
            pipe.send(None)
        except (OSError, ServerSaid) as error:
            pipe.send(str(error) or type(error).__name__)
