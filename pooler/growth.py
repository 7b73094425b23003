"""How a pool gets backends: for whom to log in, whether that may be, and what comes of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from heapq import merge
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from interceptor.errors import BACKEND_LOGIN, BACKEND_PROTOCOL, BackendError
from pooler.auth import BackendCredential
from pooler.backend import RETIRED, Backend, BackendState
from pooler.backoff import Backoff
from pooler.hosts import names
from pooler.login import LoggedIn, Welcome, log_in
from pooler.tasks import spawn
from pooler.waiting import Profile

if TYPE_CHECKING:
    from pooler.client import ClientConnection
    from pooler.pool import Pool

__all__ = ["Growth", "is_role_refused"]

logger = logging.getLogger(__name__)

_FINAL_REFUSALS: Final = frozenset({"08", "0A", "22", "28", "3D", "42"})
"""Classes of SQLSTATE with which a server refuses this very login, and would refuse it again. Others pass, such as
57P03 (starting up) and 53300 (too many connections)."""

MAX_WELCOMES: Final = 1000
"""Sets of startup parameters whose welcome is remembered, for one pool. Clients choose them, so there is a bound."""


class Growth:
    """Logins of one pool: those under way, what they have told, and why the last one failed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.logging_in: dict[object, Profile] = {}
        self.welcomes: dict[Profile, Welcome] = {}
        """What the server says at login to a session of each profile; the longest known first."""
        self.backoff = Backoff()
        self.refused: BackendCredential | None = None
        """What was refused by the last login, where the server said no to the role."""
        self.last_error: BackendError | None = None
        """Why the last login failed; None once one has succeeded."""
        self._outdated: set[object] = set()
        """Those of ``logging_in`` that are to be closed at once."""

    @property
    def is_resting(self) -> bool:
        """Whether no login is tried yet, because the last ones failed. Another password is tried at once."""
        pool = self._pool
        resting = pool.clock.now < self.backoff.until
        return resting and (self.refused is None or self.refused == pool.credential)

    def start_anew(self, *, moved: bool) -> None:
        """There are other settings. ``moved``: of another server, so nothing that is known holds."""
        self.backoff.reset()
        if moved:
            self.welcomes.clear()
            self.last_error = None

    def outdate(self) -> None:
        """Who logs in just now is to be closed at once."""
        self._outdated.update(self.logging_in)

    @property
    def has_outdated(self) -> bool:
        """Whether one of those still logs in."""
        return not self._outdated.isdisjoint(self.logging_in)

    def grow(self) -> None:
        """Log in as many backends as waiters need and limits allow."""
        pool = self._pool
        if pool.draining or self.is_resting:
            return
        # A login begins here, but nobody's wait ends: the generator meets the queues as they were.
        for profile in self._missing_profiles():
            if self.backoff.failures and self.logging_in:
                return  # one login shows whether the server is back
            if self.at_limit():
                if not pool.capacity.ask(pool):
                    self._evict_for(profile)
                return
            self._open(profile)

    def keep_minimum(self) -> None:
        """Log in one more backend where there are fewer than min_pool_size; or one, to see if the server is back."""
        pool = self._pool
        settings = pool.settings
        wanted = pool.capacity.minimum(pool) if settings.forced_user or pool.clients else 0
        if self.backoff.failures and pool.clients and not is_role_refused(self.last_error):
            wanted = max(wanted, 1)
        if pool.size < wanted and not self.logging_in and not pool.draining:
            if self.is_resting:
                return
            if self.at_limit():
                pool.capacity.ask_for_minimum(pool)
            else:
                self._open(next(reversed(self.welcomes), pool.profile(settings.parameters)))

    def _missing_profiles(self) -> Iterator[Profile]:
        """The profiles of those for whom no backend is on its way yet, in the order in which they wait.

        It looks at no more clients than there are backends on their way, and one for each profile that it yields.
        """
        pool = self._pool
        coming = list(self.logging_in.values())
        welcomes_coming = set(coming)
        coming += [
            backend.profile
            for state in (BackendState.TESTED, BackendState.RESET, BackendState.BEING_CANCELED)
            for backend in pool.backends[state]
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
        pool = self._pool
        waiting = pool.waiting
        for_backend = ((since, client, True) for client, since in waiting.for_backend.since.items())
        for_welcome = ((since, client, False) for since, client in waiting.for_welcome.first_of_each())
        return merge(for_backend, for_welcome, key=itemgetter(0))

    def at_limit(self) -> bool:
        """Whether no further backend may be had, by the pool's own limits or by those that it shares."""
        pool = self._pool
        settings = pool.settings
        allowed = settings.pool_size
        if settings.reserve_pool_size and settings.reserve_pool_timeout and pool.waiting.for_backend.since:
            oldest = next(iter(pool.waiting.for_backend.since.values()))
            if pool.clock.now - oldest >= settings.reserve_pool_timeout:
                allowed += settings.reserve_pool_size
        return pool.size >= allowed or not pool.capacity.may_open(pool)

    def _evict_for(self, profile: Profile) -> None:
        """Close an idle backend of another profile, unless one is closing. Its place is free when it is gone."""
        pool = self._pool
        if not pool.backends[BackendState.CLOSING]:
            victim = next((backend for backend in pool.idle if backend.profile is not profile), None)
            if victim is not None:
                victim.close()
            else:
                pool.capacity.make_room(pool)

    def _open(self, profile: Profile) -> None:
        pool = self._pool
        token = object()
        self.logging_in[token] = profile
        spawn(self._log_in(token, profile), name=f"login {pool}")

    async def _log_in(self, token: object, profile: Profile) -> None:
        pool = self._pool
        credential = pool.credential
        try:
            logged_in = await log_in(pool.settings, dict(profile.parameters), credential, pool.keys)
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
        pool = self._pool
        pool.stats.logins += 1
        self.last_error = self.refused = None
        self.backoff.reset()
        welcome = self.welcomes.get(profile)
        if welcome != logged_in.welcome:
            welcome = logged_in.welcome
        backend = Backend(pool, logged_in, profile)
        outdated = outdated or names.has_left(backend.address.host, backend.address.ip)
        pool.backends[backend.state][backend] = None
        logged_in.transport.set_protocol(backend)
        pool.capacity.on_connected(backend)
        if outdated:
            backend.expires_at = RETIRED
        self._remember_welcome(profile, welcome)
        newcomers = list(pool.waiting.for_welcome.by_profile.get(profile, ()))
        for client in newcomers:
            pool.forget(client)
        if pool.settings.connect_query:
            backend.run_housekeeping(pool.settings.connect_query, BackendState.TESTED, may_fail=True)
        else:
            pool.offer(backend)
        # The backend has its place by now: who is let in may have sent a statement already, and takes it at once.
        pool.capacity.on_welcome(pool, profile, welcome)
        for client in newcomers:
            client.on_welcome(welcome)

    def _remember_welcome(self, profile: Profile, welcome: Welcome) -> None:
        self.welcomes.pop(profile, None)
        self.welcomes[profile] = welcome
        if len(self.welcomes) > MAX_WELCOMES:
            del self.welcomes[next(iter(self.welcomes))]

    def _on_login_failed(self, profile: Profile, credential: BackendCredential | None, error: BackendError) -> None:
        """Those who are logging in hear of it at once, for they lose nothing. Those at work wait for better days,
        unless the server itself said no."""
        pool = self._pool
        pool.stats.login_failures += 1
        self.last_error = error
        logger.warning("login to %s failed: %s", pool, error)
        refused = error.failure is BACKEND_LOGIN and error.sqlstate[:2] in _FINAL_REFUSALS
        role_refused = is_role_refused(error)
        self.refused = credential if role_refused else None
        if role_refused or not refused:
            self.backoff.on_failed(pool.clock.tick(), pool.settings.server_login_retry)
        waiting = pool.waiting
        if role_refused and not pool.size:
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
            pool.forget(client)
            client.on_backend_failed(error)
        pool.on_place_free()


def is_role_refused(error: BackendError | None) -> bool:
    """Whether the server refuses the role or the database, whatever the startup parameters are."""
    return error is not None and error.failure is BACKEND_LOGIN and error.sqlstate[:2] in ("28", "3D")
