"""What systemd is told, where it has started the server as ``Type=notify``: see sd_notify(3)."""

from __future__ import annotations

import logging
import os
import socket
from typing import Final

__all__ = ["READY", "STOPPING", "tell_supervisor"]

logger = logging.getLogger(__name__)

READY: Final = "READY=1"
"""Clients can connect; in the place of another node, it has heard so."""
STOPPING: Final = "STOPPING=1"
"""The end has begun, and may take TimeoutStopSec. Not for a node that another has replaced: it may stay for longer."""


def tell_supervisor(state: str) -> None:
    """Tell whoever has started us, if it wants to know. Only the main process is heard."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(state.encode(), address)
    except OSError as error:
        logger.warning("systemd could not be told %s: %s", state, error.strerror)
