"""A worker's connection to the control: made by the worker, and made again when there is a new control."""

from __future__ import annotations

import array
import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pooler.processes.bans import held
from pooler.processes.barriers import Barriers
from pooler.processes.cancels import RANDOM_IDS, make_process_id
from pooler.processes.channel import Channel
from pooler.processes.messages import (
    Answered,
    Banned,
    Barrier,
    Cancel,
    Canceled,
    Full,
    Goodbye,
    Grant,
    Message,
    Passed,
    Put,
    Question,
    Register,
    Release,
    Welcome,
)
from pooler.processes.notifying import Relaying
from pooler.processes.notifying_messages import Notified, Told
from pooler.processes.permits import Permits
from pooler.processes.questions import ProcessNode
from pooler.processes.sharing import Sharing
from pooler.processes.welcomes import SharedWelcomes

if TYPE_CHECKING:
    from pooler.processes.memory import SharedMap
    from pooler.server import Others, Server

__all__ = ["SUCCESSOR", "WORKER", "Link", "dial", "dialer"]

logger = logging.getLogger(__name__)

_REDIAL: Final = 0.02
"""Seconds until the control is dialed again."""

TICK: Final = 0.1
"""Seconds between two signs of life, and between two words about who waits."""


def dialer() -> tuple[socket.socket, socket.socket]:
    """Two sockets that are made before any fork: what is sent to the first can be read by whoever is the control."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


WORKER: Final = b"w"
SUCCESSOR: Final = b"s"
"""Who dials."""


def dial(to_control: socket.socket, who: bytes = WORKER) -> socket.socket | None:
    """Connect to the control that is, or will be. None if it has too many calls waiting."""
    own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        try:
            rights = array.array("i", [theirs.fileno()])
            flags = socket.MSG_DONTWAIT
            to_control.sendmsg([who], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], flags)
        except OSError:
            own.close()
            return None
    return own


class Link:
    """Implements ``Others`` for a worker's server."""

    def __init__(self, server: Server, memory: SharedMap, slot: int, to_control: socket.socket) -> None:
        self.slot: Final = slot
        self._server = server
        self._memory = memory
        self._seat = memory.seats[slot]
        self._to_control = to_control
        self._channel: Channel | None = None
        self.permits: Final = Permits(server.pools, self.send, slot, memory.workers, SharedWelcomes(server.host.shared))
        self._last_id = int.from_bytes(os.urandom(4)) % RANDOM_IDS
        self._tickets = 0
        self._cancels: dict[int, Callable[[], None]] = {}
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self.welcomed: Final = asyncio.Event()
        """The control has said what a worker has to know before it serves."""
        self.node: Final = ProcessNode(server, self.send)
        self._sharing = Sharing(server.host.shared, self.send, slot)
        self.barriers: Final = Barriers(self.send)
        self.notifications: Final = Relaying(server.boards, self.send)
        self._bans: Final = server.access.bans
        self._bans.on_counted = lambda *told: self.send(Banned(*told))

    # --- Life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, and go on to do so whenever the connection is lost."""
        self._dial()
        self._tick()

    def close(self) -> None:
        """Hang up, for good. The pools are empty."""
        self._closed = True
        self.send(Goodbye())
        if self._timer is not None:
            self._timer.cancel()
        if self._channel is not None:
            self._channel.close()

    def send(self, message: Message, fd: int = -1) -> None:
        """Say something to the control, if there is one."""
        if self._channel is not None:
            self._channel.send(message, fd)

    def _dial(self) -> None:
        if self._closed:
            return
        own = dial(self._to_control)
        if own is None:
            asyncio.get_running_loop().call_later(_REDIAL, self._dial)
            return
        self._channel = Channel(own, self._on_message, self._on_closed)
        self.send(Register(self.slot, os.getpid(), self.permits.held()))
        for put in self._sharing.values():
            self.send(put)
        for banned in held(self._bans):
            self.send(banned)
        self.barriers.on_connected()
        self.node.connected = True
        self.notifications.on_connected()
        self.permits.report_all()

    def _on_closed(self) -> None:
        self._channel = None
        logger.warning("the control process is gone; going on with the permits that are here until there is another")
        for on_done in self._cancels.values():
            on_done()
        self._cancels.clear()
        self.node.on_lost()
        self.notifications.on_lost()
        asyncio.get_running_loop().call_later(_REDIAL, self._dial)

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)
        self._seat.beat()
        self._server.catch_up()
        self.permits.tick()

    # --- Others ------------------------------------------------------------------------------------------------------

    @property
    def clients(self) -> int:
        return self._memory.clients

    def on_clients_changed(self, count: int) -> None:
        self._seat.clients = count

    def make_process_id(self) -> int:
        # Not at random: an id that was used lately is not used again soon, though a late cancel request may name it.
        self._last_id = self._last_id % (RANDOM_IDS - 1) + 1
        return make_process_id(self.slot, self._last_id)

    def cancel(self, process_id: int, secret: bytes, on_done: Callable[[], None]) -> None:
        if self._channel is None:
            on_done()
            return
        self._tickets += 1
        self._cancels[self._tickets] = on_done
        self.send(Cancel(self._tickets, process_id, secret))

    async def settle(self) -> None:
        await self.barriers.wait()

    # --- From the control --------------------------------------------------------------------------------------------

    def _on_message(self, message: Message, fd: int) -> None:
        match message:
            case Grant():
                self.permits.on_grant(message)
            case Full():
                self.permits.on_full(message)
            case Release():
                self.permits.on_release(message)
            case Banned():
                self._on_banned(message)
            case Barrier(ticket=ticket):
                self._server.catch_up()
                self.send(Passed(ticket))
            case Passed():
                self.barriers.on_passed(message)
            case Cancel(ticket=ticket):
                found = self._server.cancel_own(
                    message.process_id, message.secret, lambda: self.send(Canceled(ticket, found=True))
                )
                if not found:
                    self.send(Canceled(ticket, found=False))
            case Canceled(ticket=ticket):
                on_done = self._cancels.pop(ticket, None)
                if on_done is not None:
                    on_done()
            case Question():
                self.node.on_question(message)
            case Answered():
                self.node.on_answered(message)
            case Welcome():
                self.welcomed.set()
                self.notifications.on_welcome()
            case Put():
                self._sharing.on_put(message)
            case Notified() | Told():
                self.notifications.on_message(message)
            case _:
                raise AssertionError(f"the control says {type(message).__name__}")

    def _on_banned(self, banned: Banned) -> None:
        self._bans.adopt(banned.address, banned.database, banned.seconds)


if TYPE_CHECKING:

    def _others(link: Link) -> Others:
        return link
