"""The control: what exists once per node. Permits, cancel requests from one worker to another, values of plugins."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pooler.processes.cancels import CancelRouter
from pooler.processes.channel import Channel
from pooler.processes.ledger import Action, Ledger, Limits
from pooler.processes.messages import (
    Answered,
    Ask,
    Busy,
    Calm,
    Cancel,
    Canceled,
    Closed,
    Key,
    Message,
    Opened,
    Put,
    Question,
    Register,
    Return,
    Welcome,
)
from pooler.processes.orphans import Orphan, discard
from pooler.processes.questions import QuestionRouter
from pooler.processes.values import ValueStore

if TYPE_CHECKING:
    import socket

    from pooler.config import Config
    from pooler.processes.memory import SharedMap

__all__ = ["Control", "Peer"]

logger = logging.getLogger(__name__)

LOOK: Final = 0.05
"""Seconds between two looks at who waits."""

UNREPORTED: Final = 2.0
"""Seconds until a dead worker's permit is free for which it had reported no backend: it died during the login."""


class Peer:
    """A worker, as the control knows it."""

    def __init__(self, sock: socket.socket, control: Control) -> None:
        self.slot = -1
        self.pid = 0
        self.backends: dict[int, tuple[Opened, int]] = {}
        """What it has reported, with the duplicates of the sockets."""
        self.channel = Channel(
            sock, lambda message, fd: control.on_message(self, message, fd), lambda: control.on_gone(self)
        )

    def __str__(self) -> str:
        return f"worker {self.slot} (process {self.pid})"


class Control:
    """Everything but the process around it."""

    def __init__(self, config: Config, memory: SharedMap) -> None:
        self.config = config
        self._memory = memory
        self.ledger: Final = Ledger(self._limits)
        self.peers: dict[int, Peer] = {}
        self.cancels: Final = CancelRouter(self.peers)
        self.questions: Final = QuestionRouter(self.peers)
        self.values: Final = ValueStore(self.peers)
        self._orphans: dict[Orphan, int] = {}
        self._losses = 0
        self._awaited = {slot for slot in range(1, memory.workers + 1) if memory.seats[slot].pid}
        """Workers that were there before this control, and have yet to say what they hold."""
        self._timer: asyncio.TimerHandle | None = None

    # --- Life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look at who waits."""
        self._look()

    def close(self) -> None:
        """Let go of everything."""
        if self._timer is not None:
            self._timer.cancel()
        for peer in list(self.peers.values()):
            peer.channel.close()
        for orphan in list(self._orphans):
            orphan.close()

    @property
    def orphans(self) -> int:
        """Backends without a worker, whose servers have not let go yet."""
        return len(self._orphans)

    def on_dialed(self, sock: socket.socket) -> None:
        """A worker has made a socket pair; this is our end."""
        Peer(sock, self)

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)
        self._memory.seats[0].beat()
        if self.ledger.paused:
            self._awaited = {slot for slot in self._awaited if self._memory.seats[slot].pid}
            self.ledger.paused = bool(self._awaited)
        self._tell(self.ledger.look(time.monotonic()))

    # --- Messages ----------------------------------------------------------------------------------------------------

    def on_message(self, peer: Peer, message: Message, fd: int) -> None:
        """A worker has said something."""
        now = time.monotonic()
        slot = peer.slot
        match message:
            case Ask(key=key, floor=True):
                self._tell(self.ledger.ask_for_floor(slot, key, now))
            case Ask(key=key, want=want, demand=demand, since=since, reserve=reserve):
                self._tell(self.ledger.ask(slot, key, want, now, demand=demand, since=since, reserve=reserve))
            case Return(key=key, count=count):
                self._tell(self.ledger.give_back(slot, key, count, now))
            case Opened():
                peer.backends[message.number] = message, fd
            case Closed():
                self._on_closed(peer, message)
            case Calm(key=key):
                self.ledger.calm(slot, key)
            case Busy(key=key):
                self._tell(self.ledger.busy(slot, key, now))
            case Cancel():
                self.cancels.on_request(peer, message)
            case Canceled():
                self.cancels.on_answer(peer, message)
            case Put():
                self.values.on_put(message)
            case Question():
                self.questions.on_question(peer, message)
            case Answered():
                self.questions.on_answered(message)
            case Register():
                self._on_register(peer, message)
            case _:
                raise AssertionError(f"{peer} says {type(message).__name__}")

    def _on_register(self, peer: Peer, message: Register) -> None:
        before = self.peers.get(message.slot)
        if before is not None:
            before.channel.close()
            self.on_gone(before)
        peer.slot, peer.pid = message.slot, message.pid
        self.peers[peer.slot] = peer
        for held in message.held:
            self.ledger.adopt(peer.slot, held.key, held.count, time.monotonic())
        self.values.welcome(peer)
        peer.channel.send(Welcome())
        self._awaited.discard(peer.slot)

    def _on_closed(self, peer: Peer, closed: Closed) -> None:
        opened, fd = peer.backends.pop(closed.number)
        if closed.certain:
            discard(fd)
        else:
            self._losses += 1
            self.ledger.bequeath(peer.slot, -self._losses, opened.key, 1)
            self._watch(opened, fd, -self._losses)

    def _tell(self, actions: Iterable[Action]) -> None:
        for holder, message in actions:
            self.peers[holder].channel.send(message)

    # --- The dead ----------------------------------------------------------------------------------------------------

    def on_gone(self, peer: Peer) -> None:
        """A worker's end of the socket pair is closed: it is dead, or dies."""
        if self.peers.get(peer.slot) is not peer:
            return
        del self.peers[peer.slot]
        self.cancels.on_gone(peer)
        self.questions.on_gone(peer)
        left = self.ledger.leave(peer.slot)
        self._losses += 1
        heir = -self._losses
        for key, count in left.items():
            self.ledger.bequeath(peer.slot, heir, key, count)
        for opened, fd in peer.backends.values():
            left[opened.key] -= 1
            self._watch(opened, fd, heir)
        unreported = {key: count for key, count in left.items() if count}
        logger.info("%s is gone: %d backends to be ended", peer, len(peer.backends))
        loop = asyncio.get_running_loop()
        for key, count in unreported.items():
            loop.call_later(UNREPORTED, self._free, heir, key, count)

    def _watch(self, opened: Opened, fd: int, heir: int) -> None:
        if fd < 0:
            asyncio.get_running_loop().call_later(UNREPORTED, self._free, heir, opened.key, 1)
            return

        def on_ended() -> None:
            del self._orphans[orphan]
            self._free(heir, opened.key, 1)

        orphan = Orphan(opened, fd, on_ended)
        self._orphans[orphan] = heir

    def _free(self, holder: int, key: Key, count: int) -> None:
        self._tell(self.ledger.give_back(holder, key, count, time.monotonic()))

    # --- Limits ------------------------------------------------------------------------------------------------------

    def _limits(self, key: Key) -> Limits:
        database, user, _ = key
        settings = self.config.pool_settings(database, user)
        reserve = settings.reserve_pool_size if settings.reserve_pool_timeout else 0
        return Limits(settings.pool_size, reserve, settings.max_db_connections, settings.max_user_connections)
