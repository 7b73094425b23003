"""Who hears of which channel: looked up both ways, for there may be many of both."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, Generic, TypeVar

__all__ = ["Audience"]

M = TypeVar("M")


class Audience(Generic[M]):
    """Members by channel, and channels by member."""

    def __init__(self) -> None:
        self.members: Final[dict[bytes, dict[M, None]]] = {}
        """By channel; in the order in which they came."""
        self.channels: Final[dict[M, set[bytes]]] = {}
        """By member."""

    def __bool__(self) -> bool:
        return bool(self.members)

    def add(self, member: M, channels: Iterable[bytes]) -> None:
        """It is one of those who hear of these."""
        for channel in channels:
            self.members.setdefault(channel, {})[member] = None
            self.channels.setdefault(member, set()).add(channel)

    def remove(self, member: M, channels: Iterable[bytes]) -> set[bytes]:
        """It is not any more. Returns the channels that nobody is left for."""
        own = self.channels.get(member)
        if own is None:
            return set()
        deserted = set()
        for channel in own.intersection(channels):
            own.discard(channel)
            some = self.members[channel]
            del some[member]
            if not some:
                del self.members[channel]
                deserted.add(channel)
        if not own:
            del self.channels[member]
        return deserted

    def of(self, member: M) -> Collection[bytes]:
        """What it hears of."""
        return self.channels.get(member, ())

    def of_channel(self, channel: bytes) -> list[M]:
        """Who hears of it. A copy, for one that is told may leave."""
        return list(self.members.get(channel, ()))
