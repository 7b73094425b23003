"""A pool: the backends of one role on one database, and the clients that wait for one.

Every decision here is synchronous; what takes time (logging in, a query of our own) comes back as a call.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from interceptor.errors import BackendError
from interceptor.session import BackendSession
from pooler.auth import BackendCredential, KeyCache
from pooler.backend import Backend, BackendState
from pooler.cancel import cancel_backend
from pooler.capacity import Capacity
from pooler.clock import Clock
from pooler.config import PoolSettings
from pooler.config.pool_settings import PRIMARY
from pooler.growth import Growth, is_role_refused
from pooler.login import Welcome
from pooler.pins import Pinned
from pooler.pool_counts import PoolStats, PoolTimes
from pooler.waiting import Profile, Waiting

if TYPE_CHECKING:
    from pooler.client import ClientConnection

logger = logging.getLogger(__name__)

PROFILE_PATIENCE = 0.05
"""Seconds that a client may be overtaken by others whose startup parameters fit a free backend, before a backend is
logged in anew for it. Without it, a full pool that serves two kinds of clients would log in for every transaction."""


class Pool:
    """Backends by state, and waiters in order. A count is a ``len()``."""

    def __init__(self, settings: PoolSettings, clock: Clock, keys: KeyCache, capacity: Capacity) -> None:
        self.settings = settings
        self.clock = clock
        self.keys = keys
        self.capacity = capacity
        self.stats = PoolStats()
        self.times: PoolTimes | None = None
        """How long things take; None where nobody asks."""
        self.errors: Counter[str] = Counter()
        """Errors that its backends have told clients of, by SQLSTATE."""
        self.backends: dict[BackendState, dict[Backend, None]] = {
            state: {} for state in BackendState if state is not BackendState.GONE
        }
        self.idle = self.backends[BackendState.IDLE]
        self.active = self.backends[BackendState.ACTIVE]
        self.growth = Growth(self)
        self.waiting = Waiting()
        self._waiting_for_backend = self.waiting.for_backend.since
        self._waiting_for_welcome = self.waiting.for_welcome.since
        self.clients: set[ClientConnection] = set()
        self.profiles: WeakValueDictionary[tuple[tuple[str, str], ...], Profile] = WeakValueDictionary()
        self.pinned: dict[ClientConnection, Pinned] = {}
        """The clients that keep their backends, the longest pinned first."""
        self.custom_names: set[str] = set()
        """Names of custom settings that clients have set, for each may be set in ways that no text tells."""
        self.credential: BackendCredential | None = None
        """What logs in, where the connection string names no user: what the last client's login gave."""
        self.draining = False
        self.successor: Callable[[ClientConnection], BackendSession | None] | None = None
        """The configuration has no such pool any more: this gets a client a backend elsewhere, as ``acquire`` does."""
        self.owes_place = False
        """Another pool waits for the next backend that comes back to be closed."""

        self._read_settings()

    def _read_settings(self) -> None:
        """Keep the settings in the form in which the hot path asks for them."""
        settings = self.settings
        self._lifo = not settings.server_round_robin
        self._check_delay = inf if settings.server_check_query is None else settings.server_check_delay
        self._always_reset = settings.server_reset_query_always and bool(settings.server_reset_query)

    def __str__(self) -> str:
        settings = self.settings
        where = "" if settings.target == PRIMARY else f" on {settings.target}"
        return f"{settings.database}/{settings.user}{where}"

    def log_fields(self) -> Mapping[str, str | int]:
        """As ``LogSubject``."""
        settings = self.settings
        return {"database": settings.database, "user": settings.user, "target": settings.target}

    @property
    def size(self) -> int:
        """Connections that count for the limits, from the start of their login until the server has hung up."""
        return len(self.growth.logging_in) + sum(map(len, self.backends.values()))

    def totals(self) -> PoolStats:
        """What has happened so far, by backends that are gone and by those that are here."""
        totals = replace(self.stats)
        for backends in self.backends.values():
            for backend in backends:
                totals.add_session(backend.session)
        return totals

    def profile(self, parameters: tuple[tuple[str, str], ...]) -> Profile:
        """The profile with these startup parameters."""
        profile = self.profiles.get(parameters)
        if profile is None:
            profile = self.profiles[parameters] = Profile(parameters)
        return profile

    def move(self, backend: Backend, state: BackendState) -> None:
        """The one door between the states of a backend."""
        del self.backends[backend.state][backend]
        self.backends[state][backend] = None
        backend.state = state

    # --- Clients ---------------------------------------------------------------------------------------------------

    def acquire(self, client: ClientConnection) -> BackendSession | None:
        """A backend for this client, linked to it; or None, and the client waits until it is called."""
        idle = self.idle
        if idle and self._lifo:
            backend = next(reversed(idle))
            if backend.profile is client.profile and self.clock.now - backend.since < self._check_delay:
                # ``move`` without its generality: this runs once for every transaction, and so does ``release``.
                del idle[backend]
                self.active[backend] = None
                backend.state = BackendState.ACTIVE
                return backend.link(client)
        return self._acquire_other(client)

    def _acquire_other(self, client: ClientConnection) -> BackendSession | None:
        if self.successor is not None:
            return self.successor(client)
        backend = self._take_idle(client.profile)
        if backend is not None:
            return self._assign(backend, client)
        self.waiting.for_backend.add(client, self.clock.tick())
        if len(self.active) < self.settings.pool_size:
            self.grow()
            if self.growth.last_error is not None and is_role_refused(self.unreachable):
                asyncio.get_running_loop().call_soon(self._refuse_waiting)
        return None

    def _refuse_waiting(self) -> None:
        error = self.unreachable
        if error is not None:
            for client in list(self.waiting.for_backend.since):
                self.forget(client)
                client.on_backend_failed(error)

    def await_welcome(self, client: ClientConnection) -> Welcome | None:
        """What the server says at login to a session of this client's profile; or None, and the client waits for it.

        Raises BackendError at once where the server could not be reached a moment ago: a new client loses nothing.
        """
        if self.unreachable is not None:
            raise self.unreachable
        welcome = self.growth.welcomes.get(client.profile)
        if welcome is None:
            welcome = self.capacity.known_welcome(self, client.profile)
        if welcome is None:
            self.waiting.for_welcome.add(client, self.clock.tick())
            self.grow()
        return welcome

    def forget(self, client: ClientConnection) -> None:
        """The client waits no longer."""
        self.waiting.discard(client)

    def release(self, backend: Backend) -> None:
        """A backend is free, and nobody is linked to it."""
        now = monotonic()
        self.stats.transaction_seconds += now - backend.began_at
        if self.times is not None or backend.rest_seconds:
            backend.note_times(now)
        session = backend.session
        if session.partial or session.streaming:
            # It has begun to say something that nobody asked for.
            backend.close()
        elif backend.cancels:
            self.move(backend, BackendState.BEING_CANCELED)
        elif self._always_reset:
            backend.run_housekeeping(self.settings.server_reset_query, BackendState.RESET)
        elif self._waiting_for_backend or self._waiting_for_welcome or self.draining or now >= backend.expires_at:
            self.offer(backend)
        else:
            del self.active[backend]
            self.idle[backend] = None
            backend.state = BackendState.IDLE
            backend.since = now

    def on_backend_ready(self, backend: Backend) -> None:
        """A login, a reset, a test or a cancel request has ended well: the backend can be used."""
        if backend.cancels:
            self.move(backend, BackendState.BEING_CANCELED)
        else:
            self.offer(backend)

    def on_cancel_ended(self, backend: Backend, *, certain: bool) -> None:
        """The server has dealt with a cancel request for this backend; or not ``certain``: it may still do so."""
        if not certain:
            # Good for its present client, whom the request was meant for, and for nobody else.
            backend.expires_at = 0.0
        if backend.state is BackendState.BEING_CANCELED and not backend.cancels:
            self.offer(backend)

    @property
    def unreachable(self) -> BackendError | None:
        """Why no backend can be had at present; None where one can, or where that is not known."""
        return self.growth.last_error if self.growth.is_resting and not self.size else None

    def on_backend_lost(self, backend: Backend, exc: Exception | None) -> None:
        """The connection is gone, by whoever's wish: its place is free."""
        client = backend.client
        session = backend.session
        backend.unlink()
        del self.backends[backend.state][backend]
        backend.state = BackendState.GONE
        self.stats.add_session(session)
        if client is not None and client.session.finishing and session.uncounted:
            # It was sent the client's own Terminate.
            client.on_finished()
        elif client is not None:
            client.on_backend_failed(backend.lost_error(exc), told=session.said_why or session.streaming > 0)
        self.capacity.on_lost(backend)
        self.on_place_free()

    def abandon(self, backend: Backend) -> None:
        """The client of this backend is gone. What it left behind is reset where that is certain, else closed."""
        settings = self.settings
        client = backend.client
        assert client is not None
        backend.began_at = monotonic()
        backend.rest_seconds = 0.0
        belongings = client.session.belongings
        usable = backend.session.reusable and not client.session.streaming and belongings.doubt is None
        clean = usable and not belongings.pins
        backend.unlink()
        if not usable:
            if backend.session.owed:
                cancel_backend(backend)
            backend.close()
        elif clean and client.holds_session and settings.server_reset_query:
            backend.run_housekeeping(settings.server_reset_query, BackendState.RESET)
        elif clean:
            if client.holds_session:
                backend.session.on_reset(everything=False)
            self.release(backend)
        else:
            # Pinned in transaction mode, for a reason that a reset need not undo.
            backend.close()

    def close(self) -> None:
        """Close every backend, for good; whoever waits is told by the caller."""
        self.draining = True
        for backends in self.backends.values():
            for backend in list(backends):
                backend.close()

    # --- What commands do ------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Give nobody a backend any more, and close those that nobody has; the others as they come back."""
        self.draining = True
        for backend in list(self.idle):
            backend.close()

    def let_go(self) -> None:
        """Undo ``hold``."""
        self.draining = False
        self.grow()

    def reconfigure(self, settings: PoolSettings, *, moved: bool) -> None:
        """Go on with other settings. ``moved``: connections to the server are made in another way, so each that is
        here is closed as soon as nobody uses it; else those that are too many."""
        self.settings = settings
        self._read_settings()
        self.growth.start_anew(moved=moved)
        if moved:
            self.retire()
            return
        surplus = self.size - settings.pool_size - settings.reserve_pool_size
        for backend in [*self.idle, *self.active][: max(0, surplus)]:
            backend.retire()

    def retire(self) -> None:
        """Close every backend that is here or on its way as soon as nobody uses it; new ones take their places."""
        self.growth.outdate()
        for backends in self.backends.values():
            for backend in list(backends):
                backend.retire()

    @property
    def is_retiring(self) -> bool:
        """Whether there is still a backend that ``retire`` has found."""
        here = (backend for backends in self.backends.values() for backend in backends)
        return self.growth.has_outdated or any(backend.close_needed for backend in here)

    # --- Which backend for whom --------------------------------------------------------------------------------------

    def _assign(self, backend: Backend, client: ClientConnection) -> BackendSession:
        if backend.state is not BackendState.ACTIVE:
            self.move(backend, BackendState.ACTIVE)
        return backend.link(client)

    def _take_idle(self, profile: Profile) -> Backend | None:
        """An idle backend that fits and needs no test; the one used last (or longest ago, with server_round_robin)."""
        idle = self.idle
        if not idle or self.draining:
            return None
        round_robin = self.settings.server_round_robin
        for backend in idle if round_robin else reversed(idle):
            if backend.profile is profile:
                if self.clock.now - backend.since >= self._check_delay:
                    query = self.settings.server_check_query
                    assert query is not None
                    backend.run_housekeeping(query, BackendState.TESTED)
                    return None
                return backend
        return None

    def offer(self, backend: Backend) -> None:
        """Give a usable backend to the oldest waiter that it fits, or let it rest."""
        if self.draining or ((backend.used or backend.close_needed) and self.clock.now >= backend.expires_at):
            backend.close()
            return
        if self.owes_place:
            self.owes_place = False
            backend.close()
            return
        queue = self.waiting.for_backend
        waiter = queue.first_of(backend.profile)
        # Where all wait for the same, nobody is overtaken.
        alike = waiter is not None and len(queue.by_profile) == 1 and not self._waiting_for_welcome
        if not alike and self._is_needed_elsewhere(backend, waiter):
            backend.close()
        elif waiter is not None:
            waited = self.clock.tick() - queue.since[waiter]
            self.stats.wait_seconds += waited
            if self.times is not None:
                self.times.waits.observe(waited)
            queue.discard(waiter)
            waiter.on_backend_linked(self._assign(backend, waiter))
        else:
            self.move(backend, BackendState.IDLE)
            backend.since = self.clock.now

    def _is_needed_elsewhere(self, backend: Backend, waiter: ClientConnection | None) -> bool:
        """Whether somebody has waited long enough for a backend of another profile that this one makes room for it."""
        first = self.waiting.first()
        if first is None:
            return False
        since, oldest = first
        if oldest is waiter or oldest.profile is backend.profile:
            return False
        if waiter is not None and self.clock.tick() - since < PROFILE_PATIENCE:
            return False
        coming = oldest.profile in self.growth.logging_in.values() or bool(self.backends[BackendState.CLOSING])
        return not coming and self.growth.at_limit()

    def on_place_free(self) -> None:
        """One backend fewer: others may open one, or this pool."""
        self.capacity.on_freed(self)
        self.growth.grow()
        self.capacity.on_settled(self)

    def grow(self) -> None:
        """Log in as many backends as waiters need and limits allow."""
        self.growth.grow()
