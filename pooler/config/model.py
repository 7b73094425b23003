"""The whole configuration as the rest of the program sees it: typed, frozen and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from interceptor.hooks.sources import PluginSources
from pooler.config.pool_settings import PoolSettings, merge
from pooler.config.secret import Secret
from pooler.config.settings import ApiSettings, DatabaseSettings, ServerSettings, UserSettings
from pooler.config.values import AuthType

__all__ = ["ANY_DATABASE", "CONSOLE_DATABASES", "Config", "Login"]

ANY_DATABASE = "*"
"""The entry of ``databases`` that stands for every name without one of its own."""

CONSOLE_DATABASES = frozenset({"interceptor", "pgbouncer"})
"""The names under which clients reach the admin console."""

# Names come from clients, and under "*" every name is a database: an unbounded cache would grow as they please.
_MOST_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and its password, taken from a connection string."""

    user: str
    password: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One configuration. ``file`` is None where it came from the command line alone."""

    file: Path | None = None
    server: ServerSettings = field(default_factory=ServerSettings)
    databases: Mapping[str, DatabaseSettings] = field(default_factory=lambda: MappingProxyType({}))
    users: Mapping[str, UserSettings] = field(default_factory=lambda: MappingProxyType({}))
    api: ApiSettings = field(default_factory=ApiSettings)
    plugins: PluginSources = field(default_factory=PluginSources)
    _merged: dict[tuple[str, str], PoolSettings] = field(default_factory=dict, init=False, repr=False, compare=False)

    def find_database(self, name: str) -> DatabaseSettings | None:
        """The settings of a database by the name that a client asked for; None if there is no such database.

        A console's name finds nothing, also where "*" stands for all other names.
        """
        found = self.databases.get(name)
        if found is None and name not in CONSOLE_DATABASES:
            found = self.databases.get(ANY_DATABASE)
        return found

    def pool_settings(self, database: str, user: str) -> PoolSettings:
        """What holds for this login to this database, by the names that the client gave. Cached.

        The caller has checked with ``find_database`` that the database exists. Raises LookupError if it does not.
        """
        key = (database, user)
        merged = self._merged.get(key)
        if merged is None:
            found = self.find_database(database)
            if found is None:
                raise LookupError(database)
            if len(self._merged) >= _MOST_CACHED:
                self._merged.pop(next(iter(self._merged)))
            merged = self._merged[key] = merge(database, user, self.server, found, self.users)
        return merged

    def login_for(self, database: str, user: str) -> Login | None:
        """The login that a connection string lends to clients, where there is no auth_file.

        Then a database can be entered with the user and password of its own connection string, and the console with
        those of any. None where there is an auth_file, where clients are trusted, or where the user is another.
        """
        if self.server.auth_file is not None or self.server.auth_type is AuthType.TRUST:
            return None
        if database in CONSOLE_DATABASES:
            candidates = tuple(self.databases.values())
        else:
            found = self.find_database(database)
            candidates = () if found is None else (found,)
        for candidate in candidates:
            primary = candidate.primary
            if primary.user == user and primary.password is not None:
                return Login(user, primary.password)
        return None
