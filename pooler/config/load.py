"""From a file, or from the command line alone, to a Config."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from interceptor.errors import ConfigError
from interceptor.hooks.sources import PluginSources
from interceptor.toml_lines import find_lines
from pooler.config.checks import check, is_loopback, resolve_certificates, resolve_paths
from pooler.config.convert import Table, is_table, parse_value, read_named, read_section
from pooler.config.dsn import upstream as upstream_kind
from pooler.config.model import ANY_DATABASE, CONSOLE_DATABASES, Config
from pooler.config.plugins import read_plugins
from pooler.config.problems import ConfigErrors, Problems
from pooler.config.settings import ApiSettings, DatabaseSettings, ServerSettings, UserSettings
from pooler.config.tls_checks import probe_upstream
from pooler.config.unknown import explain_unknown_section
from pooler.config.values import AuthType, Unfit, describe, integer

__all__ = ["config_from_upstream", "load_config"]

_WHERE = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<host>[^:\[\]/@\s]+)):(?P<port>[^:/@]*)")
_PORT = integer(0, 65535)


def load_config(path: Path | str, environ: Mapping[str, str] | None = None) -> Config:
    """Read and check a configuration file.

    ``environ`` is where ``${NAME}`` is looked up; the process's environment if it is left out.
    Raises ConfigErrors, which names everything that is wrong, with file, line and key.
    """
    environ = os.environ if environ is None else environ
    file = Path(path)
    document, problems = _parse(file)
    server = ServerSettings()
    databases: dict[str, DatabaseSettings] = {}
    users: dict[str, UserSettings] = {}
    api = ApiSettings()
    plugins = PluginSources(str(file))
    for name, value in document.items():
        match name:
            case "server" if is_table(value):
                server = read_section(ServerSettings, "[server]", (name,), value, problems, environ) or server
            case "databases":
                databases = read_named(DatabaseSettings, name, value, problems, environ, required=("primary",))
            case "users":
                users = read_named(UserSettings, name, value, problems, environ)
            case "api" if is_table(value):
                api = read_section(ApiSettings, "[api]", (name,), value, problems, environ) or api
            case "plugins" if is_table(value):
                plugins = read_plugins(file, value, problems, environ)
            case "server" | "api" | "plugins":
                problems.add((name,), f"expected a table [{name}], found {describe(value)}")
            case _:
                problems.add((name,), explain_unknown_section(name))
    server = resolve_paths(server, file.absolute().parent)
    databases = resolve_certificates(databases, file.absolute().parent)
    check(server, databases, users, problems)
    problems.raise_if_any()
    return Config(
        file=file,
        server=server,
        databases=MappingProxyType(databases),
        users=MappingProxyType(users),
        api=api,
        plugins=plugins,
    )


def config_from_upstream(dsn: str, listen: str | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Make a configuration of a connection string and an address ("HOST:PORT") alone; all else has its default.

    The database is served under its own name (where the connection string names none, all of the server's are). The
    user and password of the connection string are the only login. Without a password everybody is trusted, and then
    only loopback addresses are listened on. Raises ConfigErrors.
    """
    host, port = _parse_listen(listen)
    try:
        primary = parse_value(upstream_kind, dsn, os.environ if environ is None else environ)
    except Unfit as unfit:
        _refuse("--upstream", str(unfit))
    try:
        probe_upstream(ServerSettings(), primary)
    except Unfit as unfit:
        _refuse("--upstream", str(unfit))
    if primary.dbname in CONSOLE_DATABASES:
        _refuse("--upstream", f"the database name {primary.dbname} belongs to the admin console: write a config file")
    if primary.password is None and not is_loopback(host):
        _refuse(
            "--upstream",
            "without a password in the connection string everybody is let in, so only a loopback address such as "
            f"127.0.0.1 may be listened on, not {host}: add a password, or write a config file with an auth_file",
        )
    server = ServerSettings(
        listen_addr=(host,),
        listen_port=port,
        auth_type=AuthType.TRUST if primary.password is None else AuthType.SCRAM_SHA_256,
    )
    database = DatabaseSettings(primary=primary)
    return Config(server=server, databases=MappingProxyType({primary.dbname or ANY_DATABASE: database}))


def _parse_listen(listen: str | None) -> tuple[str, int]:
    if listen is None:
        default = ServerSettings()
        return default.listen_addr[0], default.listen_port
    found = _ADDRESS.fullmatch(listen)
    if found is None:
        _refuse("--listen", f"expected HOST:PORT, such as 127.0.0.1:6432 or [::1]:6432, found {describe(listen)}")
    try:
        return found["v6"] or found["host"], _PORT.parse(found["port"])
    except Unfit:
        _refuse("--listen", f"expected {_PORT.expected} after the colon, found {describe(found['port'])}")


def _parse(file: Path) -> tuple[Table, Problems]:
    """Read a TOML text, and find where its keys stand."""
    try:
        data = file.read_bytes()
    except OSError as error:
        _refuse(str(file), f"the file can't be read: {error.strerror}")
    try:
        text = data.decode("utf-8-sig")
        document = tomllib.loads(text)
        return document, Problems(str(file), find_lines(text))
    except UnicodeDecodeError as error:
        line, message = data.count(b"\n", 0, error.start) + 1, "the file is not UTF-8, which TOML must be"
    except tomllib.TOMLDecodeError as error:
        where = _WHERE.search(str(error))
        line = int(where["line"]) if where and where["line"] else text.count("\n") + 1
        column = f" at column {where['column']}" if where and where["column"] else " at the end"
        message = f"not valid TOML{column}: {_WHERE.sub('', str(error))}"
    except RecursionError:
        line, message = 0, "arrays or tables are nested too deep"
    except ValueError:
        # The one thing that tomllib lets through: int() refuses numbers of more than 4300 digits.
        line, message = 0, "a number has too many digits"
    _refuse(str(file), message, line)


def _refuse(file: str, message: str, line: int = 0) -> NoReturn:
    raise ConfigErrors([ConfigError(file, line, "", message)]) from None
