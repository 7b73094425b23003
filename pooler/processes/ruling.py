"""The process of the control."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket

from pooler.http import open_http
from pooler.processes.channel import receive
from pooler.processes.control import Control
from pooler.processes.memory import CONTROL
from pooler.processes.node import Inheritance
from pooler.processes.sharing import Sharing
from pooler.tasks import cancel_all

__all__ = ["rule"]

logger = logging.getLogger(__name__)

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
        orphaned.set()
        stopping.set()

    loop.add_reader(inheritance.lifeline, on_orphaned)
    for listening in inheritance.sockets:
        listening.close()
    control = Control(server.config, memory)
    sharing = Sharing(server.host.shared, lambda message, fd: control.values.on_put(message), CONTROL)
    control.values.on_put_here = sharing.on_put
    control.start()
    loop.add_reader(inheritance.from_control, _on_dialed, inheritance.from_control, control)
    server.host.worker_hooks = False
    http = await open_http(server, server.node)
    await server.host.start()
    memory.seats[CONTROL].ready = True
    await stopping.wait()
    if orphaned.is_set():
        await _outlive(control, server.config.server.shutdown_timeout + _SPARE)
    await http.stop()
    control.close()
    await server.host.stop(5.0)
    await cancel_all()


def _on_dialed(sock: socket.socket, control: Control) -> None:
    try:
        _, fds = receive(sock, 1)
    except (BlockingIOError, InterruptedError):
        return
    for fd in fds:
        control.on_dialed(socket.socket(fileno=fd))


async def _outlive(control: Control, seconds: float) -> None:
    """The parent is dead: keep the limits until the last worker has gone, and see to it that all go."""
    deadline = asyncio.get_running_loop().time() + seconds
    while control.peers and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - one wait in a lifetime
        await asyncio.sleep(0.05)
    for peer in control.peers.values():
        # Its end of the socket pair is open, so this is its process id still.
        logger.error("%s does not end, and is killed", peer)
        os.kill(peer.pid, signal.SIGKILL)
