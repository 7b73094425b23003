"""Databases whose schema is being changed, by a client of this process or of another one of the node.

A COMMIT in the midst of a message, or of a pipeline, makes a DROP true for everybody long before its client, and the
proxy, hear of it. So where something is taken away that may have hidden another thing of its name, names count from the
moment at which the statement is sent, until it was acknowledged and the catalogue is read again, as they do in the
transaction itself. What is merely made counts as soon as anybody is told of it.

docs/design/definitions.md has the reasons.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Final

from pooler.processes.slate import ABANDONED, EVERYWHERE, Slate, place_of

if TYPE_CHECKING:
    from pooler.config import PoolSettings
    from pooler.helpers import Catalogues

__all__ = ["Flux", "Uncovering"]

_LOOK_AGAIN: Final = 5.0
"""Seconds after which it is looked whether others still change something, who may be dead."""


class Flux:
    """Where it is so, as this process knows it."""

    def __init__(self, catalogues: Catalogues, invalidate: Callable[[str], None]) -> None:
        """``invalidate`` is called with each database whose names mean something else from now on."""
        self._catalogues = catalogues
        self._invalidate = invalidate
        self.slate = Slate()
        """What all processes of the node write down."""
        self._own: Counter[int] = Counter()
        self._others: frozenset[int] = frozenset()
        self._timer: asyncio.TimerHandle | None = None

    def __bool__(self) -> bool:
        return bool(self._own or self._others)

    def __contains__(self, settings: PoolSettings) -> bool:
        place = place_of(settings)
        return any([place in some or EVERYWHERE in some for some in (self._own, self._others)])

    # --- What clients of this process do -----------------------------------------------------------------------------

    def begin(self, settings: PoolSettings) -> Uncovering:
        """Something may be taken away from now on in the database of this login."""
        written = self.slate.begin(place_of(settings))
        self._own[written] += 1
        if self._own[written] == 1:
            self._forget_plans({written}, settings.database)
        return Uncovering(self, settings, written)

    def end(self, written: int) -> None:
        """One that was begun is over. Its caller sees to it that the catalogue is read again."""
        self.slate.end(written)
        self._own[written] -= 1
        if not self._own[written]:
            del self._own[written]

    def on_defined(self, settings: PoolSettings) -> None:
        """Something may have been defined in the database of this login. All names under which it is served are
        meant, in all processes."""
        place = place_of(settings)
        self.slate.define(place)
        self._renew({place})

    # --- What others do ----------------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Take note of what other processes have written. To be called when the slate's bell isn't what was heard,
        before anything is judged."""
        news = self.slate.look()
        changed = self._others ^ news.changing
        self._others = news.changing
        if changed:
            self._forget_plans(changed)
        if news.defined:
            self._renew(news.defined)
        if self._others and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_AGAIN, self._look_again)

    def join(self, slate: Slate, row: int) -> None:
        """Be one of several processes from now on: the one that has this row."""
        self.slate = slate
        for written in slate.sit(row):
            # Whoever had it before has died in the midst of this, and its server may go on.
            self._own[written] += 1
            asyncio.get_running_loop().call_later(ABANDONED, self._end_adopted, written)

    def _end_adopted(self, written: int) -> None:
        self.end(written)
        self._renew({written})

    def close(self) -> None:
        """The server stops."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_again(self) -> None:
        self._timer = None
        self.catch_up()

    def _renew(self, places: Container[int]) -> None:
        for one in list(self._catalogues):
            if EVERYWHERE in places or place_of(one.helper.settings) in places:
                one.catalogue.on_ddl()

    def _forget_plans(self, places: Container[int], database: str = "") -> None:
        for one in list(self._catalogues):
            if EVERYWHERE in places or one.database == database or place_of(one.helper.settings) in places:
                self._invalidate(one.database)


class Uncovering:
    """One client's transaction that takes something away."""

    __slots__ = ("_flux", "_settings", "_written")

    def __init__(self, flux: Flux, settings: PoolSettings, written: int) -> None:
        self._flux = flux
        self._settings = settings
        self._written = written

    def end(self) -> None:
        """The server has acknowledged that it is over. To be followed by ``Flux.on_defined``, in the same step."""
        self._flux.end(self._written)

    def abandon(self) -> None:
        """Its client is gone, and nobody will hear how it ends."""
        asyncio.get_running_loop().call_later(ABANDONED, self._end_late)

    def _end_late(self) -> None:
        self.end()
        self._flux.on_defined(self._settings)
