"""A worker: a server whose limits are the node's."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

from pooler.departure import StopSignals, end, linger
from pooler.hosts import host_memory
from pooler.numbering import CONNECTION_NUMBERS, number_from
from pooler.processes.accepting import SharedListening
from pooler.processes.link import Link
from pooler.processes.memory import Seat
from pooler.processes.node import FAILED, Inheritance, leave
from pooler.processes.signals import CLOSE, LEAVE

__all__ = ["work"]

logger = logging.getLogger(__name__)


async def work(inheritance: Inheritance, slot: int) -> None:
    """Serve clients until told to stop. Raises PluginsRefused."""
    server, memory = inheritance.server, inheritance.memory
    stop = StopSignals()
    leaving = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_replaced() -> None:
        leaving.set()
        stop.asked.set()

    loop.add_signal_handler(LEAVE, on_replaced)
    loop.add_reader(inheritance.lifeline, _on_orphaned, inheritance.lifeline, stop, memory.seats[slot])
    inheritance.from_control.close()
    number_from(slot, CONNECTION_NUMBERS)
    if inheritance.slate is not None:
        server.join(inheritance.slate, inheritance.rows[slot - 1])
    host_memory.take_turn = memory.take_turn
    link = Link(server, memory, slot, inheritance.to_control)
    server.pools.capacity = link.permits
    server.others = link
    server.boards.find_source = link.notifications.find_source
    server.host.node_hooks = False
    server.listening = SharedListening(inheritance.sockets, memory, slot)
    server.node = link.node
    server.on_shutdown = lambda: inheritance.tell_parent(signal.SIGQUIT)
    server.on_closed = lambda: inheritance.tell_parent(CLOSE)
    server.on_emptied = memory.seats[slot].become_empty
    link.start()
    await link.welcomed.wait()
    link.node.take_gates()
    await link.node.take_settings()
    await server.start()
    memory.seats[slot].ready = True
    await stop.asked.wait()
    memory.seats[slot].ready = False
    if leaving.is_set():
        link.permits.leaving = True
        await linger(server, stop, server.config.server.takeover_timeout)
    await end(server, stop)
    link.close()


def _on_orphaned(lifeline: int, stop: StopSignals, seat: Seat) -> None:
    asyncio.get_running_loop().remove_reader(lifeline)
    if not seat.ready and not stop.asked.is_set():
        leave(FAILED)  # a plugin may take for ever to start, and nobody waits for it any more
    logger.error("the parent of process %d is gone: stopping, for nobody would replace what dies", os.getpid())
    stop.on_term()
