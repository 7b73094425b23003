"""What a client is answered, in short."""

from __future__ import annotations

from tests.support import frontend as f
from tests.support.backend import Reply, decode_error
from tests.support.frontend import Frontend
from tests.support.wire import WireClient

__all__ = ["extended", "replies_to", "say"]


def replies_to(client: WireClient, *sent: Frontend, readies: int = 1) -> list[Reply]:
    """What is answered to these messages, up to so many ReadyForQuery."""
    seen = len(client.replies)
    client.send(*sent)
    client.read_until_ready(client.ready_count + readies)
    return client.replies[seen:]


def say(client: WireClient, *sent: Frontend, readies: int = 1) -> list[str]:
    """The names of the replies, rows in full; an error by its SQLSTATE."""
    return [_in_short(reply) for reply in replies_to(client, *sent, readies=readies)]


def _in_short(reply: Reply) -> str:
    if reply.tag == b"E":
        return f"Error {decode_error(reply.body)['C']}"
    return "RowDescription" if reply.tag == b"T" else str(reply)


def extended(sql: str, rows: int = 0) -> list[Frontend]:
    """A statement by the extended protocol, of which so many rows are taken at first; 0: all. Without a Sync."""
    return [f.parse(sql), f.bind(), f.execute(rows=rows)]
