"""The services of one plugin: ``interceptor.services.Services``, as this server has them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pooler.auth import BackendCredential, KeyCache
from pooler.config import Config, PoolSettings
from pooler.helpers import Catalogue, Catalogues, Helper, HelperSettings
from pooler.plugins.metrics import MetricsRegistry, PluginMetrics
from pooler.plugins.replication import PluginReplication
from pooler.plugins.shared import PluginShared, SharedMemory
from pooler.plugins.targets import FindCredential, TargetRegistry
from pooler.plugins.tasks import PluginTasks

if TYPE_CHECKING:
    from interceptor.services import Services

__all__ = ["PluginServices", "ServiceHost"]


@dataclass(frozen=True, slots=True)
class ServiceHost:
    """What the services of all plugins rest on."""

    config: Config
    keys: KeyCache
    find_credential: FindCredential
    targets: TargetRegistry
    catalogues: Catalogues
    metrics: MetricsRegistry
    shared: SharedMemory

    def login_of(self, database: str, target: str = "primary") -> PoolSettings:
        """As whom, and where, the proxy itself asks a database. Raises LookupError if there is none, with the reason.

        ``catalogue_user`` if the database has one, else the user of its connection string.
        """
        found = self.config.find_database(database)
        if found is None:
            raise LookupError(f'there is no database "{database}"')
        user = found.catalogue_user or found.primary.user
        if user is None:
            raise LookupError(
                f'the proxy has no login of its own for the database "{database}": '
                "name a user in its connection string, or a catalogue_user"
            )
        settings = self.config.pool_settings(database, user)
        if user != settings.user or not settings.forced_user:
            settings = replace(settings, user=user, password=None, forced_user=True)
        return self.targets.settings_for(settings, target)


class PluginServices:
    """Implements ``Services``. Made anew when its plugin is; ``close`` ends what the plugin began."""

    def __init__(self, name: str, host: ServiceHost) -> None:
        self._name: Final = name
        self._host = host
        self._tasks = PluginTasks(name)
        self._metrics = host.metrics.of(name)
        self._shared = host.shared.of(name)
        self._replication = PluginReplication(name, self._find_login, host.keys)
        self._log = logging.getLogger(f"interceptor.plugins.{name}")
        self._helpers: dict[tuple[str, str, str | None], Helper] = {}

    # --- Services ----------------------------------------------------------------------------------------------------

    def queries(self, database: str, *, target: str = "primary", role: str | None = None) -> Helper:
        """As ``Services.queries``. LookupError also where the proxy has no login of its own for the database."""
        key = (database, target, role)
        helper = self._helpers.get(key)
        if helper is None:
            settings = self._host.login_of(database, target)
            if role is not None:
                # PostgreSQL takes it at login as it would SET ROLE, and refuses the login where it would refuse that.
                settings = replace(settings, parameters=(*settings.parameters, ("role", role)))
            helper = self._helpers[key] = Helper(
                settings,
                _credential_of(settings, self._host.find_credential),
                self._host.keys,
                HelperSettings(application_name=f"interceptor {self._name}", read_only=False),
            )
        return helper

    @property
    def replication(self) -> PluginReplication:
        """As ``Services.replication``."""
        return self._replication

    @property
    def shared(self) -> PluginShared:
        """As ``Services.shared``."""
        return self._shared

    @property
    def tasks(self) -> PluginTasks:
        """As ``Services.tasks``."""
        return self._tasks

    @property
    def metrics(self) -> PluginMetrics:
        """As ``Services.metrics``."""
        return self._metrics

    @property
    def targets(self) -> TargetRegistry:
        """As ``Services.targets``."""
        return self._host.targets

    def catalogue(self, database: str) -> Catalogue:
        """As ``Services.catalogue``. LookupError also as in ``queries``."""
        return self._host.catalogues.get(self._host.login_of(database))

    @property
    def log(self) -> logging.Logger:
        """As ``Services.log``."""
        return self._log

    def _find_login(self, database: str) -> tuple[PoolSettings, BackendCredential | None]:
        settings = self._host.login_of(database)
        return settings, self._host.find_credential(settings, None)

    # --- For the server ----------------------------------------------------------------------------------------------

    @property
    def helpers(self) -> Sequence[Helper]:
        """Its connections of its own."""
        return tuple(self._helpers.values())

    async def close(self, seconds: float) -> None:
        """Cancel its work, for which that has so many seconds, and close its connections."""
        await self._tasks.close(seconds)
        await self._replication.close()
        for helper in self._helpers.values():
            await helper.close()


def _credential_of(settings: PoolSettings, find: FindCredential) -> Callable[[], BackendCredential | None]:
    return lambda: find(settings, None)


if TYPE_CHECKING:

    def _services(services: PluginServices) -> Services:
        return services
