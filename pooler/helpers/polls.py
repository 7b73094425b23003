"""Who looks for changes of a catalogue: one process for all of them.

There is nobody whose task it is. Whoever has looked writes down when, what was found, and when it will look again; the
others wait until a moment after that, and look themselves only if nobody has, or if something else was found than they
know. So the one that looked last goes on to do so, and if it dies, or stops to use the database, another one does.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pooler.processes.slate import Reading, number_of, place_of

if TYPE_CHECKING:
    from interceptor.catalogue.loading import State
    from pooler.config import PoolSettings
    from pooler.processes.slate import Slate

__all__ = ["SharedPolls"]

_GRACE: Final = 0.4
"""Seconds, and as many at random, for which a look of another process may come late."""


class SharedPolls:
    """The looks for changes in one database, by all processes."""

    def __init__(self, find_slate: Callable[[], Slate], find_settings: Callable[[], PoolSettings]) -> None:
        """``find_settings``: those of the connection to the database, as they are now."""
        self._find_slate = find_slate
        self._find_settings = find_settings

    def note(self, at: float, due: float, state: State) -> None:
        """This process has begun to look ``at`` this moment, found this, and looks again when it is ``due``."""
        reading = Reading(at, due, number_of(state.sums))
        self._find_slate().note_reading(place_of(self._find_settings()), reading)

    def latest(self, since: float, state: State, now: float) -> tuple[float, float] | None:
        """When another process looked and found this, and when to ask again; None if this one has to look.

        ``since``: when this process looked last itself. Moments are those of the monotonic clock.
        """
        readings = [one for one in self._find_slate().readings(place_of(self._find_settings())) if one.at > since]
        known = number_of(state.sums)
        if not readings or any(one.state != known for one in readings):
            return None
        last = max(readings, key=lambda one: one.due)
        again = last.due + _GRACE * (1.0 + random.random())
        return (last.at, again) if again > now else None
