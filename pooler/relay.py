"""A replication connection: one client, one server connection of its own, and every byte passed on.

Replication speaks commands and a COPY in both directions that no pool can share, so nothing is looked at here. Plugins
are asked whether they let such a client in (``admit``).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from interceptor.errors import BackendError
from interceptor.protocol import messages
from interceptor.protocol.startup import StartupMessage
from pooler.admission import refuse
from pooler.auth import BackendCredential
from pooler.cancel import send_cancel
from pooler.config import PoolSettings
from pooler.login import LoggedIn, log_in
from pooler.plugins import SessionRefused
from pooler.tasks import spawn

if TYPE_CHECKING:
    from pooler.client import ClientConnection
    from pooler.server import Server

logger = logging.getLogger(__name__)


class Relay:
    """Both ends of one replication connection."""

    def __init__(
        self,
        server: Server,
        client: ClientConnection,
        settings: PoolSettings,
        startup: StartupMessage,
        credential: BackendCredential | None,
    ) -> None:
        self._server = server
        self.client = client
        self.settings = settings
        self._credential = credential
        self._startup = startup
        self._parameters = {
            name: value for name, value in startup.parameters.items() if name not in ("user", "database")
        }
        self._logged_in: LoggedIn | None = None
        self._ends: tuple[_End, ...] = ()

    @property
    def process_id(self) -> int:
        """The server's own, which the client was given: there is nobody that it could be confused with."""
        return self._logged_in.process_id if self._logged_in is not None else 0

    @property
    def secret(self) -> bytes:
        """The server's own, like the process id."""
        return self._logged_in.secret if self._logged_in is not None else b""

    @property
    def kind(self) -> str:
        """Of replication."""
        return "logical" if self._parameters.get("replication") == "database" else "physical"

    @property
    def application_name(self) -> str:
        """The client's."""
        return self._parameters.get("application_name", "")

    @property
    def server_transport(self) -> asyncio.Transport | None:
        """The connection to the server, once it is logged in."""
        return None if self._logged_in is None else self._logged_in.transport

    def start(self) -> None:
        """Log in to the server, and pass on from then."""
        self._server.relays.add(self)
        self.client.transport.pause_reading()
        spawn(self._log_in(), name=f"replication of {self.client.peer}")

    def cancel(self) -> None:
        """Serve the client's CancelRequest."""
        if self._logged_in is not None:
            spawn(self._cancel(self._logged_in), name=f"cancel replication of {self.client.peer}")

    async def _cancel(self, logged_in: LoggedIn) -> None:
        timeout = self.settings.cancel_wait_timeout
        await send_cancel(logged_in.address, logged_in.process_id, logged_in.secret, timeout)

    def close(self) -> None:
        """Hang up on both sides."""
        self._server.relays.discard(self)
        self._server.on_client_lost(self.client)
        for end in self._ends:
            end.transport.close()

    async def _log_in(self) -> None:
        client = self.client
        rest = client.take_over()
        try:
            await self._server.admit_relay(client, self.settings, self._startup)
        except SessionRefused as refused:
            self._server.relays.discard(self)
            refuse(client, refused)
            return
        try:
            logged_in = await log_in(self.settings, self._parameters, self._credential, self._server.keys)
        except BackendError as error:
            self._server.relays.discard(self)
            client.on_backend_failed(error)
            return
        if client.transport.is_closing():
            logged_in.transport.abort()
            self.close()
            return
        self._logged_in = logged_in
        to_server, to_client = _End(self, client.transport), _End(self, logged_in.transport)
        to_server.other, to_client.other = logged_in.transport, client.transport
        self._ends = (to_server, to_client)
        client.transport.set_protocol(to_server)
        logged_in.transport.set_protocol(to_client)
        client.transport.write(
            messages.AUTHENTICATION_OK
            + logged_in.welcome.messages
            + messages.encode_backend_key_data(logged_in.process_id, logged_in.secret)
            + messages.READY[messages.IDLE]
        )
        logged_in.transport.write(rest)
        client.transport.resume_reading()
        logger.info("%s: replication connection to %s", client, logged_in.address)


class _End(asyncio.Protocol):
    """One direction: what is read here is written to the other side, no faster than that takes it."""

    other: asyncio.Transport

    def __init__(self, relay: Relay, transport: asyncio.Transport) -> None:
        self._relay = relay
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.other.write(data)

    def pause_writing(self) -> None:
        self.other.pause_reading()

    def resume_writing(self) -> None:
        self.other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relay.close()
