"""What can be seen only by looking at several settings together, or at the file system."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from pooler.config.auth_checks import check_auth
from pooler.config.dsn import Upstream
from pooler.config.model import CONSOLE_DATABASES
from pooler.config.problems import Problems
from pooler.config.settings import DatabaseSettings, ServerSettings, UserSettings
from pooler.config.tls import SYSTEM_CA
from pooler.config.tls_checks import check_tls
from pooler.config.values import AuthType

__all__ = ["NOT_BUILT", "check", "is_loopback", "resolve_certificates", "resolve_paths"]

NOT_BUILT = {
    "max_packet_size": "other limits than PostgreSQL's own, 1 GB, are not built yet: leave it out",
}
"""Settings that nothing obeys yet: only their default is accepted. A test compares this with what the code reads."""


_PATHS = (
    *("auth_file", "auth_hba_file", "auth_ident_file", "unix_socket_dir", "run_dir"),
    *(f"{side}_tls_{file}" for side in ("client", "server") for file in ("ca_file", "cert_file", "key_file")),
)


def resolve_paths(server: ServerSettings, folder: Path) -> ServerSettings:
    """Make paths absolute: what is relative in the file is relative to the file's folder."""
    said = {name: getattr(server, name) for name in _PATHS}
    return dataclasses.replace(server, **{name: folder / path for name, path in said.items() if path is not None})


def resolve_certificates(databases: Mapping[str, DatabaseSettings], folder: Path) -> dict[str, DatabaseSettings]:
    """Make the paths of connection strings absolute, as those of settings."""
    return {
        name: dataclasses.replace(
            database,
            primary=_resolved(database.primary, folder),
            replicas=tuple(_resolved(replica, folder) for replica in database.replicas),
        )
        for name, database in databases.items()
    }


def _resolved(upstream: Upstream, folder: Path) -> Upstream:
    tls = upstream.tls
    ca = tls.sslrootcert
    return dataclasses.replace(
        upstream,
        tls=dataclasses.replace(
            tls,
            sslrootcert=ca if ca in (None, SYSTEM_CA) else str(folder / ca),
            sslcert=None if tls.sslcert is None else str(folder / tls.sslcert),
            sslkey=None if tls.sslkey is None else str(folder / tls.sslkey),
        ),
    )


def check(
    server: ServerSettings,
    databases: Mapping[str, DatabaseSettings],
    users: Mapping[str, UserSettings],
    problems: Problems,
) -> None:
    """Note everything that is wrong between settings that are each right by themselves."""
    _check_built(server, problems)
    _check_listeners(server, problems)
    _check_run_dir(server, problems)
    _check_sizes(server, databases, problems)
    _check_login(server, databases, problems)
    _check_effect(server, databases, users, problems)
    _check_replicas(databases, problems)
    check_tls(server, databases, problems)
    check_auth(server, databases, problems)
    for name in databases:
        if name in CONSOLE_DATABASES:
            problems.add(("databases", name), "this name belongs to the admin console: take another name")
        elif not name:
            problems.add(("databases", name), "a database needs a name")
    for name in users:
        if name == "*":
            problems.add(("users", name), '"*" is no user here: what is meant for all users stands in [server]')
        elif not name:
            problems.add(("users", name), "a user needs a name")
    if not databases and not problems.concern(("databases",)):
        problems.add(("databases",), 'there is no database: write at least one [databases.NAME], or [databases."*"]')


def _check_built(server: ServerSettings, problems: Problems) -> None:
    default = ServerSettings()
    for setting, lacking in NOT_BUILT.items():
        if getattr(server, setting) != getattr(default, setting):
            problems.add(("server", setting), lacking)


def _check_listeners(server: ServerSettings, problems: Problems) -> None:
    if not server.listen_addr and server.unix_socket_dir is None:
        problems.add(("server", "listen_addr"), "nothing to listen on: give an address here, or a unix_socket_dir")
    directory = server.unix_socket_dir
    if directory is not None and not directory.is_dir():
        problems.add(("server", "unix_socket_dir"), f"there is no directory {directory}")
    elif directory is not None and not os.access(directory, os.W_OK | os.X_OK):
        problems.add(("server", "unix_socket_dir"), f"no permission to make a socket in the directory {directory}")


