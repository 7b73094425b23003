"""The contexts that handshakes are made with: one towards clients, and one for each way to reach servers.

A context is made of files. It is made when the configuration is read, so that a wrong file is named before anything
starts, and one that is broken later changes nothing. A reload makes all of them anew: connections that there are keep
what they began with.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from interceptor.errors import ConfigError
from pooler.config.tls import ClientTls, ServerTls, SslMode, TlsFiles, client_tls, server_tls, server_tls_of
from pooler.tls.channel_binding import server_end_point
from pooler.tls.files import TlsProblem, certificate_of, load_authorities, load_own_certificate

if TYPE_CHECKING:
    from pooler.config import Config
    from pooler.tls.transport import TlsTransport

__all__ = [
    "ALPN",
    "ClientContext",
    "ServerContexts",
    "TlsProblem",
    "make_client_context",
    "make_server_contexts",
    "own_end_point",
    "server_contexts",
]

ALPN: Final = "postgresql"
"""The name of the protocol inside TLS, which direct TLS demands."""

_MOST_CONTEXTS: Final = 1000

_VERSIONS: Final = {
    "tlsv1.2": (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2),
    "tlsv1.3": (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3),
    "secure": (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
}
_OLD_VERSIONS: Final = frozenset(["all", "legacy", "tlsv1", "tlsv1.0", "tlsv1.1"])

_DEFAULT_CIPHERS: Final = frozenset(["default", "secure", "fast", "normal"])
"""PgBouncer's words for what OpenSSL takes by itself."""


_end_points: Final[WeakKeyDictionary[ssl.SSLContext, bytes | None]] = WeakKeyDictionary()


class ClientContext:
    """TLS towards clients. ``context`` is None where there is none."""

    __slots__ = ("context", "settings")

    def __init__(self, settings: ClientTls) -> None:
        """Reads the files. Raises TlsProblem."""
        self.settings = settings
        self.context = _client_context(settings)
        if self.context is not None:
            assert settings.cert_file is not None
            _end_points[self.context] = server_end_point(certificate_of(settings.cert_file))


def own_end_point(transport: TlsTransport) -> bytes | None:
    """The channel binding of the certificate that a client was shown: after a reload others are shown another."""
    return None if transport.is_lost else _end_points[transport.ssl.context]


def make_client_context(config: Config) -> ClientContext:
    """The context towards clients. Raises ConfigError that names the setting and the file."""
    try:
        return ClientContext(client_tls(config.server))
    except TlsProblem as problem:
        file = "" if config.file is None else str(config.file)
        raise ConfigError(file, 0, f"server.client_tls_{problem.part}", problem.message) from None


class ServerContexts:
    """Contexts for logging in to servers, by what the settings say."""

    def __init__(self) -> None:
        self._contexts: OrderedDict[ServerTls, ssl.SSLContext] = OrderedDict()

    def get(self, settings: ServerTls) -> ssl.SSLContext:
        """The context for these settings, made if it is the first time. Raises TlsProblem."""
        key = _essence(settings)
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = _server_context(key)
            if len(self._contexts) > _MOST_CONTEXTS:
                self._contexts.popitem(last=False)
        return context

    def probe(self, settings: ServerTls) -> None:
        """Read the files of these settings as if for the first time. Raises TlsProblem."""
        _server_context(_essence(settings))

    def use(self, made: Mapping[ServerTls, ssl.SSLContext]) -> None:
        """From now on these hold, and no others that were made before."""
        self._contexts = OrderedDict(made)


server_contexts: Final = ServerContexts()
"""Those of this process: they are made of settings and files alone, so who asks makes no difference."""


