"""Another configuration for a server that runs: checked whole before anything changes, then applied to what is there.

What changes for a client changes when its transaction is over. Docs: docs/howto/reload.md.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from interceptor.errors import (
    CONFIGURATION_CHANGED,
    CONSOLE_FAILED,
    RELOAD_FAILED,
    ROUTE_REFUSED,
    ClientError,
    ConfigError,
)
from interceptor.hooks.loading import PluginsRefused
from pooler.access import AccessFiles
from pooler.client_socket import ClientState
from pooler.config import Config, load_config
from pooler.config.changing import FIXED_SETTINGS, fixed_changes, with_setting
from pooler.logs import set_up_logging
from pooler.tasks import read_files

if TYPE_CHECKING:
    from interceptor.session import BackendSession
    from pooler.client import ClientConnection
    from pooler.config import PoolSettings
    from pooler.pool import Pool
    from pooler.server import Server

__all__ = ["Reloader"]

logger = logging.getLogger(__name__)

_WHERE: Final = ("hosts", "choice", "dbname", "user", "password", "forced_user", "parameters", "tls")
"""What a connection to a server is made of: where one of these differs, connections are made anew."""


class Reloader:
    """Reads and applies configurations, one at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._turn = asyncio.Lock()
        self._logging = _logging_of(server.config)

    async def reload(self) -> list[str]:
        """Read the configuration file again, the user file, the certificates and the plugins, and act by them.

        Returns what can't change before a restart, as sentences. Raises ClientError, not fatal, with all that is wrong;
        then nothing has changed.
        """
        async with self._turn:
            server = self._server
            file = server.config.file
            if file is None:
                raise ClientError(
                    CONSOLE_FAILED,
                    "there is no configuration file to be read again: the server was started with --upstream",
                    fatal=False,
                )
            try:
                config = await read_files(lambda: load_config(file))
                files = await read_files(lambda: AccessFiles.load(config))
                fixed = fixed_changes(server.config.server, config.server)
                kept = {name: getattr(server.config.server, name) for name in fixed}
                config = replace(config, server=replace(config.server, **kept))
                await self._replace_plugins(config)
            except (ConfigError, PluginsRefused) as error:
                logger.error("the configuration was not reloaded, and nothing has changed:\n%s", error)
                raise _refused(str(error)) from error
            self._apply(config, files)
            notes = [f"{name} has changed in the file, and stays as it is until a restart" for name in fixed]
            for note in notes:
                logger.warning("%s", note)
            logger.info("the configuration was reloaded from %s", file)
            return notes

    async def set(self, name: str, value: str) -> None:
        """Change one setting of [server] until the next reload or restart. Raises ClientError, not fatal."""
        async with self._turn:
            server = self._server
            if name in FIXED_SETTINGS:
                raise ClientError(
                    CONSOLE_FAILED, f"{name} can't be changed while the server runs: it needs a restart", fatal=False
                )
            try:
                config = with_setting(server.config, name, value)
                files = await read_files(lambda: AccessFiles.load(config))
            except ConfigError as error:
                raise ClientError(
                    CONSOLE_FAILED, f"SET failed: {str(error).replace('SET: ', '')}", fatal=False
                ) from error
            if config.server.query_statistics != server.config.server.query_statistics:
                await self._replace_plugins(config)
            self._apply(config, files)

    async def _replace_plugins(self, config: Config) -> None:
        """The last thing that may fail. Those that start see the new databases already."""
        server = self._server
        old = server.config
        server.use_config(config)
        try:
            await server.host.reload(config.plugins)
        except BaseException:
            server.use_config(old)
            raise

    # --- What is there already ---------------------------------------------------------------------------------------

    def _apply(self, config: Config, files: AccessFiles) -> None:
        server = self._server
        before = self._logging
        server.use_config(config)
        server.use_logins(files)
        self._logging = _logging_of(config)
        if self._logging != before:
            set_up_logging(config.server)
        for pool in list(server.pools):
            self._renew(pool)

    def _renew(self, pool: Pool) -> None:
        """Give a pool the settings that it has by now, or send its clients to another."""
        settings = self._settings_of(pool)
        if settings is None or settings.pool_key != pool.settings.pool_key:
            self._give_up(pool)
            return
        server = self._server
        old = pool.settings
        pool.successor = None
        pool.draining = server.pools.gates.holds(settings.database)
        moved = any(getattr(old, name) != getattr(settings, name) for name in _WHERE)
        pool.reconfigure(settings, moved=moved)
        if moved:
            server.host.catalogues.move(settings)
            server.host.names.forget()
        for client in list(pool.clients):
            self._inform(client, old.parameters)
        pool.grow()

    def _settings_of(self, pool: Pool) -> PoolSettings | None:
        """What holds for the pool now; None if there is no such database or server any more."""
        settings, server = pool.settings, self._server
        try:
            primary = server.config.pool_settings(settings.database, settings.client_user)
            return server.targets.settings_for(primary, settings.target)
        except LookupError:
            return None

    def _inform(self, client: ClientConnection, old: tuple[tuple[str, str], ...]) -> None:
        """A client's own timeouts, and the startup parameters of the backends that it gets from now on."""
        client.settings = self._server.config.pool_settings(client.settings.database, client.settings.client_user)
        new = client.settings.parameters
        if new == old:
            return
        own = [item for item in client.profile.parameters if item not in old]
        pool = client.pool
        profile = pool.profile(tuple(sorted({**dict(new), **dict(own)}.items())))
        for queue in (client.asked.waiting.for_backend, pool.waiting.for_welcome):
            since = queue.since.get(client)
            if since is not None:
                queue.discard(client)
                client.profile = profile
                queue.add(client, since)
        client.profile = profile

    # --- Pools that are no more --------------------------------------------------------------------------------------

    def _give_up(self, pool: Pool) -> None:
        pool.successor = self._move
        pool.draining = True
        pool.retire()
        for client in [*pool.waiting.for_welcome.since, *pool.waiting.for_backend.since]:
            pool.forget(client)
            if client.state is ClientState.READY:
                session = self._move(client)
                if session is not None:
                    client.on_backend_linked(session)
            else:
                client.on_failed(_gone(client))
        self.look_after(pool)

    def look_after(self, pool: Pool) -> None:
        """To be called now and then for a pool with a ``successor``: its clients have to go where there is none.

        Each goes when it has nothing under way.
        """
        if self._settings_of(pool) is None:
            for client in list(pool.clients):
                if client.is_idle:
                    client.on_failed(_gone(client))

    def _move(self, client: ClientConnection) -> BackendSession | None:
        """A backend where the client belongs by now. None if it waits for one, or has to go."""
        server = self._server
        if client.asked is not client.pool:
            client.refuse_soon(_no_target(client.asked))
            return None
        try:
            settings = server.config.pool_settings(client.settings.database, client.settings.client_user)
        except LookupError:
            asyncio.get_running_loop().call_soon(client.on_failed, _gone(client))
            return None
        pool = server.pool(settings)
        if pool.credential is None:
            pool.credential = server.backend_credential(pool.settings, None)
        if pool.successor is not None or (pool.credential is None and not settings.forced_user):
            # Its own role logs in there, and what that needs came with another login.
            asyncio.get_running_loop().call_soon(client.on_failed, _gone(client))
            return None
        old = client.pool.settings.parameters
        client.move_to(pool, settings)
        self._inform(client, old)
        return pool.acquire(client)


def _logging_of(config: Config) -> tuple[object, ...]:
    settings = config.server
    return settings.log_format, settings.log_rate_limit, bool(settings.verbose)


def _gone(client: ClientConnection) -> ClientError:
    return ClientError(
        CONFIGURATION_CHANGED,
        f'the configuration has changed, and this connection to the database "{client.settings.database}" can\'t go on',
        hint="Connect again.",
    )


def _no_target(pool: Pool) -> ClientError:
    return ClientError(
        ROUTE_REFUSED,
        f'the configuration has changed: database "{pool.settings.database}" has no {pool.settings.target} any more',
        fatal=False,
    )


def _refused(text: str) -> ClientError:
    first, _, rest = text.partition("\n")
    return ClientError(
        RELOAD_FAILED,
        f"RELOAD failed, and nothing has changed: {first}",
        detail=rest,
        hint="Mend it, and say RELOAD again. `interceptor check --config FILE` tells whether all is right.",
        fatal=False,
    )
