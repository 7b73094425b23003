"""The HTTP server: health, metrics, and the routes of plugins."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pooler.config import Config
    from pooler.http.listener import HttpListener
    from pooler.node import Node
    from pooler.server import Server

__all__ = ["load_http", "open_http"]

logger = logging.getLogger(__name__)


def load_http(config: Config) -> None:
    """Import what HTTP needs, if the configuration wants it. For a process that forks those that do."""
    # Not at the top: without HTTP a start does without a third of all that there is to import.
    if config.server.admin_listen is not None:
        import pooler.http.app
        import pooler.http.listener  # noqa: F401


async def open_http(server: Server, node: Node) -> HttpListener | None:
    """Listen where the configuration says, if it does. Raises OSError where the address can't be had."""
    address = server.config.server.admin_listen
    if address is None:
        return None
    from pooler.http.app import make_app
    from pooler.http.listener import HttpListener

    listener = HttpListener(make_app(server, node), address)
    await listener.start()
    logger.info("HTTP at %s port %d", address.host, listener.port)
    return listener
