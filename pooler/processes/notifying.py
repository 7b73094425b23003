"""Notifications from the control, which has the connections that listen, to the workers, which have the clients."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Final

from interceptor.errors import FAILURES, LISTEN_FAILED, ClientError
from interceptor.protocol.framing import unpack_header
from pooler.notifications.login import Loans
from pooler.processes.notifying_messages import Listen, Notified, State, Told, Unlisten, encode_lent

if TYPE_CHECKING:
    from pooler.auth import BackendCredential
    from pooler.notifications import Boards, Hub, Source, Subscriber
    from pooler.processes.control import Peer
    from pooler.processes.messages import Message
    from pooler.server import Server

__all__ = ["MOST_BEHIND", "PATIENCE", "Notifier", "Relaying"]

logger = logging.getLogger(__name__)

MOST_BEHIND: Final = 16 * 1024 * 1024
"""Bytes that may wait for a worker that does not read. Then it gets no notifications until it has read all of them, and
its clients are told that they have missed some."""

PATIENCE: Final = 15.0
"""Seconds after which a LISTEN fails for which there is no control: it is replaced within one, but for that of a node
that another has taken the place of."""

_LOOK: Final = 1.0
"""Seconds between two looks at who was behind, at PAUSE, and at where the databases are."""

_NO_FILE: Final = -1


class Relaying:
    """The worker's half: what its boards hear through."""

    def __init__(self, boards: Boards, send: Callable[[Message, int], None]) -> None:
        self._boards = boards
        self._send = send
        self.is_there = False
        """Something may be said to the control, or to the next, which will read it."""
        self._giving_up: asyncio.TimerHandle | None = None

    def find_source(self, database: str) -> Source:
        """For a board."""
        return _RelayedSource(database, self)

    def send(self, message: Listen | Unlisten) -> None:
        """Say something to the control."""
        self._send(message, _NO_FILE)

    def on_connected(self) -> None:
        """There is a connection to a control, which knows nothing, and is perhaps yet to come."""
        self.is_there = True
        for board in self._boards:
            board.on_source_there()

    def on_welcome(self) -> None:
        """The control has read what was said to it."""
        self._stop_giving_up()

    def _stop_giving_up(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()

    def on_lost(self) -> None:
        """The control is gone, and its connections with it."""
        self.is_there = False
        for board in self._boards:
            board.on_source_gone()
        self._stop_giving_up()
        self._give_up_later()

    def _give_up_later(self) -> None:
        self._giving_up = asyncio.get_running_loop().call_later(PATIENCE, self._give_up)

    def _give_up(self) -> None:
        self._give_up_later()
        error = ClientError(
            LISTEN_FAILED,
            "the control process, which listens for the clients of all processes, is gone, and there is no other yet",
            detail="LISTEN was not done.",
            hint="Connect again.",
            fatal=False,
        )
        for board in self._boards:
            board.refuse_waiting(error)

    def on_message(self, message: Notified | Told) -> None:
        """The control says something."""
        board = self._boards.find(message.database)
        if board is None:
            return  # the last client is gone meanwhile
        match message:
            case Notified(messages=messages):
                for channel, one in _split(messages):
                    board.hear(channel, one)
            case Told(state=State.LISTENING):
                board.on_listening()
            case Told(state=State.REFUSED, why=why):
                assert why is not None
                code, text, detail, hint = why
                board.on_refused(ClientError(FAILURES[code], text, detail=detail, hint=hint, fatal=False))
            case Told(state=State.LOST):
                board.on_lost()
            case Told(state=State.RESTORED):
                board.on_restored()


def _split(messages: bytes) -> Iterator[tuple[bytes, bytes]]:
    """NotificationResponse messages, with their channels."""
    position = 0
    while position < len(messages):
        end = position + 1 + unpack_header(messages, position)[1]
        yield messages[position + 9 : messages.find(0, position + 9)], messages[position:end]
        position = end


class _RelayedSource:
    """Implements ``Source`` in a worker."""

    def __init__(self, database: str, relaying: Relaying) -> None:
        self._database = database
        self._relaying = relaying
        self._loans = Loans()

    @property
    def is_there(self) -> bool:
        return self._relaying.is_there

    def lend(self, user: str, credential: BackendCredential | None) -> None:
        self._loans.lend(user, credential)

    def listen(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        self._send(channels, kept=False)

    def keep(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        self._send(channels, kept=True)

    def unlisten(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        self._relaying.send(Unlisten(self._database, list(channels)))

    def _send(self, channels: Collection[bytes], *, kept: bool) -> None:
        lent = [encode_lent(user, credential) for user, credential in self._loans]
        self._relaying.send(Listen(self._database, lent, list(channels), kept))


class _Remote:
    """Implements ``Subscriber`` in the control, for one worker and database."""

    def __init__(self, hub: Hub, peer: Peer, on_left: Callable[[], None]) -> None:
        """``on_left``: it hears of nothing any more, and is to be forgotten."""
        self._hub = hub
        self._peer = peer
        self._channel = peer.channel
        self._on_left = on_left
        self._unsent: list[bytes] = []
        self._is_behind = False
        self._lost = False

    # --- From the worker ---------------------------------------------------------------------------------------------

    def on_listen(self, message: Listen) -> None:
        """The worker asks."""
        for lent in message.lent:
            self._hub.lend(lent.user, lent.credential())
        ask = self._hub.keep if message.kept else self._hub.listen
        ask(self, message.channels)

    def on_unlisten(self, channels: list[bytes]) -> None:
        """The worker has asked for nothing else meanwhile."""
        self._hub.unlisten(self, channels)
        self._leave_if_done()

    def leave(self) -> None:
        """The worker is gone."""
        self._hub.leave(self)

    def _leave_if_done(self) -> None:
        if not self._hub.tells(self):
            self.leave()
            self._on_left()

    # --- Subscriber --------------------------------------------------------------------------------------------------

    def on_listening(self) -> None:
        self._tell(State.LISTENING)

    def on_refused(self, error: ClientError) -> None:
        self._tell(State.REFUSED, (error.failure.code, error.message, error.detail, error.hint))
        self._leave_if_done()

    def on_lost(self) -> None:
        self._lost = True
        self._tell(State.LOST)

    def on_restored(self) -> None:
        self._lost = False
        self._tell(State.RESTORED)

    def hear(self, channel: bytes, message: bytes) -> None:
        if not self._unsent:
            # What comes at once goes at once.
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(message)

    # --- To the worker -----------------------------------------------------------------------------------------------

    def _tell(self, state: State, why: tuple[str, str, str, str] | None = None) -> None:
        self._flush()
        self._channel.send(Told(self._hub.database, state, why))

    def _flush(self) -> None:
        messages, self._unsent = self._unsent, []
        if not messages or self._is_behind:
            return
        if self._channel.unsent_bytes > MOST_BEHIND:
            self._is_behind = True
            logger.warning("%s does not read what its clients of %s are to hear", self._peer, self._hub.database)
            return
        self._channel.send(Notified(self._hub.database, b"".join(messages)))

    def look(self) -> None:
        """See whether a worker that was behind has read everything."""
        if self._is_behind and not self._channel.unsent_bytes:
            # Not sooner: who began to listen meanwhile has missed something too.
            self._tell(State.LOST)
            self._is_behind = False
            if not self._lost:
                self._tell(State.RESTORED)


class Notifier:
    """The control's half."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._remotes: dict[Peer, dict[str, _Remote]] = {}
        self._next_look = 0.0

    def on_message(self, peer: Peer, message: Listen | Unlisten) -> None:
        """A worker says what its clients want to hear of."""
        database = message.database
        remotes = self._remotes.setdefault(peer, {})
        remote = remotes.get(database)
        if isinstance(message, Listen):
            if remote is None:
                hub = self._server.hubs.get(database)
                remote = remotes[database] = _Remote(hub, peer, lambda: self._forget(peer, database))
            remote.on_listen(message)
        elif remote is not None:
            remote.on_unlisten(message.channels)

    def on_gone(self, peer: Peer) -> None:
        """A worker is dead."""
        for remote in self._remotes.pop(peer, {}).values():
            remote.leave()

    def _forget(self, peer: Peer, database: str) -> None:
        self._remotes[peer].pop(database, None)

    def look(self, now: float) -> None:
        """To be called often. ``now``: by the monotonic clock."""
        if now < self._next_look:
            return
        self._next_look = now + _LOOK
        for remotes in self._remotes.values():
            for remote in remotes.values():
                remote.look()
        self._server.hubs.look_around()
