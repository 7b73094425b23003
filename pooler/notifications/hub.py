"""One database's connection that listens: made for the first channel, made again when it is lost, closed after the
last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from interceptor.errors import LISTEN_FAILED, BackendError, ClientError
from interceptor.protocol import messages
from interceptor.session.listening import Listener
from pooler.auth import BackendCredential, KeyCache
from pooler.config import PoolSettings
from pooler.helpers.incoming import Incoming
from pooler.login import log_in
from pooler.notifications.interest import Interest, Waiting
from pooler.tasks import Handle, spawn

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


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query under way."""

    new: set[bytes]
    """What is listened to from then on."""
    old: set[bytes]
    """What is not any more."""
    waiting: Waiting
    """Who is to be told."""


FindLogin = Callable[[], "tuple[PoolSettings, BackendCredential | None]"]


class Hub:
    """Implements ``Notifications`` over one connection."""

    def __init__(self, database: str, find_login: FindLogin, keys: KeyCache, max_unread: int) -> None:
        """``find_login`` is asked at each login: where the database is, and as whom."""
        self.database: Final = database
        self.max_unread = max_unread
        self.interest: Final = Interest()
        self.heard: set[bytes] = set()
        """What the server has been told to send, and has agreed to."""
        self.notifications = 0
        """How many have come."""
        self.losses = 0
        """How often the connection was lost."""
        self._find_login = find_login
        self._keys = keys
        self._connection: Incoming | None = None
        self._asked: _Asked | None = None
        """The query under way."""
        self._running: Handle | None = None
        self._wake = asyncio.Event()
        self._missed: set[Listener] = set()
        """Who is to be told of a loss, once all is as before."""
        self._sweeping: asyncio.TimerHandle | None = None
        self._held = False
        self._closed = False

    def __str__(self) -> str:
        return f"connection that listens for {self.database}"

    @property
    def size(self) -> int:
        """Connections to the server."""
        return self._connection is not None

    def report(self) -> list[tuple[bytes, int, int, int]]:
        """Each channel: how many clients want to hear of it, how many of them do now, and the most bytes that wait for
        one."""
        return [
            (
                channel,
                len(some),
                len(some) - len(self.interest.waiting.get(channel, ())) if channel in self.heard else 0,
                max([listener.unread for listener in some]),
            )
            for channel, some in self.interest.listeners.items()
        ]

    # --- Notifications -----------------------------------------------------------------------------------------------

    def listen(self, listener: Listener, channels: Collection[bytes]) -> None:
        self.interest.add(listener, channels)
        if self._running is None and not self._closed:
            self._running = spawn(self._run(), name=str(self))
        self._wake.set()
        self._advance()

    def unlisten(self, listener: Listener, channels: Collection[bytes]) -> None:
        if self.interest.remove(listener, channels):
            self._sweep_later()

    def leave(self, listener: Listener) -> None:
        self._missed.discard(listener)
        self.unlisten(listener, self.interest.of(listener))

    # --- Life --------------------------------------------------------------------------------------------------------

    def look_around(self, *, holds: bool) -> None:
        """See whether the database is elsewhere by now. ``holds``: somebody has paused it, so let its server go."""
        if holds is not self._held:
            self._held = holds
            self._wake.set()
        settings = self._find_login()[0]
        self.max_unread = settings.max_unread_notifications
        if self._connection is None:
            return
        # A transaction that waits for its LISTEN is one that PAUSE waits for.
        if (holds and not self._awaited) or _place(settings) != self._place:
            self.remake()

    @property
    def _awaited(self) -> bool:
        return bool(self.interest.waiting) or (self._asked is not None and bool(self._asked.waiting))

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
        # Who wants to listen from now on waits for the next connection.
        self.heard = set()
        transport = self._connection.transport
        if not transport.is_closing():
            transport.write(messages.TERMINATE_MESSAGE)
            transport.close()

    async def _run(self) -> None:
        retry_after = _FIRST_RETRY
        try:
            while self.interest and not self._closed:
                if self._held and not self.interest.waiting:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                try:
                    await self._connect()
                except BackendError as error:
                    logger.warning("login of the %s failed: %s", self, error)
                    self._refuse(self.interest.take_waiting(), error)
                    retry_after = min(2 * retry_after, max(self._retry_most, _FIRST_RETRY))
                else:
                    before = self._settlements
                    self._on_lost(await self._hear())
                    if self._settlements > before:
                        retry_after = _FIRST_RETRY
                if self.interest and not self._closed:
                    await self._pause(retry_after)
        finally:
            self._running = None

    async def _connect(self) -> None:
        settings, credential = self._find_login()
        self._retry_most = settings.server_login_retry
        parameters = {
            **dict(settings.parameters),
            "application_name": "interceptor listen",
            # No conversion: names and payloads come in the database's own encoding.
            "client_encoding": "SQL_ASCII",
        }
        logged_in = await log_in(settings, parameters, credential, self._keys)
        self._place = _place(settings)
        self._connection = Incoming(logged_in)

    async def _pause(self, seconds: float) -> None:
        """Wait before the next login; not if somebody waits for an answer who has not had one."""
        self._wake.clear()
        if not self.interest.waiting:
            try:
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass

    _place: tuple[object, ...] = ()
    _retry_most = _FIRST_RETRY
    _settlements = 0

    async def _hear(self) -> BackendError:
        """Take what the server says. Returns why there is no more."""
        connection = self._connection
        assert connection is not None
        pulse = asyncio.get_running_loop().call_later(PULSE, self._feel_pulse)
        failure: bytes | None = None
        self._advance()
        try:
            while True:
                kind, body = await connection.next(PULSE + _PATIENCE)
                if kind == messages.NOTIFICATION_RESPONSE:
                    self.notifications += 1
                    self.interest.hear(body[4 : body.find(0, 4)], messages.encode_message(kind, body))
                elif kind == messages.ERROR_RESPONSE:
                    failure = body
                elif kind == messages.READY_FOR_QUERY:
                    if failure is not None and not self._survives(failure):
                        return connection.broken("an error where it was asked to listen")
                    if failure is None:
                        self._on_done()
                    failure = None
                    if self._asked is None and pulse.when() <= asyncio.get_running_loop().time():
                        pulse = asyncio.get_running_loop().call_later(PULSE, self._feel_pulse)
                    self._advance()
        except BackendError as error:
            return error
        finally:
            pulse.cancel()

    def _advance(self) -> None:
        """Ask the server for what is missing, one query at a time."""
        if self._connection is None or self._asked is not None or self._connection.transport.is_closing():
            return
        # Those that are listened to already, too: what was sent before a client's LISTEN has come before the answer.
        new = self.interest.listeners.keys() - self.heard | self.interest.waiting.keys()
        if new:
            self._ask(new, set())
        elif self._missed:
            missed, self._missed = self._missed, set()
            for listener in missed:
                listener.on_missed()

    def _ask(self, new: set[bytes], old: set[bytes]) -> None:
        assert self._connection is not None
        self._asked = _Asked(new, old, self.interest.take_waiting())
        statements = [b"LISTEN " + _quoted(channel) for channel in sorted(new)]
        statements += [b"UNLISTEN " + _quoted(channel) for channel in sorted(old)]
        self._connection.transport.write(messages.encode_message(messages.QUERY, b"; ".join(statements) + b"\0"))

    def _feel_pulse(self) -> None:
        if self._connection is not None and self._asked is None:
            self._ask(set(), set())

    def _on_done(self) -> None:
        if self._asked is not None:
            asked, self._asked = self._asked, None
            self._settlements += 1
            self.heard = (self.heard | asked.new) - asked.old
            self.interest.confirm(asked.waiting)

    def _survives(self, failure: bytes) -> bool:
        """A query of ours has failed. False if clients were told already that they hear of what it asked for."""
        asked = self._asked
        if asked is None or self.interest.settled(asked.waiting):
            return False
        self._asked = None
        said = messages.decode_error_fields(failure)
        error = BackendError(LISTEN_FAILED, said.get("M", "it gave no reason"), sqlstate=said.get("C", "58000"))
        self._refuse(asked.waiting, error)
        return True

    def _refuse(self, asked: Waiting, error: BackendError) -> None:
        self.interest.refuse(
            asked,
            ClientError(
                LISTEN_FAILED,
                f'the connection that listens for all clients of database "{self.database}" can\'t be had: '
                f"{error.message}",
                detail="LISTEN was not done.",
                hint='Try again, or set listen = "pin" to let each client listen on a backend of its own.',
                fatal=False,
            ),
        )

    def _on_lost(self, error: BackendError) -> None:
        self._connection = None
        if self._asked is not None:
            self.interest.wait_again(self._asked.waiting)
            self._asked = None
        self.heard = set()
        if self.interest and not self._closed:
            self.losses += 1
            self._missed |= self.interest.settled()
            logger.warning("the %s was lost, and is made again: %s", self, error)

    # --- What nobody wants to hear of any more -----------------------------------------------------------------------

    def _sweep_later(self) -> None:
        if self._sweeping is None and not self._closed:
            self._sweeping = asyncio.get_running_loop().call_later(GRACE, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        if self._connection is None:
            return
        if not self.interest:
            self._say_goodbye()
        elif self._asked is not None:
            self._sweep_later()
        else:
            old = self.heard - self.interest.listeners.keys()
            if old:
                self._ask(set(), old)


def _place(settings: PoolSettings) -> tuple[object, ...]:
    return settings.host, settings.port, settings.dbname, settings.tls, settings.user


def _quoted(channel: bytes) -> bytes:
    return b'"%b"' % channel.replace(b'"', b'""')
