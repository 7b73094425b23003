"""What the settings say about TLS: towards clients, and towards one server."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pooler.config.dsn import Upstream
    from pooler.config.settings import ServerSettings

__all__ = [
    "AUTH_METHODS",
    "SYSTEM_CA",
    "ChannelBinding",
    "ClientTls",
    "ServerTls",
    "SslMode",
    "SslNegotiation",
    "TlsFiles",
    "client_tls",
    "server_tls",
    "server_tls_of",
]

SYSTEM_CA: Final = "system"
"""As ``sslrootcert``: the certificate authorities that the operating system trusts, as in libpq."""


class SslMode(enum.StrEnum):
    """Whether a connection has TLS, and what is checked of the peer; in the order of strictness."""

    DISABLE = "disable"
    ALLOW = "allow"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"

    @property
    def required(self) -> bool:
        """There is no connection without TLS."""
        return self in (SslMode.REQUIRE, SslMode.VERIFY_CA, SslMode.VERIFY_FULL)

    @property
    def verifies(self) -> bool:
        """There is no connection without a certificate of the peer's that a known authority has signed."""
        return self in (SslMode.VERIFY_CA, SslMode.VERIFY_FULL)


class SslNegotiation(enum.StrEnum):
    """How TLS begins: after PostgreSQL's SSLRequest, or with the first byte."""

    POSTGRES = "postgres"
    DIRECT = "direct"


class ChannelBinding(enum.StrEnum):
    """Whether SCRAM proves that its TLS connection ends where its password is known."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"


AUTH_METHODS: Final = frozenset({"none", "password", "md5", "scram-sha-256"})
"""What a server may ask for, in libpq's words; ``none``: it lets us in without a question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """What both sides have in common."""

    mode: SslMode
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    protocols: str = "secure"
    ciphers: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls(TlsFiles):
    """TLS towards clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls(TlsFiles):
    """TLS towards one server. Contexts are shared by equal ones."""

    system_ca: bool = False
    """The operating system's authorities stand in for ``ca_file``."""
    negotiation: SslNegotiation = SslNegotiation.POSTGRES
    channel_binding: ChannelBinding = ChannelBinding.PREFER
    require_auth: frozenset[str] = AUTH_METHODS
    """What the server may ask for at login: otherwise who answers in its place could ask for the password itself."""

    @property
    def verified(self) -> bool:
        """The server's certificate is checked. As in libpq also under ``require``, where an authority is named."""
        return self.mode.verifies or (self.mode is SslMode.REQUIRE and (self.ca_file is not None or self.system_ca))

    def without_fallback(self) -> ServerTls:
        """The same checks, and no connection without TLS."""
        if self.mode.required:
            return self
        return replace(self, mode=SslMode.REQUIRE, ca_file=None, system_ca=False)


def client_tls(server: ServerSettings) -> ClientTls:
    """What ``[server]`` says about TLS towards clients."""
    return ClientTls(
        mode=server.client_tls_sslmode,
        ca_file=server.client_tls_ca_file,
        cert_file=server.client_tls_cert_file,
        key_file=server.client_tls_key_file,
        protocols=server.client_tls_protocols,
        ciphers=server.client_tls_ciphers,
    )


def server_tls(server: ServerSettings) -> ServerTls:
    """What ``[server]`` says about TLS towards all servers."""
    return ServerTls(
        mode=server.server_tls_sslmode,
        ca_file=server.server_tls_ca_file,
        cert_file=server.server_tls_cert_file,
        key_file=server.server_tls_key_file,
        protocols=server.server_tls_protocols,
        ciphers=server.server_tls_ciphers,
    )


def server_tls_of(base: ServerTls, upstream: Upstream) -> ServerTls:
    """``base`` with what a connection string says instead."""
    said = upstream.tls
    if said.sslrootcert is not None:
        system = said.sslrootcert == SYSTEM_CA
        base = replace(base, system_ca=system, ca_file=None if system else Path(said.sslrootcert))
    if said.sslcert is not None:
        # A certificate of another setting and the key of this one would never fit.
        base = replace(base, cert_file=Path(said.sslcert), key_file=None)
    if said.sslkey is not None:
        base = replace(base, key_file=Path(said.sslkey))
    return replace(
        base,
        mode=said.sslmode or base.mode,
        negotiation=said.sslnegotiation or base.negotiation,
        channel_binding=said.channel_binding or base.channel_binding,
        require_auth=said.require_auth or base.require_auth,
    )
