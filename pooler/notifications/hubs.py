"""The connections that listen, by database: in the process that has them for the whole node."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from pooler.notifications.hub import Hub
from pooler.notifications.login import Login

if TYPE_CHECKING:
    from pooler.server import Server

__all__ = ["Hubs"]


class Hubs:
    """One for each database in which somebody listens.

    Under "*" clients choose the names of databases, so none is kept for itself: only by who listens, and while it is
    connected.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._known: WeakValueDictionary[str, Hub] = WeakValueDictionary()

    def __iter__(self) -> Iterator[Hub]:
        return iter(list(self._known.values()))

    def get(self, database: str) -> Hub:
        """That of a database."""
        hub = self._known.get(database)
        if hub is None:
            hub = self._known[database] = Hub(database, Login(self._server, database))
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
