"""Every setting: name, kind (type, unit and bounds) and default, declared here and nowhere else.

What each means is in docs/reference/settings.md, which a test holds against this file. Durations are seconds as floats,
sizes are bytes. Where PgBouncer has a setting, its name and meaning are PgBouncer's (doc/config.md of 1.25), and so is
its default unless the page says why not. In a database's or a user's settings None stands for "not said here".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pooler.config import values
from pooler.config.dsn import Upstream
from pooler.config.dsn import upstream as upstream_kind
from pooler.config.dsn import upstreams as upstreams_kind
from pooler.config.secret import Secret
from pooler.config.tls import SslMode
from pooler.config.values import AuthType, HostPort, ListenMode, LogFormat, PoolMode

__all__ = ["AUTH_QUERY", "EMPTY_QUERY", "ApiSettings", "DatabaseSettings", "ServerSettings", "UserSettings"]

EMPTY_QUERY = "<empty>"
"""As server_check_query: a Query message without a statement, which PostgreSQL answers with EmptyQueryResponse."""

AUTH_QUERY = (
    "SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END "
    "FROM pg_authid WHERE rolname=$1 AND rolcanlogin"
)
"""PgBouncer's default for auth_query."""

_POOL_MODE = values.choice(PoolMode, {})
_AUTH_TYPE = values.choice(
    AuthType,
    {
        "plain": '"plain" is PgBouncer\'s name for "password": write "password"',
        "any": '"any" does not exist here: "trust" without an auth_file lets every user in',
        "peer": '"peer" stands in an HBA file: write "hba", and "local all all peer" into auth_hba_file',
        "ldap": '"ldap" does not exist here',
        "pam": '"pam" does not exist here',
    },
)

