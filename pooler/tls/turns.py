"""Whose handshake goes on next, and how many clients may be in the midst of one.

::

    first record   ──▶ newcomers, by address ──▶ answered, by address ──▶ over
    not yet whole      a few hundred bytes       46 KB each               18 KB

Nearly all of the 46 KB is OpenSSL's: a buffer for the largest handshake message, one for what it writes, and its state.
So a place is worth having, and there are `MAX_ANSWERED` of them. Who has one and comes with more goes before those who
have none: a handshake that is nearly over frees its place, and a crowd that comes at once does not fill them all.

Where all are taken, the oldest place is given up of the address that has the most of them, once it was silent for
`PATIENCE`; newcomers of all addresses take turns for it. So somebody who takes places and says nothing more competes
with himself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

__all__ = ["MAX_ANSWERED", "PATIENCE", "Handshake", "Turns"]

MAX_ANSWERED: Final = 256
"""Handshakes of clients in one process that were answered and are not over."""

PATIENCE: Final = 0.5
"""Seconds within which a client answers for certain: some round trips around the world."""


class Handshake(Protocol):
    """What takes turns."""

    @property
    def origin(self) -> str:
        """The address that it comes from."""

    def shake_hands(self) -> None:
        """Go on as far as what has come allows. The first time, it calls ``on_begun``."""

    def abort(self) -> None:
        """Cut the connection."""


class Turns:
    """The handshakes of one process's clients. One goes on in each turn of the loop, between all other work."""

    __slots__ = ("_answered", "_count", "_newcomers", "_returning", "_scheduled", "_wake")

    def __init__(self) -> None:
        self._newcomers: dict[str, dict[Handshake, None]] = {}
        self._answered: dict[str, dict[Handshake, float]] = {}
        """With the time of the answer."""
        self._count = 0
        self._returning: deque[Handshake] = deque()
        self._scheduled = False
        self._wake: asyncio.TimerHandle | None = None

    def add(self, handshake: Handshake) -> None:
        """This one has something to go on with."""
        if handshake in self._answered.get(handshake.origin, ()):
            self._returning.append(handshake)
        else:
            self._newcomers.setdefault(handshake.origin, {})[handshake] = None
        self._schedule()

    def on_begun(self, handshake: Handshake) -> None:
        """It takes a place."""
        self._answered.setdefault(handshake.origin, {})[handshake] = asyncio.get_running_loop().time()
        self._count += 1

    def on_ended(self, handshake: Handshake) -> None:
        """It is over, well or not."""
        if _remove(self._answered, handshake):
            self._count -= 1
            if self._newcomers:
                self._schedule()
        else:
            _remove(self._newcomers, handshake)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        if self._returning:
            self._returning.popleft().shake_hands()
        elif self._newcomers and self._has_room():
            self._next_newcomer().shake_hands()
        else:
            return
        if self._returning or self._newcomers:
            self._schedule()

    def _next_newcomer(self) -> Handshake:
        """The first one of the address whose turn it is, which is then the last to have another."""
        origin = next(iter(self._newcomers))
        waiting = self._newcomers.pop(origin)
        handshake = next(iter(waiting))
        del waiting[handshake]
        if waiting:
            self._newcomers[origin] = waiting
        return handshake

    def _has_room(self) -> bool:
        """Whether a newcomer may begin. If not, we look again when that may have changed."""
        if self._count < MAX_ANSWERED:
            return True
        most = max(self._answered.values(), key=lambda held: (len(held), -next(iter(held.values()))))
        oldest, since = next(iter(most.items()))
        loop = asyncio.get_running_loop()
        silent = loop.time() - since
        if silent < PATIENCE:
            if self._wake is None:
                self._wake = loop.call_later(PATIENCE - silent, self._on_wake)
            return False
        self.on_ended(oldest)
        oldest.abort()
        return True

    def _on_wake(self) -> None:
        self._wake = None
        self._schedule()


def _remove(table: dict[str, dict[Handshake, None]] | dict[str, dict[Handshake, float]], handshake: Handshake) -> bool:
    """Whether it was in the table."""
    origin = handshake.origin
    found = table.get(origin)
    if found is None or handshake not in found:
        return False
    del found[handshake]
    if not found:
        del table[origin]
    return True
