"""From the entries of a PgBouncer's file to a TOML text of ours.

What both have is taken over by its name: the settings' own classes say which those are and what fits them. What we
don't have stands as a comment, with what there is to say about it. Where a default of ours is another than PgBouncer's,
PgBouncer's is written down, so that nothing changes but the program.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote as percent

from pooler.config import CONSOLE_DATABASES
from pooler.config.convert import kinds_of
from pooler.config.settings import DatabaseSettings, ServerSettings, UserSettings
from pooler.config.unknown import explain_unknown
from pooler.config.values import Unfit
from pooler.importing.ini import Entry, parse_pairs, read_ini
from pooler.importing.toml import comment, key, quote

__all__ = ["Imported", "import_pgbouncer"]

_DEFAULTS: Final = {
    "listen_addr": "",
    "listen_backlog": "128",
    "unix_socket_dir": "/tmp",
    "pool_mode": "session",
    "max_client_conn": "100",
    "auth_type": "md5",
}
"""Those of PgBouncer 1.25 that are not ours."""

_RENAMED: Final = {"reserve_pool": "reserve_pool_size", "max_db_clients": "max_db_client_connections"}
_AUTH_TYPES: Final = {"plain": "password"}
_NO_LIMIT: Final = 1000
"""Connections that a pool may have, where PgBouncer's had no limit, which does not exist here."""

_RESTRICTING: Final = {
    "max_db_client_connections": "0",
    "max_user_client_connections": "0",
    "disable_pqexec": "0",
    "unix_socket_mode": "0777",
    "unix_socket_group": "",
    "auth_ldap_options": "",
}
"""Without a counterpart, and who set them to anything but this has kept somebody out: not to be lost in a comment."""

_IN_CONNECTION_STRING: Final = ("host", "port", "dbname", "user", "password")
_PARAMETERS: Final = ("client_encoding", "datestyle", "timezone", "application_name", "load_balance_hosts")

_FRACTION: Final = re.compile(r"(?:0|[1-9][0-9]*)\.[0-9]+")

_Settings = Callable[..., object]


@dataclass(slots=True)
class Imported:
    """What became of a PgBouncer's configuration."""

    toml: str = ""
    taken: int = 0
    """Settings, databases and users that were taken over."""
    without: list[str] = field(default_factory=list)
    """Names of settings that have no counterpart; the text has a comment for each."""
    incomplete: list[str] = field(default_factory=list)
    """Sentences about what has to be completed by hand."""


def import_pgbouncer(path: Path) -> Imported:
    """Read a PgBouncer's configuration. The text has the passwords that the file has.

    Raises ConfigError, with file and line, for what PgBouncer would not read either.
    """
    return _Conversion().convert(path, read_ini(path))