_SslMode = Annotated[SslMode, values.choice(SslMode, {})]
_Boolean = Annotated[bool, values.boolean]
_Duration = Annotated[float, values.duration]
_Names = Annotated[tuple[str, ...], values.names]
_Text = Annotated[str, values.text]
# What is relative in the file is relative to the file's folder; the loader makes it absolute.
_Path = Annotated[Path | None, values.path]
_Count = Annotated[int, values.integer(0)]
# PgBouncer takes a pool_size of 0 for "no limit". A pool without a limit is what a pooler is there to prevent.
_PoolSize = Annotated[int, values.integer(1)]
_PoolMode = Annotated[PoolMode, _POOL_MODE]
_ListenMode = Annotated[ListenMode, values.choice(ListenMode, {})]
_MaxPinned = Annotated[int, values.integer(-1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """``[server]``."""

    listen_addr: _Names = ("127.0.0.1",)
    listen_port: Annotated[int, values.integer(0, 65535)] = 6432
    listen_backlog: Annotated[int, values.integer(1)] = 4096
    unix_socket_dir: _Path = None
    admin_listen: Annotated[HostPort | None, values.host_port] = None
    tcp_keepalive: _Boolean = True
    workers: Annotated[int, values.integer(0, 1000)] = 1
    worker_stall_timeout: _Duration = 10.0
    shutdown_timeout: _Duration = 20.0
    run_dir: _Path = None
    takeover_timeout: _Duration = 60.0
    reload_check_interval: _Duration = 0.0

    pool_mode: _PoolMode = PoolMode.TRANSACTION
    default_pool_size: _PoolSize = 20
    min_pool_size: _Count = 0
    reserve_pool_size: _Count = 0
    reserve_pool_timeout: _Duration = 5.0
    max_client_conn: Annotated[int, values.integer(1)] = 10000
    max_db_connections: _Count = 0
    max_user_connections: _Count = 0
    server_round_robin: _Boolean = False

    server_reset_query: _Text = "DISCARD ALL"
    server_reset_query_always: _Boolean = False
    server_check_query: _Text = EMPTY_QUERY
    server_check_delay: _Duration = 30.0
    server_lifetime: _Duration = 3600.0
    server_idle_timeout: _Duration = 600.0
    server_connect_timeout: _Duration = 15.0
    server_login_retry: _Duration = 15.0
    dns_max_ttl: _Duration = 15.0
    dns_nxdomain_ttl: _Duration = 15.0

    client_login_timeout: _Duration = 60.0
    query_timeout: _Duration = 0.0
    query_wait_timeout: _Duration = 120.0
    cancel_wait_timeout: _Duration = 10.0
    max_pinned: _MaxPinned = -1
    pin_timeout: _Duration = 0.0
    listen: _ListenMode = ListenMode.SHARED
    max_unread_notifications: Annotated[int, values.size(16 * 1024, 1024**3)] = 1024 * 1024
    max_prepared_statements: Annotated[int, values.integer(0, 100_000)] = 200
    reuse_unnamed_statements: _Boolean = False
    catalogue: _Boolean = True
    client_idle_timeout: _Duration = 0.0
    idle_transaction_timeout: _Duration = 0.0
    transaction_timeout: _Duration = 0.0

    ignore_startup_parameters: _Names = ()
    max_packet_size: Annotated[int, values.size(1024, 2147483647)] = 2147483647

    auth_type: Annotated[AuthType, _AUTH_TYPE] = AuthType.SCRAM_SHA_256
    auth_file: _Path = None
    auth_hba_file: _Path = None
    auth_ident_file: _Path = None
    auth_user: _Text = ""
    auth_query: _Text = AUTH_QUERY
    auth_dbname: _Text = ""
    ban_failures: _Count = 10
    ban_window: _Duration = 150.0
    ban_time: _Duration = 120.0
    ban_ipv6_prefix: Annotated[int, values.integer(1, 128)] = 64
    ban_exempt: Annotated[tuple[str, ...], values.networks] = ()
    proxy_protocol_from: Annotated[tuple[str, ...], values.networks] = ()
    admin_users: _Names = ()
    stats_users: _Names = ()
    # The bound keeps one login from holding up the loop: a million iterations take about half a second.
    scram_iterations: Annotated[int, values.integer(1, 1_000_000)] = 4096

    client_tls_sslmode: _SslMode = SslMode.DISABLE
    client_tls_cert_file: _Path = None
    client_tls_key_file: _Path = None
    client_tls_ca_file: _Path = None
    client_tls_protocols: _Text = "secure"
    client_tls_ciphers: _Text = "default"
    server_tls_sslmode: _SslMode = SslMode.PREFER
    server_tls_ca_file: _Path = None
    server_tls_cert_file: _Path = None
    server_tls_key_file: _Path = None
    server_tls_protocols: _Text = "secure"
    server_tls_ciphers: _Text = "default"

    stats_period: Annotated[float, values.duration] = 60.0
    query_statistics: Annotated[int, values.integer(0, 100_000)] = 0
    log_connections: _Boolean = True
    log_disconnections: _Boolean = True
    log_pooler_errors: _Boolean = True
    log_format: Annotated[LogFormat, values.choice(LogFormat, {})] = LogFormat.TEXT
    log_rate_limit: _Count = 50
    verbose: Annotated[int, values.integer(0, 3)] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """``[databases.NAME]``."""

    primary: Annotated[Upstream, upstream_kind]
    replicas: Annotated[tuple[Upstream, ...], upstreams_kind] = ()
    pool_mode: _PoolMode | None = None
    pool_size: _PoolSize | None = None
    min_pool_size: _Count | None = None
    reserve_pool_size: _Count | None = None
    max_db_connections: _Count | None = None
    server_lifetime: _Duration | None = None
    query_wait_timeout: _Duration | None = None
    max_pinned: _MaxPinned | None = None
    pin_timeout: _Duration | None = None
    listen: _ListenMode | None = None
    reuse_unnamed_statements: _Boolean | None = None
    catalogue: _Boolean | None = None
    connect_query: _Text = ""
    required: _Boolean = True
    catalogue_user: _Text = ""
    auth_user: _Text = ""
    auth_query: _Text = ""
    auth_dbname: _Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSettings:
    """``[users.NAME]``."""

    pool_mode: _PoolMode | None = None
    pool_size: _PoolSize | None = None
    reserve_pool_size: _Count | None = None
    max_user_connections: _Count | None = None
    query_timeout: _Duration | None = None
    query_wait_timeout: _Duration | None = None
    client_idle_timeout: _Duration | None = None
    idle_transaction_timeout: _Duration | None = None
    transaction_timeout: _Duration | None = None
    max_pinned: _MaxPinned | None = None
    pin_timeout: _Duration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """``[api]``."""

    jwt_secret: Annotated[Secret | None, values.secret(32)] = None
