"""Where and as whom a hub logs in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from interceptor.errors import LISTEN_FAILED, BackendError

if TYPE_CHECKING:
    from pooler.auth import BackendCredential
    from pooler.config import PoolSettings
    from pooler.server import Server

__all__ = ["Loans", "Login"]

_MOST: Final = 8
"""Logins that are kept of one database's clients."""


class Loans:
    """Logins of clients, by the names that they logged in with; the one to use is the last. LISTEN needs no privilege,
    so any will do."""

    def __init__(self) -> None:
        self._credentials: dict[str, BackendCredential | None] = {}

    def __repr__(self) -> str:
        return f"Loans({list(self._credentials)}, hidden)"

    def __iter__(self) -> Iterator[tuple[str, BackendCredential | None]]:
        return iter(self._credentials.items())

    def lend(self, user: str, credential: BackendCredential | None) -> None:
        """From now on log in so. One that was let in without a password takes nothing from one that had one."""
        known = self._credentials.pop(user, None)
        self._credentials[user] = credential or known
        if len(self._credentials) > _MOST:
            del self._credentials[next(iter(self._credentials))]

    def __len__(self) -> int:
        return len(self._credentials)

    def last(self) -> tuple[str, BackendCredential | None]:
        """The one to use."""
        return next(reversed(self._credentials.items()))

    def pass_over(self) -> None:
        """The server does not take this one: the role may be gone, or have another password. Try the others first."""
        user, credential = self._credentials.popitem()
        self._credentials = {user: credential, **self._credentials}


class Login:
    """What holds for the connection at the moment."""

    def __init__(self, server: Server, database: str) -> None:
        self._server = server
        self._database = database
        self.loans: Final = Loans()

    def find(self) -> tuple[PoolSettings, BackendCredential | None]:
        """As the configuration has it now. Raises BackendError if it does not have this database any more."""
        server = self._server
        user, credential = self.loans.last()
        try:
            settings = server.targets.settings_of_primary(server.config.pool_settings(self._database, user))
        except LookupError:
            text = f'the database "{self._database}", or its server, is in the configuration no more'
            raise BackendError(LISTEN_FAILED, text) from None
        return settings, server.access.backend_credential(settings, credential) or credential
