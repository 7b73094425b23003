"""Where clients come in: the addresses that one process listens on by itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pooler.config import ServerSettings

__all__ = ["SOCKET_MODE", "Listening", "OwnListening", "port_of"]

SOCKET_MODE = 0o777
"""Of the Unix socket, whatever the umask: who may enter its folder may connect, as with PostgreSQL and PgBouncer."""

Accept = Callable[[], asyncio.Protocol]


class Listening(Protocol):
    """Brings clients to a server."""

    async def start(self, accept: Accept) -> None:
        """Take clients from now on. Raises OSError where an address can't be had; then nothing listens."""

    def stop(self) -> None:
        """Take no more."""

    @property
    def port(self) -> int:
        """The TCP port that is listened on; of interest where the configuration says 0."""

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """Where clients connect."""

    @property
    def coming(self) -> int:
        """Clients that are accepted, and not yet known to the server."""


class OwnListening:
    """Implements ``Listening`` with sockets that are this process's alone."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._listeners: list[asyncio.Server] = []
        self._unix_socket: Path | None = None

    async def start(self, accept: Accept) -> None:
        settings = self._settings
        loop = asyncio.get_running_loop()
        try:
            for address in settings.listen_addr:
                host = None if address == "*" else address
                self._listeners.append(
                    await loop.create_server(
                        accept, host, settings.listen_port, backlog=settings.listen_backlog, reuse_address=True
                    )
                )
            if settings.unix_socket_dir is not None:
                self._unix_socket = settings.unix_socket_dir / f".s.PGSQL.{self.port}"
                self._listeners.append(
                    await loop.create_unix_server(accept, str(self._unix_socket), backlog=settings.listen_backlog)
                )
                self._unix_socket.chmod(SOCKET_MODE)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        if self._unix_socket is not None:
            self._unix_socket.unlink(missing_ok=True)
            self._unix_socket = None

    @property
    def port(self) -> int:
        return port_of(self.sockets) or self._settings.listen_port

    @property
    def coming(self) -> int:
        return 0

    @property
    def sockets(self) -> list[socket.socket]:
        return [listening for listener in self._listeners for listening in listener.sockets]


def port_of(sockets: list[socket.socket]) -> int:
    """The port of the first TCP socket; 0 if there is none."""
    for listening in sockets:
        if listening.family in (socket.AF_INET, socket.AF_INET6):
            return int(listening.getsockname()[1])
    return 0
