"""The one timer: everything that happens because time has passed.

Ten times a second it sets the clock and looks at what may be over time; so time-outs are right to within a tick, and
no query pays for a timer of its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from interceptor.errors import (
    CLIENT_IDLE_TIMEOUT,
    IDLE_TRANSACTION_TIMEOUT,
    LOGIN_TIMEOUT,
    PIN_TIMEOUT,
    QUERY_TIMEOUT,
    QUERY_WAIT_TIMEOUT,
    TRANSACTION_TIMEOUT,
    ClientError,
    Failure,
)
from pooler.backend import BackendState
from pooler.hosts.draining import look_after_hosts
from pooler.judges import USE_INTERVAL
from pooler.metrics.counting import Histogram
from pooler.pins import describe_pins
from pooler.pool import Pool

if TYPE_CHECKING:
    from pooler.client import ClientConnection
    from pooler.server import Server

TICK: Final = 0.1
"""Seconds."""

CLOSE_TIMEOUT: Final = 10.0
"""Seconds that a peer has after our goodbye: a server for hanging up (a query that can't be canceled goes on beyond
it), a client for taking the last of what it was sent. Then the connection is cut."""

_SWEEPS_PER_USE_CHECK: Final = round(USE_INTERVAL)
_TICKS_PER_SWEEP: Final = 10
"""What may be over time by minutes or hours is looked at once a second."""


class Janitor:
    """Applies all time-outs of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.lag = Histogram()
        """How late the timer was."""

    def start(self) -> None:
        """Begin to tick."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + TICK
        self._timer = loop.call_at(self._due, self._on_tick)

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _on_tick(self) -> None:
        self.lag.observe(max(0.0, asyncio.get_running_loop().time() - self._due))
        self.start()
        self.tick()

    def tick(self) -> None:
        """Look at everything once."""
        now = self._server.clock.tick()
        self._ticks += 1
        sweep = self._ticks % _TICKS_PER_SWEEP == 0
        self._check_logins(now)
        self._check_leaving(now)
        for pool in list(self._server.pools):
            # Asked here, for there may be thousands of pools, and most of them rest.
            if pool.waiting.for_backend or pool.waiting.for_welcome:
                self._check_waiting(pool, now)
            if pool.active:
                self._check_active(pool, now)
            self._check_pinned(pool, now)
            if sweep:
                self._check_resting(pool, now)
                pool.growth.keep_minimum()
                look_after_hosts(pool)
                if pool.successor is not None:
                    self._server.reloader.look_after(pool)
        if sweep:
            self._server.pools.drop_unused(self._server.config.databases)
            self._server.hubs.look_around()
            self._server.statistics.tick(now)
            self._check_idle_clients(now)
        if self._ticks % (_TICKS_PER_SWEEP * _SWEEPS_PER_USE_CHECK) == 0:
            self._check_databases(now)

    def _check_databases(self, now: float) -> None:
        """Keep the catalogues of those that are used."""
        clients = [client for client in self._server.clients if client.login is None]
        self._server.judges.keep(
            connected={client.settings.database for client in clients},
            active={
                client.settings.database
                for client in clients
                if client.backend is not None or now - client.active_at < USE_INTERVAL + TICK
            },
        )

    # --- Clients ---------------------------------------------------------------------------------------------------

    def _check_logins(self, now: float) -> None:
        timeout = self._server.config.server.client_login_timeout
        while timeout and self._server.logins:
            client = next(iter(self._server.logins))
            if now - client.connected_at < timeout:
                return
            del self._server.logins[client]
            _end(client, LOGIN_TIMEOUT, f"the login took longer than client_login_timeout ({timeout:g} s)")

    def _check_leaving(self, now: float) -> None:
        for client, since in list(self._server.leaving.items()):
            if now - since < CLOSE_TIMEOUT:
                return
            client.transport.abort()

    def _check_waiting(self, pool: Pool, now: float) -> None:
        for queue in (pool.waiting.for_backend, pool.waiting.for_welcome):
            for client, since in list(queue.since.items()):
                timeout = client.settings.query_wait_timeout
                if timeout and now - since >= timeout:
                    _end(
                        client,
                        QUERY_WAIT_TIMEOUT,
                        f"no backend was free within query_wait_timeout ({timeout:g} s)",
                        detail=_why_wait(pool),
                        hint="Raise pool_size, or look for clients that keep a transaction open.",
                    )
        pool.grow()

    def _check_idle_clients(self, now: float) -> None:
        if not self._server.has_client_idle_timeout:
            return
        for client in list(self._server.clients):
            if not client.is_idle:
                continue
            timeout = client.settings.client_idle_timeout
            backend = client.backend
            since = client.active_at if backend is None else max(client.active_at, backend.watched_since)
            if timeout and now - since >= timeout:
                _end(client, CLIENT_IDLE_TIMEOUT, f"idle for longer than client_idle_timeout ({timeout:g} s)")

    # --- Backends --------------------------------------------------------------------------------------------------

    def _check_active(self, pool: Pool, now: float) -> None:
        """Whether a query runs, or a transaction rests, is told by comparing with the last look."""
        for backend in list(pool.active):
            client = backend.client
            if client is None:
                continue
            settings = client.settings
            session = backend.session
            seen = (session.queries, bool(session.owed))
            if seen != backend.watched:
                backend.watched = seen
                backend.watched_since = now
            elapsed = now - backend.watched_since
            last_heard = max(backend.watched_since, client.active_at)
            in_transaction = not session.reusable
            if not in_transaction or session.transactions != backend.watched_transactions:
                backend.watched_transactions = session.transactions
                backend.transaction_since = now
            if seen[1] and 0 < settings.query_timeout <= elapsed:
                _end(client, QUERY_TIMEOUT, f"the query ran longer than query_timeout ({settings.query_timeout:g} s)")
            elif not seen[1] and in_transaction and 0 < settings.idle_transaction_timeout <= now - last_heard:
                timeout = settings.idle_transaction_timeout
                _end(
                    client,
                    IDLE_TRANSACTION_TIMEOUT,
                    f"idle in a transaction for longer than idle_transaction_timeout ({timeout:g} s)",
                )
            elif in_transaction and 0 < settings.transaction_timeout <= now - backend.transaction_since:
                timeout = settings.transaction_timeout
                text = f"the transaction took longer than transaction_timeout ({timeout:g} s)"
                _end(client, TRANSACTION_TIMEOUT, text)

    def _check_pinned(self, pool: Pool, now: float) -> None:
        for client, pinned in list(pool.pinned.items()):
            timeout = client.settings.pin_timeout
            backend = client.backend
            if not timeout or backend is None or not client.is_idle:
                continue
            if now - max(pinned.since, client.active_at, backend.watched_since) >= timeout:
                _end(
                    client,
                    PIN_TIMEOUT,
                    f"{describe_pins(pinned.reasons)}, and so this client kept its backend with nothing to do for "
                    f"longer than pin_timeout ({timeout:g} s)",
                    hint='Raise pin_timeout, use pool_mode = "session" for this user, or do without.',
                )

    def _check_resting(self, pool: Pool, now: float) -> None:
        settings = pool.settings
        spare = pool.size - pool.capacity.minimum(pool)
        for backend in list(pool.idle):
            too_old = backend.used and now >= backend.expires_at
            too_idle = 0 < settings.server_idle_timeout <= now - backend.since and spare > 0
            if too_old or too_idle:
                backend.close()
                spare -= 1
        for state in (BackendState.TESTED, BackendState.RESET):
            for backend in list(pool.backends[state]):
                if 0 < settings.server_connect_timeout <= now - backend.since:
                    backend.close()
        for backend in list(pool.backends[BackendState.CLOSING]):
            if now - backend.since >= CLOSE_TIMEOUT:
                backend.transport.abort()


def _why_wait(pool: Pool) -> str:
    if pool.growth.last_error:
        return f"The last login to the server failed: {pool.growth.last_error}"
    if not pool.pinned:
        return ""
    counts = Counter([describe_pins(pinned.reasons) for pinned in pool.pinned.values()])
    reasons = "; ".join([f"{count} because {reason}" for reason, count in counts.most_common(3)])
    return f"{len(pool.pinned)} of {pool.size} backends are kept by one client each, for example {reasons}."


def _end(client: ClientConnection, failure: Failure, message: str, *, detail: str = "", hint: str = "") -> None:
    client.on_failed(ClientError(failure, message, detail=detail, hint=hint))
