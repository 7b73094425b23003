"""What happens to the servers and the network of a run, and the eyes that watch it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

import psutil

from interceptor.testing.postgres import PostgresServer
from tests.soak.counts import Counts
from tests.soak.relay import Network
from tests.soak.wire import AsyncWire, ServerSaid

__all__ = ["Chaos", "Control", "Watch"]

POOLS = ("transaction", "session", "statement")
"""Each a database of its own, ``soak_<mode>``."""

_BACKENDS = """
SELECT datname, pid, client_port FROM pg_stat_activity
WHERE datname LIKE 'soak%' AND backend_type = 'client backend' AND client_port IS NOT NULL
"""
# Those that listen for all clients of a database are no part of its pool.
_POOLED = f"{_BACKENDS} AND application_name <> 'interceptor listen'"


class Control:
    """A connection to PostgreSQL itself, which comes back when the server does."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._wire: AsyncWire | None = None
        self._turn = asyncio.Lock()

    async def query(self, sql: str) -> list[tuple[str, ...]] | None:
        """The rows; None while the server is not there."""
        async with self._turn:
            try:
                if self._wire is None:
                    self._wire = await AsyncWire.connect(self._server.host, self._server.port, "postgres")
                return await self._wire.query(sql)
            except (OSError, EOFError, ServerSaid):
                self.close()
                return None
            except asyncio.CancelledError:
                # The answer is still to come, and must not be taken for the next one's.
                self.close()
                raise

    async def backends(self, *, pooled: bool = False) -> list[tuple[str, int, int]] | None:
        """Database, process id and client's port of each backend, or of those in pools alone; None while the server is
        not there."""
        rows = await self.query(_POOLED if pooled else _BACKENDS)
        return None if rows is None else [(name, int(pid), int(port)) for name, pid, port in rows]

    def close(self) -> None:
        """Hang up."""
        if self._wire is not None:
            self._wire.vanish()
            self._wire = None


@dataclass
class Watch:
    """Looks at PostgreSQL and at the proxy again and again, for as long as it runs."""

    control: Control
    network: Network
    counts: Counts
    pid: int
    pool_size: int
    largest: dict[str, int] = field(default_factory=dict)
    """The most backends that were seen, by database."""
    memory: list[int] = field(default_factory=list)
    """Resident bytes of the proxy, one for each look."""
    descriptors: list[int] = field(default_factory=list)

    async def run(self) -> None:
        """Look until canceled."""
        process = psutil.Process(self.pid)
        while True:
            await self._check_caps()
            self.memory.append(process.memory_info().rss)
            self.descriptors.append(process.num_fds())
            await asyncio.sleep(0.02)

    async def _check_caps(self) -> None:
        """Hold that no pool has more backends than it may.

        A backend whose connection broke on its way is gone for the proxy, and stays a moment for PostgreSQL, which has
        yet to find out: such ones don't count.
        """
        backends = await self.control.backends(pooled=True)
        if backends is None:
            return
        reachable = self.network.ports
        for mode in POOLS:
            count = sum(name == f"soak_{mode}" and port in reachable for name, _, port in backends)
            self.largest[mode] = max(self.largest.get(mode, 0), count)
            if count > self.pool_size:
                self.counts.blame(f"the {mode} pool had {count} backends where {self.pool_size} are allowed")


class Chaos:
    """Does harm at random intervals, of some mean length in seconds."""

    def __init__(self, server: PostgresServer, network: Network, control: Control, counts: Counts) -> None:
        self._server = server
        self._network = network
        self._control = control
        self._counts = counts
        self._random = Random("chaos")

    async def run(self, seconds: float) -> None:
        """Do harm until canceled. In the middle of ``seconds`` the server is restarted."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again_and_again(1.0, self.kill))
            group.create_task(self._again_and_again(10.0, self.cut))
            group.create_task(self._again_and_again(15.0, self.stall))
            group.create_task(self._restart_after(seconds / 2))

    async def _again_and_again(self, interval: float, harm: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(interval * (0.5 + self._random.random()))
            await harm()

    async def kill(self) -> None:
        """Terminate a backend."""
        backends = await self._control.backends()
        if backends:
            _, pid, _ = self._random.choice(backends)
            await self._control.query(f"SELECT pg_terminate_backend({pid})")
            self._counts.events["kills"] += 1

    async def cut(self) -> None:
        """Break all connections between the proxy and the server."""
        self._counts.events["cuts"] += self._network.cut() > 0

    async def stall(self) -> None:
        """Let nothing through for a moment."""
        self._network.stall()
        await asyncio.sleep(0.2 + 2 * self._random.random())
        self._network.flow()
        self._counts.events["stalls"] += 1

    async def _restart_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._control.close()
        await asyncio.to_thread(self._server.restart, "immediate")
        self._counts.events["restarts"] += 1
