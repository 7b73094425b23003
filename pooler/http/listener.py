"""uvicorn on the loop that is there already, without its signals and its logging."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from pooler.config.values import HostPort
from pooler.tasks import spawn

__all__ = ["HttpListener"]

MAX_CONNECTIONS = 200
"""Requests under way at once; beyond them the answer is 503. Monitoring needs a handful."""

_PATIENCE = 2
"""Seconds that answers under way have when the server stops."""


class HttpListener:
    """Serves one application at one address."""

    def __init__(self, app: ASGIApp, address: HostPort) -> None:
        self._app = app
        self._address = address
        self._server: _Embedded | None = None
        self._ended: asyncio.Event | None = None
        self.port = 0
        """What is listened on, once it is."""

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._address.host else socket.AF_INET
        listening = socket.create_server((self._address.host, self._address.port), family=family, backlog=128)
        listening.setblocking(False)
        self.port = int(listening.getsockname()[1])
        return listening

    async def start(self) -> None:
        """Listen. Raises OSError where the address can't be had."""
        listening = self._bind()
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=_PATIENCE,
        )
        self._server = _Embedded(config)
        self._ended = asyncio.Event()
        spawn(self._run(self._server, listening, self._ended), name="the HTTP server")

    async def _run(self, server: _Embedded, listening: socket.socket, ended: asyncio.Event) -> None:
        try:
            await server.serve(sockets=[listening])
        finally:
            listening.close()
            ended.set()

    async def stop(self) -> None:
        """Listen no more, and finish what is under way. Without effect if it does not listen."""
        if self._server is not None and self._ended is not None:
            self._server.should_exit = True
            await self._ended.wait()
            self._server = None


class _Embedded(uvicorn.Server):
    """A part of a process whose signals are somebody else's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
