"""The worker's side of permits: what its pools may open, and what it asks for and gives back."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pooler.backend import Backend, BackendState
from pooler.processes.messages import (
    Ask,
    Busy,
    Calm,
    Closed,
    Full,
    Grant,
    Held,
    Key,
    Message,
    Opened,
    Release,
    Return,
)

if TYPE_CHECKING:
    from pooler.capacity import Capacity
    from pooler.login import Welcome
    from pooler.pool import Pool
    from pooler.processes.welcomes import SharedWelcomes
    from pooler.registry import Registry
    from pooler.waiting import Profile

__all__ = ["Account", "Permits"]

logger = logging.getLogger(__name__)

REST: Final = 0.2
"""Seconds of the pool's clock that a backend has been idle before it is given up for another worker. That clock is
late by up to a tenth of a second, so the real time is at least a tenth."""

Send = Callable[[Message, int], None]
"""Sends a message with a descriptor, or -1, to the control. Without effect while there is none."""


@dataclass(slots=True)
class Account:
    """The permits of one pool in this worker."""

    held: int = 0
    asked: int = 0
    """How many more the control knows to be wanted."""
    full: bool = False
    """The control said that there is none just now."""
    owes: bool = False
    """The next connection that ends is given back at once."""


class Permits:
    """Implements ``Capacity`` for the pools of a worker."""

    def __init__(self, registry: Registry, send: Send, slot: int, workers: int, welcomes: SharedWelcomes) -> None:
        self._welcomes = welcomes
        welcomes.listen(self._on_welcome_known)
        self._registry = registry
        self._send = send
        self._slot = slot
        self._workers = workers
        self._accounts: dict[Key, Account] = {}
        self._numbers: dict[Backend, int] = {}
        self._last_number = 0
        self.leaving = False
        """Another node takes the clients from now on: nothing is kept ready for more."""

    def account(self, key: Key) -> Account:
        """The permits of a pool."""
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account()
        return account

    # --- Capacity ----------------------------------------------------------------------------------------------------

    def may_open(self, pool: Pool) -> bool:
        return pool.size < self.account(pool.settings.pool_key).held

    def ask(self, pool: Pool) -> bool:
        account = self.account(pool.settings.pool_key)
        if pool.size < account.held:
            return False
        if not account.asked:
            account.full = False
            self._ask(pool, account)
        return not account.full

    def ask_for_minimum(self, pool: Pool) -> None:
        key = pool.settings.pool_key
        if pool.size >= self.account(key).held:
            self._send(Ask(key, 1, 0, 0.0, reserve=False, floor=True), -1)

    def minimum(self, pool: Pool) -> int:
        """The shares of all workers add up to min_pool_size; who has the odd one differs from pool to pool."""
        wanted = pool.settings.min_pool_size
        if self.leaving:
            return 0
        turn = (self._slot + zlib.crc32(repr(pool.settings.pool_key).encode())) % self._workers
        return wanted // self._workers + (turn < wanted % self._workers)

    def make_room(self, pool: Pool) -> None:
        """The control does, since it was asked."""

    def known_welcome(self, pool: Pool, profile: Profile) -> Welcome | None:
        return self._welcomes.get(pool, profile)

    def on_welcome(self, pool: Pool, profile: Profile, welcome: Welcome) -> None:
        self._welcomes.put(pool, profile, welcome)

    def _on_welcome_known(self, key: Key) -> None:
        """Who waits for a backend only to learn this needs none. All may be in use by those who wait for its login."""
        pool = self._registry.find(key)
        if pool is None:
            return
        for profile, clients in list(pool.waiting.for_welcome.by_profile.items()):
            welcome = self._welcomes.get(pool, profile)
            if welcome is not None:
                for client in list(clients):
                    pool.forget(client)
                    client.on_welcome(welcome)

    def on_connected(self, backend: Backend) -> None:
        self._registry.on_connected(backend)
        self._report(backend)

    def on_lost(self, backend: Backend) -> None:
        self._registry.on_lost(backend)
        number = self._numbers.pop(backend, 0)
        self._send(Closed(number, backend.ended), -1)
        if not backend.ended:
            # The control has the socket too, and returns the permit when the server lets go.
            self.account(backend.pool.settings.pool_key).held -= 1

    def on_freed(self, pool: Pool) -> None:
        self._registry.wake()
        key = pool.settings.pool_key
        account = self.account(key)
        if account.owes and pool.size < account.held:
            self._give_back(key, account, 1)
        account.owes = pool.owes_place = False

    def on_settled(self, pool: Pool) -> None:
        key = pool.settings.pool_key
        account = self.account(key)
        spare = account.held - pool.size
        if spare > 0:
            self._give_back(key, account, spare)

    # --- What the control says ---------------------------------------------------------------------------------------

    def on_grant(self, grant: Grant) -> None:
        """More may be opened."""
        account = self.account(grant.key)
        account.held += grant.count
        account.asked = max(0, account.asked - grant.count)
        account.full = False
        pool = self._registry.find(grant.key)
        if pool is None:
            self._give_back(grant.key, account, grant.count)
        else:
            pool.grow()
            pool.growth.keep_minimum()
            self.on_settled(pool)
        if not account.asked:
            # What was asked while the grant was on its way is in the control's books. It would stand there for good, as
            # what has waited longest, and who really waits would come after it.
            self._send(Calm(grant.key), -1)

    def on_full(self, full: Full) -> None:
        """No more may be opened for now: a backend of other clients' parameters may make room."""
        self.account(full.key).full = True
        pool = self._registry.find(full.key)
        if pool is not None:
            pool.grow()

    def on_release(self, release: Release) -> None:
        """Another worker's client waits."""
        account = self.account(release.key)
        pool = self._registry.find(release.key)
        if pool is None or not pool.size:
            if account.held:
                self._give_back(release.key, account, account.held)
            else:
                self._send(Busy(release.key), -1)
            return
        now = pool.clock.tick()
        victim = min(pool.idle, key=lambda backend: backend.since, default=None)
        if victim is not None and (not release.idle_only or now - victim.since >= REST):
            account.owes = True
            victim.close()
        elif pool.backends[BackendState.CLOSING]:
            account.owes = True
        elif release.idle_only:
            self._send(Busy(release.key), -1)
        else:
            account.owes = pool.owes_place = True

    # --- Time and reconnection ---------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Tell the control how things stand where clients wait; some times a second."""
        for key, account in list(self._accounts.items()):
            pool = self._registry.find(key)
            if pool is None:
                if not account.held and not account.asked:
                    del self._accounts[key]
                continue
            if account.asked:
                if pool.waiting.first() is None:
                    account.asked = 0
                    self._send(Calm(key), -1)
                else:
                    self._ask(pool, account)
            if pool.owes_place and pool.idle:
                pool.owes_place = False
                next(iter(pool.idle)).close()

    def held(self) -> list[Held]:
        """What a new control has to know."""
        return [Held(key, account.held) for key, account in self._accounts.items() if account.held]

    def report_all(self) -> None:
        """Tell a new control of every backend, and what is wanted."""
        for backend in self._numbers:
            self._report(backend)
        for account in self._accounts.values():
            account.asked, account.full, account.owes = 0, False, False
        for pool in list(self._registry):
            pool.owes_place = False
            if pool.waiting.first() is not None:
                pool.grow()

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _ask(self, pool: Pool, account: Account) -> None:
        first = pool.waiting.first()
        if first is None:
            return
        waiting = pool.waiting
        count = len(waiting.for_backend) + len(waiting.for_welcome.by_profile)
        settings = pool.settings
        busy = len(pool.active)
        account.asked = max(1, min(count - (pool.size - busy), settings.pool_size - account.held))
        timeout = settings.reserve_pool_timeout
        reserve = bool(settings.reserve_pool_size and timeout and time.monotonic() - first[0] >= timeout)
        self._send(Ask(settings.pool_key, account.asked, count + busy, first[0], reserve, floor=False), -1)

    def _give_back(self, key: Key, account: Account, count: int) -> None:
        account.held -= count
        self._send(Return(key, count), -1)

    def _report(self, backend: Backend) -> None:
        number = self._numbers.get(backend)
        if number is None:
            self._last_number += 1
            number = self._numbers[backend] = self._last_number
        sock = backend.transport.get_extra_info("socket")
        address = backend.address
        fd = -1 if sock is None else sock.fileno()
        key = backend.pool.settings.pool_key
        encrypted = address.tls is not None
        process_id, secret = backend.process_id, backend.secret
        opened = Opened(key, number, address.host, address.port, process_id, secret, encrypted, address.ip)
        self._send(opened, fd)


if TYPE_CHECKING:

    def _capacity(permits: Permits) -> Capacity:
        return permits
