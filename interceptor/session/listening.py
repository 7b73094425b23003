"""LISTEN without a backend of one's own: what a client hears of the connection that listens for all of its database.

The client's LISTEN and UNLISTEN are run by its backend as they are, so that PostgreSQL itself says what becomes of them
in a transaction, at an error, at ROLLBACK TO. When the transaction is over, the backend is asked what it listens to.
The client hears that from the shared connection, and the backend listens no more. Nothing is missed in between,
for the shared connection listens before the client's LISTEN is sent. docs/design/notifications.md has the reasons.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import TYPE_CHECKING, Final, Protocol

from interceptor.errors import NOTIFICATIONS_MISSED, NOTIFICATIONS_UNREAD, QUERY_CANCELED, ClientError
from interceptor.protocol import messages
from interceptor.session.belongings import FOR_EVER
from interceptor.session.prelude import prelude
from interceptor.session.probe import UNLISTEN_ALL, Probed, put_back
from interceptor.session.splice import Outcome, hold
from interceptor.session.substitutes import refuse
from interceptor.sql.effects import Effect, SessionEffects

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession

__all__ = ["MAX_CHANNELS", "Listener", "Listening", "Notifications", "await_channels", "put_channels_back"]

MAX_CHANNELS: Final = 100
"""Channels of one client that are heard of without a backend. With more, it keeps its backend for those."""

_UTF8: Final = b"UTF8"
_NOTICE: Final = b""
"""In the place of a channel's name, which is never empty."""

_MISSED: Final = messages.encode_error(
    "WARNING",
    NOTIFICATIONS_MISSED.sqlstate,
    f"({NOTIFICATIONS_MISSED.code}) the connection that listens for this client was lost and has been made again, so "
    "notifications may have been missed",
    hint="Look at what the notifications are about as if one had come on every channel.",
    kind=messages.NOTICE_RESPONSE,
)

_CANCELED: Final = ClientError(
    QUERY_CANCELED, "canceling statement due to user request while it waited for the server to listen", fatal=False
)


class Listener(Protocol):
    """Who hears of channels."""

    @property
    def unread(self) -> int:
        """Bytes that wait for it."""

    def on_listening(self, channels: Collection[bytes]) -> None:
        """From now on it hears of these."""

    def on_refused(self, channels: Collection[bytes], error: ClientError) -> None:
        """It will not hear of these. The error is not fatal."""

    def hear(self, channel: bytes, message: bytes) -> None:
        """A NotificationResponse."""

    def on_missed(self) -> None:
        """Some notifications may not have come; from now on they do again."""


class Notifications(Protocol):
    """What listens for others. Names of channels are in the database's encoding."""

    @property
    def max_unread(self) -> int:
        """Bytes that may wait for one client until it is told that it is too slow."""

    def listen(self, listener: Listener, channels: Collection[bytes]) -> None:
        """Listen to these for it. It is told when that is so, perhaps at once."""

    def unlisten(self, listener: Listener, channels: Collection[bytes]) -> None:
        """It does not want to hear of these any more."""

    def leave(self, listener: Listener) -> None:
        """It does not want to hear of anything any more."""


