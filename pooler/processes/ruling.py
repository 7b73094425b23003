"""The process of the control."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING

from interceptor.errors import ClientError
from pooler.config_watch import ConfigWatch
from pooler.http import open_http
from pooler.processes.channel import receive
from pooler.processes.control import Control
from pooler.processes.link import SUCCESSOR
from pooler.processes.memory import CONTROL
from pooler.processes.node import FAILED, Inheritance, leave
from pooler.processes.questions import ControlNode
from pooler.processes.sharing import Sharing
from pooler.processes.signals import LEAVE
from pooler.server import Server
from pooler.tasks import cancel_all, spawn

if TYPE_CHECKING:
    from pooler.http.listener import HttpListener

__all__ = ["rule"]

logger = logging.getLogger(__name__)

_HTTP_PATIENCE = 5.0
"""Seconds in which the node before this one lets go of the HTTP address."""

_SPARE = 10.0
"""Seconds beyond shutdown_timeout that workers have for their own end, when the parent is dead."""


async def rule(inheritance: Inheritance) -> None:
    """Be the control until told to stop. Raises PluginsRefused."""
    server, memory = inheritance.server, inheritance.memory
    stopping = asyncio.Event()
    orphaned = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGQUIT):
        loop.add_signal_handler(number, stopping.set)

    def on_orphaned() -> None:
        loop.remove_reader(inheritance.lifeline)
        if not memory.seats[CONTROL].ready:
            leave(FAILED)  # a plugin may take for ever to start, and nobody waits for it any more
        orphaned.set()
        stopping.set()

    def on_replaced() -> None:
        control.handed_over = True

    loop.add_signal_handler(LEAVE, on_replaced)
    loop.add_reader(inheritance.lifeline, on_orphaned)
    for listening in inheritance.sockets:
        listening.close()
    control = Control(server, memory)
    sharing = Sharing(server.host.shared, lambda message, fd: control.values.on_put(message), CONTROL)
    control.values.on_put_here = sharing.on_put
    if inheritance.handover is not None:
        control.follow(inheritance.handover.to_control)
    http = _Http(server)
    control.on_master_changed = http.on_master_changed
    control.start()
    loop.add_reader(inheritance.from_control, _on_dialed, inheritance.from_control, control)
    server.host.worker_hooks = False
    node = server.node = ControlNode(server, control.questions, inheritance.tell_parent, control.on_limits_changed)
    loop.add_signal_handler(signal.SIGHUP, lambda: spawn(_reload(node), name="reload"))
    spawn(_take_settings(control, node), name="settings of SET")
    # A node that was about to take over may have the address for a moment still.
    await http.open(patient=inheritance.handover is not None or memory.seats[CONTROL].restarts > 0)
    await server.host.start()
    spawn(ConfigWatch(server).run(), name="watch of the configuration")
    memory.seats[CONTROL].ready = True
    await stopping.wait()
    settings = server.config.server
    if control.handed_over:
        # The node that this one has replaced may have clients still, and its permits are held through here.
        await _outlive(control, settings.takeover_timeout + settings.shutdown_timeout + _SPARE)
    elif orphaned.is_set():
        await _outlive(control, settings.shutdown_timeout + _SPARE)
        _kill_all(control)
    await http.close()
    control.close()
    server.hubs.close()
    await server.host.stop(5.0)
    await cancel_all()


def _on_dialed(sock: socket.socket, control: Control) -> None:
    try:
        who, fds = receive(sock, 1)
    except (BlockingIOError, InterruptedError):
        return
    for fd in fds:
        if who == SUCCESSOR:
            control.succeed(socket.socket(fileno=fd))
        else:
            control.on_dialed(socket.socket(fileno=fd))


async def _reload(node: ControlNode) -> None:
    try:
        await node.tell_all("RELOAD")
    except ClientError:
        pass  # it is in the log of whoever refused


async def _take_settings(control: Control, node: ControlNode) -> None:
    """A control in the place of another learns from the workers what SET has changed."""
    while control.ledger.paused:  # noqa: ASYNC110 - one wait in a lifetime
        await asyncio.sleep(0.05)
    await node.take_settings()


class _Http:
    """The HTTP address, which the next node needs before this one has ended."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listener: HttpListener | None = None
        self._changing = asyncio.Lock()

    async def open(self, *, patient: bool = False) -> None:
        """Listen. ``patient``: the node before this one is about to let go of the address. Raises OSError."""
        if self._server.config.server.admin_listen is None:
            return
        deadline = asyncio.get_running_loop().time() + (_HTTP_PATIENCE if patient else 0.0)
        async with self._changing:
            while self._listener is None:
                try:
                    self._listener = await open_http(self._server, self._server.node)
                except OSError:
                    if asyncio.get_running_loop().time() > deadline:
                        raise
                    await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Listen no more."""
        async with self._changing:
            if self._listener is not None:
                await self._listener.stop()
                self._listener = None

    def on_master_changed(self, *, own: bool) -> None:
        """Another node takes over, or did not after all."""
        spawn(self._reopen() if own else self.close(), name="HTTP address")

    async def _reopen(self) -> None:
        try:
            await self.open(patient=True)
        except OSError as error:
            logger.error("the HTTP address can't be had again: %s", error)


async def _outlive(control: Control, seconds: float) -> None:
    """Keep the limits until the last worker has gone, for so long at most."""
    deadline = asyncio.get_running_loop().time() + seconds
    while (control.peers or control.orphans) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - one wait in a lifetime
        await asyncio.sleep(0.05)


def _kill_all(control: Control) -> None:
    for peer in control.peers.values():
        # Its end of the socket pair is open, so this is its process id still.
        logger.error("%s does not end, and is killed", peer)
        os.kill(peer.pid, signal.SIGKILL)
