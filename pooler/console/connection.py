"""A client of the admin console, once it has proved who it is."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from interceptor.errors import CONSOLE_REFUSED, ClientError
from interceptor.protocol import messages
from interceptor.protocol.framing import FrameBuffer
from interceptor.protocol.startup import PROTOCOL_3_2, StartupMessage
from pooler.console.commands import Answer, Console
from pooler.console.courtesy import PARAMETERS
from pooler.console.session import ConsoleSession
from pooler.console.showing import PGBOUNCER_VERSION
from pooler.tasks import Handle, spawn

if TYPE_CHECKING:
    from pooler.client import ClientConnection
    from pooler.server import Server

__all__ = ["ConsoleConnection", "may_enter"]

logger = logging.getLogger(__name__)

MAX_MESSAGE: Final = 64 * 1024
"""Bytes of one message to the console, and of what may wait to be looked at."""


def may_enter(server: Server, user: str) -> bool:
    """Whether the user is one of admin_users or stats_users. Without a configuration file its only user is."""
    settings = server.config.server
    return server.config.file is None or user in settings.admin_users or user in settings.stats_users


class ConsoleConnection(asyncio.Protocol):
    """Takes the connection over from the login. Implements ``ConsoleHost``."""

    def __init__(
        self, server: Server, client: ClientConnection, database: str, startup: StartupMessage, *, is_own: bool = False
    ) -> None:
        """Raises ClientError where the user has no business here; ``is_own``: the user has, whatever the name."""
        user = startup.parameters["user"]
        if not is_own and not may_enter(server, user):
            raise ClientError(
                CONSOLE_REFUSED,
                f'the user "{user}" may not use the admin console: not allowed',
                hint="admin_users and stats_users of the configuration name those who may.",
            )
        settings = server.config.server
        self.server = server
        self.client = client
        self.database = database
        self.user = user
        self.process_id = secrets.randbelow(2**31 - 1) + 1
        self.secret = secrets.token_bytes(32 if startup.spoken_protocol >= PROTOCOL_3_2 else 4)
        named = startup.parameters.get("application_name", "")
        self.application_name = named.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self.is_admin = is_own or server.config.file is None or user in settings.admin_users
        knows_older = not startup.parameters.keys() - {"user", "database"}
        self._session = ConsoleSession(self, Console(server, user, self.is_admin, knows_older))
        self._buffer = FrameBuffer(MAX_MESSAGE)
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._paused = False
        self._task: Handle | None = None
        self._running: asyncio.Task[Answer] | None = None

    def start(self) -> None:
        """Welcome the client, and serve it from now on."""
        client = self.client
        rest = client.take_over()
        self.transport = client.transport
        self.transport.set_protocol(self)
        self.server.consoles.add(self)
        reported = {
            "server_version": f"{PGBOUNCER_VERSION}/interceptor",
            **PARAMETERS,
            "application_name": self.application_name,
            "is_superuser": "on" if self.is_admin else "off",
            "session_authorization": self.user,
        }
        self.write(
            messages.AUTHENTICATION_OK
            + b"".join(_report(name, value) for name, value in reported.items())
            + messages.encode_backend_key_data(self.process_id, self.secret)
            + messages.READY[messages.IDLE]
        )
        if self.server.config.server.log_connections:
            logger.info("%s: login of %s to the admin console", client, self.user)
        self._task = spawn(self._serve(), name=f"console of {self.user} at {client.peer}")
        if rest:
            self.data_received(rest)

    # --- asyncio -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.client.active_at = self.server.clock.now
        self._buffer.feed(data)
        self._arrived.set()
        if self._buffer.size > MAX_MESSAGE and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.consoles.discard(self)
        self.server.on_client_lost(self.client)
        if self._task is not None:
            self._task.cancel()

    # --- ConsoleHost -------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    async def drain(self) -> None:
        await self._writable.wait()

    async def interruptible(self, work: Awaitable[Answer]) -> Answer:
        loop = asyncio.get_running_loop()
        task = self._running = loop.create_task(_await(work), name=f"command of {self.user}")
        try:
            return await task
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            self._running = None

    # --- Life --------------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Serve the client's CancelRequest."""
        if self._running is not None:
            self._running.cancel()

    def end(self, error: ClientError) -> None:
        """Tell the client why, and close its connection."""
        self.write(messages.encode_failure(error))
        self.server.consoles.discard(self)
        self.server.on_client_lost(self.client)
        self.transport.close()

    async def _serve(self) -> None:
        try:
            while True:
                frame = self._buffer.next_frame()
                if frame is not None:
                    if not await self._session.handle(*frame):
                        break
                    continue
                if self._paused:
                    self._paused = False
                    self.transport.resume_reading()
                self._arrived.clear()
                await self._arrived.wait()
        except ClientError as error:
            if self.server.config.server.log_pooler_errors:
                logger.warning("%s: %s", self.client, error)
            self.write(messages.encode_failure(error))
        except Exception:
            # A bug of ours: the task's end tells the log.
            self.write(messages.encode_error("FATAL", "XX000", "the console broke; the log of the proxy says how"))
            raise
        finally:
            self.transport.close()


def _report(name: str, value: str) -> bytes:
    return messages.encode_message(messages.PARAMETER_STATUS, f"{name}\0{value}\0".encode())


async def _await(work: Awaitable[Answer]) -> Answer:
    return await work
