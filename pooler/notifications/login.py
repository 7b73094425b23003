"""Where and as whom a hub logs in, and how."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from interceptor.errors import BACKEND_LOGIN, LISTEN_FAILED, BackendError
from interceptor.protocol import messages
from pooler.helpers.incoming import Incoming
from pooler.login import log_in

if TYPE_CHECKING:
    from pooler.auth import BackendCredential
    from pooler.config import PoolSettings
    from pooler.server import Server

__all__ = ["Loans", "Login"]

logger = logging.getLogger(__name__)

_PATIENCE: Final = 15.0
"""Seconds that the server has to take its timeouts away."""

_WITHOUT_TIMEOUTS: Final = (
    b"SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name OPERATOR(pg_catalog.=) ANY "
    b"('{idle_session_timeout,statement_timeout,lock_timeout,transaction_timeout}'::pg_catalog.text[])"
)
"""What a role or a database may have set for its clients: it would end what waits for weeks. A question, for not every
version has all of these. Not as startup parameters, which a pooler in between would refuse."""

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
        self.retry_most = 0.0
        """Seconds until another attempt, at most."""

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

    async def log_in(self) -> tuple[PoolSettings, Incoming]:
        """Log in by the first login that the server takes, of those that were lent. Raises BackendError."""
        refusals = 0
        while True:
            settings, credential = self.find()
            self.retry_most = settings.server_login_retry
            parameters = {
                **dict(settings.parameters),
                "application_name": "interceptor listen",
                # No conversion: names and payloads come in the database's own encoding.
                "client_encoding": "SQL_ASCII",
            }
            try:
                logged_in = await log_in(settings, parameters, credential, self._server.keys)
            except BackendError as error:
                refusals += 1
                if error.failure is not BACKEND_LOGIN or settings.forced_user:
                    raise
                self.loans.pass_over()
                if refusals >= len(self.loans):
                    raise
            else:
                return settings, await self._without_timeouts(Incoming(logged_in))

    async def _without_timeouts(self, connection: Incoming) -> Incoming:
        connection.transport.write(messages.encode_message(messages.QUERY, _WITHOUT_TIMEOUTS + b"\0"))
        failure = b""
        while (message := await connection.next(_PATIENCE))[0] != messages.READY_FOR_QUERY:
            if message[0] == messages.ERROR_RESPONSE:
                failure = message[1]
        if failure:
            # What stands before the server may refuse it; then all goes on as the server has it.
            said = messages.decode_error_fields(failure).get("M")
            logger.warning("what listens for %s may be cut by a timeout of the server's: %s", self._database, said)
        return connection
