"""What a session may ask of the pooler. The pooler implements these; tests put recorders in their place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from interceptor.errors import BackendError, ClientError
from interceptor.sql.effects import Effect

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.listening import Notifications


class ClientHost(Protocol):
    """The pooler's side of one client."""

    def write(self, data: bytes) -> None:
        """Send to the client."""

    @property
    def is_full(self) -> bool:
        """The client does not read as fast as it is sent to."""

    def acquire(self, target: str | None) -> BackendSession | None:
        """A backend for this client now, or None: then ``ClientSession.on_linked`` is called once there is one.

        ``target`` names where, if it is not the database's primary server.
        """

    def wait_for(self, awaitable: Awaitable[object], on_done: Callable[[object], None]) -> None:
        """Call ``on_done`` with the result, unless the client has left by then: then the wait is canceled."""

    async def drain(self) -> None:
        """Return when the client has read what it was sent, or nearly."""

    def on_pins_changed(self, pins: frozenset[Effect]) -> None:
        """From now on this client keeps its backend for these reasons; for none of its own if there are none.

        Raises ClientError if it must not.
        """

    def catch_up(self) -> None:
        """What came a while ago is acted on: it has to be judged by what is known by now."""

    def on_uncovering(self) -> Awaitable[object] | None:
        """The client is about to take something away that may hide another thing of its name. ``on_defined`` follows
        when its transaction is over. Returns what has to be waited for before the statement is sent."""

    def on_defining(self) -> None:
        """The client's transaction may create or alter something. ``on_defined`` follows when it is over."""

    def on_defined(self) -> None:
        """The client's transaction is over, and it may have created or altered something."""

    def notifications(self) -> Notifications | None:
        """What may listen in the client's place; None where it has to keep a backend for that."""

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

    def cancel(self, on_done: Callable[[bool], None]) -> None:
        """Ask the server to cancel what the backend runs. ``on_done`` is called when the server has dealt with that,
        with whether that is certain."""

    @property
    def is_full(self) -> bool:
        """The backend does not read as fast as it is sent to."""

    async def drain(self) -> None:
        """Return when the backend has read what it was sent, or nearly, or is lost."""

    def release(self) -> None:
        """The backend has answered everything, is idle, and no client is linked to it any more.

        If it is not ``reusable`` it has begun to say what nobody asked for, such as why it hangs up: it must be closed.
        """

    def on_failed(self, error: BackendError) -> None:
        """The backend broke the protocol: it must be closed, and its client told."""

    def on_error(self, sqlstate: bytes) -> None:
        """The backend has told its client of an error; empty where it did not say of which."""
