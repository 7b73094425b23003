"""All pools of a process, and the limits that several of them share."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterator
from operator import itemgetter
from typing import Protocol

from pooler.auth import KeyCache
from pooler.backend import Backend, BackendState
from pooler.capacity import Capacity
from pooler.clock import Clock
from pooler.config import PoolSettings
from pooler.gates import Gates
from pooler.login import Welcome
from pooler.pool import Pool
from pooler.pool_counts import PoolStats, PoolTimes
from pooler.waiting import Profile


class BackendWatcher(Protocol):
    """Who wants to be told of connections to servers."""

    def on_backend_connected(self, backend: Backend) -> None:
        """It is logged in."""

    def on_backend_lost(self, backend: Backend) -> None:
        """It is gone. Once for each of the above."""


class Registry:
    """Pools by database and role. Implements ``Capacity`` for them."""

    def __init__(self, clock: Clock, keys: KeyCache) -> None:
        self._clock = clock
        self._keys = keys
        self._pools: dict[tuple[str, str, str], Pool] = {}
        self.watcher: BackendWatcher | None = None
        self.capacity: Capacity = self
        """What the pools ask; another one where several processes share the limits, set before the first pool."""
        self.gates = Gates()
        self.keeps_times = False
        """Whether anybody can ask for metrics; set before the first pool."""
        self.forgotten: dict[str, PoolStats] = {}
        """What was counted in pools that were dropped, by database; kept for those that the configuration names."""
        self._freed: asyncio.Future[None] | None = None

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._pools.values())

    def __len__(self) -> int:
        return len(self._pools)

    def get(self, settings: PoolSettings) -> Pool:
        """The pool for a login, made if it is the first."""
        pool = self._pools.get(settings.pool_key)
        if pool is None:
            pool = self._pools[settings.pool_key] = Pool(settings, self._clock, self._keys, self.capacity)
            pool.times = PoolTimes() if self.keeps_times else None
            pool.draining = self.gates.holds(settings.database)
        return pool

    def find(self, key: tuple[str, str, str]) -> Pool | None:
        """The pool with this key (``PoolSettings.pool_key``), if there is one."""
        return self._pools.get(key)

    def drop_unused(self, lasting: Container[str]) -> None:
        """Forget pools with neither clients nor backends: under "*" clients choose their names.

        Of ``lasting`` databases it stays known what was counted.
        """
        for key, pool in list(self._pools.items()):
            # Those who wait at a replica's pool are clients of the primary's.
            unused = not pool.clients and not pool.size and not pool.waiting.for_backend
            if unused and not pool.settings.min_pool_size:
                del self._pools[key]
                self.forgotten.setdefault(pool.settings.database, PoolStats()).add(pool.totals())

        for database in [name for name in self.forgotten if name not in lasting]:
            del self.forgotten[database]

    async def wait_until_empty(self) -> None:
        """Return once no pool has a backend. For the end: the pools are closed already."""
        while any(pool.size for pool in self):
            self._freed = asyncio.get_running_loop().create_future()
            await self._freed

    # --- Capacity --------------------------------------------------------------------------------------------------

    def may_open(self, pool: Pool) -> bool:
        return all(sum(p.size for p in pools) < limit for limit, pools in self._limits(pool))

    def ask(self, pool: Pool) -> bool:
        return False

    def ask_for_minimum(self, pool: Pool) -> None:
        """There is nobody to ask."""

    def minimum(self, pool: Pool) -> int:
        return pool.settings.min_pool_size

    def known_welcome(self, pool: Pool, profile: Profile) -> Welcome | None:
        return None

    def on_welcome(self, pool: Pool, profile: Profile, welcome: Welcome) -> None:
        """There is nobody who would want to know."""

    def make_room(self, pool: Pool) -> None:
        for limit, pools in self._limits(pool):
            if limit <= sum(p.size for p in pools):
                idle = (backend for p in pools if p is not pool for backend in p.idle)
                victim = min(idle, key=lambda backend: backend.since, default=None)
                if victim is not None:
                    victim.close()
                elif not pool.size and not any(p.backends[BackendState.CLOSING] for p in pools):
                    # Where others always have somebody who waits, none of their backends would ever be idle. The next
                    # look asks another one, in case this one's clients keep theirs.
                    asked = max((p for p in pools if p.size and not p.owes_place), key=lambda p: p.size, default=None)
                    if asked is not None:
                        asked.owes_place = True

    def on_connected(self, backend: Backend) -> None:
        if self.watcher is not None:
            self.watcher.on_backend_connected(backend)

    def on_lost(self, backend: Backend) -> None:
        if self.watcher is not None:
            self.watcher.on_backend_lost(backend)

    def wake(self) -> None:
        """A backend is gone: tell ``wait_until_empty``."""
        if self._freed is not None and not self._freed.done():
            self._freed.set_result(None)

    def on_settled(self, pool: Pool) -> None:
        """There is nobody who could have the rest."""

    def on_freed(self, pool: Pool) -> None:
        self.wake()
        for _, pools in self._limits(pool):
            waiting = []
            for other in pools:
                other.owes_place = False
                first = other.waiting.first()
                if first is not None and other is not pool:
                    waiting.append((first[0], other))
            # Whoever grows first has the place: the one with the oldest waiter.
            for _, other in sorted(waiting, key=itemgetter(0)):
                other.grow()

    def _limits(self, pool: Pool) -> Iterator[tuple[int, list[Pool]]]:
        """The limits that this pool shares with others, and who they are, itself included."""
        settings = pool.settings
        if settings.max_db_connections > 0:
            place = settings.database, settings.target
            yield settings.max_db_connections, [p for p in self if (p.settings.database, p.settings.target) == place]
        if settings.max_user_connections > 0:
            yield settings.max_user_connections, [p for p in self if p.settings.user == settings.user]
