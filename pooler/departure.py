"""How a server ends: when it is told to, and how its clients leave.

SIGTERM: no new clients, each client closed at the end of its transaction, ``shutdown_timeout`` at most. SIGINT and
SIGQUIT, or a second SIGTERM: at once.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from interceptor.errors import SHUTTING_DOWN, ClientError

if TYPE_CHECKING:
    from pooler.client import ClientConnection
    from pooler.server import Server

__all__ = ["Departure", "Dismissal", "StopSignals", "end", "goodbye", "linger"]

logger = logging.getLogger(__name__)

_LOOK: Final = 0.02
"""Seconds between two looks at clients that were at work."""


def goodbye() -> ClientError:
    """What a client is told when the server stops, as by PostgreSQL when an administrator stops it."""
    return ClientError(SHUTTING_DOWN, "the proxy is shutting down", hint="Connect again.")


class StopSignals:
    """The signals that end a server. To be made in its loop."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.termed = False
        """By SIGTERM or its like."""
        self.hurry = False
        """Not at the end of each client's transaction, but at once."""
        self.on_hurry: Callable[[], None] | None = None
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.on_term)
        for number in (signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self.on_now)

    def on_term(self) -> None:
        """Stop; the second time, at once."""
        if self.termed:
            self.on_now()
        self.termed = True
        self.asked.set()

    def on_now(self) -> None:
        """Stop at once."""
        self.hurry = self.termed = True
        self.asked.set()
        if self.on_hurry is not None:
            self.on_hurry()


async def end(server: Server, stop: StopSignals) -> None:
    """Stop a server as it was asked to."""
    if stop.hurry or not server.clients:
        logger.info("stopping")
    else:
        seconds = server.config.server.shutdown_timeout
        logger.info("stopping: %d clients may end their transactions within %g s", len(server.clients), seconds)
        departure = server.depart()
        stop.on_hurry = departure.cut
        await departure.wait(seconds)
        if server.clients:
            logger.warning("stopping: %d clients are cut off in the midst of their work", len(server.clients))
    await server.stop()


async def linger(server: Server, stop: StopSignals, seconds: float) -> None:
    """Take no more clients, for another process does, and let those that are here be, until they have gone by
    themselves, so many seconds have passed, or it is to stop all the same."""
    server.listening.stop()
    logger.info("replaced: %d clients may stay for %g s", len(server.clients), seconds)
    deadline = asyncio.get_running_loop().time() + seconds
    while not stop.termed and asyncio.get_running_loop().time() < deadline:
        if _is_empty(server):
            break
        await asyncio.sleep(_LOOK)


def _is_empty(server: Server) -> bool:
    """Nobody is here or about to come, and nothing runs for those who have gone: some say Terminate behind their last
    statement."""
    return not (server.clients or server.listening.coming or any(pool.active for pool in server.pools))


class Departure:
    """Closes each client when it has nothing under way."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None
        for relay in list(server.relays):
            # A stream of changes has no end, and is safe to cut anywhere: its client knows where it was.
            relay.close()
        for console in list(server.consoles):
            console.end(goodbye())
        for client in list(server.clients):
            client.transport.set_protocol(_Leaving(client, self.may_go))
        self._look()

    async def wait(self, seconds: float) -> None:
        """Return when no client is left and no backend at work, or after so many seconds, or when it is cut short."""
        try:
            async with asyncio.timeout(seconds):
                await self._over
        except TimeoutError:
            pass
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def cut(self) -> None:
        """Wait no longer."""
        if not self._over.done():
            self._over.set_result(None)

    def may_go(self, client: ClientConnection) -> bool:
        """Close it if it has nothing under way: no request, no transaction. One that is not in yet has nothing."""
        if client.is_idle or client in self._server.logins:
            client.on_failed(goodbye())
            return True
        return False

    def _look(self) -> None:
        for client in list(self._server.clients):
            self.may_go(client)
        if _is_empty(self._server):
            self.cut()
        self._timer = asyncio.get_running_loop().call_later(_LOOK, self._look)


class Dismissal:
    """Closes some clients for a reason, each when it has nothing under way, and after some seconds whatever it does."""

    def __init__(self, clients: Iterable[ClientConnection], error: ClientError, seconds: float) -> None:
        self._error = error
        self._left = {client for client in clients if not self._may_go(client)}
        for client in self._left:
            client.transport.set_protocol(_Leaving(client, self._may_go))
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + seconds
        self._look()

    def _may_go(self, client: ClientConnection) -> bool:
        if client.is_idle:
            client.on_failed(self._error)
        return client.is_gone

    def _look(self) -> None:
        late = self._loop.time() >= self._ends_at
        for client in list(self._left):
            if not self._may_go(client) and late:
                client.on_failed(self._error)
            if client.is_gone:
                self._left.discard(client)
        if self._left:
            self._loop.call_later(_LOOK, self._look)


class _Leaving(asyncio.Protocol):
    """Stands before a client that is at work, so that it begins nothing new. Without it one that never rests would meet
    no look between two of its transactions."""

    def __init__(self, client: ClientConnection, may_go: Callable[[ClientConnection], bool]) -> None:
        self._client = client
        self._may_go = may_go

    def data_received(self, data: bytes) -> None:
        if not self._may_go(self._client):
            self._client.data_received(data)

    def pause_writing(self) -> None:
        self._client.pause_writing()

    def resume_writing(self) -> None:
        self._client.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.connection_lost(exc)
