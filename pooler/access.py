"""Who may come in: users, rules, bans, and the method by which each client proves who it is."""

from __future__ import annotations

import ipaddress
import logging
import os
import pwd
import secrets
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from struct import Struct
from typing import TYPE_CHECKING, Final

from interceptor.errors import AUTH_FAILED, BANNED, HBA_REJECTED, LOGIN_REFUSED, ClientError
from interceptor.protocol.scram_keys import DEFAULT_ITERATIONS, DEFAULT_SALT_LENGTH
from pooler.auth import (
    BackendCredential,
    ClientLogin,
    KeyCache,
    LoginSettings,
    PlainPassword,
    ScramVerifier,
    StoredCredential,
    UserList,
)
from pooler.auth.bans import ANY_OTHER, Bans, BanSettings
from pooler.auth.hba import ConnectionFacts, Hba, HbaRule, Method
from pooler.auth.ident import NameMaps
from pooler.auth.stand_in import AuthType as LoginMethod
from pooler.auth.stand_in import Shape, Shapes
from pooler.config import CONSOLE_DATABASES, AuthType, Config, PoolSettings
from pooler.config.tls import ServerTls
from pooler.tls import (
    ClientContext,
    TlsTransport,
    make_client_context,
    make_server_contexts,
    own_end_point,
    server_contexts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pooler.client import ClientConnection

__all__ = ["Access", "AccessFiles", "DatabaseMadeUp", "Entry", "is_own_console", "login_name"]

logger = logging.getLogger(__name__)

_MOCK_SECRET: Final = secrets.token_bytes(32)
"""What stand-ins for unknown users are made with. Made before the fork, for differing ones would give them away."""

_ANY_RULE: Final = HbaRule(0, "host", None, False, True, None, None, Method.REJECT)
_CREDENTIALS: Final = Struct("3i")


class DatabaseMadeUp(ClientError):
    """The user can't be looked up, since the server has no such database. It counts as a login that failed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a user. ``credential`` is None for one without a password."""

    credential: StoredCredential | None


@dataclass(frozen=True, slots=True)
class AccessFiles:
    """The files that the configuration names, as they are now."""

    users: UserList | None
    maps: NameMaps
    hba: Hba | None
    client_tls: ClientContext
    server_tls: Mapping[ServerTls, ssl.SSLContext]

    @classmethod
    def load(cls, config: Config) -> AccessFiles:
        """Read them all. Raises ConfigError, and nothing has changed."""
        server = config.server
        users = None if server.auth_file is None else UserList.load(server.auth_file)
        maps = NameMaps() if server.auth_ident_file is None else NameMaps.load(server.auth_ident_file)
        hba = None if server.auth_hba_file is None else Hba.load(server.auth_hba_file, maps)
        rules = hba if server.auth_type is AuthType.HBA else None
        return cls(users, maps, rules, make_client_context(config), make_server_contexts(config))


class Access:
    """One process's answer to who may come in."""

    def __init__(self, config: Config, keys: KeyCache, clock: Callable[[], float]) -> None:
        """Reads the files. Raises ConfigError."""
        self._keys = keys
        self.bans = Bans(BanSettings(0, 0.0, 0.0), clock)
        self._seen = [_OF_POSTGRESQL] * _MOST_SEEN
        """What auth_query has found lately: users that are unknown there are made to look like it."""
        self._found = 0
        self.use(config, AccessFiles.load(config))

    def use(self, config: Config, files: AccessFiles) -> None:
        """From now on these hold, for logins that have yet to begin."""
        server = config.server
        self._config = config
        self.users = files.users
        self._maps = files.maps
        self._hba = files.hba
        self.client_tls = files.client_tls
        server_contexts.use(files.server_tls)
        self.bans.settings = BanSettings(
            server.ban_failures, server.ban_window, server.ban_time, server.ban_ipv6_prefix
        )
        self._balancers = tuple(map(ipaddress.ip_network, server.proxy_protocol_from))
        self._never_banned = tuple(map(ipaddress.ip_network, server.ban_exempt))
        self._shapes = Shapes() if files.users is None else files.users.shapes
        self._make_settings()

    def _make_settings(self) -> None:
        self._trusting = self._login_settings("trust", self._shapes)
        self._of_file = self._by_method(self._shapes)
        self._make_asked()

    def _make_asked(self) -> None:
        self._of_query = self._by_method(self._shapes.with_more(self._seen))

    def _by_method(self, shapes: Shapes) -> dict[Method, LoginSettings]:
        return {
            Method.PASSWORD: self._login_settings("password", shapes),
            Method.MD5: self._login_settings("md5", shapes),
            Method.SCRAM_SHA_256: self._login_settings("scram-sha-256", shapes),
        }

    def _login_settings(self, method: LoginMethod, shapes: Shapes) -> LoginSettings:
        return LoginSettings(
            auth_type=method,
            mock_secret=_MOCK_SECRET,
            shapes=shapes,
            keys=self._keys,
            scram_iterations=self._config.server.scram_iterations,
        )

    # --- Before the login --------------------------------------------------------------------------------------------

    def is_balancer(self, address: str) -> bool:
        """Whether connections from this address begin with a header of the PROXY protocol."""
        return _is_within(address, self._balancers)

    def check_ban(self, client: ClientConnection, database: str) -> None:
        """Raises ClientError if the client's address is banned for this database."""
        if not client.address or _is_within(client.address, self._never_banned):
            return
        for name in self._ban_names(database):
            ban = self.bans.find(client.address, name)
            if ban is not None:
                raise ClientError(
                    BANNED,
                    "too many logins from this address have failed",
                    detail=f"It may try again in {self.bans.seconds_left(ban):.0f} s.",
                    hint="Correct the password that is used there. An administrator can lift the ban on the console.",
                )

    def on_failure(self, client: ClientConnection, database: str, error: ClientError) -> None:
        """A login has failed with this error."""
        counts = error.failure in (AUTH_FAILED, LOGIN_REFUSED) or isinstance(error, DatabaseMadeUp)
        if not counts or not client.address or _is_within(client.address, self._never_banned):
            return
        for name in self._ban_names(database):
            ban = self.bans.on_failure(client.address, name)
            if ban is not None:
                logger.warning(
                    'address %s is banned from database "%s" for %g s: %d of its logins failed within %g s',
                    *(ban.address, ban.database, self.bans.settings.duration),
                    *(self.bans.settings.most(name), self.bans.settings.window),
                )

    def _ban_names(self, database: str) -> tuple[str, ...]:
        """What a failure counts for. Otherwise who makes up another name each time would get ten more tries for it."""
        if database in CONSOLE_DATABASES or database in self._config.databases:
            return (database,)
        # Of those that "*" stands for some exist, and one that is made up can't be told from them.
        return (database, ANY_OTHER) if self._config.find_database(database) is not None else ("",)

    # --- The method --------------------------------------------------------------------------------------------------

    def rule(self, client: ClientConnection, database: str, user: str, *, replication: bool = False) -> HbaRule:
        """What this client has to prove, and how. Raises ClientError where no rule lets it in."""
        auth_type = self._config.server.auth_type
        if auth_type is not AuthType.HBA:
            return replace(_ANY_RULE, method=Method(auth_type.value))
        assert self._hba is not None
        address = _normal(client.address) if client.address else None
        rule = self._hba.find(ConnectionFacts(database, user, address, client.encrypted, replication))
        if rule is None or rule.method is Method.REJECT:
            place = f'host "{client.address}"' if client.address else "the Unix socket"
            tls = "TLS" if client.encrypted else "no TLS"
            what = "there is no entry in the HBA file" if rule is None else "the HBA file rejects connections"
            raise ClientError(HBA_REJECTED, f'{what} for {place}, user "{user}", database "{database}", {tls}')
        return rule

    def stored(self, database: str, user: str) -> Entry | None:
        """What the user file, or where there is none the database's connection string, has of a user."""
        if self.users is not None:
            found = self.users.get(user)
            return None if found is None else Entry(found)
        lent = self._config.login_for(database, user)
        return None if lent is None else Entry(PlainPassword(lent.password.reveal().encode()))

    def on_found(self, credential: StoredCredential) -> None:
        """auth_query has found this one."""
        place = self._found % _MOST_SEEN
        self._found += 1
        before, self._seen[place] = self._seen[place], Shape.of(credential)
        if self._seen[place] != before:
            self._make_asked()

    def login(
        self, client: ClientConnection, user: str, rule: HbaRule, entry: Entry | None, *, asked: bool
    ) -> ClientLogin:
        """The login of a client by this rule. ``asked``: users that no file has are asked for in the database.

        Raises ClientError where something else than a password refuses it.
        """
        self._check_certificate(client, user, rule)
        credential = None if entry is None else entry.credential
        settings = (self._of_query if asked else self._of_file).get(rule.method)
        if settings is not None:
            transport = client.transport
            end_point = own_end_point(transport) if isinstance(transport, TlsTransport) else None
            return ClientLogin(user, credential, settings, end_point)
        if rule.method is Method.PEER:
            self._check_peer(client, user, rule)
        # Where nobody is asked for a password, the list of users still says who there is.
        if entry is None and (asked or self.users is not None):
            raise ClientError(
                LOGIN_REFUSED,
                f'role "{user}" does not exist',
                hint=f"Under {rule.method.value}, auth_file lists who may log in.",
            )
        return ClientLogin(user, credential, self._trusting)

    def _check_certificate(self, client: ClientConnection, user: str, rule: HbaRule) -> None:
        if rule.method is not Method.CERT and not rule.client_certificate:
            return
        certificate = client.certificate
        if certificate is None:
            raise ClientError(
                LOGIN_REFUSED,
                "connection requires a valid client certificate",
                hint="Connect with TLS, and with sslcert and sslkey.",
            )
        name = certificate.subject if rule.by_distinguished_name else certificate.common_name
        if rule.method is Method.CERT and rule.map:
            allowed = self._maps.allows(rule.map, name, user)
        else:
            allowed = name == user or (rule.method is not Method.CERT and rule.client_certificate != "verify-full")
        if not allowed:
            logger.warning('%s: its certificate, of "%s", does not let it in as "%s"', client, name, user)
            raise ClientError(LOGIN_REFUSED, f'certificate authentication failed for user "{user}"')

    def _check_peer(self, client: ClientConnection, user: str, rule: HbaRule) -> None:
        name = login_name(client.transport.get_extra_info("socket"))
        allowed = self._maps.allows(rule.map, name, user) if rule.map else name == user
        if not name or not allowed:
            logger.warning('%s: the user "%s" of the operating system may not come in as "%s"', client, name, user)
            raise ClientError(LOGIN_REFUSED, f'Peer authentication failed for user "{user}"')

    # --- Towards servers ---------------------------------------------------------------------------------------------

    def backend_credential(
        self, settings: PoolSettings, from_login: BackendCredential | None
    ) -> BackendCredential | None:
        """What logs in to the server: the connection string's password, or the user file's entry for a role that the
        connection string names; for a client's own role what its login gave."""
        if settings.forced_user:
            if settings.password is not None:
                return PlainPassword(settings.password.reveal().encode())
            entry = None if self.users is None else self.users.get(settings.user)
            return None if isinstance(entry, ScramVerifier) else entry
        return from_login


_MOST_SEEN: Final = 100

_OF_POSTGRESQL: Final = Shape("scram", DEFAULT_ITERATIONS, DEFAULT_SALT_LENGTH)
"""What a database keeps of its users, as long as none has been seen."""


def login_name(connection: socket.socket) -> str:
    """The user of the operating system at the other end of a Unix socket; "" if it has no name."""
    try:
        return pwd.getpwuid(_user_at(connection)).pw_name
    except KeyError:
        return ""


def is_own_console(client: ClientConnection, database: str, user: str) -> bool:
    """Whether it is the user of the operating system whom the proxy itself runs as, who comes to its console by the
    Unix socket, under the console's name. As in PgBouncer no password is asked for: the configuration is open to him
    anyway."""
    if database not in CONSOLE_DATABASES or user not in CONSOLE_DATABASES or not client.is_local:
        return False
    return _user_at(client.transport.get_extra_info("socket")) == os.getuid()


def _user_at(connection: socket.socket) -> int:
    _process, user, _group = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    assert isinstance(user, int)
    return user


def _is_within(address: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    """Whether one of the networks has this address; "", of a Unix socket, is in none."""
    if not networks or not address:
        return False
    found = _normal(address)
    return any(found in network for network in networks)


def _normal(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address without its zone, and IPv4 within IPv6 as IPv4."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found
