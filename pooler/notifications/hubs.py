"""The connections of this process that listen, by database."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakValueDictionary

from pooler.notifications.hub import Hub

if TYPE_CHECKING:
    from pooler.auth import BackendCredential
    from pooler.config import PoolSettings
    from pooler.server import Server

__all__ = ["Hubs"]


class _Login:
    """Where and as whom a hub logs in. Whoever asked last lends its login: LISTEN needs no privilege."""

    def __init__(self, server: Server, settings: PoolSettings, credential: BackendCredential | None) -> None:
        self._server = server
        self.settings = settings
        self.credential = credential

    def find(self) -> tuple[PoolSettings, BackendCredential | None]:
        server, settings = self._server, self.settings
        with suppress(LookupError):  # the database is in the configuration no more, and its clients are about to go
            settings = server.config.pool_settings(settings.database, settings.client_user)
        return server.targets.settings_of_primary(settings), self.credential


class Hubs:
    """One for each database that has had a client that listens, for as long as such a client is there.

    Under "*" clients choose the names of databases, so none is kept for itself. But a client that listens to nothing
    now may do so again, and must come back to the one that is known here: to PAUSE, to RELOAD, to the next client.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._known: WeakValueDictionary[str, Hub] = WeakValueDictionary()
        self._logins: WeakKeyDictionary[Hub, _Login] = WeakKeyDictionary()

    def __iter__(self) -> Iterator[Hub]:
        return iter(list(self._known.values()))

    def get(self, settings: PoolSettings, credential: BackendCredential | None) -> Hub:
        """That of the database of a login."""
        hub = self._known.get(settings.database)
        if hub is None:
            login = _Login(self._server, settings, credential)
            hub = Hub(settings.database, login.find, self._server.keys, settings.max_unread_notifications)
            self._known[settings.database], self._logins[hub] = hub, login
            return hub
        login = self._logins[hub]
        if credential is not None or settings.forced_user:
            login.settings, login.credential = settings, credential
        return hub

    def look_around(self) -> None:
        """To be called every second or so: obey PAUSE, and follow a database to another server."""
        for hub in self:
            hub.look_around(holds=self._server.pools.gates.holds(hub.database))

    def remake(self, databases: Collection[str]) -> None:
        """Make the connections to these again, or to all if there are none."""
        for hub in self:
            if not databases or hub.database in databases:
                hub.remake()

    def close(self) -> None:
        """Let all servers go, for good."""
        for hub in self:
            hub.close()
        self._known.clear()
