"""A pool: the backends of one role on one database, and the clients that wait for one.

Every decision here is synchronous; what takes time (logging in, a query of our own) comes back as a call.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from heapq import merge
from math import inf
from operator import itemgetter
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakValueDictionary

from interceptor.errors import BACKEND_LOGIN, BACKEND_PROTOCOL, TOO_MANY_PINNED, BackendError, ClientError
from interceptor.session import BackendSession
from interceptor.sql.effects import Effect
from pooler.auth import BackendCredential, KeyCache
from pooler.backend import RETIRED, Backend, BackendState
from pooler.backoff import Backoff
from pooler.cancel import cancel_backend
from pooler.clock import Clock
from pooler.config import PoolSettings
from pooler.config.pool_settings import PRIMARY
from pooler.hosts import names
from pooler.login import LoggedIn, Welcome, log_in
from pooler.pool_counts import PoolStats, PoolTimes
from pooler.tasks import spawn
from pooler.waiting import Waiting

if TYPE_CHECKING:
    from pooler.client import ClientConnection

logger = logging.getLogger(__name__)

PROFILE_PATIENCE = 0.05
"""Seconds that a client may be overtaken by others whose startup parameters fit a free backend, before a backend is
logged in anew for it. Without it, a full pool that serves two kinds of clients would log in for every transaction."""

_FINAL_REFUSALS: Final = frozenset({"08", "0A", "22", "28", "3D", "42"})
"""Classes of SQLSTATE with which a server refuses this very login, and would refuse it again. Others pass, such as
57P03 (starting up) and 53300 (too many connections)."""

MAX_WELCOMES = 1000
"""Sets of startup parameters whose welcome is remembered, for one pool. Clients choose them, so there is a bound."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Profile:
    """The startup parameters of a session, beside user and database; one object for each set (``Pool.profile``).

    A backend serves only clients of its own profile, so that RESET and pg_settings tell a client exactly what they
    would tell it on a connection of its own.
    """

    parameters: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Pinned:
    """Why a client keeps its backend beyond a transaction, and since when (seconds of the clock)."""

    since: float
    reasons: frozenset[Effect]


