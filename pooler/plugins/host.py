"""The plugins of a server: loaded, started, told of sessions, replaced and stopped."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections import Counter
from collections.abc import Awaitable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from interceptor.errors import CONFIGURATION_CHANGED, ClientError
from interceptor.hooks.asyncio_waits import AsyncioWaits
from interceptor.hooks.decisions import Block
from interceptor.hooks.declare import Contribution
from interceptor.hooks.loading import PluginsRefused, load_plugins
from interceptor.hooks.plans import PlanTables
from interceptor.hooks.plugins import BrokenPlugin, PluginSet
from interceptor.hooks.statement import Session
from interceptor.hooks.transaction import Transaction
from interceptor.services import Backend as BackendInfo
from interceptor.services import ConsoleCommand, HttpRoute
from interceptor.session.lacking import nothing
from pooler.departure import Dismissal
from pooler.helpers import Catalogue, Catalogues
from pooler.plugins.analyst import Analyst
from pooler.plugins.flux import Flux
from pooler.plugins.long_sql import LongSql
from pooler.plugins.metrics import MetricsRegistry
from pooler.plugins.names import LoginNames, Names, reported_path
from pooler.plugins.services import PluginServices, ServiceHost
from pooler.plugins.shared import MakeCounters, SharedMemory
from pooler.plugins.targets import TargetRegistry
from pooler.queries import QueryStatistics
from pooler.tasks import Handle, spawn

if TYPE_CHECKING:
    from interceptor.hooks.sources import PluginSources
    from interceptor.protocol.startup import StartupMessage
    from pooler.backend import Backend
    from pooler.client import ClientConnection
    from pooler.config import PoolSettings
    from pooler.login import Welcome
    from pooler.server import Server

__all__ = ["PluginHost", "SessionRefused", "version_number"]

logger = logging.getLogger("interceptor.plugins")

_SESSION_HOOKS: Final = ("admit", "connection_opened", "connection_closed", "session_changed", "transaction_ended")
_LAST_TRANSACTION: Final = 60.0
"""Seconds that a client has for its transaction whom a new guard does not know."""
_TOUCH: Final = 60.0
"""Seconds between two notes to the catalogues that sessions use them: a plan that is found again asks nobody."""


_VERSION: Final = re.compile(rb"(\d+)(?:\.(\d+))?")  # 18.4 (Debian 18.4-1), 19devel, 18beta1


class SessionRefused(Exception):
    """A plugin refuses a session with this Block."""

    def __init__(self, block: Block) -> None:
        super().__init__(block.message)
        self.block = block


class PluginHost:
    """All that a server has to do with plugins. Without plugins it does nothing, and costs nothing."""

    def __init__(self, server: Server, make_counters: MakeCounters | None = None) -> None:
        """Load what the config names; what is broken is logged once. Raises ConfigError, and PluginsRefused where a
        plugin is broken without which the server must not run."""
        self._server = server
        self.waits: Final = AsyncioWaits()
        self.shared: Final = SharedMemory(make_counters)
        self.targets: Final = TargetRegistry(
            server.config,
            server.pools,
            server.backend_credential,
            self._on_targets_changed,
            self.shared.own("targets").state,
        )
        self.catalogues: Final = Catalogues(server.backend_credential, server.keys, find_slate=lambda: self.flux.slate)
        self.metrics: Final = MetricsRegistry()
        self._services: dict[str, PluginServices] = {}
        self._long_sql = LongSql()
        self.names: Final = LoginNames(server.keys, server.clock)
        self.flux: Final = Flux(self.catalogues, self._forget_plans)
        self._analyst = Analyst(self._catalogue_of, self._on_catalogue_changed, self._long_sql, self._is_in_flux)
        self._databases: Counter[str] = Counter()
        self._numbers = 0
        self._backends: dict[Backend, BackendInfo] = {}
        self._toucher: Handle | None = None
        self._started = False
        self.node_hooks = True
        """Whether what exists once per node is started in this process."""
        self.worker_hooks = True
        """Whether this process has clients."""
        self.tables: PlanTables | None = None
        self.has_sessions = False
        self.asks_names = False
        """Whether a plugin wants to know the role and the search_path of each session from its beginning."""
        self.query_statistics: QueryStatistics | None = None
        """Where the configuration asks for them."""
        self.plugins = PluginSet()
        self.console_commands: tuple[Contribution[ConsoleCommand], ...] = ()
        self.http_routes: tuple[Contribution[HttpRoute], ...] = ()
        """What plugins add to the console and to HTTP. Kept for when there is a console and an HTTP server."""
        self._use(self._load(server.config.plugins, None, self._services))

    def _load(
        self, sources: PluginSources, previous: PluginSet | None, services: dict[str, PluginServices]
    ) -> PluginSet:
        host = ServiceHost(
            config=self._server.config,
            keys=self._server.keys,
            find_credential=self._server.backend_credential,
            targets=self.targets,
            catalogues=self.catalogues,
            metrics=self.metrics,
            shared=self.shared,
        )

        def services_for(name: str) -> PluginServices:
            made = services[name] = PluginServices(name, host)
            return made

        most = self._server.config.server.query_statistics
        if not most:
            self.query_statistics = None
        elif self.query_statistics is None:
            self.query_statistics = QueryStatistics(most)
        else:
            self.query_statistics.most = most
        built_in = [] if self.query_statistics is None else [self.query_statistics.as_plugin]
        plugins = load_plugins(sources, services_for, previous, built_in)
        for broken in plugins.broken:
            logger.error("%s; the server runs without it", broken)
        return plugins

    def _use(self, plugins: PluginSet) -> None:
        """From now on these are the plugins."""
        self.plugins = plugins
        self.console_commands = plugins.console_commands()
        self.http_routes = plugins.http_routes()
        if self.tables is not None:
            self.tables.replace_plugins(plugins)
        elif plugins.wants_statements:
            self.tables = PlanTables(plugins, self._analyst, self.waits)
        self.has_sessions = self.tables is not None or any(plugins.implementations(hook) for hook in _SESSION_HOOKS)
        declared = {name for plugin in plugins.plugins for name in plugin.info.dependencies}
        self.asks_names = plugins.needs_catalogue or not declared.isdisjoint(("role", "search_path"))
        self._server.pools.watcher = self

    # --- Life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start what exists once per node and in each worker. Raises PluginsRefused, after which nothing runs."""
        self._started = True
        try:
            await self._start(self.plugins, self._services)
        except BaseException:
            await self.stop(1.0)
            raise
        if self.plugins.needs_catalogue:
            self._toucher = spawn(self._touch(), name="use of the catalogues")

    async def _start(self, plugins: PluginSet, services: dict[str, PluginServices]) -> None:
        for one in services.values():
            one.tasks.start()
        failed: list[BrokenPlugin] = []
        for hook in self._hooks("start"):
            failed += await plugins.run(hook, self.waits)
        if any(one.closed for one in failed):
            raise PluginsRefused(failed)

    def _hooks(self, what: str) -> list[str]:
        kinds = {"node": self.node_hooks, "worker": self.worker_hooks}
        return [f"{what}_{kind}" for kind, here in kinds.items() if here]

    async def stop(self, seconds: float) -> None:
        """End all of it, within about so many seconds. No client is left."""
        if self._toucher is not None:
            self._toucher.cancel()
        if self._started:
            self._started = False
            await self._stop(self.plugins, self._services, seconds)
        self._analyst.close()
        self.flux.close()
        await self.catalogues.close()
        await self._long_sql.close()

    async def _stop(self, plugins: PluginSet, services: dict[str, PluginServices], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                for hook in reversed(self._hooks("stop")):
                    await plugins.run(hook, self.waits)
        except TimeoutError:
            logger.warning("the plugins did not stop within %g s", seconds)
        for one in services.values():
            await one.close(1.0)

    async def reload(self, sources: PluginSources) -> None:
        """Replace the plugins by those of these sources, which are loaded and started before the old ones stop.

        What runs already goes on with the plans that it has. Clients that logged in while no plugin wanted to know of
        sessions stay unknown to the new ones; where one of these refuses statements or sessions, such clients are
        closed, each at the end of its transaction. Raises as the constructor and ``start``; then all is as it was.
        """
        services: dict[str, PluginServices] = {}
        try:
            plugins = self._load(sources, self.plugins, services)
            await self._start(plugins, services)
        except BaseException:
            for one in services.values():
                await one.close(1.0)
            raise
        old, old_services = self.plugins, self._services
        self._services = services
        self._use(plugins)
        if plugins.needs_catalogue and self._toucher is None:
            self._toucher = spawn(self._touch(), name="use of the catalogues")
        if plugins.implementations("guard") or plugins.implementations("admit"):
            self._dismiss_strangers()
        await self._stop(old, old_services, 5.0)

    def _dismiss_strangers(self) -> None:
        """What a session has become that nobody has followed can't be known, so no guard could judge it."""
        strangers = [one for one in self._server.clients if one.plugin_session is None and one.is_in]
        if strangers:
            logger.info("%d clients whom no plugin knows are closed at the end of their transactions", len(strangers))
            error = ClientError(
                CONFIGURATION_CHANGED,
                "a plugin decides about statements from now on, and has not seen this session from its beginning",
                hint="Connect again.",
            )
            Dismissal(strangers, error, _LAST_TRANSACTION)

    # --- Sessions ----------------------------------------------------------------------------------------------------

    def open_session(self, client: ClientConnection, welcome: Welcome) -> Session | Awaitable[Session]:
        """Make the session of a client that has proved who it is, and ask the plugins whether it may go on.

        Raises SessionRefused. The caller lets the client in, or leaves it out, and calls ``close_session`` when it is
        gone; until this has returned there is nothing to close.
        """
        if self.asks_names:
            names = self.names.known(client.pool, client.profile)
            if names is None:
                return self._open_later(client, welcome)
            return self._admit(client, self._make(client, welcome, names))
        return self._admit(client, self._make(client, welcome, None))

    async def _open_later(self, client: ClientConnection, welcome: Welcome) -> Session:
        session = self._make(client, welcome, await self.names.ask(client.pool, client.profile))
        admitted = self._admit(client, session)
        return admitted if isinstance(admitted, Session) else await admitted

    def _make(self, client: ClientConnection, welcome: Welcome, names: Names | None) -> Session:
        settings = client.settings
        assert client.login is not None
        self._numbers += 1
        session = Session(
            id=self._numbers,
            database=settings.database,
            user=settings.client_user,
            transaction=Transaction(tracked=self.plugins.tracks_transactions),
            backend_user=settings.user,
            client_address=sys.intern(client.address),
            tls=client.encrypted,
            certificate_subject="" if client.certificate is None else client.certificate.subject,
            startup=_shared(tuple(client.login.parameters.items())),
        )
        session.reads_alike = welcome.reported.standard_lexing
        session.settings = nothing()
        session.search_path = reported_path(welcome)
        if names is not None:
            session.role = names.role
            session.search_path = names.search_path if session.search_path is None else session.search_path
        return session

    async def admit_relay(self, client: ClientConnection, settings: PoolSettings, startup: StartupMessage) -> None:
        """Ask the plugins whether a replication client may go on, whose statements and commands none of them will see.

        Raises SessionRefused.
        """
        if not self.plugins.implementations("admit"):
            return
        self._numbers += 1
        session = Session(
            id=self._numbers,
            database=settings.database,
            user=settings.client_user,
            transaction=Transaction(tracked=False),
            backend_user=settings.user,
            client_address=sys.intern(client.address),
            tls=client.encrypted,
            certificate_subject="" if client.certificate is None else client.certificate.subject,
            startup=_shared(tuple(startup.parameters.items())),
        )
        answer = self.plugins.admit(session, self.waits)
        refusal = answer if answer is None or isinstance(answer, Block) else await answer
        if refusal is not None:
            raise SessionRefused(refusal)

    def _admit(self, client: ClientConnection, session: Session) -> Session | Awaitable[Session]:
        answer = self.plugins.admit(session, self.waits)
        if answer is None or isinstance(answer, Block):
            return self._admitted(client, session, answer)
        return self._admit_later(client, session, answer)

    async def _admit_later(
        self, client: ClientConnection, session: Session, answer: Awaitable[Block | None]
    ) -> Session:
        return self._admitted(client, session, await answer)

    def _admitted(self, client: ClientConnection, session: Session, refusal: Block | None) -> Session:
        if refusal is not None:
            raise SessionRefused(refusal)
        client.plugin_session, client.admitted_at = session, self._server.clock.now
        self._databases[session.database] += 1
        self.plugins.notify("connection_opened", session)
        return session

    def close_session(self, client: ClientConnection) -> None:
        """The client is gone. Without effect where it has no session, or its session is closed already."""
        session, client.plugin_session = client.plugin_session, None
        if session is None:
            return
        self._databases[session.database] -= 1
        if not self._databases[session.database]:
            del self._databases[session.database]
        self.plugins.notify("connection_closed", session, self._server.clock.tick() - client.admitted_at)

    # --- Backends (``BackendWatcher``) -------------------------------------------------------------------------------

    def on_backend_connected(self, backend: Backend) -> None:
        """As ``BackendWatcher``."""
        if not (self.plugins.implementations("backend_connected") or self.plugins.implementations("backend_closed")):
            return
        settings = backend.pool.settings
        version = version_number(backend.session.reported.values.get(b"server_version", b""))
        told = BackendInfo(settings.database, settings.user, settings.target, backend.process_id, version)
        self._backends[backend] = told
        self.plugins.notify("backend_connected", told)

    def on_backend_lost(self, backend: Backend) -> None:
        """As ``BackendWatcher``."""
        told = self._backends.pop(backend, None)
        if told is not None:
            self.plugins.notify("backend_closed", told)

    # --- Catalogues --------------------------------------------------------------------------------------------------

    def on_ddl(self, database: str) -> None:
        """A change of the schema was committed in a database."""
        settings = next((one.helper.settings for one in self.catalogues if one.database == database), None)
        if settings is not None:
            self.flux.on_defined(settings)

    def _is_in_flux(self, session: Session) -> bool:
        flux = self.flux
        return bool(flux) and self._server.config.pool_settings(session.database, session.user) in flux

    def _forget_plans(self, database: str) -> None:
        if self.tables is not None:
            self.tables.invalidate(database)

    def _catalogue_of(self, session: Session) -> Catalogue | None:
        server = self._server
        # Perhaps something was waited for since the statement came.
        server.catch_up()
        settings = server.config.pool_settings(session.database, session.user)
        pool = server.pools.find(settings.pool_key)
        return self.catalogues.get(settings, None if pool is None else pool.credential)

    def _on_catalogue_changed(self, database: str, version: int) -> None:
        self._forget_plans(database)
        self.plugins.notify("catalogue_changed", database, version)

    async def _touch(self) -> None:
        while True:
            await asyncio.sleep(_TOUCH)
            self.catalogues.drop_unused()
            for one in self.catalogues:
                if one.database in self._databases:
                    one.catalogue.touch()

    def _on_targets_changed(self, database: str) -> None:
        self.plugins.notify("targets_changed", database)


@lru_cache(maxsize=1000)
def _shared(parameters: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """The same mapping for all clients that say the same at login, as those of one program do."""
    return MappingProxyType(dict(parameters))


def version_number(text: bytes) -> int:
    """``server_version`` as a number: 180004 for "18.4 (Debian 18.4-1)"; 0 where there is none to be read."""
    found = _VERSION.match(text)
    return int(found[1]) * 10_000 + int(found[2] or 0) if found else 0
