"""What a session may ask of the pooler. The pooler implements these; tests put recorders in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from interceptor.errors import BackendError, ClientError
from interceptor.sql.effects import Effect

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession


class ClientHost(Protocol):
    """The pooler's side of one client."""

    def write(self, data: bytes) -> None:
        """Send to the client."""

    def acquire(self) -> BackendSession | None:
        """A backend for this client now, or None: then ``ClientSession.on_linked`` is called once there is one."""

    def on_pins_changed(self, pins: frozenset[Effect]) -> None:
        """From now on this client keeps its backend for these reasons; for none of its own if there are none.

        Raises ClientError if it must not.
        """

    def on_finished(self) -> None:
        """The client said Terminate and is owed nothing more: close its connection without a word."""

    def on_failed(self, error: ClientError) -> None:
        """Tell the client why and close its connection. A backend that is still linked is in doubt."""

    def pause_reading(self) -> None:
        """Take nothing more from the client's socket until ``resume_reading``."""

    def resume_reading(self) -> None:
        """Undo ``pause_reading``."""


class BackendHost(Protocol):
    """The pooler's side of one backend."""

    def write(self, data: bytes) -> None:
        """Send to the backend."""

    def release(self) -> None:
        """The backend has answered everything, is idle, and no client is linked to it any more."""

    def on_failed(self, error: BackendError) -> None:
        """The backend broke the protocol: it must be closed, and its client told."""