def make_server_contexts(config: Config) -> dict[ServerTls, ssl.SSLContext]:
    """A context for each way to reach a server that the configuration names, so that no file is read later than now.

    Raises ConfigError that names the setting and the file.
    """
    base = server_tls(config.server)
    ways = {"server.server_tls_sslmode": base}
    for name, database in config.databases.items():
        primary = ways[f"databases.{name}.primary"] = server_tls_of(base, database.primary)
        for number, replica in enumerate(database.replicas):
            ways[f"databases.{name}.replicas[{number}]"] = server_tls_of(primary, replica)
    made: dict[ServerTls, ssl.SSLContext] = {}
    for place, settings in ways.items():
        key = _essence(settings)
        if settings.mode is SslMode.DISABLE or key in made:
            continue
        try:
            made[key] = _server_context(key)
        except TlsProblem as problem:
            raise ConfigError("" if config.file is None else str(config.file), 0, place, problem.message) from None
    return made


def _essence(settings: ServerTls) -> ServerTls:
    """These settings as far as a context is made of them."""
    return ServerTls(
        mode=settings.mode if settings.verified else SslMode.REQUIRE,
        ca_file=settings.ca_file if settings.verified else None,
        system_ca=settings.system_ca and settings.verified,
        cert_file=settings.cert_file,
        key_file=settings.key_file,
        protocols=settings.protocols,
        ciphers=settings.ciphers,
    )


def _client_context(settings: ClientTls) -> ssl.SSLContext | None:
    if settings.mode is SslMode.DISABLE:
        return None
    if settings.cert_file is None or settings.key_file is None:
        part = "cert_file" if settings.cert_file is None else "key_file"
        raise TlsProblem(part, "TLS towards clients needs a certificate and its key")
    context = _context(ssl.PROTOCOL_TLS_SERVER, settings)
    load_own_certificate(context, settings.cert_file, settings.key_file)
    # Neither helps a pooler's clients, who stay, and both cost memory for each of them; PostgreSQL has none either.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    if settings.ca_file is not None:
        load_authorities(context, settings.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED if settings.mode.verifies else ssl.CERT_OPTIONAL
    elif settings.mode.verifies:
        raise TlsProblem("ca_file", f'"{settings.mode.value}" needs the authorities that sign clients\' certificates')
    return context


def _server_context(settings: ServerTls) -> ssl.SSLContext:
    context = _context(ssl.PROTOCOL_TLS_CLIENT, settings)
    context.check_hostname = settings.mode is SslMode.VERIFY_FULL
    if settings.verified:
        context.verify_mode = ssl.CERT_REQUIRED
        if settings.system_ca:
            context.set_default_verify_paths()
        elif settings.ca_file is not None:
            load_authorities(context, settings.ca_file)
        else:
            raise TlsProblem(
                "ca_file", f'"{settings.mode.value}" needs the authorities that sign servers\' certificates'
            )
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert_file is not None:
        if settings.key_file is None:
            raise TlsProblem("key_file", "a certificate needs its key")
        load_own_certificate(context, settings.cert_file, settings.key_file)
    elif settings.key_file is not None:
        raise TlsProblem("cert_file", "a key needs its certificate")
    return context


def _context(protocol: int, settings: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version, context.maximum_version = _versions(settings.protocols)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([ALPN])
    if settings.ciphers.lower() not in _DEFAULT_CIPHERS:
        try:
            context.set_ciphers("ALL:!aNULL" if settings.ciphers.lower() == "all" else settings.ciphers)
        except ssl.SSLError:
            raise TlsProblem("ciphers", "OpenSSL knows no cipher of this list; see `openssl ciphers`") from None
    return context


def _versions(protocols: str) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    found = []
    for name in protocols.lower().replace(":", ",").split(","):
        name = name.strip()
        if name in _OLD_VERSIONS:
            raise TlsProblem("protocols", 'TLS 1.0 and 1.1 are broken and not offered: write "secure"')
        if name not in _VERSIONS:
            raise TlsProblem("protocols", 'expected "secure", "tlsv1.2", "tlsv1.3" or both of them with a comma')
        found.append(_VERSIONS[name])
    return min(low for low, _ in found), max(high for _, high in found)
