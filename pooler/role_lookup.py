"""The password of a role that a connection string names without one: that of auth_file, or else what auth_query finds.

As in PgBouncer. A SCRAM verifier is of no use here: it lets somebody in, and logs in nowhere.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from interceptor.errors import ClientError
from pooler.auth import ScramVerifier

if TYPE_CHECKING:
    from pooler.auth import BackendCredential
    from pooler.auth_query import AuthQuery
    from pooler.config import PoolSettings
    from pooler.registry import Registry

__all__ = ["RoleLookup"]

logger = logging.getLogger(__name__)

_MOST: Final = 1000
"""Roles of databases that are remembered: under "*" clients choose the databases' names."""


class RoleLookup:
    """What auth_query has found, until the role is refused."""

    def __init__(self, auth_query: AuthQuery, pools: Registry) -> None:
        self._auth_query = auth_query
        self._pools = pools
        self._found: dict[tuple[str, str], BackendCredential] = {}

    def known(self, settings: PoolSettings) -> BackendCredential | None:
        """What logs in as the role of this connection string, as far as it was asked for."""
        return self._found.get((settings.database, settings.user))

    def is_due(self, settings: PoolSettings) -> bool:
        """Whether it is to be asked for: nothing is known of the role, or what was known did not let us in."""
        if not self._auth_query.serves(settings.database) or self._auth_query.asks_as(settings.database, settings.user):
            return False
        pool = self._pools.find(settings.pool_key)
        return pool is None or pool.growth.last_error is not None or not pool.growth.welcomes

    async def look_up(self, settings: PoolSettings) -> None:
        """Ask. Where that gives nothing, the log says why, and the server will say what it misses."""
        database, role = key = settings.database, settings.user
        try:
            entry = await self._auth_query.find(database, role)
        except ClientError:
            return  # the log has it
        credential = None if entry is None else entry.credential
        self._found.pop(key, None)
        if isinstance(credential, ScramVerifier):
            logger.warning(
                'the role "%s" of database "%s" can\'t log in with what auth_query has found, a SCRAM verifier: '
                "write its password into auth_file or the connection string",
                *(role, database),
            )
        elif credential is not None:
            self._found[key] = credential
            if len(self._found) > _MOST:
                del self._found[next(iter(self._found))]
