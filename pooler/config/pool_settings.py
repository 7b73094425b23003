"""What holds for one login to one database: server, database and user settings merged once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from pooler.config.hosts import HostChoice
from pooler.config.secret import Secret
from pooler.config.settings import EMPTY_QUERY, DatabaseSettings, ServerSettings, UserSettings
from pooler.config.tls import ServerTls, server_tls, server_tls_of
from pooler.config.values import HostPort, ListenMode, PoolMode

__all__ = ["PRIMARY", "PoolSettings", "merge", "settings_of_target", "target_names"]

PRIMARY: Final = "primary"
"""The name of the target that takes what is not routed."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """Everything the pool code asks about one login to one database. Durations in seconds; 0 means "no limit".

    Clients of one login user share these. Backends are shared more widely: by all with the same ``pool_key``, which
    differs from (database, client_user) where the database's connection string names a user.
    """

    database: str
    """The name that clients connect to."""
    client_user: str
    """The name that the client logged in with."""

    hosts: tuple[HostPort, ...]
    """A name, an address, or the directory of a Unix socket, beginning with "/", and the port, of each."""
    choice: HostChoice
    """Which of the hosts a connection goes to."""
    dbname: str
    """The name of the database on the server."""
    user: str
    """The role that backends log in as."""
    password: Secret | None
    """The role's password, if the connection string has one."""
    forced_user: bool
    """Whether the connection string names the role; else it is the client's own."""
    parameters: tuple[tuple[str, str], ...]
    """Startup parameters of every backend."""
    tls: ServerTls
    """How backends are encrypted, and what is checked of the server."""
    target: str = PRIMARY
    """Which of the database's servers this is."""

    # By login: clients of one pool may differ in these.
    pool_mode: PoolMode
    query_timeout: float
    query_wait_timeout: float
    client_idle_timeout: float
    idle_transaction_timeout: float
    transaction_timeout: float

    # By pool.
    pool_size: int
    min_pool_size: int
    """Never above pool_size. Kept up where ``forced_user``, or while the pool has a client."""
    reserve_pool_size: int
    reserve_pool_timeout: float
    """How long a client waits before the reserve is opened for it; 0: the reserve is never opened."""
    max_db_connections: int
    """For all pools of ``database`` on one server."""
    max_user_connections: int
    """For all pools of ``user``."""
    server_round_robin: bool
    server_reset_query: str
    """Sent before another client gets the backend; "" where none was configured."""
    server_reset_query_always: bool
    """Whether it is also sent in transaction and statement mode."""
    server_check_query: str | None
    """None: never check; "": the empty query."""
    server_check_delay: float
    """A backend idle for longer than this is checked before use; 0: every time."""
    server_lifetime: float
    """0: a backend is used once, then closed."""
    server_idle_timeout: float
    server_connect_timeout: float
    server_login_retry: float
    dns_max_ttl: float
    """How long the addresses of a name are used before it is looked up again."""
    dns_nxdomain_ttl: float
    """How long it is believed that a name can't be looked up."""
    cancel_wait_timeout: float
    max_pinned: int
    """Clients that may keep their backends beyond a transaction; 0: as many as there are backends."""
    pin_timeout: float
    """How long a client may keep its backend beyond a transaction with nothing to do."""
    listen: ListenMode
    """Where its clients listen."""
    max_unread_notifications: int
    """Bytes that may wait for one client."""
    max_prepared_statements: int
    """0: named prepared statements are not shared, they keep their client's backend."""
    reuse_unnamed_statements: bool
    """An unnamed statement whose text is known runs as a shared one."""
    catalogue: bool
    """The catalogue is read to judge what statements may do to their session."""
    catalogue_user: str
    """The role that reads the catalogue; "" for the role of the pool."""
    connect_query: str
    """Sent once after login, its errors logged only; "" where none."""
    max_packet_size: int

    @property
    def host(self) -> str:
        """The hosts, with commas between them: for people to read."""
        return ",".join(place.host for place in self.hosts)

    @property
    def port(self) -> int:
        """That of the first host."""
        return self.hosts[0].port

    @property
    def pool_key(self) -> tuple[str, str, str]:
        """What identifies the pool: the database that clients name, the role on the server, and which server."""
        return self.database, self.user, self.target


