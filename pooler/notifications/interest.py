"""Who wants to hear of which channel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from interceptor.errors import ClientError
from interceptor.session.listening import Listener

__all__ = ["Interest", "Waiting"]

Waiting: TypeAlias = dict[Listener, list[bytes]]
"""Listeners, and the channels that they wait to hear of."""


class Interest:
    """Listeners by channel, those that have been told that they hear of it, and those that wait for that."""

    def __init__(self) -> None:
        self.listeners: Final[dict[bytes, dict[Listener, None]]] = {}
        self.waiting: Final[dict[bytes, dict[Listener, None]]] = {}
        """Those of them that have not been told yet."""

    def __bool__(self) -> bool:
        return bool(self.listeners)

    @property
    def clients(self) -> int:
        """How many hear of anything."""
        return len({listener for some in self.listeners.values() for listener in some})

    def add(self, listener: Listener, channels: Iterable[bytes]) -> None:
        """It wants to hear of these, and waits."""
        for channel in channels:
            self.listeners.setdefault(channel, {})[listener] = None
            self.waiting.setdefault(channel, {})[listener] = None

    def remove(self, listener: Listener, channels: Iterable[bytes]) -> set[bytes]:
        """It does not want to hear of these. Returns the channels that nobody wants to hear of any more."""
        left = set()
        for channel in channels:
            for table in (self.waiting, self.listeners):
                some = table.get(channel)
                if some is not None:
                    some.pop(listener, None)
                    if not some:
                        del table[channel]
                        if table is self.listeners:
                            left.add(channel)
        return left

    def of(self, listener: Listener) -> list[bytes]:
        """What it wants to hear of."""
        return [channel for channel, some in self.listeners.items() if listener in some]

    def hear(self, channel: bytes, message: bytes) -> None:
        """Tell everybody who wants to hear of it."""
        # A copy, for one that is too slow leaves.
        for listener in list(self.listeners.get(channel, ())):
            listener.hear(channel, message)

    def confirm(self, asked: Waiting) -> None:
        """These channels are listened to: tell those who have waited, if they still want to hear of them."""
        for listener, channels in asked.items():
            wanted = [channel for channel in channels if listener in self.listeners.get(channel, ())]
            if wanted:
                listener.on_listening(wanted)

    def refuse(self, asked: Waiting, error: ClientError) -> None:
        """These can't be listened to: tell those who have waited, and forget that they wanted to."""
        for listener, channels in asked.items():
            self.remove(listener, channels)
            listener.on_refused(channels, error)

    def settled(self, asked: Waiting | None = None) -> set[Listener]:
        """Those that have been told that they hear of something. ``asked``: taken, and not told yet."""
        asked = asked or {}
        return {
            listener
            for channel, some in self.listeners.items()
            for listener in some
            if listener not in self.waiting.get(channel, ()) and channel not in asked.get(listener, ())
        }

    def take_waiting(self) -> Waiting:
        """Those who wait, with what for; from now on they are the caller's to tell."""
        found: Waiting = {}
        for channel, some in self.waiting.items():
            for listener in some:
                found.setdefault(listener, []).append(channel)
        self.waiting.clear()
        return found

    def wait_again(self, asked: Waiting) -> None:
        """Undo ``take_waiting``, but for those who have left."""
        for listener, channels in asked.items():
            self.add(listener, [channel for channel in channels if listener in self.listeners.get(channel, ())])
