"""Databases in which somebody is taking something away that may have hidden another thing of its name.

A COMMIT in the midst of a message, or of a pipeline, makes that true for everybody long before its client, and this
process, hear of it. So names count from the moment at which the statement is sent, until it was acknowledged and the
catalogue is read again, as they do in the transaction itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pooler.config import PoolSettings
    from pooler.helpers import Catalogues

__all__ = ["AFTER_LEAVING", "Flux", "Uncovering"]

AFTER_LEAVING: Final = 60.0
"""Seconds for which a database stays in flux whose client has left before it was told that all is done: the server may
go on with it, and nobody will say when it ends."""

Place = tuple[object, str]


class Flux:
    """Where it is so, in this process."""

    def __init__(self, catalogues: Catalogues, invalidate: Callable[[str], None]) -> None:
        """``invalidate`` is called with each database whose names mean something else from now on."""
        self._catalogues = catalogues
        self._invalidate = invalidate
        self._places: Counter[Place] = Counter()

    def __bool__(self) -> bool:
        return bool(self._places)

    def __contains__(self, settings: PoolSettings) -> bool:
        return _place(settings) in self._places

    def begin(self, settings: PoolSettings) -> Uncovering:
        """Something may be taken away from now on in the database of this login."""
        place = _place(settings)
        self._places[place] += 1
        if self._places[place] == 1:
            for one in list(self._catalogues):
                if one.database == settings.database or one.helper.settings.dbname == settings.dbname:
                    self._invalidate(one.database)
        return Uncovering(self, place, settings.database)

    def end(self, place: Place) -> None:
        """One that was begun is over. Its caller sees to it that the catalogue is read again."""
        self._places[place] -= 1
        if not self._places[place]:
            del self._places[place]

    def on_ddl(self, database: str) -> None:
        """A change of the schema was committed in a database. All names under which it is served are meant."""
        settings = next((one.helper.settings for one in self._catalogues if one.database == database), None)
        if settings is None:
            return
        place = _place(settings)
        for one in self._catalogues:
            if _place(one.helper.settings) == place:
                one.catalogue.on_ddl()


class Uncovering:
    """One client's transaction that takes something away."""

    __slots__ = ("_database", "_flux", "_place")

    def __init__(self, flux: Flux, place: Place, database: str) -> None:
        self._flux = flux
        self._place = place
        self._database = database

    def end(self) -> None:
        """The server has acknowledged that it is over. To be followed by ``on_ddl``, in the same step."""
        self._flux.end(self._place)

    def abandon(self) -> None:
        """Its client is gone, and nobody will hear how it ends."""
        asyncio.get_running_loop().call_later(AFTER_LEAVING, self._end_late)

    def _end_late(self) -> None:
        self.end()
        self._flux.on_ddl(self._database)


def _place(settings: PoolSettings) -> Place:
    return settings.hosts, settings.dbname