def _check_run_dir(server: ServerSettings, problems: Problems) -> None:
    directory = server.run_dir
    if directory is None:
        return
    key = ("server", "run_dir")
    try:
        status = directory.stat()
    except OSError as error:
        problems.add(key, f"the directory {directory} can't be used: {error.strerror}")
        return
    if not stat.S_ISDIR(status.st_mode):
        problems.add(key, f"{directory} is not a directory")
    elif status.st_uid != os.getuid():
        problems.add(key, f"the directory {directory} belongs to another user")
    elif status.st_mode & 0o077:
        problems.add(key, f"others can look into {directory}, where sockets are handed over: chmod 700 {directory}")


def _check_sizes(server: ServerSettings, databases: Mapping[str, DatabaseSettings], problems: Problems) -> None:
    if server.min_pool_size > server.default_pool_size:
        problems.add(
            ("server", "min_pool_size"),
            f"must not be above default_pool_size, which is {server.default_pool_size}, but is {server.min_pool_size}",
        )
        return
    if server.reserve_pool_size and not server.reserve_pool_timeout:
        problems.add(
            ("server", "reserve_pool_size"), "has no effect: a reserve_pool_timeout of 0 turns the reserve off"
        )
    for name, database in databases.items():
        smallest = server.min_pool_size if database.min_pool_size is None else database.min_pool_size
        largest = server.default_pool_size if database.pool_size is None else database.pool_size
        if smallest > largest:
            setting = "pool_size" if database.min_pool_size is None else "min_pool_size"
            problems.add(
                ("databases", name, setting),
                f"min_pool_size must not be above pool_size, but here it is {smallest} and pool_size is {largest}",
            )


def _check_login(server: ServerSettings, databases: Mapping[str, DatabaseSettings], problems: Problems) -> None:
    if server.auth_file is not None:
        _check_readable(server.auth_file, problems)
        return
    if server.auth_user or any(database.auth_user for database in databases.values()):
        return
    if server.auth_type in (AuthType.TRUST, AuthType.CERT, AuthType.HBA) or any(
        problems.concern(("server", setting)) for setting in ("auth_file", "auth_type")
    ):
        return
    passwords: dict[str, tuple[str, DatabaseSettings]] = {}
    for name, database in databases.items():
        primary = database.primary
        if primary.user is None or primary.password is None:
            problems.add(
                ("databases", name, "primary"),
                f'nobody could log in: auth_type is "{server.auth_type.value}", and neither is there an auth_file nor '
                "a user and password in this connection string",
            )
            continue
        other, same_user = passwords.setdefault(primary.user, (name, database))
        if same_user.primary.password != primary.password:
            problems.add(
                ("databases", name, "primary"),
                f'the same user has another password in the database "{other}", so it is not clear which one opens '
                "the console: write an auth_file",
            )


def _check_effect(
    server: ServerSettings,
    databases: Mapping[str, DatabaseSettings],
    users: Mapping[str, UserSettings],
    problems: Problems,
) -> None:
    """Note settings that could never do anything: whoever wrote one expects something of it."""
    if problems.concern(("databases",)):
        return
    forced = {database.primary.user for database in databases.values()}
    for name, user in users.items():
        for setting in ("pool_size", "reserve_pool_size", "max_user_connections"):
            if getattr(user, setting) is not None and not forced & {name, None}:
                problems.add(
                    ("users", name, setting),
                    "has no effect: it is about backends that log in under this name, and the connection string of "
                    "each database has another user",
                )


def _check_replicas(databases: Mapping[str, DatabaseSettings], problems: Problems) -> None:
    for name, database in databases.items():
        for index, replica in enumerate(database.replicas):
            if replica.user is not None and replica.user != database.primary.user:
                # A statement must not run with other privileges because it was sent elsewhere.
                whose = "each client's own" if database.primary.user is None else "that of the primary"
                problems.add(
                    ("databases", name, "replicas", index),
                    f"the user must be {whose}, as in the primary's connection string: leave it out here",
                )
            elif replica.parameters and replica.parameters != database.primary.parameters:
                problems.add(
                    ("databases", name, "replicas", index),
                    "the options must be those of the primary's connection string: leave them out here",
                )


def _check_readable(file: Path, problems: Problems) -> None:
    key = ("server", "auth_file")
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        problems.add(key, f"there is no file {file}")
    except OSError as error:
        problems.add(key, f"the file {file} can't be read: {error.strerror}")
    else:
        if not stat.S_ISREG(mode):
            problems.add(key, f"{file} is not a file")
        elif not os.access(file, os.R_OK):
            problems.add(key, f"no permission to read the file {file}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
