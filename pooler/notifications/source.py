"""What a process hears through, and who hears: the seam at which a hub may be in another process."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from interceptor.errors import ClientError
    from pooler.auth import BackendCredential

__all__ = ["Source", "Subscriber"]


class Subscriber(Protocol):
    """One process, as the connection sees it that listens for all of them."""

    def on_listening(self) -> None:
        """What it asked for last is listened to."""

    def on_refused(self, error: ClientError) -> None:
        """What it asked for last is not; what it heard of before it does still."""

    def hear(self, channel: bytes, message: bytes) -> None:
        """A NotificationResponse."""

    def on_lost(self) -> None:
        """From now on notifications may be missed; what it asked for last stays asked for."""

    def on_restored(self) -> None:
        """Everything is heard of again."""


class Source(Protocol):
    """One database's notifications."""

    @property
    def is_there(self) -> bool:
        """Whether it can be asked. If not, whoever made it knows of when it can be again."""

    def lend(self, user: str, credential: BackendCredential | None) -> None:
        """The server may be logged in to as for a client with this name."""

    def listen(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        """Ask the server to listen to these, also to those that it listens to already. The subscriber is answered, and
        until then asks for nothing else."""

    def keep(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        """It heard of these through a source that is gone. It is told when all is restored, and may ask meanwhile."""

    def unlisten(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        """It wants to hear of these no more. Not while it waits for an answer."""
