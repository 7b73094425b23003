"""LISTEN without a backend of one's own: one connection for each database hears for all of its clients.

A ``Board`` has what the clients of one process want to hear of one database. It hears that through a ``Source``: the
``Hub`` itself, which has the connection, or what stands for it in a worker while the control has the hub
(``pooler.processes.notifying``). docs/design/notifications.md has the reasons.
"""

from __future__ import annotations

from pooler.notifications.board import Board
from pooler.notifications.boards import Boards
from pooler.notifications.hub import Hub
from pooler.notifications.hubs import Hubs
from pooler.notifications.source import Source, Subscriber

__all__ = ["Board", "Boards", "Hub", "Hubs", "Source", "Subscriber"]
