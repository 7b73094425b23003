"""A server that is one process, from its start to its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal

from pooler.config_watch import ConfigWatch
from pooler.departure import StopSignals, end
from pooler.http import open_http
from pooler.server import Server
from pooler.supervisor import READY, STOPPING, tell_supervisor
from pooler.tasks import spawn

__all__ = ["serve"]

logger = logging.getLogger(__name__)


async def serve(server: Server) -> None:
    """Run until SIGINT, SIGQUIT or SIGTERM. Raises OSError where an address can't be had."""
    stop = StopSignals()
    server.on_shutdown = stop.on_now
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, server.reload_later)
    http = await open_http(server, server.node)
    watch = spawn(ConfigWatch(server).run(), name="watch of the configuration")
    try:
        await server.start()
        addresses = ", ".join(server.config.server.listen_addr)
        logger.info("listening on %s port %d, process %d", addresses, server.port, os.getpid())
        # What is there now is there for good: a collection of garbage that looks through it holds up all clients.
        gc.collect()
        gc.freeze()
        tell_supervisor(READY)
        await stop.asked.wait()
        tell_supervisor(STOPPING)
        await end(server, stop)
    finally:
        watch.cancel()
        if http is not None:
            await http.stop()
