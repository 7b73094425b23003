"""The control: what exists once per node. Permits, cancel requests from one worker to another, values of plugins."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

from pooler.login import BackendAddress
from pooler.processes.bans import BanCounter
from pooler.processes.barriers import BarrierRouter, Participant
from pooler.processes.cancels import CancelRouter
from pooler.processes.channel import Channel
from pooler.processes.ledger import Action, Ledger, Limits
from pooler.processes.messages import (
    Answered,
    Ask,
    Banned,
    Barrier,
    Busy,
    Calm,
    Cancel,
    Canceled,
    Closed,
    Goodbye,
    Grant,
    Key,
    Message,
    Opened,
    Passed,
    Put,
    Question,
    Register,
    Return,
    Welcome,
)
from pooler.processes.notifying import Notifier
from pooler.processes.notifying_messages import Listen, Unlisten
from pooler.processes.orphans import Orphan, discard
from pooler.processes.questions import QuestionRouter
from pooler.processes.succession import UPWARDS, Succession
from pooler.processes.values import ValueStore

if TYPE_CHECKING:
    import socket

    from pooler.processes.memory import SharedMap
    from pooler.server import Server

__all__ = ["Control", "MasterChanged", "Peer"]

logger = logging.getLogger(__name__)

LOOK: Final = 0.05
"""Seconds between two looks at who waits."""

UNREPORTED: Final = 2.0
"""Seconds until a dead worker's permit is free for which it had reported no backend: it died during the login."""


class MasterChanged(Protocol):
    """Wants to know who rules."""

    def __call__(self, *, own: bool) -> None:
        """This process does, or the next node's control."""


def _ignore(*, own: bool) -> None:
    """Nobody wants to know."""


class Peer:
    """A worker, as the control knows it."""

    def __init__(self, sock: socket.socket, control: Control) -> None:
        self.slot = -1
        self.pid = 0
        self.ends = False
        """It has said goodbye."""
        self.answers = True
        """It answers questions of the console."""
        self.backends: dict[int, tuple[Opened, int]] = {}
        """What it has reported, with the duplicates of the sockets."""
        self.channel = Channel(
            sock, lambda message, fd: control.on_message(self, message, fd), lambda: control.on_gone(self)
        )

    def __str__(self) -> str:
        return f"worker {self.slot} (process {self.pid})" if self.answers else f"the node before (process {self.pid})"


