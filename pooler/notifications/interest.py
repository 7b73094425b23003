"""Which of a process's clients want to hear of which channel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final, TypeAlias

from interceptor.errors import ClientError
from interceptor.session.listening import Listener
from pooler.notifications.audience import Audience

__all__ = ["Interest", "Waiting"]

Waiting: TypeAlias = dict[Listener, set[bytes]]
"""Listeners, and the channels that they wait to hear of."""


class Interest:
    """Who wants to hear, those that have been told that they do, and those that wait for that."""

    def __init__(self) -> None:
        self.audience: Final = Audience[Listener]()
        self.waiting: Final[Waiting] = {}
        """Those of them that have not been told yet."""

    @property
    def clients(self) -> int:
        """How many want to hear of anything."""
        return len(self.audience.channels)

    def add(self, listener: Listener, channels: Collection[bytes]) -> None:
        """It wants to hear of these, and waits."""
        self.audience.add(listener, channels)
        self.waiting.setdefault(listener, set()).update(channels)

    def remove(self, listener: Listener, channels: Iterable[bytes]) -> set[bytes]:
        """It does not want to hear of these. Returns the channels that nobody wants to hear of any more."""
        channels = set(channels)
        waits = self.waiting.get(listener)
        if waits is not None:
            waits -= channels
            if not waits:
                del self.waiting[listener]
        return self.audience.remove(listener, channels)

    def hear(self, channel: bytes, message: bytes) -> None:
        """Tell everybody who wants to hear of it."""
        for listener in self.audience.of_channel(channel):
            listener.hear(channel, message)

    def confirm(self, asked: Waiting) -> None:
        """These channels are listened to: tell those who have waited, if they still want to hear of them."""
        for listener, channels in asked.items():
            wanted = channels.intersection(self.audience.of(listener))
            if wanted:
                listener.on_listening(wanted)

    def refuse(self, asked: Waiting, error: ClientError) -> set[bytes]:
        """These can't be listened to: tell those who have waited, and forget that they wanted to. Returns the channels
        that nobody wants to hear of any more."""
        deserted = set[bytes]()
        for listener, channels in asked.items():
            wanted = channels.intersection(self.audience.of(listener))
            deserted |= self.audience.remove(listener, wanted)
            if wanted:
                listener.on_refused(wanted, error)
        return deserted

    def settled(self, asked: Waiting) -> set[Listener]:
        """Those that have been told that they hear of something. ``asked``: taken, and not told yet."""
        return {
            listener
            for listener, channels in self.audience.channels.items()
            if channels - self.waiting.get(listener, set()) - asked.get(listener, set())
        }

    def take_waiting(self) -> Waiting:
        """Those who wait, with what for; from now on they are the caller's to tell."""
        found = dict(self.waiting)
        self.waiting.clear()
        return found

    def wait_again(self, asked: Waiting) -> None:
        """Undo ``take_waiting``, but for those who have left."""
        for listener, channels in asked.items():
            wanted = channels.intersection(self.audience.of(listener))
            if wanted:
                self.add(listener, wanted)

    def count_waiting(self, asked: Waiting) -> Counter[bytes]:
        """For each channel how many wait to hear of it."""
        return Counter(
            channel
            for some in (self.waiting, asked)
            for listener, channels in some.items()
            for channel in channels.intersection(self.audience.of(listener))
        )