def merge(
    name: str, client_user: str, server: ServerSettings, database: DatabaseSettings, users: Mapping[str, UserSettings]
) -> PoolSettings:
    """Resolve what holds for ``client_user`` on the database ``name``. A user's setting goes before its database's."""
    primary = database.primary
    user = primary.user or client_user
    # As in PgBouncer: how a client is treated goes by its login, how big a pool is by the pool's role.
    login, role = users.get(client_user, _NOTHING_SAID), users.get(user, _NOTHING_SAID)
    pool_size = _first(role.pool_size, database.pool_size, default=server.default_pool_size)
    max_pinned = _first(role.max_pinned, database.max_pinned, default=server.max_pinned)
    check = server.server_check_query
    return PoolSettings(
        database=name,
        client_user=client_user,
        hosts=primary.hosts,
        choice=primary.choice,
        dbname=primary.dbname or name,
        user=user,
        password=primary.password,
        forced_user=primary.user is not None,
        parameters=primary.parameters,
        tls=server_tls_of(server_tls(server), primary),
        pool_mode=_first(login.pool_mode, database.pool_mode, default=server.pool_mode),
        query_timeout=_first(login.query_timeout, default=server.query_timeout),
        query_wait_timeout=_first(
            login.query_wait_timeout, database.query_wait_timeout, default=server.query_wait_timeout
        ),
        client_idle_timeout=_first(login.client_idle_timeout, default=server.client_idle_timeout),
        idle_transaction_timeout=_first(login.idle_transaction_timeout, default=server.idle_transaction_timeout),
        transaction_timeout=_first(login.transaction_timeout, default=server.transaction_timeout),
        pool_size=pool_size,
        min_pool_size=min(_first(database.min_pool_size, default=server.min_pool_size), pool_size),
        reserve_pool_size=_first(role.reserve_pool_size, database.reserve_pool_size, default=server.reserve_pool_size),
        reserve_pool_timeout=server.reserve_pool_timeout,
        max_db_connections=_first(database.max_db_connections, default=server.max_db_connections),
        max_user_connections=_first(role.max_user_connections, default=server.max_user_connections),
        server_round_robin=server.server_round_robin,
        server_reset_query=server.server_reset_query,
        server_reset_query_always=server.server_reset_query_always,
        server_check_query={EMPTY_QUERY: "", "": None}.get(check, check),
        server_check_delay=server.server_check_delay,
        server_lifetime=_first(database.server_lifetime, default=server.server_lifetime),
        server_idle_timeout=server.server_idle_timeout,
        server_connect_timeout=server.server_connect_timeout,
        server_login_retry=server.server_login_retry,
        dns_max_ttl=server.dns_max_ttl,
        dns_nxdomain_ttl=server.dns_nxdomain_ttl,
        cancel_wait_timeout=server.cancel_wait_timeout,
        max_pinned=max(pool_size - 1, 1) if max_pinned < 0 else max_pinned,
        pin_timeout=_first(login.pin_timeout, database.pin_timeout, default=server.pin_timeout),
        listen=_first(database.listen, default=server.listen),
        max_unread_notifications=server.max_unread_notifications,
        max_prepared_statements=server.max_prepared_statements,
        reuse_unnamed_statements=_first(database.reuse_unnamed_statements, default=server.reuse_unnamed_statements),
        catalogue=_first(database.catalogue, default=server.catalogue),
        catalogue_user=database.catalogue_user,
        connect_query=database.connect_query,
        max_packet_size=server.max_packet_size,
    )


def target_names(database: DatabaseSettings) -> tuple[str, ...]:
    """The names of a database's servers, the primary first."""
    return (PRIMARY, *(f"replica{number}" for number, _ in enumerate(database.replicas, start=1)))


def settings_of_target(settings: PoolSettings, database: DatabaseSettings, target: str) -> PoolSettings:
    """These settings, of the primary, for another server of the same database. Raises LookupError for an unknown one.

    What the replica's connection string leaves out is as in that of the primary.
    """
    if target == settings.target:
        return settings
    replicas = dict(zip(target_names(database)[1:], database.replicas, strict=True))
    replica = replicas[target]
    return replace(
        settings,
        hosts=replica.hosts,
        choice=replica.choice,
        dbname=replica.dbname or settings.dbname,
        password=replica.password or settings.password,
        tls=server_tls_of(settings.tls, replica),
        min_pool_size=0,
        target=target,
    )


_NOTHING_SAID = UserSettings()


def _first(*said: T | None, default: T) -> T:
    """The first that was said. 0 was said: in a narrower place it lifts a limit set in a wider one."""
    for value in said:
        if value is not None:
            return value
    return default