class Control:
    """Everything but the process around it."""

    def __init__(self, server: Server, memory: SharedMap) -> None:
        self._server = server
        self._memory = memory
        self.ledger: Final = Ledger(self._limits)
        self.peers: dict[int, Peer] = {}
        self.cancels: Final = CancelRouter(self.peers)
        self.questions: Final = QuestionRouter(self.peers)
        self.values: Final = ValueStore(self.peers)
        self.notifier: Final = Notifier(server)
        self.bans: Final = BanCounter(server.access.bans, self.peers)
        self.barriers: Final = BarrierRouter(self._neighbours)
        self._orphans: dict[Orphan, int] = {}
        self._losses = 0
        self._awaited = {slot for slot in range(1, memory.workers + 1) if memory.seats[slot].pid}
        """Who was there before this control, and has yet to say what it holds."""
        self._succession: Succession | None = None
        self.on_master_changed: MasterChanged = _ignore
        self.handed_over = False
        """The next node is there. If its control dies now, this one makes do with the permits that it has."""
        self._timer: asyncio.TimerHandle | None = None
        self._trimming = False

    # --- Life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look at who waits."""
        self._look()

    def close(self) -> None:
        """Let go of everything."""
        if self._timer is not None:
            self._timer.cancel()
        if self._succession is not None:
            self._succession.end()
        for peer in list(self.peers.values()):
            peer.channel.close()
        for orphan in list(self._orphans):
            orphan.close()
        if self._succession is not None:
            self._succession.channel.close()

    @property
    def orphans(self) -> int:
        """Backends without a worker, whose servers have not let go yet."""
        return len(self._orphans)

    def on_dialed(self, sock: socket.socket) -> None:
        """A worker has made a socket pair; this is our end."""
        Peer(sock, self)

    def follow(self, sock: socket.socket) -> None:
        """There is a node that this one replaces; this is the connection to its control. Before ``start``."""
        self._awaited.add(self.predecessor)
        peer = Peer(sock, self)
        peer.answers = False
        peer.slot = self.predecessor
        self.peers[peer.slot] = peer
        peer.channel.send(Welcome())

    @property
    def predecessor(self) -> int:
        """The seat of the node that this one replaces."""
        return self._memory.workers + 1

    def succeed(self, sock: socket.socket) -> None:
        """A node is about to replace this one; this is the connection to its control."""
        if self._succession is not None:
            self._succession.channel.close()
        self._succession = Succession(sock, self, self.predecessor, os.getpid())
        self.on_master_changed(own=False)

    def on_succession_ended(self, succession: Succession) -> None:
        """The next node's control is gone: this one is its own master again."""
        if self._succession is succession and not self.handed_over:
            self._succession = None
            self.ledger.leave(UPWARDS)
            self.barriers.on_gone(succession)
            self.on_master_changed(own=True)

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)
        self._memory.seats[0].beat()
        if self.ledger.paused:
            self._awaited = {slot for slot in self._awaited if self._is_there(slot)}
            self.ledger.paused = bool(self._awaited)
        if not (self.ledger.paused or self.barriers.ready):
            self.barriers.on_ready()
            self.questions.on_ready()
        self.tell(self.ledger.look(time.monotonic()))
        if self._trimming:
            actions, self._trimming = self.ledger.trim(time.monotonic())
            self.tell(actions)
        self.notifier.look(time.monotonic())
        if self._succession is not None:
            self._succession.settle()

    def on_limits_changed(self) -> None:
        """There is another configuration."""
        self._trimming = True

    def _is_there(self, slot: int) -> bool:
        return slot in self.peers if slot == self.predecessor else bool(self._memory.seats[slot].pid)

    # --- Messages ----------------------------------------------------------------------------------------------------

    def on_message(self, peer: Peer, message: Message, fd: int) -> None:
        """A worker has said something."""
        now = time.monotonic()
        slot = peer.slot
        match message:
            case Ask(key=key, floor=True):
                self.tell(self.ledger.ask_for_floor(slot, key, now))
            case Ask(key=key, want=want, demand=demand, since=since, reserve=reserve):
                self.tell(self.ledger.ask(slot, key, want, now, demand=demand, since=since, reserve=reserve))
            case Return(key=key, count=count):
                self.tell(self.ledger.give_back(slot, key, count, now))
            case Opened():
                peer.backends[message.number] = message, fd
            case Closed():
                self._on_closed(peer, message)
            case Calm(key=key):
                self.ledger.calm(slot, key)
            case Busy(key=key):
                self.tell(self.ledger.busy(slot, key, now))
            case Banned():
                self.bans.on_message(peer, message)
            case Barrier():
                self.barriers.on_request(peer, message)
            case Passed():
                self.barriers.on_passed(message)
            case Cancel():
                self.cancels.on_request(peer, message)
            case Canceled():
                self.cancels.on_answer(peer, message)
            case Put():
                self.values.on_put(message)
            case Listen() | Unlisten():
                self.notifier.on_message(peer, message)
            case Question():
                self.questions.on_question(peer, message)
            case Answered():
                self.questions.on_answered(message, peer)
            case Goodbye():
                peer.ends = True
                self.ledger.leave(slot)
            case Register():
                self._on_register(peer, message)
            case _:
                raise AssertionError(f"{peer} says {type(message).__name__}")

    def _on_register(self, peer: Peer, message: Register) -> None:
        if peer.slot < 0:
            before = self.peers.get(message.slot)
            if before is not None:
                before.channel.close()
                self.on_gone(before)
            peer.slot = message.slot
            self.peers[peer.slot] = peer
        peer.pid = message.pid
        for held in message.held:
            self.ledger.adopt(peer.slot, held.key, held.count, time.monotonic())
        if peer.slot != self.predecessor:
            self.values.welcome(peer)
            self.bans.welcome(peer)
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

    def tell(self, actions: Iterable[Action]) -> None:
        """Say what the ledger has decided."""
        for holder, message in actions:
            if holder == UPWARDS:
                if self._succession is not None and isinstance(message, Grant):
                    self._succession.on_granted(message.key, message.count)
            else:
                self.peers[holder].channel.send(message)

    # --- The dead ----------------------------------------------------------------------------------------------------

    def on_gone(self, peer: Peer) -> None:
        """A worker's end of the socket pair is closed: it is dead, or dies."""
        if self.peers.get(peer.slot) is not peer:
            return
        del self.peers[peer.slot]
        self.cancels.on_gone(peer)
        self._awaited.discard(peer.slot)
        self.questions.on_gone(peer)
        self.notifier.on_gone(peer)
        self.barriers.on_gone(peer)
        left = self.ledger.leave(peer.slot)
        self._losses += 1
        heir = -self._losses
        for key, count in left.items():
            self.ledger.bequeath(peer.slot, heir, key, count)
        for opened, fd in peer.backends.values():
            left[opened.key] -= 1
            self._watch(opened, fd, heir)
        unreported = {key: count for key, count in left.items() if count}
        if peer.backends or not peer.ends:
            logger.warning("%s is gone, and leaves %d backends to be ended", peer, len(peer.backends))
        loop = asyncio.get_running_loop()
        for key, count in unreported.items():
            loop.call_later(0.0 if peer.ends else UNREPORTED, self._free, heir, key, count)

    def _watch(self, opened: Opened, fd: int, heir: int) -> None:
        if fd < 0:
            asyncio.get_running_loop().call_later(UNREPORTED, self._free, heir, opened.key, 1)
            return

        def on_ended() -> None:
            del self._orphans[orphan]
            self._free(heir, opened.key, 1)

        orphan = Orphan(opened, self._address_of(opened), fd, on_ended)
        self._orphans[orphan] = heir

    def _address_of(self, opened: Opened) -> BackendAddress:
        """Where its server takes cancel requests, with TLS if the backend had it."""
        tls = None
        if opened.encrypted:
            database, user, target = opened.key
            with contextlib.suppress(LookupError):  # the database is in the configuration no more
                settings = self._server.config.pool_settings(database, user)
                tls = self._server.targets.settings_for(settings, target).tls.without_fallback()
        return BackendAddress(opened.host, opened.port, tls, opened.ip)

    def _free(self, holder: int, key: Key, count: int) -> None:
        self.tell(self.ledger.give_back(holder, key, count, time.monotonic()))

    def _neighbours(self) -> list[Participant]:
        """Whoever judges statements of clients: our workers, and the nodes before and behind this one."""
        behind = [] if self._succession is None or not self._succession.begun else [self._succession]
        return [*self.peers.values(), *behind]

    # --- Limits ------------------------------------------------------------------------------------------------------

    def _limits(self, key: Key) -> Limits:
        if self._succession is not None and self._succession.begun:
            return self._succession.limits(key)
        database, user, _ = key
        settings = self._server.config.pool_settings(database, user)
        reserve = settings.reserve_pool_size if settings.reserve_pool_timeout else 0
        return Limits(settings.pool_size, reserve, settings.max_db_connections, settings.max_user_connections)