class Capacity(Protocol):
    """The limits that several pools share."""

    def may_open(self, pool: Pool) -> bool:
        """Whether one more backend of this pool is within the limits of its database and its role."""

    def ask(self, pool: Pool) -> bool:
        """Ask other processes for room for this pool's waiters. True if they may have some: then ``grow`` is called."""

    def ask_for_minimum(self, pool: Pool) -> None:
        """Ask other processes for room for one backend that nobody waits for."""

    def minimum(self, pool: Pool) -> int:
        """This process's share of min_pool_size."""

    def make_room(self, pool: Pool) -> None:
        """If a limit that pools share is what holds this one up: close an idle backend of another one.

        Where none is idle and this pool has no backend at all, the largest closes the next one that comes back.
        """

    def known_welcome(self, pool: Pool, profile: Profile) -> Welcome | None:
        """What another process knows of what the server says at login."""

    def on_welcome(self, pool: Pool, profile: Profile, welcome: Welcome) -> None:
        """This is what the server says at login."""

    def on_connected(self, backend: Backend) -> None:
        """A backend has logged in."""

    def on_lost(self, backend: Backend) -> None:
        """A backend that had logged in is gone."""

    def on_freed(self, pool: Pool) -> None:
        """A backend of this pool is gone: pools that share its limits may open one."""

    def on_settled(self, pool: Pool) -> None:
        """This pool has opened what it wants to: what it leaves may go to another process."""


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
        self.logging_in: dict[object, Profile] = {}
        self.waiting = Waiting()
        self._waiting_for_backend = self.waiting.for_backend.since
        self._waiting_for_welcome = self.waiting.for_welcome.since
        self.clients: set[ClientConnection] = set()
        self.profiles: WeakValueDictionary[tuple[tuple[str, str], ...], Profile] = WeakValueDictionary()
        self.welcomes: dict[Profile, Welcome] = {}
        """What the server says at login to a session of each profile; the longest known first."""
        self.pinned: dict[ClientConnection, Pinned] = {}
        """The clients that keep their backends, the longest pinned first."""
        self.custom_names: set[str] = set()
        """Names of custom settings that clients have set, for each may be set in ways that no text tells."""
        self.credential: BackendCredential | None = None
        """What logs in, where the connection string names no user: what the last client's login gave."""
        self.backoff = Backoff()
        self.refused: BackendCredential | None = None
        """What was refused by the last login, where the server said no to the role."""
        self.last_error: BackendError | None = None
        """Why the last login failed; None once one has succeeded."""
        self.draining = False
        self.successor: Callable[[ClientConnection], BackendSession | None] | None = None
        """The configuration has no such pool any more: this gets a client a backend elsewhere, as ``acquire`` does."""
        self._outdated: set[object] = set()
        """Those of ``logging_in`` that are to be closed at once."""
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
        return len(self.logging_in) + sum(map(len, self.backends.values()))

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
            if self.last_error is not None and _is_role_refused(self.unreachable):
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
        welcome = self.welcomes.get(client.profile)
        if welcome is None:
            welcome = self.capacity.known_welcome(self, client.profile)
        if welcome is None:
            self.waiting.for_welcome.add(client, self.clock.tick())
            self.grow()
        return welcome

    def forget(self, client: ClientConnection) -> None:
        """The client waits no longer."""
        self.waiting.discard(client)

    def on_pins_changed(self, client: ClientConnection, reasons: frozenset[Effect]) -> None:
        """A client keeps its backend for these reasons, or, if there are none, no longer than its transaction.

        Raises ClientError if as many do already as may.
        """
        if not reasons:
            self.pinned.pop(client, None)
            return
        if client in self.pinned:
            self.pinned[client].reasons = reasons
            return
        limit = self.settings.max_pinned
        if limit and len(self.pinned) >= limit:
            raise ClientError(
                TOO_MANY_PINNED,
                f"{describe_pins(reasons)}, so this client would have to keep its backend, and {limit} clients of "
                f"the pool {self} do so already (max_pinned is {limit})",
                hint='Raise max_pinned and pool_size, use pool_mode = "session" for this user, or do without.',
            )
        self.pinned[client] = Pinned(self.clock.tick(), reasons)
        logger.info("%s keeps its backend: %s", client, describe_pins(reasons))

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
            self._offer(backend)
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
            self._offer(backend)

    def on_cancel_ended(self, backend: Backend, *, certain: bool) -> None:
        """The server has dealt with a cancel request for this backend; or not ``certain``: it may still do so."""
        if not certain:
            # Good for its present client, whom the request was meant for, and for nobody else.
            backend.expires_at = 0.0
        if backend.state is BackendState.BEING_CANCELED and not backend.cancels:
            self._offer(backend)

    @property
    def unreachable(self) -> BackendError | None:
        """Why no backend can be had at present; None where one can, or where that is not known."""
        return self.last_error if self.is_resting and not self.size else None

    @property
    def is_resting(self) -> bool:
        """Whether no login is tried yet, because the last ones failed. Another password is tried at once."""
        resting = self.clock.now < self.backoff.until
        return resting and (self.refused is None or self.refused == self.credential)

    def on_backend_lost(self, backend: Backend, exc: Exception | None) -> None:
        """The connection is gone, by whoever's wish: its place is free."""
        client = backend.client
        session = backend.session
        backend.unlink()
        del self.backends[backend.state][backend]
        backend.state = BackendState.GONE
        self.stats.add_session(session)
        if client is not None:
            client.on_backend_failed(backend.lost_error(exc), told=session.said_why or session.streaming > 0)
        self.capacity.on_lost(backend)
        self._on_place_free()

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
        self.backoff.reset()
        if moved:
            self.welcomes.clear()
            self.last_error = None
            self.retire()
            return
        surplus = self.size - settings.pool_size - settings.reserve_pool_size
        for backend in [*self.idle, *self.active][: max(0, surplus)]:
            backend.retire()

    def retire(self) -> None:
        """Close every backend that is here or on its way as soon as nobody uses it; new ones take their places."""
        self._outdated.update(self.logging_in)
        for backends in self.backends.values():
            for backend in list(backends):
                backend.retire()

    @property
    def is_retiring(self) -> bool:
        """Whether there is still a backend that ``retire`` has found."""
        here = (backend for backends in self.backends.values() for backend in backends)
        return not self._outdated.isdisjoint(self.logging_in) or any(backend.close_needed for backend in here)

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

    def _offer(self, backend: Backend) -> None:
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
        coming = oldest.profile in self.logging_in.values() or bool(self.backends[BackendState.CLOSING])
        return not coming and self._at_limit()

    # --- Growing ---------------------------------------------------------------------------------------------------

    def grow(self) -> None:
        """Log in as many backends as waiters need and limits allow."""
        if self.draining or self.is_resting:
            return
        # A login begins here, but nobody's wait ends: the generator meets the queues as they were.
        for profile in self._missing_profiles():
            if self.backoff.failures and self.logging_in:
                return  # one login shows whether the server is back
            if self._at_limit():
                if not self.capacity.ask(self):
                    self._evict_for(profile)
                return
            self._open(profile)

    def keep_minimum(self) -> None:
        """Log in one more backend where there are fewer than min_pool_size; or one, to see if the server is back."""
        settings = self.settings
        wanted = self.capacity.minimum(self) if settings.forced_user or self.clients else 0
        if self.backoff.failures and self.clients and not _is_role_refused(self.last_error):
            wanted = max(wanted, 1)
        if self.size < wanted and not self.logging_in and not self.draining:
            if self.is_resting:
                return
            if self._at_limit():
                self.capacity.ask_for_minimum(self)
            else:
                self._open(next(reversed(self.welcomes), self.profile(settings.parameters)))

    def _missing_profiles(self) -> Iterator[Profile]:
        """The profiles of those for whom no backend is on its way yet, in the order in which they wait.

        It looks at no more clients than there are backends on their way, and one for each profile that it yields.
        """
        coming = list(self.logging_in.values())
        welcomes_coming = set(coming)
        coming += [
            backend.profile
            for state in (BackendState.TESTED, BackendState.RESET, BackendState.BEING_CANCELED)
            for backend in self.backends[state]
        ]
        for _, client, needs_backend in self._in_order():
            profile = client.profile
            if needs_backend and profile in coming:
                coming.remove(profile)
            elif needs_backend or profile not in welcomes_coming:
                welcomes_coming.add(profile)
                yield profile

    def _in_order(self) -> Iterator[tuple[float, ClientConnection, bool]]:
        """Who waits, the longest first: since when, and whether for a backend or for the welcome of its profile.

        One welcome does for all of a profile, so only the first of them is named.
        """
        waiting = self.waiting
        for_backend = ((since, client, True) for client, since in waiting.for_backend.since.items())
        for_welcome = ((since, client, False) for since, client in waiting.for_welcome.first_of_each())
        return merge(for_backend, for_welcome, key=itemgetter(0))

    def _at_limit(self) -> bool:
        settings = self.settings
        allowed = settings.pool_size
        if settings.reserve_pool_size and settings.reserve_pool_timeout and self._waiting_for_backend:
            oldest = next(iter(self._waiting_for_backend.values()))
            if self.clock.now - oldest >= settings.reserve_pool_timeout:
                allowed += settings.reserve_pool_size
        return self.size >= allowed or not self.capacity.may_open(self)

    def _evict_for(self, profile: Profile) -> None:
        """Close an idle backend of another profile, unless one is closing. Its place is free when it is gone."""
        if not self.backends[BackendState.CLOSING]:
            victim = next((backend for backend in self.idle if backend.profile is not profile), None)
            if victim is not None:
                victim.close()
            else:
                self.capacity.make_room(self)

    def _open(self, profile: Profile) -> None:
        token = object()
        self.logging_in[token] = profile
        spawn(self._log_in(token, profile), name=f"login {self}")

    async def _log_in(self, token: object, profile: Profile) -> None:
        credential = self.credential
        try:
            logged_in = await log_in(self.settings, dict(profile.parameters), credential, self.keys)
        except BackendError as error:
            del self.logging_in[token]
            self._on_login_failed(profile, credential, error)
            return
        except Exception as error:
            # A bug of ours: those who wait are told all the same, and the task's end tells the log.
            del self.logging_in[token]
            broken = BackendError(BACKEND_PROTOCOL, f"the login to the server broke: {error!r}")
            self._on_login_failed(profile, credential, broken)
            raise
        except BaseException:
            self.logging_in.pop(token, None)
            raise
        del self.logging_in[token]
        outdated = token in self._outdated
        self._outdated.discard(token)
        self._on_logged_in(logged_in, profile, outdated=outdated)

    def _on_logged_in(self, logged_in: LoggedIn, profile: Profile, *, outdated: bool) -> None:
        self.stats.logins += 1
        self.last_error = self.refused = None
        self.backoff.reset()
        welcome = self.welcomes.get(profile)
        if welcome != logged_in.welcome:
            welcome = logged_in.welcome
        backend = Backend(self, logged_in, profile)
        outdated = outdated or names.has_left(backend.address.host, backend.address.ip)
        self.backends[backend.state][backend] = None
        logged_in.transport.set_protocol(backend)
        self.capacity.on_connected(backend)
        if outdated:
            backend.expires_at = RETIRED
        self._remember_welcome(profile, welcome)
        if self.settings.connect_query:
            backend.run_housekeeping(self.settings.connect_query, BackendState.TESTED, may_fail=True)
        else:
            self._offer(backend)

    def _remember_welcome(self, profile: Profile, welcome: Welcome) -> None:
        self.capacity.on_welcome(self, profile, welcome)
        self.welcomes.pop(profile, None)
        self.welcomes[profile] = welcome
        if len(self.welcomes) > MAX_WELCOMES:
            del self.welcomes[next(iter(self.welcomes))]
        for client in list(self.waiting.for_welcome.by_profile.get(profile, ())):
            self.forget(client)
            client.on_welcome(welcome)

    def _on_login_failed(self, profile: Profile, credential: BackendCredential | None, error: BackendError) -> None:
        """Those who are logging in hear of it at once, for they lose nothing. Those at work wait for better days,
        unless the server itself said no."""
        self.stats.login_failures += 1
        self.last_error = error
        logger.warning("login to %s failed: %s", self, error)
        refused = error.failure is BACKEND_LOGIN and error.sqlstate[:2] in _FINAL_REFUSALS
        role_refused = _is_role_refused(error)
        self.refused = credential if role_refused else None
        if role_refused or not refused:
            self.backoff.on_failed(self.clock.tick(), self.settings.server_login_retry)
        waiting = self.waiting
        if role_refused and not self.size:
            affected = [*waiting.for_welcome.since, *waiting.for_backend.since]
        elif refused:
            affected = [
                *waiting.for_welcome.by_profile.get(profile, ()),
                *waiting.for_backend.by_profile.get(profile, ()),
            ]
        else:
            affected = list(waiting.for_welcome.since)
            affected += [client for client in waiting.for_backend.since if client.session.may_go_elsewhere]
        for client in affected:
            self.forget(client)
            client.on_backend_failed(error)
        self._on_place_free()

    def _on_place_free(self) -> None:
        self.capacity.on_freed(self)
        self.grow()
        self.capacity.on_settled(self)


def _is_role_refused(error: BackendError | None) -> bool:
    """Whether the server refuses the role or the database, whatever the startup parameters are."""
    return error is not None and error.failure is BACKEND_LOGIN and error.sqlstate[:2] in ("28", "3D")


def describe_pins(reasons: frozenset[Effect]) -> str:
    """The reasons in words, in an order that does not change: "it holds …, and it has …"."""
    return ", and ".join([effect.value for effect in Effect if effect in reasons])
