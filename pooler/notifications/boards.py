"""What the clients of this process hear, by database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from pooler.notifications.board import Board

if TYPE_CHECKING:
    from pooler.auth import BackendCredential
    from pooler.config import Config, PoolSettings
    from pooler.notifications.source import Source

__all__ = ["Boards"]


class Boards:
    """One for each database that has had a client that listens, for as long as such a client is there.

    A client that listens to nothing now may do so again, and comes back to the one that is known here.
    """

    def __init__(self, config: Config, find_source: Callable[[str], Source]) -> None:
        """``find_source``: what is heard of a database comes from there."""
        self._config = config
        self.find_source = find_source
        self._known: WeakValueDictionary[str, Board] = WeakValueDictionary()

    def __iter__(self) -> Iterator[Board]:
        return iter(list(self._known.values()))

    def find(self, database: str) -> Board | None:
        """That of a database, if there is one."""
        return self._known.get(database)

    def get(self, settings: PoolSettings, credential: BackendCredential | None) -> Board:
        """That of the database of a login, which may be lent to the server."""
        board = self._known.get(settings.database)
        if board is None:
            source = self.find_source(settings.database)
            board = self._known[settings.database] = Board(settings.database, source, self._config)
        board.source.lend(settings.client_user, credential)
        return board

    def use_config(self, config: Config) -> None:
        """From now on this is the configuration."""
        self._config = config
        for board in self:
            board.config = config
