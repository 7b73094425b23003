"""LISTEN without a backend of one's own: one connection for each database hears for all of its clients.

docs/design/notifications.md has the reasons.
"""

from __future__ import annotations

from pooler.notifications.hub import Hub
from pooler.notifications.hubs import Hubs

__all__ = ["Hub", "Hubs"]
