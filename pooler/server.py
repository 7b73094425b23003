"""The server: what all its connections share, from the first socket to the last."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from interceptor.errors import ClientError
from interceptor.protocol.startup import StartupMessage
from interceptor.session.prepared import PreparedRegistry
from interceptor.sql.analysis import StatementCache
from pooler.access import Access, AccessFiles
from pooler.auth import (
    BackendCredential,
    KeyCache,
)
from pooler.auth_query import AuthQuery
from pooler.client import ClientConnection
from pooler.clock import Clock
from pooler.config import ANY_DATABASE, Config, PoolSettings, load_config
from pooler.console.connection import ConsoleConnection
from pooler.departure import Departure, goodbye
from pooler.janitor import Janitor
from pooler.judges import Judges
from pooler.listening import Listening, OwnListening
from pooler.metrics.pools import NamedPools
from pooler.node import LocalNode, Node
from pooler.notifications import Boards, Hubs
from pooler.plugins import PluginHost
from pooler.plugins.shared import MakeCounters
from pooler.pool import Pool
from pooler.registry import Registry
from pooler.relay import Relay
from pooler.reload import Reloader
from pooler.role_lookup import RoleLookup
from pooler.statistics import Statistics
from pooler.tasks import cancel_all, spawn
from pooler.tls import Turns

if TYPE_CHECKING:
    from interceptor.hooks.plans import PlanTables
    from interceptor.hooks.plugins import PluginSet
    from interceptor.hooks.sources import PluginSources
    from interceptor.hooks.statement import Session
    from interceptor.hooks.waits import Waits
    from pooler.login import Welcome
    from pooler.plugins.targets import TargetRegistry
    from pooler.processes.slate import Slate

logger = logging.getLogger(__name__)

STOP_TIMEOUT = 5.0
"""Seconds that backends have to hang up when the server stops."""


class Others(Protocol):
    """The other processes of the node, for a server that is one of several."""

    @property
    def clients(self) -> int:
        """Clients of all processes, this one's included."""

    def on_clients_changed(self, count: int) -> None:
        """This process has so many now."""

    def make_process_id(self) -> int:
        """A number by which a client may ask any of the processes to cancel; perhaps one that is taken here."""

    async def settle(self) -> None:
        """Return when whatever other processes were in the midst of is over, and they know what is defined here.

        Raises ClientError if one of them does not move.
        """

    def cancel(self, process_id: int, secret: bytes, on_done: Callable[[], None]) -> None:
        """Have the process cancel that has this client, and call ``on_done``."""


