"""Who listens without a backend, as one process sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pooler.node import Row
    from pooler.server import Server

__all__ = ["listeners"]


def listeners(server: Server) -> list[Row]:
    """The columns of SHOW LISTENERS."""
    rows: list[Row] = []
    for board in server.boards:
        for channel, clients, hearing, unread in board.report():
            # Named in the database's encoding, which may be another.
            rows.append([board.database, channel.decode(errors="backslashreplace"), clients, hearing, unread])
    return rows