class _Conversion:
    def __init__(self) -> None:
        self.imported = Imported()
        self.lines: list[str] = []
        self._socket_dir = _DEFAULTS["unix_socket_dir"]
        """Where PgBouncer looks for servers without a host, too."""

    def convert(self, path: Path, entries: list[Entry]) -> Imported:
        sections: dict[str, dict[str, Entry]] = {}
        for entry in entries:
            # Of two for one name the later holds, as in PgBouncer.
            sections.setdefault(entry.section, {})[entry.name] = entry
        self.lines += comment(f"Made from {path.name} of a PgBouncer by `interceptor import`.")
        server = sections.pop("pgbouncer", {})
        if "unix_socket_dir" in server:
            self._socket_dir = server["unix_socket_dir"].value or self._socket_dir
        self._server(server)
        for entry in sections.pop("databases", {}).values():
            self._database(entry)
        for entry in sections.pop("users", {}).values():
            self._user(entry)
        for section, others in sections.items():
            self._other(section, others)
        self.imported.toml = "\n".join(self.lines) + "\n"
        return self.imported

    # --- Sections --------------------------------------------------------------------------------------------------

    def _server(self, entries: Mapping[str, Entry]) -> None:
        self.lines += ["", "[server]"]
        ours = kinds_of(ServerSettings)
        for name, default in _DEFAULTS.items():
            if name not in entries and name in ours:
                self._setting(ServerSettings, "[server]", name, default, "PgBouncer's default")
        for name, entry in entries.items():
            self._setting(ServerSettings, "[server]", name, entry.value)

    def _database(self, entry: Entry) -> None:
        name = entry.name
        self.lines.append("")
        if name in CONSOLE_DATABASES:
            self._without(name, "the name belongs to the admin console")
            return
        pairs = self._pairs(entry)
        if pairs is None:
            return
        self.lines.append(f"[databases.{key(name)}]")
        if "," in pairs.get("host", ""):
            # PgBouncer takes blanks around its commas, and begins each connection with the next host.
            pairs["host"] = ",".join(host.strip() for host in pairs["host"].split(",") if host.strip())
            pairs.setdefault("load_balance_hosts", "round-robin")
        else:
            pairs.pop("load_balance_hosts", None)  # of one host there is no choice
        self.lines.append(f"primary = {quote(self._connection_string(pairs))}")
        self.imported.taken += 1
        for option, value in pairs.items():
            if option not in _IN_CONNECTION_STRING and option not in _PARAMETERS:
                self._narrow(DatabaseSettings, "[databases.NAME]", _RENAMED.get(option, option), value)

    def _user(self, entry: Entry) -> None:
        self.lines.append("")
        pairs = self._pairs(entry)
        if pairs is None:
            return
        self.lines.append(f"[users.{key(entry.name)}]")
        self.imported.taken += 1
        for option, value in pairs.items():
            self._narrow(UserSettings, "[users.NAME]", _RENAMED.get(option, option), value)

    def _other(self, section: str, entries: Mapping[str, Entry]) -> None:
        self.lines.append("")
        why = "PgBouncer's peers hand cancel requests to each other; the workers of one node do that by themselves"
        for name in entries:
            self._without(f"[{section}] {name}", why if section == "peers" else "the section is not known")

    # --- Settings --------------------------------------------------------------------------------------------------

    def _narrow(self, settings: _Settings, heading: str, name: str, value: str) -> None:
        """A setting of a database or user, where PgBouncer takes 0 for "not said"."""
        if value == "0" and name in kinds_of(settings):
            self.lines += comment(f"{name} = 0 is left out: here it would lift the limit that [server] sets.")
            return
        self._setting(settings, heading, name, value)

    def _setting(self, settings: _Settings, heading: str, name: str, value: str, why: str = "") -> None:
        kind = kinds_of(settings).get(name)
        if kind is None:
            self._without(name, explain_unknown(heading, name))
            if _RESTRICTING.get(name, value) != value:
                self._incomplete(f"{name} is set, and nothing takes its place")
            return
        if name == "auth_type":
            value = _AUTH_TYPES.get(value, value)
        if name in ("default_pool_size", "pool_size") and value == "0":
            value = str(_NO_LIMIT)
            self._incomplete(f"{name} was 0, which is no limit in PgBouncer: choose how many the server can take")
        if kind.name == "path" and value and not os.path.isabs(value):
            value = os.path.abspath(value)
        try:
            kind.parse(value)
        except Unfit as unfit:
            why_not = str(unfit) if unfit.args else f"expected {kind.expected}"
            self._incomplete(f"{name} is left at its default, for its value does not fit here: {why_not}")
            return
        if why:
            self.lines += comment(f"{why}:")
        else:
            self.imported.taken += 1
        self.lines.append(f"{name} = {_written(kind.name, value)}")

    def _without(self, name: str, why: str) -> None:
        self.imported.without.append(name)
        self.lines += comment(f"{name}: {why}" + ("" if why.endswith("?") else "."))

    def _incomplete(self, what: str) -> None:
        self.imported.incomplete.append(what)
        self.lines += comment(f"To be completed: {what}.")

    def _pairs(self, entry: Entry) -> dict[str, str] | None:
        try:
            return parse_pairs(entry.value)
        except ValueError as error:
            self._incomplete(f"{entry.name} (line {entry.line}) can't be read: {error}")
            return None

    def _connection_string(self, pairs: Mapping[str, str]) -> str:
        host = pairs.get("host", "")
        options = [f"{name}={percent(pairs[name], safe='')}" for name in _PARAMETERS if name in pairs]
        hosts = host.split(",")
        port = pairs.get("port", "5432")
        if not host or any(one.startswith("/") for one in hosts):
            options.insert(0, f"host={percent(host or self._socket_dir, safe='/,')}")
            address = ""
        else:
            address = ",".join(f"{f'[{one}]' if ':' in one else percent(one, safe='')}:{port}" for one in hosts)
        login = ""
        if pairs.get("user"):
            password = pairs.get("password", "")
            login = percent(pairs["user"], safe="") + (f":{percent(password, safe='')}" if password else "") + "@"
        elif pairs.get("password"):
            self._incomplete("a password without a user logs in no one here: name the user in the connection string")
        if not address and port != "5432":
            options.append(f"port={percent(port, safe='')}")
        dbname = percent(pairs.get("dbname", ""), safe="")
        return f"postgresql://{login}{address}/{dbname}" + (f"?{'&'.join(options)}" if options else "")


def _written(kind: str, value: str) -> str:
    """A value of PgBouncer's file as TOML writes it."""
    if kind == "names":
        return "[" + ", ".join(quote(part.strip()) for part in value.split(",") if part.strip()) + "]"
    if kind == "boolean":
        return "true" if value.lower() in ("1", "true", "on", "yes") else "false"
    if kind == "text":
        return quote(value)
    return str(int(value)) if value.isdecimal() else value if _FRACTION.fullmatch(value) else quote(value)
