"""A client's socket: where it comes from, its encryption, and whether it is read."""

from __future__ import annotations

import asyncio
import logging
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum, IntFlag
from functools import partial
from typing import TYPE_CHECKING

from interceptor.errors import ClientError, ProtocolViolation
from pooler.tls import HandshakeFailed, PeerCertificate, TlsTransport, peer_certificate
from pooler.tls.contexts import ALPN

if TYPE_CHECKING:
    from pooler.server import Server

logger = logging.getLogger(__name__)


class ClientState(Enum):
    """Where a client is."""

    LOGIN = "login"
    WELCOME = "welcome"
    """It has proved who it is, and waits for what the server says at login."""
    READY = "ready"
    FINISHING = "finishing"
    """It said Terminate and hung up; its backend still works on what it asked for before."""
    CLOSED = "closed"


class Pause(IntFlag):
    """Why a client's socket is not read. It is read when no reason is left."""

    NONE = 0
    SESSION = 1
    """It sent more than may wait."""
    BACKEND_FULL = 2
    """The backend takes no more at the moment."""
    SLOW = 4
    """It does not read what it is sent, and has no backend whose answers could be held back instead."""


class ClientSocket(asyncio.Protocol, ABC):
    """What a client's connection is, whatever is said over it."""

    __slots__ = ("certificate", "pauses", "peer", "server", "slow", "state", "transport", "write")

    # Set when the connection is made
    transport: asyncio.Transport
    peer: str
    write: Callable[[bytes], None]

    def __init__(self, server: Server) -> None:
        self.server = server
        self.state = ClientState.LOGIN
        self.slow = False
        """It does not read as fast as it is sent to."""
        self.pauses = Pause.NONE
        self.certificate: PeerCertificate | None = None
        """What it has shown of itself by TLS."""

    @abstractmethod
    def on_failed(self, error: ClientError) -> None:
        """Tell the client why, and close its connection."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection once what was written has been sent."""

    @property
    def address(self) -> str:
        """The address that it comes from; "" for a Unix socket."""
        return "" if self.is_local else self.peer.rpartition(":")[0]

    @property
    def is_local(self) -> bool:
        """It came by a Unix socket."""
        return self.peer == "unix"

    @property
    def encrypted(self) -> bool:
        """Its connection has TLS."""
        return isinstance(self.transport, TlsTransport)

    # --- TLS -----------------------------------------------------------------------------------------------------

    def start_tls(self, context: ssl.SSLContext, received: bytes = b"") -> None:
        """Go on with TLS. ``received``: the beginning of the client's handshake, where that was its first word."""
        transport = TlsTransport(
            self.transport,
            self,
            context,
            partial(self._on_handshake_done, direct=bool(received)),
            server_side=True,
            turns=self.server.handshakes,
            origin=self.address,
        )
        self.transport = transport
        self.write = transport.write
        transport.start(received)

    def _on_handshake_done(self, failure: HandshakeFailed | None, *, direct: bool) -> None:
        if self.state is ClientState.CLOSED:
            return
        if failure is not None:
            if self.server.config.server.log_pooler_errors:
                logger.warning("%s: the TLS handshake failed: %s", self, failure)
            self.close()
            return
        assert isinstance(self.transport, TlsTransport)
        if direct and self.transport.ssl.selected_alpn_protocol() != ALPN:
            self.on_failed(
                ProtocolViolation('a connection that begins with TLS has to ask for the protocol "postgresql"')
            )
            return
        self.certificate = peer_certificate(self.transport.ssl)

    # --- Reading ---------------------------------------------------------------------------------------------------

    def _pause(self, reason: Pause) -> None:
        if not self.pauses and not self.transport.is_closing():
            self.transport.pause_reading()
        self.pauses |= reason

    def _resume(self, reason: Pause) -> None:
        if self.pauses:
            self.pauses &= ~reason
            if not self.pauses and not self.transport.is_closing():
                self.transport.resume_reading()
