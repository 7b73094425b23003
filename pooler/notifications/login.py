"""Where and as whom a hub logs in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor.errors import LISTEN_FAILED, BackendError

if TYPE_CHECKING:
    from pooler.auth import BackendCredential
    from pooler.config import PoolSettings
    from pooler.server import Server

__all__ = ["Loan", "Login"]


class Loan:
    """The login that a client has lent: that of whoever listened last, for LISTEN needs no privilege."""

    def __init__(self) -> None:
        self.user = ""
        """The name that the client logged in with."""
        self.credential: BackendCredential | None = None

    def __repr__(self) -> str:
        return f"Loan({self.user!r}, hidden)"

    def lend(self, user: str, credential: BackendCredential | None) -> None:
        """From now on log in so. One that was let in without a password takes nothing from one that had one."""
        if credential is not None or self.credential is None:
            self.user, self.credential = user, credential


class Login:
    """What holds for the connection at the moment."""

    def __init__(self, server: Server, database: str) -> None:
        self._server = server
        self._database = database
        self.loan: Final = Loan()

    def find(self) -> tuple[PoolSettings, BackendCredential | None]:
        """As the configuration has it now. Raises BackendError if it does not have this database any more."""
        server, loan = self._server, self.loan
        try:
            settings = server.config.pool_settings(self._database, loan.user)
        except LookupError:
            text = f'there is no database "{self._database}" in the configuration any more'
            raise BackendError(LISTEN_FAILED, text) from None
        settings = server.targets.settings_of_primary(settings)
        return settings, server.access.backend_credential(settings, loan.credential) or loan.credential