class Listening:
    """What one client hears. Implements ``Listener``."""

    __slots__ = (
        "_aside",
        "_asked",
        "_notifications",
        "_queue",
        "_refused",
        "_session",
        "active",
        "put_back",
        "ready",
        "unread",
    )

    def __init__(self, session: ClientSession, notifications: Notifications) -> None:
        self._session = session
        self._notifications = notifications
        self.active: set[bytes] = set()
        """What the client listens to, as of the end of its last transaction, but for what pins it."""
        self.ready: set[bytes] = set()
        """Those, and what it may have begun to listen to since."""
        self._asked: set[bytes] = set()
        self._refused: dict[bytes, ClientError] = {}
        self.put_back = False
        """Its backend was made to listen to what is active, in the transaction that is open."""
        self._aside: list[bytes] = []
        """What the backend said of channels of which it isn't known yet who will tell."""
        self._queue: deque[tuple[bytes, bytes]] = deque()
        self.unread = 0
        """Bytes that wait for the end of its transaction, or for it to read."""

    @property
    def in_doubt(self) -> bool:
        """What the client listens to may be another thing at the end of its transaction."""
        return self.put_back or len(self.ready) > len(self.active)

    @property
    def waits(self) -> bool:
        """A LISTEN of the client waits until the shared connection listens."""
        return bool(self._asked) and self._session.held

    # --- What the client asks for ------------------------------------------------------------------------------------

    def ask(self, channels: set[bytes]) -> None:
        """See that it will hear of these, if it comes to listen to them."""
        new = channels - self.ready - self._asked
        if new:
            self._asked |= new
            self._notifications.listen(self, new)

    def take_refusal(self, channels: set[bytes]) -> ClientError | None:
        """Why one of these can't be listened to, if that has been found out since it was asked for."""
        errors = [self._refused.pop(channel) for channel in channels & self._refused.keys()]
        return errors[0] if errors else None

    def cancel(self) -> None:
        """Somebody has canceled the LISTEN that waits."""
        asked, self._asked = self._asked, set()
        self._notifications.unlisten(self, asked)
        self._refused.update(dict.fromkeys(asked, _CANCELED))
        self._go_on()

    def on_all_gone(self) -> None:
        """DISCARD ALL has been done."""
        self.active.clear()

    def takes(self, message: bytes) -> bool:
        """Whether a NotificationResponse of the client's backend is not to be sent, for it is told otherwise."""
        channel = message[9 : message.find(0, 9)]
        if channel in self.active:
            return True
        if channel not in self.ready:
            return False
        self._aside.append(message)
        return True

    def settle(self, backend: BackendSession, probed: Probed, pins: set[Effect]) -> None:
        """The client's transaction is over, and this is what its backend listens to. Takes away the pin for that."""
        here = probed.channels & self.ready
        self.active = here if probed.put_back else self.active | here
        self._aside.clear()
        self._drop_others()
        if probed.channels <= self.ready:
            pins.discard(Effect.LISTEN)
            if probed.channels or probed.put_back:
                backend.ask(UNLISTEN_ALL, self._on_unlistened)

    def _on_unlistened(self, backend: BackendSession, rows: list[bytes], error: bytes) -> bool:
        if error:
            # Perhaps the client's own statement_timeout. It is asked again at the next doubt.
            self._session.belongings.pin(Effect.LISTEN)
        return True

    def give_up(self) -> None:
        """What the last transaction has begun to listen to is for its backend to tell, which the client keeps."""
        if self._aside:
            self._session.write(b"".join(self._aside))
            self._aside.clear()
        self._drop_others()

    def _drop_others(self) -> None:
        self.put_back = False
        others = self.ready - self.active
        if others:
            self.ready -= others
            self._notifications.unlisten(self, others)

    def leave(self) -> None:
        """The client is gone."""
        self._queue.clear()
        self._notifications.leave(self)

    # --- What it is told ---------------------------------------------------------------------------------------------

    def on_listening(self, channels: Collection[bytes]) -> None:
        """As ``Listener``."""
        self._asked -= set(channels)
        self.ready |= set(channels)
        self._go_on()

    def on_refused(self, channels: Collection[bytes], error: ClientError) -> None:
        """As ``Listener``."""
        self._asked -= set(channels)
        self._refused.update(dict.fromkeys(channels, error))
        self._go_on()

    def _go_on(self) -> None:
        session = self._session
        if session.held and not session.waiting and not self._asked:
            try:
                if session.backend is not None:
                    session.on_answered(session.backend)
                elif not session.deciding and (session.interception is None or not session.interception.busy):
                    # Its backend was given back meanwhile, having had nothing to do.
                    session.on_answer_sent()
            except ClientError as error:
                session.host.on_failed(error)

    def hear(self, channel: bytes, message: bytes) -> None:
        """As ``Listener``. Between transactions the client is told at once, as PostgreSQL does."""
        if self._queue or not self._may_tell:
            if channel in self.ready:
                self._keep(channel, message)
        elif channel in self.active:
            self._session.write(message)

    def on_missed(self) -> None:
        """As ``Listener``."""
        if self._queue or not self._may_tell:
            self._keep(_NOTICE, _MISSED)
        else:
            self._session.write(_MISSED)

    @property
    def _may_tell(self) -> bool:
        session = self._session
        if session.host.is_full:
            return False
        backend = session.backend
        if backend is not None:
            return backend.reusable and not session.settling
        return not session.ignoring and (session.interception is None or not session.interception.busy)

    def _keep(self, channel: bytes, message: bytes) -> None:
        self._queue.append((channel, message))
        self.unread += len(message)
        most = self._notifications.max_unread
        if self.unread > most:
            self._session.host.on_failed(
                ClientError(
                    NOTIFICATIONS_UNREAD,
                    f"more than {most} bytes of notifications wait for this client, which does not read them or does "
                    "not end its transaction",
                    hint="Read what the server sends, end transactions, or raise max_unread_notifications.",
                )
            )

    def on_ready(self, *, idle: bool) -> None:
        """All is answered, and no batch is open. ``idle``: nor a transaction; and what the client has is known."""
        if idle:
            # Of a LISTEN that failed before it was run nobody has asked what became of it.
            self._drop_others()
            if self._queue:
                self._tell()
        elif len(self.ready) > len(self.active) and self._queue:
            # Its LISTEN has not been committed, so none of this is for it.
            kept = [(channel, message) for channel, message in self._queue if self._is_for_it(channel)]
            self._queue = deque(kept)
            self.unread = sum([len(message) for _, message in kept])

    def flush(self) -> None:
        """Tell the client what waits, if it may be told."""
        if self._queue and self._may_tell:
            self._tell()

    def _is_for_it(self, channel: bytes) -> bool:
        return channel in self.active or channel == _NOTICE

    def _tell(self) -> None:
        queue, session = self._queue, self._session
        while queue and not session.host.is_full:
            channel, message = queue.popleft()
            self.unread -= len(message)
            if self._is_for_it(channel):
                session.write(message)


