"""How a client gets in: the first packet, the password, the database."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from interceptor.errors import (
    AUTH_FAILED,
    DATABASE_DISABLED,
    REPLICATION_REFUSED,
    STARTUP_PARAMETER,
    TLS_REQUIRED,
    TOO_MANY_CLIENTS,
    UNKNOWN_DATABASE,
    UNSUPPORTED_PROTOCOL,
    ClientError,
    ProtocolViolation,
)
from interceptor.protocol import messages
from interceptor.protocol.framing import FrameBuffer
from interceptor.protocol.startup import (
    CancelRequest,
    GSSENCRequest,
    SSLRequest,
    StartupMessage,
    decode_first_packet,
)
from pooler.access import is_own_console
from pooler.admission import on_authenticated
from pooler.auth import MAX_LOGIN_MESSAGE, Accepted, ClientLogin, Send, Step, Work
from pooler.config import CONSOLE_DATABASES, PoolMode, PoolSettings
from pooler.proxy_protocol import decode_proxy_header
from pooler.tasks import Handle, derive, spawn

if TYPE_CHECKING:
    from pooler.access import Entry
    from pooler.auth.hba import HbaRule
    from pooler.client import ClientConnection

_NOT_IN_PROFILE: Final = frozenset({"user", "database", "replication"})
CONSOLE_RESERVE: Final = 10
"""Connections beyond max_client_conn that are left to the admin console."""
MAX_SENT_AHEAD: Final = 256 * 1024
"""Bytes that a client may send before it has been let in."""

_TLS_HANDSHAKE: Final = b"\x16"
"""The type of a TLS record that holds a part of a handshake. A startup packet that began so would be 369 MB long."""

_TRUE: Final = frozenset({"true", "on", "yes", "1", "t", "y"})
_FALSE: Final = frozenset({"false", "off", "no", "0", "f", "n"})


class ClientLoginFlow:
    """From a client's first byte to the moment when it is known who it is."""

    __slots__ = ("_buffer", "_client", "_encryption_asked", "_login", "_needs_header", "_packet", "_startup", "_work")

    def __init__(self, client: ClientConnection) -> None:
        self._client = client
        self._packet = b""
        self._buffer = FrameBuffer(MAX_LOGIN_MESSAGE)
        self._startup: StartupMessage | None = None
        self._login: ClientLogin | None = None
        self._work: Handle | None = None
        self._encryption_asked: set[type] = set()
        self._needs_header: bool | None = None
        """A header of the PROXY protocol has to come; None before anything has come."""

    def feed(self, data: bytes) -> None:
        """Take what the client sent. Raises ClientError, with which the connection ends."""
        try:
            self._feed(data)
        except ClientError as error:
            self._on_refused(error)
            raise

    def _on_refused(self, error: ClientError) -> None:
        if self._startup is not None:
            self._client.server.access.on_failure(self._client, self.database, error)

    def _feed(self, data: bytes) -> None:
        if self._startup is None:
            self._packet += data
            if self._needs_header is None:
                self._needs_header = self._client.server.access.is_balancer(self._client.address)
            if self._needs_header and not self._read_proxy_header():
                return
            if self._begins_with_tls():
                return
            if not self._read_first_packets():
                return
            data, self._packet = self._packet, b""
        self._buffer.feed(data)
        if self._buffer.size > MAX_SENT_AHEAD:
            raise ProtocolViolation(f"more than {MAX_SENT_AHEAD} bytes came before the login was over")
        self._read_answers()

    @property
    def parameters(self) -> dict[str, str]:
        """Those of the client's startup message."""
        return {} if self._startup is None else dict(self._startup.parameters)

    def hold(self, work: Handle) -> None:
        """The login waits for this too, and cancels it if the client goes."""
        self._work = work

    def take_rest(self) -> bytes:
        """What the client sent ahead of its welcome."""
        return self._buffer.take_rest()

    def cancel(self) -> None:
        """The client is gone."""
        if self._work is not None:
            self._work.cancel()
            login = self._login
            if login is not None and login.is_refused:
                # Otherwise a guess that is not right at once could be taken back before it counts.
                self._on_refused(ClientError(AUTH_FAILED, "it hung up before it heard that its password is wrong"))

    def _read_proxy_header(self) -> bool:
        """Whether the header has come; the client's address is then the one that it names."""
        header = decode_proxy_header(self._packet)
        if header is None:
            return False
        self._needs_header = False
        self._packet = self._packet[header.size :]
        if header.address:
            self._client.peer = f"{header.address}:{header.port}"
        return True

    # --- The first packet ------------------------------------------------------------------------------------------

    def _read_first_packets(self) -> bool:
        """Whether the startup message has come."""
        while (found := decode_first_packet(self._packet)) is not None:
            packet, size = found
            self._packet = self._packet[size:]
            if not self._on_first_packet(packet):
                return False
            if isinstance(packet, StartupMessage):
                return True
        return False

    def _on_first_packet(self, packet: SSLRequest | GSSENCRequest | CancelRequest | StartupMessage) -> bool:
        """False if nothing more is expected of this connection."""
        client = self._client
        if isinstance(packet, CancelRequest):
            # Its end tells who asked that the request has been dealt with.
            client.server.cancel(packet.process_id, packet.secret, client.close)
            return False
        if isinstance(packet, StartupMessage):
            self._startup = packet
            self._on_startup(packet)
            return True
        if type(packet) in self._encryption_asked:
            # PostgreSQL takes the second one for a startup message of this odd version.
            version = "1234.5679" if isinstance(packet, SSLRequest) else "1234.5680"
            raise ClientError(
                UNSUPPORTED_PROTOCOL, f"unsupported frontend protocol {version}: server supports 3.0 to 3.2"
            )
        self._encryption_asked.add(type(packet))
        context = self._tls_context if isinstance(packet, SSLRequest) else None
        client.write(b"N" if context is None else b"S")
        if self._packet:
            # Once there is TLS, this is what somebody in the middle would put in before it (CVE-2021-23214).
            kind = "SSL" if isinstance(packet, SSLRequest) else "GSSAPI encryption"
            raise ProtocolViolation(
                f"received unencrypted data after {kind} request",
                detail="This is a bug of the client software, or somebody between it and us.",
            )
        if context is not None:
            self._encryption_asked.add(GSSENCRequest)
            client.start_tls(context)
            return False
        return True

    @property
    def _tls_context(self) -> ssl.SSLContext | None:
        """None where this client can't have TLS. A Unix socket needs none, as in PostgreSQL."""
        client = self._client
        return None if client.is_local else client.server.access.client_tls.context

    def _begins_with_tls(self) -> bool:
        """Whether the client's first word was a TLS handshake: direct TLS, as libpq 17 and later can."""
        if self._packet[:1] != _TLS_HANDSHAKE or self._encryption_asked or self._client.encrypted:
            return False
        context = self._tls_context
        if context is None:
            return False
        received, self._packet = self._packet, b""
        self._encryption_asked |= {SSLRequest, GSSENCRequest}
        self._client.start_tls(context, received)
        return True

    def _on_startup(self, startup: StartupMessage) -> None:
        client = self._client
        server = client.server
        server.on_client_introduced(client)
        server.access.check_ban(client, self.database)
        if startup.needs_negotiation:
            client.write(messages.encode_negotiate_protocol_version(startup.spoken_protocol, startup.unknown_options))
        if server.access.client_tls.settings.mode.required and not (client.encrypted or client.is_local):
            raise ClientError(
                TLS_REQUIRED,
                "connections without TLS are not taken here",
                hint="Connect with sslmode=require, or a stricter one.",
            )
        limit = server.config.server.max_client_conn
        if self.database in CONSOLE_DATABASES:
            # Who looks for the reason why there are too many has to get in.
            limit += CONSOLE_RESERVE
        if server.clients_of_node > limit:
            raise ClientError(
                TOO_MANY_CLIENTS,
                f"no more connections allowed: max_client_conn is {limit}",
                hint="Raise max_client_conn, or close connections that are not needed.",
            )
        user = startup.parameters["user"]
        if is_own_console(client, self.database, user):
            server.open_console(client, self.database, startup, is_own=True)
            return
        # What is said of replication in the rules does not open the console.
        physical = self.database not in CONSOLE_DATABASES and startup.parameters.get("replication", "").lower() in _TRUE
        rule = server.access.rule(client, self.database, user, replication=physical)
        entry = server.access.stored(self.database, user)
        if entry is None and server.auth_query.serves(self.database):
            self._work = spawn(self._look_up(rule), name=f"auth_query for {client.peer}")
        else:
            self._begin(rule, entry)

    async def _look_up(self, rule: HbaRule) -> None:
        """Ask the database for what the user file does not have."""
        assert self._startup is not None
        server = self._client.server
        try:
            entry = await server.auth_query.find(self.database, self._startup.parameters["user"])
            self._work = None
            if entry is not None and entry.credential is not None:
                server.access.on_found(entry.credential)
            self._begin(rule, entry)
            self._read_answers()
        except ClientError as error:
            self._on_refused(error)
            self._client.on_failed(error)

    def _begin(self, rule: HbaRule, entry: Entry | None) -> None:
        assert self._startup is not None
        client = self._client
        server = client.server
        asked = server.auth_query.serves(self.database)
        self._login = server.access.login(client, self._startup.parameters["user"], rule, entry, asked=asked)
        self._do(self._login.start())

    @property
    def database(self) -> str:
        """The database that the client asked for; as in PostgreSQL, by default the one named like the user."""
        assert self._startup is not None
        return self._startup.parameters.get("database") or self._startup.parameters["user"]

    # --- The password ----------------------------------------------------------------------------------------------

    def _read_answers(self) -> None:
        login = self._login
        while login is not None and self._work is None and (frame := self._buffer.next_frame()) is not None:
            self._do(login.receive(*frame))
            login = self._login

    def _do(self, step: Step) -> None:
        client = self._client
        if isinstance(step, Send):
            client.write(step.data)
        elif isinstance(step, Work):
            self._work = spawn(self._run(step), name=f"login of {client.peer}")
        else:
            self._login = None
            client.write(step.data)
            self._on_accepted(step)

    async def _run(self, work: Work) -> None:
        result = await derive(work.function)
        assert self._login is not None
        self._work = None
        try:
            self._do(self._login.resume(result))
            self._read_answers()
        except ClientError as error:
            self._on_refused(error)
            self._client.on_failed(error)

    # --- The database ----------------------------------------------------------------------------------------------

    def _on_accepted(self, accepted: Accepted) -> None:
        client = self._client
        server = client.server
        startup = self._startup
        assert startup is not None
        user = startup.parameters["user"]
        if self.database in CONSOLE_DATABASES:
            server.open_console(client, self.database, startup)
            return
        if self.database in server.pools.gates.disabled:
            raise ClientError(
                DATABASE_DISABLED,
                f'database "{self.database}" is disabled: it takes no new clients',
                hint="An administrator has said DISABLE on the console, and ENABLE undoes it.",
            )
        if server.config.find_database(self.database) is None:
            raise _unknown_database(self.database)
        settings = server.config.pool_settings(self.database, user)
        if server.role_to_look_up(settings):
            self._work = spawn(self._look_up_role(accepted, settings), name=f"auth_query for the role of {client.peer}")
        else:
            self._enter(accepted, settings)

    async def _look_up_role(self, accepted: Accepted, settings: PoolSettings) -> None:
        server = self._client.server
        await server.roles.look_up(settings)
        self._work = None
        try:
            # The configuration may be another by now.
            settings = server.config.pool_settings(self.database, settings.client_user)
            self._enter(accepted, settings)
        except LookupError:
            self._client.on_failed(_unknown_database(self.database))
        except ClientError as error:
            self._on_refused(error)
            self._client.on_failed(error)

    def _enter(self, accepted: Accepted, settings: PoolSettings) -> None:
        client = self._client
        server = client.server
        startup = self._startup
        assert startup is not None
        if self._wants_replication(startup):
            if settings.pool_mode is not PoolMode.SESSION:
                raise ClientError(
                    REPLICATION_REFUSED,
                    "replication connections need session pooling, and this database is pooled by "
                    f"{settings.pool_mode.value}",
                    hint='Set pool_mode = "session" for this database or user, or connect to the server itself.',
                )
            credential = server.backend_credential(settings, accepted.backend_credential)
            server.start_relay(client, settings, startup, credential)
            return
        pool = server.pool(settings)
        credential = server.backend_credential(pool.settings, accepted.backend_credential)
        if credential is not None:
            # The newest login is the one whose password is most likely still right. Who was trusted has shown none.
            pool.credential = credential
        on_authenticated(client, pool, settings, pool.profile(self._profile(startup)), startup.spoken_protocol)

    def _profile(self, startup: StartupMessage) -> tuple[tuple[str, str], ...]:
        server = self._client.server
        ignored = server.config.server.ignore_startup_parameters
        own = {
            name: value
            for name, value in startup.parameters.items()
            if name not in _NOT_IN_PROFILE and name not in ignored
        }
        settings = server.config.pool_settings(self.database, startup.parameters["user"])
        return tuple(sorted({**dict(settings.parameters), **own}.items()))

    def _wants_replication(self, startup: StartupMessage) -> bool:
        value = startup.parameters.get("replication", "false")
        if value == "database" or value in _TRUE:
            return True
        if value not in _FALSE:
            raise ClientError(STARTUP_PARAMETER, f'invalid value for parameter "replication": "{value}"')
        return False


def _unknown_database(name: str) -> ClientError:
    return ClientError(
        UNKNOWN_DATABASE,
        f'database "{name}" does not exist',
        hint="The databases that clients may name are the [databases.*] tables of the configuration.",
    )
