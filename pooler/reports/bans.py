"""Addresses that are left outside by one process, because logins from there have failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pooler.node import Row
    from pooler.server import Server

__all__ = ["bans"]


def bans(server: Server) -> list[Row]:
    """Address, database, and for how many seconds from now on."""
    held = server.access.bans
    return [[ban.address, ban.database, round(held.seconds_left(ban))] for ban in held.list()]
