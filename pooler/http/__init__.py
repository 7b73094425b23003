"""The HTTP server: health, metrics, and the routes of plugins."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pooler.http.app import make_app
from pooler.http.listener import HttpListener

if TYPE_CHECKING:
    from pooler.node import Node
    from pooler.server import Server

__all__ = ["HttpListener", "open_http"]

logger = logging.getLogger(__name__)


async def open_http(server: Server, node: Node) -> HttpListener:
    """Listen where the configuration says, if it does. Raises OSError where the address can't be had."""
    address = server.config.server.admin_listen
    listener = HttpListener(make_app(server, node), address)
    if address is not None:
        await listener.start()
        logger.info("HTTP at %s port %d", address.host, listener.port)
    return listener
