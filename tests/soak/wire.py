"""A small client for asyncio that can do what drivers won't: read slowly, break off in a message, vanish."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tests.support import frontend
from tests.support.backend import Reply, decode_error, row_values
from tests.support.frontend import Frontend

__all__ = ["AsyncWire", "ServerSaid", "send_cancel"]


class ServerSaid(Exception):
    """An ErrorResponse."""

    def __init__(self, reply: Reply) -> None:
        fields = decode_error(reply.body)
        self.sqlstate = fields.get("C", "")
        self.fatal = fields.get("V") in ("FATAL", "PANIC")
        super().__init__(f"{self.sqlstate} {fields.get('M', '')}")


class AsyncWire:
    """One connection, logged in without a password."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.key = (0, b"")

    @classmethod
    async def connect(cls, host: str, port: int, database: str, user: str = "postgres") -> AsyncWire:
        """Connect and log in. Raises ServerSaid, OSError or EOFError."""
        reader, writer = await asyncio.open_connection(host, port, limit=1 << 16)
        client = cls(reader, writer)
        try:
            client.send(frontend.startup({"user": user, "database": database}))
            for reply in await client.read_until_ready():
                if reply.tag == b"K":
                    client.key = int.from_bytes(reply.body[:4], "big"), reply.body[4:]
        except BaseException:
            client.vanish()
            raise
        return client

    def send(self, *messages: Frontend) -> None:
        """Write messages; what does not fit the socket waits in a buffer."""
        self.write(b"".join(message.data for message in messages))

    def write(self, data: bytes) -> None:
        """Write bytes."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the peer has taken the most of what was written."""
        await self._writer.drain()

    async def read(self) -> Reply:
        """The next message. Raises EOFError."""
        header = await self._reader.readexactly(5)
        return Reply(header[:1], await self._reader.readexactly(int.from_bytes(header[1:], "big") - 4))

    async def read_until_ready(self, count: int = 1) -> list[Reply]:
        """Messages up to so many ReadyForQuery. Raises ServerSaid for the first error once all have come."""
        replies: list[Reply] = []
        error: ServerSaid | None = None
        while count:
            reply = await self.read()
            replies.append(reply)
            if reply.tag == b"E":
                error = error or ServerSaid(reply)
                if error.fatal:
                    raise error
            count -= reply.tag == b"Z"
        if error is not None:
            raise error
        return replies

    async def query(self, sql: str) -> list[tuple[str, ...]]:
        """Run ``sql`` in the simple protocol, and return its rows."""
        self.send(frontend.query(sql))
        return rows(await self.read_until_ready())

    def vanish(self) -> None:
        """Be gone at once, with whatever was not sent yet."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Say goodbye."""
        self.send(frontend.terminate())
        self._writer.close()


def rows(replies: Iterable[Reply]) -> list[tuple[str, ...]]:
    """The rows among these replies, as text."""
    return [tuple((value or b"").decode() for value in row_values(reply)) for reply in replies if reply.tag == b"D"]


async def send_cancel(host: str, port: int, key: tuple[int, bytes]) -> None:
    """Ask to cancel what the connection with this key runs, and wait until the peer has hung up."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(frontend.cancel_request(*key).data)
    await reader.read()
    writer.close()
