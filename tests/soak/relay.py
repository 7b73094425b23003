"""A network that fails: a relay before the server that knows which of its connections are open."""

from __future__ import annotations

import asyncio
import contextlib

__all__ = ["Network"]

_CHUNK = 1 << 16


class Network:
    """Relays to ``host:port``. ``port`` is its own, once it has started."""

    host = "127.0.0.1"

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._flow = asyncio.Event()
        self._flow.set()
        self._open: dict[int, tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = {}
        self.port = 0

    async def start(self) -> asyncio.Server:
        """Listen. The caller closes what is returned."""
        server = await asyncio.start_server(self._serve, self.host, 0, backlog=200)
        self.port = int(server.sockets[0].getsockname()[1])
        return server

    @property
    def ports(self) -> set[int]:
        """The ports from which the connections that are open go to the server: pg_stat_activity.client_port."""
        return set(self._open)

    def stall(self) -> None:
        """Pass nothing on, either way."""
        self._flow.clear()

    def flow(self) -> None:
        """Undo ``stall``."""
        self._flow.set()

    def cut(self) -> int:
        """End all connections at once, and return how many there were."""
        count = len(self._open)
        for writers in list(self._open.values()):
            for writer in writers:
                writer.transport.abort()
        return count

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        port = int(to_server.get_extra_info("sockname")[1])
        self._open[port] = (writer, to_server)
        try:
            await asyncio.gather(self._pass_on(reader, to_server), self._pass_on(from_server, writer))
        finally:
            self._open.pop(port, None)
            writer.transport.abort()
            to_server.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flow.wait()
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()
