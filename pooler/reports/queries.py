"""What each statement has cost in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pooler.node import Row, Value
    from pooler.server import Server

__all__ = ["queries"]


def queries(server: Server) -> list[Row]:
    """Database, user, query; calls, errors, blocked, answered by plugins, rows, µs in all, µs of the longest, and the
    counts by times (``pooler.queries.bucket_of``)."""
    kept = server.host.query_statistics
    if kept is None:
        return []
    return [
        [
            one.database,
            one.user,
            one.text,
            one.calls,
            one.errors,
            one.blocked,
            one.answered,
            one.rows,
            round(one.seconds * 1e6),
            round(one.longest * 1e6),
            cast("list[Value]", list(one.buckets)),
        ]
        for one in kept
        if one.calls
    ]