class Server:
    """One process's worth of clients and backends."""

    def __init__(self, config: Config, make_counters: MakeCounters | None = None) -> None:
        """Reads the user file and loads the plugins. Raises ConfigError, and PluginsRefused for a plugin that must not
        be missing. ``make_counters``: of those that plugins share with other processes."""
        self.config = config
        self.clock = Clock()
        self.keys = KeyCache()
        self.statements = StatementCache()
        self.prepared = PreparedRegistry()
        self.pools = Registry(self.clock, self.keys)
        self.pools.keeps_times = config.server.admin_listen is not None
        self.named_pools = NamedPools()
        """Those with labels of their own in metrics."""
        self.janitor = Janitor(self)
        self.clients: set[ClientConnection] = set()
        self.logins: dict[ClientConnection, None] = {}
        """Clients that are not in yet, the oldest first."""
        self.leaving: dict[ClientConnection, float] = {}
        """Clients that have yet to take the last of what they were sent, and since when; the longest first."""
        self.relays: set[Relay] = set()
        self.consoles: set[ConsoleConnection] = set()
        self.node: Node = LocalNode(self)
        """All processes that serve this address, for the console."""
        self.statistics = Statistics(self)
        self.errors: Counter[str] = Counter()
        """Errors of our own with which connections have ended, by SQLSTATE."""
        self.started_at = time.time()
        self.shutting_down = False
        """SHUTDOWN has been said on the console."""
        self.on_shutdown: Callable[[], None] | None = None
        """Ends what serves the address: this process, or all of the node."""
        self.on_closed: Callable[[], None] | None = None
        """Told when nobody is to be let in any more, for those who have copies of the listening sockets."""
        self.on_emptied: Callable[[], None] | None = None
        """Told when nobody is here any more for whom SHUTDOWN waits."""
        self._by_process_id: dict[int, ClientConnection] = {}
        self.listening: Listening = OwnListening(config.server)
        self.others: Others | None = None
        """The other processes of the node; None where there are none."""
        self.access = Access(config, self.keys, self.clock.tick)
        self.auth_query = AuthQuery(config, self.access.backend_credential, self.keys)
        self.roles = RoleLookup(self.auth_query, self.pools)
        self.strangers: dict[ClientConnection, None] = {}
        """Connections that have not said yet who they are, the oldest first."""
        self.handshakes = Turns()
        self.host = PluginHost(self, make_counters)
        self.slate: Slate | None = None
        """What other processes write down of what they define; whoever judges has to have looked at it."""
        self.judges = Judges(self.host.catalogues)
        self.hubs = Hubs(self)
        self.boards = Boards(config, self.hubs.get)
        self.reloader = Reloader(self)
        self.has_client_idle_timeout = config.server.client_idle_timeout > 0 or any(
            user.client_idle_timeout for user in config.users.values()
        )

    # --- Life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the plugins, and listen. Raises OSError where an address can't be had, and PluginsRefused; then nothing
        listens and no plugin runs."""
        await self.host.start()
        try:
            await self.listening.start(self._accept)
        except BaseException:
            await self.host.stop(STOP_TIMEOUT)
            raise
        for name, database in self.config.databases.items():
            if database.primary.user is not None and name != ANY_DATABASE:
                pool_settings = self.config.pool_settings(name, database.primary.user)
                if pool_settings.min_pool_size:
                    self.pools.get(pool_settings)
        self.janitor.start()

    def _accept(self) -> ClientConnection:
        return ClientConnection(self)

    @property
    def clients_of_node(self) -> int:
        """Clients of all processes."""
        return len(self.clients) - len(self.strangers) if self.others is None else self.others.clients

    @property
    def port(self) -> int:
        """The TCP port that is listened on; of interest where the configuration says 0."""
        return self.listening.port

    def depart(self) -> Departure:
        """Take no more clients, and close each that is here at the end of its transaction. ``stop`` tells the rest."""
        self.listening.stop()
        return Departure(self)

    async def stop(self) -> None:
        """Take no more clients, tell those that are here, and close every backend."""
        self.listening.stop()
        self.janitor.stop()
        for client in list(self.clients):
            client.on_failed(goodbye())
        for relay in list(self.relays):
            relay.close()
        for pool in self.pools:
            pool.close()
        self.judges.close()
        self.hubs.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                # The cancel requests for what still ran are on their way; a login that was under way ends by itself.
                await self.pools.wait_until_empty()
        except TimeoutError:
            logger.warning("some servers did not hang up within %g s", STOP_TIMEOUT)
        await self.auth_query.close()
        await self.host.stop(STOP_TIMEOUT)
        await cancel_all()

    # --- Clients ---------------------------------------------------------------------------------------------------

    def on_client_connected(self, client: ClientConnection) -> None:
        """A connection has been accepted."""
        self.clients.add(client)
        self.logins[client] = None
        self.strangers[client] = None
        if len(self.strangers) > self.config.server.max_client_conn:
            # A flood of connections that say nothing must neither take memory without end nor keep others out.
            oldest = next(iter(self.strangers))
            del self.strangers[oldest]
            oldest.transport.abort()
        if not self.config.server.tcp_keepalive:
            return
        sock: socket.socket = client.transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def on_client_introduced(self, client: ClientConnection) -> None:
        """A client has said who it wants to be. From now on it counts for max_client_conn."""
        self.strangers.pop(client, None)
        self._tell_others()

    def _tell_others(self) -> None:
        if self.others is not None:
            self.others.on_clients_changed(len(self.clients) - len(self.strangers))

    def on_client_ready(self, client: ClientConnection) -> None:
        """A client has logged in: give it the number by which it may ask to cancel."""
        self.logins.pop(client, None)
        while True:
            process_id = secrets.randbelow(2**31 - 1) + 1 if self.others is None else self.others.make_process_id()
            if process_id not in self._by_process_id:
                break
        client.process_id = process_id
        self._by_process_id[process_id] = client
        if self.config.server.log_connections:
            logger.info("%s: login", client)

    def on_client_lost(self, client: ClientConnection) -> None:
        """A connection is gone."""
        self.clients.discard(client)
        self.logins.pop(client, None)
        self.leaving.pop(client, None)
        self.strangers.pop(client, None)
        self._tell_others()
        if getattr(client, "process_id", 0) and self._by_process_id.pop(client.process_id, None) is not None:
            if self.config.server.log_disconnections:
                logger.info("%s: gone", client)

    def cancel(self, process_id: int, secret: bytes, on_done: Callable[[], None]) -> None:
        """Serve a CancelRequest, and call ``on_done``. One with a wrong key is ignored, as PostgreSQL does."""
        if self.cancel_own(process_id, secret, on_done):
            return
        if self.others is None:
            on_done()
        else:
            self.others.cancel(process_id, secret, on_done)

    def cancel_own(self, process_id: int, secret: bytes, on_done: Callable[[], None]) -> bool:
        """The same for a client of this process. False, and nothing is called, if it has no such client."""
        client = self._by_process_id.get(process_id)
        if client is not None and hmac.compare_digest(client.secret, secret):
            client.cancel(on_done)
            return True
        for relay in self.relays:
            if relay.process_id == process_id and hmac.compare_digest(relay.secret, secret):
                relay.cancel()
                on_done()
                return True
        for console in self.consoles:
            if console.process_id == process_id and hmac.compare_digest(console.secret, secret):
                console.cancel()
                on_done()
                return True
        return False

    # --- Another configuration -------------------------------------------------------------------------------------

    def use_config(self, config: Config) -> None:
        """From now on this is the configuration; ``Reloader`` sees to what is there already."""
        self.config = config
        self.targets.use_config(config)
        self.boards.use_config(config)
        self.has_client_idle_timeout = config.server.client_idle_timeout > 0 or any(
            user.client_idle_timeout for user in config.users.values()
        )

    def use_logins(self, files: AccessFiles) -> None:
        """From now on clients log in by these files, and by the settings of the configuration."""
        self.access.use(self.config, files)
        self.auth_query.use_config(self.config)

    def reload_later(self) -> None:
        """Read the configuration again, beside the caller; the log tells how it went."""
        spawn(self._reload(), name="reload")

    async def _reload(self) -> None:
        with suppress(ClientError):
            await self.reloader.reload()

    # --- Logins ----------------------------------------------------------------------------------------------------

    def user_names(self) -> Iterator[str]:
        """Those of the user file."""
        return iter(()) if self.access.users is None else iter(self.access.users)

    def pool(self, settings: PoolSettings) -> Pool:
        """The pool for a login: that of the primary, whichever server this is by now."""
        return self.pools.get(self.targets.settings_of_primary(settings))

    def backend_credential(
        self, settings: PoolSettings, from_login: BackendCredential | None
    ) -> BackendCredential | None:
        """As ``Access.backend_credential``; or what auth_query has found for a role that a connection string names."""
        found = self.access.backend_credential(settings, from_login)
        return self.roles.known(settings) if found is None and settings.forced_user else found

    def role_to_look_up(self, settings: PoolSettings) -> bool:
        """Whether auth_query has to be asked for the password of the role that a connection string names."""
        if not settings.forced_user or self.access.backend_credential(settings, None) is not None:
            return False
        return self.roles.is_due(settings)

    # --- Plugins ---------------------------------------------------------------------------------------------------

    @property
    def plugins(self) -> PluginSet:
        """Those that are loaded."""
        return self.host.plugins

    @property
    def plan_tables(self) -> PlanTables | None:
        """The plans of all statements; None where no plugin makes any."""
        return self.host.tables

    @property
    def waits(self) -> Waits:
        """How hooks are awaited."""
        return self.host.waits

    @property
    def targets(self) -> TargetRegistry:
        """The servers of each database."""
        return self.host.targets

    @property
    def has_sessions(self) -> bool:
        """Whether a plugin wants to know of sessions."""
        return self.host.has_sessions

    def open_plugin_session(self, client: ClientConnection, welcome: Welcome) -> Session | Awaitable[Session]:
        """As ``PluginHost.open_session``. Raises SessionRefused."""
        return self.host.open_session(client, welcome)

    async def admit_relay(self, client: ClientConnection, settings: PoolSettings, startup: StartupMessage) -> None:
        """As ``PluginHost.admit_relay``. Raises SessionRefused."""
        await self.host.admit_relay(client, settings, startup)

    def close_plugin_session(self, client: ClientConnection) -> None:
        """The client is gone, or was never let in."""
        self.host.close_session(client)

    def pool_for_target(self, settings: PoolSettings, target: str) -> Pool:
        """The pool of a target that a plugin chose. Raises ClientError, not fatal, if nothing can be sent there."""
        return self.host.targets.pool_for(settings, target)

    def on_ddl(self, database: str) -> None:
        """A change of the schema was committed, and the server has said so."""
        self.host.on_ddl(database)

    def join(self, slate: Slate, row: int) -> None:
        """Be one of several processes, and write this row of their slate."""
        self.host.flux.join(slate, row)
        self.slate = slate

    def catch_up(self) -> None:
        """Take note of what other processes define, before anything is judged."""
        slate = self.slate
        if slate is not None and slate.bell[0] != slate.heard:
            self.host.flux.catch_up()

    async def reload_plugins(self, sources: PluginSources | None = None) -> None:
        """Replace the plugins: those of the configuration file as it is now, if no sources are given.

        Raises ConfigError and PluginsRefused; then all is as it was.
        """
        if sources is None:
            file = self.config.file
            sources = self.config.plugins if file is None else load_config(file).plugins
        await self.host.reload(sources)

    # --- The console -----------------------------------------------------------------------------------------------

    def open_console(
        self, client: ClientConnection, database: str, startup: StartupMessage, *, is_own: bool = False
    ) -> None:
        """Give a client that has proved who it is the admin console. Raises ClientError where it may not have it.

        ``is_own``: it may have all of it, whatever its name.
        """
        console = ConsoleConnection(self, client, database, startup, is_own=is_own)
        self.logins.pop(client, None)
        console.start()

    def tell_later(self, command: str, arguments: tuple[str, ...]) -> None:
        """Have all processes carry out a command, beside the caller."""
        spawn(self._tell(command, arguments), name=command)

    async def _tell(self, command: str, arguments: tuple[str, ...]) -> None:
        await self.node.tell_all(command, arguments)

    # --- Replication -----------------------------------------------------------------------------------------------

    def start_relay(
        self,
        client: ClientConnection,
        settings: PoolSettings,
        startup: StartupMessage,
        credential: BackendCredential | None,
    ) -> None:
        """Give a replication client a connection of its own to the server."""
        self.logins.pop(client, None)
        Relay(self, client, settings, startup, credential).start()
