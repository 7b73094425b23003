"""The servers of each database, as plugins see them, and the pool for each."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from interceptor.errors import ROUTE_REFUSED, ClientError
from interceptor.services import SharedState, Target
from pooler.auth import BackendCredential
from pooler.config import Config, DatabaseSettings, PoolSettings, Upstream
from pooler.config.pool_settings import PRIMARY, settings_of_target, target_names
from pooler.pool import Pool
from pooler.registry import Registry

__all__ = ["TargetRegistry"]

logger = logging.getLogger(__name__)

_SMOOTHING: Final = 0.1
"""Weight of the latest query in a moving average."""


FindCredential = Callable[[PoolSettings, BackendCredential | None], BackendCredential | None]


@dataclass(slots=True)
class _State:
    """What is known of one target."""

    available: bool = True
    reason: str = ""
    seconds: float = 0.0
    busy: float = 0.0
    """Seconds of work that ``seconds`` takes into account, as its pools had counted them then,"""
    queries: int = 0
    """and the queries of that work,"""
    transactions: int = 0
    """and the transactions that had ended by then."""

    def measure(self, pools: Iterable[Pool]) -> None:
        """Take into account what these pools have counted since."""
        busy, queries, transactions = 0.0, 0, 0
        for pool in pools:
            totals = pool.totals()
            busy += totals.transaction_seconds - totals.rest_seconds
            queries += totals.queries
            transactions += totals.transactions
        fresh, ended = queries - self.queries, transactions - self.transactions
        if fresh >= 0 and ended == 0:
            # Time is counted when a transaction ends.
            return
        if fresh > 0 and ended > 0 and busy >= self.busy:
            mean = (busy - self.busy) / fresh
            weight = 1 - (1 - _SMOOTHING) ** fresh if self.seconds else 1.0
            self.seconds += weight * (mean - self.seconds)
        # Else a pool is gone, with what it had counted.
        self.busy, self.queries, self.transactions = busy, queries, transactions


class TargetRegistry:
    """Implements ``Targets``."""

    def __init__(
        self,
        config: Config,
        pools: Registry,
        find_credential: FindCredential,
        on_changed: Callable[[str], None],
        shared: SharedState,
    ) -> None:
        """``find_credential``: as ``Server.backend_credential``. ``on_changed`` is called with the name of a database
        when something about its targets is different."""
        self._config = config
        self._pools = pools
        self._find_credential = find_credential
        self._on_changed = on_changed
        self._states: dict[tuple[str, str], _State] = {}
        self._primaries: dict[str, str] = {}
        self._logged: set[tuple[str, str]] = set()
        self._shared = shared
        shared.on_change(self._on_shared)

    # --- Targets -----------------------------------------------------------------------------------------------------

    def of(self, database: str) -> Sequence[Target]:
        """As ``Targets.of``."""
        found = self._database(database)
        primary = self.primary_of(database)
        servers = (found.primary, *found.replicas)
        targets = [
            self._target(database, name, server, name == primary)
            for name, server in zip(target_names(found), servers, strict=True)
        ]
        return sorted(targets, key=lambda target: not target.is_primary)

    def set_available(self, database: str, target: str, available: bool, reason: str = "") -> None:
        """As ``Targets.set_available``. Raises LookupError for an unknown database or target."""
        self._state(database, target)
        self._share("available", database, target, [available, reason])

    def _on_available(self, database: str, target: str, available: bool, reason: str) -> None:
        state = self._states.setdefault((database, target), _State())
        changed = state.available is not available
        state.available, state.reason = available, reason
        if changed:
            told = "available again" if available else "not available"
            logger.warning("%s of database %s is %s%s", target, database, told, f": {reason}" if reason else "")
            self._on_changed(database)

    def set_primary(self, database: str, target: str) -> None:
        """As ``Targets.set_primary``, for clients that log in from now on. Raises LookupError as above."""
        self._state(database, target)
        self._share("primary", database, "", target)

    def _on_primary(self, database: str, target: str) -> None:
        if self.primary_of(database) != target:
            self._primaries[database] = target
            logger.warning("%s is the primary of database %s now", target, database)
            self._on_changed(database)

    def databases(self) -> Sequence[str]:
        """As ``Targets.databases``: those of the configuration, and those that clients named under ``*``."""
        named = dict.fromkeys(name for name in self._config.databases if name != "*")
        return tuple(named | dict.fromkeys(pool.settings.database for pool in self._pools))

    def use_config(self, config: Config) -> None:
        """From now on this is the configuration. What was said of targets goes on to hold."""
        self._config = config

    # --- What the processes of a node tell each other ----------------------------------------------------------------

    def _share(self, what: str, *values: object) -> None:
        *names, value = values
        self._shared.set(json.dumps([what, *names]), json.dumps(value).encode())

    def _on_shared(self, key: str) -> None:
        """Something was said about a target, here or in another process."""
        what, database, target = json.loads(key)
        value = json.loads(self._shared.get(key) or b"")
        if what == "primary":
            self._on_primary(database, value)
        else:
            self._on_available(database, target, *value)

    # --- For the server ----------------------------------------------------------------------------------------------

    def primary_of(self, database: str) -> str:
        """The target that takes what is not routed."""
        return self._primaries.get(database, PRIMARY)

    def settings_of_primary(self, settings: PoolSettings) -> PoolSettings:
        """The settings of the target that takes what is not routed, where a plugin has said that it is another."""
        name = self._primaries.get(settings.database)
        return settings if name is None else self.settings_for(settings, name)

    def pool_for(self, settings: PoolSettings, target: str) -> Pool:
        """The pool of a target for a login, whose settings are given. Raises ClientError, which is not fatal."""
        if target == PRIMARY:
            target = self.primary_of(settings.database)
        state = self._states.get((settings.database, target))
        if state is not None and not state.available:
            why = f": {state.reason}" if state.reason else ""
            raise self._refused(settings.database, target, f"the target {target} is marked as not available{why}")
        pool = self._pools.find((settings.database, settings.user, target))
        if pool is None:
            try:
                pool = self._pools.get(self.settings_for(settings, target))
            except LookupError:
                names = ", ".join(target_names(self._database(settings.database)))
                raise self._refused(
                    settings.database, target, f'database "{settings.database}" has no target "{target}", only {names}'
                ) from None
        own = self._pools.find((settings.database, settings.user, self.primary_of(settings.database)))
        if own is not None and own is not pool:
            # A client waits here with the profile that it has there, and profiles are told apart by identity.
            pool.profiles = own.profiles
            if pool.credential is None or not settings.forced_user:
                pool.credential = self._find_credential(pool.settings, own.credential)
        return pool

    def _refused(self, database: str, target: str, message: str) -> ClientError:
        if (database, target) not in self._logged:
            self._logged.add((database, target))
            logger.error("a plugin routes to where nothing can be sent: %s", message)
        hint = "A plugin chose this target; the targets of a database are its primary and its replicas, in their order."
        return ClientError(ROUTE_REFUSED, message, hint=hint, fatal=False)

    def _database(self, database: str) -> DatabaseSettings:
        found = self._config.find_database(database)
        if found is None:
            raise LookupError(f'there is no database "{database}"')
        return found

    def settings_for(self, settings: PoolSettings, target: str) -> PoolSettings:
        """The settings of a target, from those of another. Raises LookupError for an unknown one."""
        database = self._database(settings.database)
        if target not in target_names(database):
            raise LookupError(f'database "{settings.database}" has no target "{target}"')
        if target == PRIMARY and settings.target != PRIMARY:
            return self._config.pool_settings(settings.database, settings.client_user)
        return settings_of_target(settings, database, target)

    def _state(self, database: str, target: str) -> _State:
        if target not in target_names(self._database(database)):
            raise LookupError(f'database "{database}" has no target "{target}"')
        return self._states.setdefault((database, target), _State())

    def _target(self, database: str, name: str, server: Upstream, is_primary: bool) -> Target:
        state = self._states.setdefault((database, name), _State())
        pools = [one for one in self._pools if one.settings.database == database and one.settings.target == name]
        outstanding = sum(len(backend.session.owed) for pool in pools for backend in pool.active)
        state.measure(pools)
        host = ",".join(place.host for place in server.hosts)
        return Target(name, database, host, server.port, is_primary, state.available, outstanding, state.seconds)