def await_channels(
    session: ClientSession, backend: BackendSession, effects: SessionEffects, end: int, *, simple: bool
) -> Outcome:
    """Let a LISTEN wait until the shared connection listens. What is returned takes the place of the message, if
    anything; ``end`` is the message's end."""
    channels = _names(session, effects)
    if not channels or not session.follows or session.belongings.pins & FOR_EVER:
        return None
    listening = session.listening
    if listening is None:
        notifications = session.host.notifications()
        if notifications is None:
            return None
        listening = session.listening = Listening(session, notifications)
    if channels <= listening.ready or len(channels | listening.ready) > MAX_CHANNELS:
        return None
    if backend.owed and backend.between_batches:
        # It would be listened to too early, and the client would hear what those before this one notify of.
        return hold(session)
    error = listening.take_refusal(channels)
    if error is None:
        listening.ask(channels)
        if channels <= listening.ready:
            return None
        error = listening.take_refusal(channels)
    if error is not None:
        return refuse(session, backend, messages.encode_failure(error), simple=simple), end
    return hold(session)


def put_channels_back(
    session: ClientSession, backend: BackendSession, effects: SessionEffects, position: int
) -> Outcome:
    """Before what may be an UNLISTEN: let the backend listen to what its client does, for it to be taken from there."""
    listening = session.listening
    if listening is None or not effects.ends_pin or listening.put_back or not listening.active:
        return None
    if backend.between_batches:
        if backend.owed:
            # Whether a transaction is open, and stands, is known when all is answered.
            return hold(session)
        if backend.status == messages.FAILED_TRANSACTION:
            return None
        backend.ask(
            messages.encode_message(messages.QUERY, b"; ".join(put_back(listening.active)) + b"\0"), _on_put_back
        )
        splice = None
    else:
        splice = b"".join([prelude(backend, sql) for sql in put_back(listening.active)]), position
    listening.put_back = True
    session.belongings.doubt_more()
    return splice


def _on_put_back(backend: BackendSession, rows: list[bytes], error: bytes) -> bool:
    # Where it failed there is no mark of it, and the client goes on to hear what it heard.
    return True


def _names(session: ClientSession, effects: SessionEffects) -> set[bytes]:
    """The channels of a LISTEN as the database calls them; none where that can't be told."""
    if not effects.channels:
        return set()
    names = {name.encode() for name in effects.channels}
    told = session.belongings.told.values
    if told.get(b"client_encoding") == told.get(b"server_encoding") == _UTF8:
        return names
    return names if all([name.isascii() for name in names]) else set()
