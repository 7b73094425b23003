"""TLS towards clients and servers: contexts and their files, and the layer between a socket and who uses it."""

from __future__ import annotations

from pooler.tls.certificate import PeerCertificate, peer_certificate
from pooler.tls.channel_binding import server_end_point
from pooler.tls.contexts import (
    ClientContext,
    ServerContexts,
    TlsProblem,
    make_client_context,
    make_server_contexts,
    own_end_point,
    server_contexts,
)
from pooler.tls.transport import HandshakeFailed, TlsTransport
from pooler.tls.turns import Turns

__all__ = [
    "ClientContext",
    "HandshakeFailed",
    "PeerCertificate",
    "ServerContexts",
    "TlsProblem",
    "TlsTransport",
    "Turns",
    "make_client_context",
    "make_server_contexts",
    "own_end_point",
    "peer_certificate",
    "server_contexts",
    "server_end_point",
]
