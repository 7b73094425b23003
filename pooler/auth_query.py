"""Users that a database knows: auth_query asks it for their passwords.

The question is put over a helper connection, which logs in as auth_user with parameters of ours alone: nothing that a
client sends, its search_path least of all, has a part in how it is understood (CVE-2025-12819). The default question
honours VALID UNTIL (CVE-2025-2291). What it finds is used for one login and not kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from interceptor.errors import AUTH_QUERY, BackendError, ClientError
from interceptor.services import Row
from pooler.access import DatabaseMadeUp, Entry
from pooler.auth import BackendCredential, KeyCache
from pooler.auth.userlist import decode_password
from pooler.config import CONSOLE_DATABASES, Config, PoolSettings
from pooler.helpers.helper import Helper, HelperSettings, HelperState
from pooler.tasks import Handle, spawn

__all__ = ["AuthQuery"]

logger = logging.getLogger(__name__)

_HELPER: Final = HelperSettings(
    application_name="interceptor auth_query", statement_timeout=10.0, read_only=False, search_path=None
)

FindCredential = Callable[[PoolSettings, BackendCredential | None], BackendCredential | None]


class AuthQuery:
    """Asks the databases of one configuration. Who asks waits for those who asked the same database before."""

    def __init__(self, config: Config, find_credential: FindCredential, keys: KeyCache) -> None:
        self._config = config
        self._find_credential = find_credential
        self._keys = keys
        self._askings: dict[tuple[str, str], _Asking] = {}
        self._gate = asyncio.Semaphore(_MOST_LOGINS)

    def use_config(self, config: Config) -> None:
        """From now on this is the configuration. What is under way ends by the old one; its connections close when they
        have been idle for a while."""
        self._config = config
        self._askings = {}

    @property
    def helpers(self) -> list[Helper]:
        """The connections, for the console."""
        return [asking.helper for asking in self._askings.values()]

    def serves(self, database: str) -> bool:
        """Whether users that nothing else knows are asked for, when somebody wants this database."""
        return bool(self._user(database)) and self._place(database) is not None

    def asks_as(self, database: str, role: str) -> bool:
        """Whether it is this role that asks."""
        return self._user(database) == role

    async def find(self, database: str, user: str) -> Entry | None:
        """What the server knows of a user; None if there is none. Raises ClientError if it can't be asked."""
        settings = self._place(database)
        assert settings is not None
        asking = self._asking(settings)
        try:
            return _entry(await asking.ask(self._query(database), user), user)
        except (BackendError, _Useless) as error:
            logger.error('auth_query for a client of database "%s" failed: %s', database, error)
            made_up = isinstance(error, BackendError) and error.sqlstate == _NO_SUCH_DATABASE
            raise (DatabaseMadeUp if made_up else ClientError)(
                AUTH_QUERY,
                "the user could not be looked up",
                hint="The proxy's log says why its auth_query failed.",
            ) from None

    async def close(self) -> None:
        """Close all connections, for good. Logins that are under way are given up: their servers may say nothing."""
        for asking in self._askings.values():
            asking.give_up_login()
        for helper in self.helpers:
            await helper.close()

    def _user(self, database: str) -> str:
        found = self._config.find_database(database)
        return (found.auth_user if found is not None else "") or self._config.server.auth_user

    def _query(self, database: str) -> str:
        found = self._config.find_database(database)
        return (found.auth_query if found is not None else "") or self._config.server.auth_query

    def _place(self, database: str) -> PoolSettings | None:
        """Where to ask, and as whom; None for a database that there is none of."""
        config = self._config
        found = config.find_database(database)
        name = (found.auth_dbname if found is not None else "") or config.server.auth_dbname or database
        if config.find_database(name) is None or name in CONSOLE_DATABASES:
            return None
        user = self._user(database)
        settings = config.pool_settings(name, user)
        if settings.user == user:
            return settings
        return replace(settings, user=user, password=None, forced_user=True)

    def _asking(self, settings: PoolSettings) -> _Asking:
        key = settings.database, settings.user
        asking = self._askings.get(key)
        if asking is None:
            own = replace(settings, forced_user=True)
            helper = Helper(own, lambda: self._find_credential(own, None), self._keys, _HELPER)
            asking = self._askings[key] = _Asking(helper, self._gate_of(settings.database))
            for other, idle in list(self._askings.items()):
                if len(self._askings) > _MOST_HELPERS and not idle.helper.size and idle is not asking:
                    del self._askings[other]
        return asking

    def _gate_of(self, database: str) -> asyncio.Semaphore | None:
        # Anybody can make up names that "*" stands for, and the server would have a login for each.
        return None if database in self._config.databases else self._gate


class _Asking:
    """One connection, and those who want to ask over it. ``gate``: to be passed before it logs in."""

    def __init__(self, helper: Helper, gate: asyncio.Semaphore | None) -> None:
        self.helper = helper
        self._gate = gate
        self._turn = asyncio.Lock()
        self._question: Handle | None = None

    def give_up_login(self) -> None:
        """End a question that waits for the server to let us in."""
        if self._question is not None and self.helper.state is HelperState.CONNECTING:
            self._question.cancel()

    async def ask(self, query: str, user: str) -> list[Row]:
        """Ask about a user. Raises BackendError.

        A client that goes while it waits for its turn gives it up. One that goes later leaves the question to its end:
        the connection would have to be closed with it, and made anew for whoever comes next.
        """
        async with self._turn:
            gate = None if self.helper.size else self._gate
            if gate is not None:
                await gate.acquire()
            answer: asyncio.Future[list[Row] | BackendError] = asyncio.get_running_loop().create_future()
            self._question = spawn(self._run(query, user, answer, gate), name=str(self.helper))
            told = await asyncio.shield(answer)
        if isinstance(told, BackendError):
            raise told
        return told

    async def _run(
        self,
        query: str,
        user: str,
        answer: asyncio.Future[list[Row] | BackendError],
        gate: asyncio.Semaphore | None,
    ) -> None:
        try:
            answer.set_result(await self.helper.query(query, user))
        except BackendError as error:
            answer.set_result(error)
        finally:
            if gate is not None:
                gate.release()
            answer.cancel()  # without effect unless we are ended in between


_MOST_HELPERS: Final = 1000

_MOST_LOGINS: Final = 8
"""Logins at once, in each process, to databases that only "*" stands for."""

_NO_SUCH_DATABASE: Final = "3D000"


class _Useless(Exception):
    """The answer is no answer."""


def _entry(rows: list[Row], user: str) -> Entry | None:
    if not rows:
        return None
    if len(rows) > 1:
        raise _Useless(f"it gave {len(rows)} rows, and a user has one")
    row = rows[0]
    if len(row) < 2:
        raise _Useless("it gave one column, and the user's name and password are needed")
    name, password = row[0], row[1]
    if not isinstance(name, str) or not isinstance(password, str | None):
        raise _Useless("it gave something else than texts: the user's name and password are needed")
    if name != user:
        raise _Useless("it gave another user than the one that was asked for")
    if not password:
        return Entry(None)
    try:
        return Entry(decode_password(password.encode()))
    except ValueError as error:
        raise _Useless(str(error)) from None
