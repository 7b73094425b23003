"""The limits that several pools share, and what other processes know: as one pool sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pooler.backend import Backend
    from pooler.login import Welcome
    from pooler.pool import Pool
    from pooler.waiting import Profile

__all__ = ["Capacity"]


class Capacity(Protocol):
    """The limits that several pools share."""

    def may_open(self, pool: Pool) -> bool:
        """Whether one more backend of this pool is within the limits of its database and its role."""

    def ask(self, pool: Pool) -> bool:
        """Ask other processes for room for this pool's waiters. True if they may have some: then ``grow`` is called."""

    def ask_for_minimum(self, pool: Pool) -> None:
        """Ask other processes for room for one backend that nobody waits for."""

    def minimum(self, pool: Pool) -> int:
        """This process's share of min_pool_size."""

    def make_room(self, pool: Pool) -> None:
        """If a limit that pools share is what holds this one up: close an idle backend of another one.

        Where none is idle and this pool has no backend at all, the largest closes the next one that comes back.
        """

    def known_welcome(self, pool: Pool, profile: Profile) -> Welcome | None:
        """What another process knows of what the server says at login."""

    def on_welcome(self, pool: Pool, profile: Profile, welcome: Welcome) -> None:
        """This is what the server says at login."""

    def on_connected(self, backend: Backend) -> None:
        """A backend has logged in."""

    def on_lost(self, backend: Backend) -> None:
        """A backend that had logged in is gone."""

    def on_freed(self, pool: Pool) -> None:
        """A backend of this pool is gone: pools that share its limits may open one."""

    def on_settled(self, pool: Pool) -> None:
        """This pool has opened what it wants to: what it leaves may go to another process."""
