"""Who waits in a pool, and in which order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pooler.client import ClientConnection


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Profile:
    """The startup parameters of a session, beside user and database; one object for each set (``Pool.profile``).

    A backend serves only clients of its own profile, so that RESET and pg_settings tell a client exactly what they
    would tell it on a connection of its own.
    """

    parameters: tuple[tuple[str, str], ...]


class Queue:
    """Clients that wait for the same, in the order in which they came; all of them, and those of each profile.

    Coming, leaving, and being the first take the same time however many there are. That is why these are no plain
    dicts: such a one looks for its first key among all that were deleted before it.
    """

    __slots__ = ("by_profile", "since")

    def __init__(self) -> None:
        self.since: OrderedDict[ClientConnection, float] = OrderedDict()
        """Since when each waits, in seconds of the clock; the longest first."""
        self.by_profile: dict[Profile, OrderedDict[ClientConnection, None]] = {}
        """The same clients; no profile without one."""

    def __len__(self) -> int:
        return len(self.since)

    def add(self, client: ClientConnection, now: float) -> None:
        """The client, which isn't in it yet, waits from ``now`` on."""
        self.since[client] = now
        same = self.by_profile.get(client.profile)
        if same is None:
            self.by_profile[client.profile] = OrderedDict.fromkeys((client,))
        else:
            same[client] = None

    def discard(self, client: ClientConnection) -> None:
        """The client waits no longer, if it did."""
        if self.since.pop(client, None) is not None:
            same = self.by_profile[client.profile]
            if len(same) == 1:
                del self.by_profile[client.profile]
            else:
                del same[client]

    def first(self) -> ClientConnection | None:
        """The one that has waited longest."""
        return next(iter(self.since), None)

    def first_of(self, profile: Profile) -> ClientConnection | None:
        """The one of this profile that has waited longest."""
        same = self.by_profile.get(profile)
        return None if same is None else next(iter(same))

    def first_of_each(self) -> Iterator[tuple[float, ClientConnection]]:
        """The one of each profile that has waited longest, and since when; in the order in which profiles came."""
        return ((self.since[client], client) for client in map(next, map(iter, self.by_profile.values())))


@dataclass(slots=True)
class Waiting:
    """All that wait in a pool."""

    for_backend: Queue = field(default_factory=Queue)
    for_welcome: Queue = field(default_factory=Queue)

    def discard(self, client: ClientConnection) -> None:
        """The client waits no longer, for whatever it did."""
        self.for_backend.discard(client)
        self.for_welcome.discard(client)

    def first(self) -> tuple[float, ClientConnection] | None:
        """Who has waited longest for anything, and since when."""
        backend, welcome = self.for_backend.first(), self.for_welcome.first()
        if backend is None or welcome is None:
            if backend is not None:
                return self.for_backend.since[backend], backend
            return None if welcome is None else (self.for_welcome.since[welcome], welcome)
        since = self.for_backend.since[backend]
        newcomer = self.for_welcome.since[welcome]
        return (since, backend) if since <= newcomer else (newcomer, welcome)
