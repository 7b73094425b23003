"""One database's connection that listens: made for the first channel, made again when it is lost, closed after the
last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from interceptor.errors import LISTEN_FAILED, BackendError, ClientError
from interceptor.protocol import messages
from pooler.auth import BackendCredential
from pooler.config import PoolSettings
from pooler.helpers.incoming import Incoming
from pooler.notifications.audience import Audience
from pooler.notifications.login import Login
from pooler.notifications.source import Subscriber
from pooler.tasks import Handle, spawn

if TYPE_CHECKING:
    from pooler.notifications.source import Source

__all__ = ["Hub"]

logger = logging.getLogger(__name__)

GRACE: Final = 5.0
"""Seconds for which a channel that nobody listens to is listened to still: clients prepare a LISTEN and then run it."""

PULSE: Final = 30.0
"""Seconds between two signs of life that the server is asked for."""

_PATIENCE: Final = 15.0
"""Seconds that it has for one."""

_FIRST_RETRY: Final = 0.25
"""Seconds until a lost connection is tried again; doubled each time, up to ``server_login_retry``."""

Asking: TypeAlias = dict[Subscriber, Collection[bytes]]
"""Who waits for an answer, and about which channels."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query under way."""

    new: set[bytes]
    """What is listened to from then on."""
    old: set[bytes]
    """What is not any more."""
    askers: Asking
    """Who is to be told."""


