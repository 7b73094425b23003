"""Which databases this process knows to be reachable, and which not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pooler.backend import BackendState
from pooler.config.pool_settings import PRIMARY

if TYPE_CHECKING:
    from pooler.node import Row
    from pooler.server import Server

__all__ = ["readiness"]


def readiness(server: Server) -> list[Row]:
    """Databases whose primary this process has met: the name, and why it can't be reached, or "" if it can.

    Those of which nothing is known are left out.
    """
    found: dict[str, str] = {}
    for pool in server.pools:
        if pool.settings.target != PRIMARY:
            continue
        name = pool.settings.database
        if pool.idle or pool.active or any(pool.backends[state] for state in _LIVING):
            found[name] = ""
        elif pool.growth.last_error is not None and pool.growth.last_error.failure.code != "backend_login":
            found.setdefault(name, pool.growth.last_error.message)
    return [[name, reason] for name, reason in found.items()]


_LIVING = (BackendState.RESET, BackendState.TESTED, BackendState.BEING_CANCELED)