class Hub:
    """Implements ``Source`` over one connection, for all processes of the node."""

    def __init__(self, database: str, login: Login) -> None:
        self.database: Final = database
        self.notifications = 0
        """How many have come."""
        self.losses = 0
        """How often the connection was lost."""
        self._audience: Final = Audience[Subscriber]()
        """Who has been told that it hears of what."""
        self._asking: Asking = {}
        """Who waits, and has not been asked for yet."""
        self._asked: _Asked | None = None
        """The query under way."""
        self._heard: Final[set[bytes]] = set()
        """What the server has been told to send, and has agreed to."""
        self._missing: set[bytes] = set()
        """What it has to be told anew."""
        self._deserted: set[bytes] = set()
        """What nobody may want to hear of any more, among what is heard."""
        self._lost: set[Subscriber] = set()
        """Who is to be told when all is as before."""
        self._login = login
        self._connection: Incoming | None = None
        self._running: Handle | None = None
        self._wake = asyncio.Event()
        self._sweeping: asyncio.TimerHandle | None = None
        self._held = False
        self._closed = False

    def __str__(self) -> str:
        return f"connection that listens for {self.database}"

    @property
    def is_connected(self) -> bool:
        """Whether it has a connection to the server."""
        return self._connection is not None

    @property
    def _is_awaited(self) -> bool:
        """Somebody waits for an answer."""
        return bool(self._asking or (self._asked is not None and self._asked.askers))

    @property
    def _is_used(self) -> bool:
        return bool(self._audience or self._is_awaited)

    # --- Source ------------------------------------------------------------------------------------------------------

    @property
    def is_there(self) -> bool:
        """As ``Source``: whoever asks while there is no connection waits for it."""
        return True

    def lend(self, user: str, credential: BackendCredential | None) -> None:
        """As ``Source``."""
        self._login.loans.lend(user, credential)

    def listen(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        """As ``Source``."""
        self._asking[subscriber] = channels
        self._go()

    def keep(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        """As ``Source``."""
        self._audience.add(subscriber, channels)
        self._missing.update(channels)
        self._lost.add(subscriber)
        self._go()

    def unlisten(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        """As ``Source``."""
        self._deserted |= self._audience.remove(subscriber, channels)
        if self._deserted or not self._is_used:
            self._sweep_later()

    def tells(self, subscriber: Subscriber) -> bool:
        """Whether it hears of anything."""
        return bool(self._audience.of(subscriber))

    def leave(self, subscriber: Subscriber) -> None:
        """It is gone, and waits for nothing."""
        self._lost.discard(subscriber)
        self._deserted.update(self._asking.pop(subscriber, ()))
        if self._asked is not None:
            self._asked.askers.pop(subscriber, None)
        self.unlisten(subscriber, self._audience.of(subscriber))

    def _go(self) -> None:
        if self._running is None and not self._closed:
            self._running = spawn(self._run(), name=str(self))
        self._wake.set()
        self._advance()

    # --- Life --------------------------------------------------------------------------------------------------------

    def look_around(self, *, holds: bool) -> None:
        """See whether the database is elsewhere by now. ``holds``: somebody has paused it, so let its server go."""
        if holds is not self._held:
            self._held = holds
            self._wake.set()
        # A transaction that waits for its LISTEN is one that PAUSE waits for.
        if self._connection is not None and ((holds and not self._is_awaited) or self._is_elsewhere):
            self.remake()

    @property
    def _is_elsewhere(self) -> bool:
        try:
            return _place(self._login.find()[0]) != self._place
        except BackendError:
            return False  # the database is in the configuration no more, and its clients are about to go

    def remake(self) -> None:
        """Make the connection again, perhaps to another server."""
        if self._connection is not None:
            self._say_goodbye()

    def close(self) -> None:
        """Let the server go, for good."""
        self._closed = True
        self._wake.set()
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._connection is not None:
            self._say_goodbye()
        elif self._running is not None:
            self._running.cancel()

    def _say_goodbye(self) -> None:
        assert self._connection is not None
        transport = self._connection.transport
        if not transport.is_closing():
            transport.write(messages.TERMINATE_MESSAGE)
            transport.close()

    def _goes_on(self) -> bool:
        return self._is_used and not self._closed

    async def _run(self) -> None:
        retry_after = _FIRST_RETRY
        try:
            while self._goes_on():
                if self._held and not self._asking:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                try:
                    await self._connect()
                except BackendError as error:
                    logger.warning("login of the %s failed: %s", self, error)
                    askers, self._asking = self._asking, {}
                    self._refuse(askers, error)
                    retry_after = self._longer(retry_after)
                else:
                    before = self._settlements
                    self._on_lost(await self._hear())
                    if self._settlements > before:
                        retry_after = _FIRST_RETRY
                    else:
                        # A server that can be logged in to, and does not listen: one in recovery.
                        retry_after = self._longer(retry_after)
                if self._goes_on():
                    await self._pause(retry_after)
        finally:
            self._running = None

    def _longer(self, retry_after: float) -> float:
        return min(2 * retry_after, max(self._login.retry_most, _FIRST_RETRY))

    async def _connect(self) -> None:
        settings, self._connection = await self._login.log_in()
        self._place = _place(settings)
        self._missing.update(self._audience.members)
        if not self._is_used:
            self._sweep_later()

    async def _pause(self, seconds: float) -> None:
        """Wait before the next login; not if somebody waits for an answer who has not had one."""
        self._wake.clear()
        if not self._asking:
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass

    _place: tuple[object, ...] = ()
    _settlements = 0

    # --- The conversation --------------------------------------------------------------------------------------------

    async def _hear(self) -> BackendError:
        """Take what the server says. Returns why there is no more."""
        connection = self._connection
        assert connection is not None
        loop = asyncio.get_running_loop()
        pulse = loop.call_later(PULSE, self._feel_pulse)
        failure: bytes | None = None
        self._advance()
        try:
            while True:
                kind, body = await connection.next(PULSE + _PATIENCE)
                if kind == messages.NOTIFICATION_RESPONSE:
                    self._on_notification(body)
                elif kind == messages.ERROR_RESPONSE:
                    failure = body
                elif kind == messages.READY_FOR_QUERY:
                    if failure is not None and not self._survives(failure):
                        return connection.broken("an error where it was asked to listen")
                    if failure is None:
                        self._on_done()
                    failure = None
                    if self._asked is None and pulse.when() <= loop.time():
                        pulse = loop.call_later(PULSE, self._feel_pulse)
                    self._advance()
        except BackendError as error:
            return error
        finally:
            pulse.cancel()

    def _on_notification(self, body: bytes) -> None:
        self.notifications += 1
        channel = body[4 : body.find(0, 4)]
        subscribers = self._audience.of_channel(channel)
        if subscribers:
            message = messages.encode_message(messages.NOTIFICATION_RESPONSE, body)
            for subscriber in subscribers:
                subscriber.hear(channel, message)

    def _advance(self) -> None:
        """Ask the server for what is missing, one query at a time."""
        if self._connection is None or self._asked is not None or self._connection.transport.is_closing():
            return
        is_whole = not self._missing
        askers, self._asking = self._asking, {}
        # Those that are listened to already, too: what was sent before a client's LISTEN has come before the answer.
        new = self._missing.intersection(self._audience.members).union(*askers.values())
        self._missing.clear()
        if new:
            self._ask(new, set(), askers)
        if is_whole or not new:
            lost, self._lost = self._lost, set()
            for subscriber in lost:
                subscriber.on_restored()

    def _ask(self, new: set[bytes], old: set[bytes], askers: Asking) -> None:
        assert self._connection is not None
        self._asked = _Asked(new, old, askers)
        statements = [b"LISTEN " + _quoted(channel) for channel in sorted(new)]
        statements += [b"UNLISTEN " + _quoted(channel) for channel in sorted(old)]
        self._connection.transport.write(messages.encode_message(messages.QUERY, b"; ".join(statements) + b"\0"))

    def _feel_pulse(self) -> None:
        if self._connection is not None and self._asked is None:
            self._ask(set(), set(), {})

    def _on_done(self) -> None:
        """The server has done what it was asked."""
        if self._asked is None:
            return
        asked, self._asked = self._asked, None
        self._settlements += 1
        self._heard.update(asked.new)
        self._heard.difference_update(asked.old)
        for subscriber, channels in asked.askers.items():
            self._audience.add(subscriber, channels)
        for subscriber in list(asked.askers):
            subscriber.on_listening()

    def _survives(self, failure: bytes) -> bool:
        """A query of ours has failed, and who asked is told. False if others have been told that they hear of what it
        asked for."""
        if self._asked is None:
            return False
        asked, self._asked = self._asked, None
        survives = bool(asked.askers) and (asked.new - self._heard).isdisjoint(self._audience.members)
        said = messages.decode_error_fields(failure)
        error = BackendError(LISTEN_FAILED, said.get("M", "it gave no reason"), sqlstate=said.get("C", "58000"))
        self._refuse(asked.askers, error)
        return survives

    def _refuse(self, askers: Asking, error: BackendError) -> None:
        refusal = ClientError(
            LISTEN_FAILED,
            f'the connection that listens for all clients of database "{self.database}" can\'t be had: {error.message}',
            detail="LISTEN was not done.",
            hint='Try again, or set listen = "pin" to let each client listen on a backend of its own.',
            fatal=False,
        )
        for subscriber in list(askers):
            subscriber.on_refused(refusal)
        if not self._is_used:
            self._sweep_later()

    def _on_lost(self, error: BackendError) -> None:
        self._connection = None
        if self._asked is not None:
            self._asking.update(self._asked.askers)
            self._asked = None
        self._heard.clear()
        self._deserted.clear()
        if self._audience and not self._closed:
            self.losses += 1
            logger.warning("the %s was lost, and is made again: %s", self, error)
            for subscriber in list(self._audience.channels):
                self._lost.add(subscriber)
                subscriber.on_lost()

    # --- What nobody wants to hear of any more -----------------------------------------------------------------------

    def _sweep_later(self) -> None:
        if self._sweeping is None and not self._closed:
            self._sweeping = asyncio.get_running_loop().call_later(GRACE, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        if self._connection is None:
            return
        if not self._is_used:
            self._say_goodbye()
        elif self._asked is not None:
            self._sweep_later()
        else:
            old = (self._deserted & self._heard).difference(self._audience.members)
            self._deserted.clear()
            if old:
                self._ask(set(), old, {})


def _place(settings: PoolSettings) -> tuple[object, ...]:
    # Which of the clients has lent its login makes no difference.
    user = settings.user if settings.forced_user else ""
    return settings.hosts, settings.dbname, settings.tls, user


def _quoted(channel: bytes) -> bytes:
    return b'"%b"' % channel.replace(b'"', b'""')


if TYPE_CHECKING:

    def _source(hub: Hub) -> Source:
        return hub
