"""The catalogues of all databases of a process, each with its helper connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pooler.auth import BackendCredential, KeyCache
from pooler.config import PoolSettings
from pooler.helpers.catalogue import Catalogue, CatalogueSettings
from pooler.helpers.helper import Helper, HelperSettings
from pooler.helpers.polls import SharedPolls

if TYPE_CHECKING:
    from pooler.processes.slate import Slate

__all__ = ["Catalogued", "Catalogues"]

_HELPER: Final = HelperSettings(
    application_name="interceptor catalogue",
    # An unqualified name in our questions is PostgreSQL's own, whatever the role's search_path says.
    search_path="pg_catalog, pg_temp",
)

FindCredential = Callable[[PoolSettings, BackendCredential | None], BackendCredential | None]
"""What logs in as ``settings.user``: see ``Server.backend_credential``."""


@dataclass(slots=True)
class Catalogued:
    """One database's catalogue, the connection that reads it, and what logs in there."""

    database: str
    catalogue: Catalogue
    helper: Helper
    credential: BackendCredential | None


class Catalogues:
    """Catalogues by database, made when they are asked for. None of their connections counts for a pool."""

    def __init__(
        self,
        find_credential: FindCredential,
        keys: KeyCache,
        settings: CatalogueSettings | None = None,
        find_slate: Callable[[], Slate] | None = None,
    ) -> None:
        """``find_slate``: what all processes write down; without it there is only this one."""
        self._find_credential = find_credential
        self._keys = keys
        self._settings = settings
        self._find_slate = find_slate
        self._known: dict[str, Catalogued] = {}

    def __iter__(self) -> Iterator[Catalogued]:
        return iter(self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    @property
    def size(self) -> int:
        """Connections to servers."""
        return sum(one.helper.size for one in self)

    def get(self, settings: PoolSettings, from_login: BackendCredential | None = None) -> Catalogue:
        """The catalogue of the database of a login. ``from_login``: what the client's own login gave, if anything.

        Where neither catalogue_user nor the connection string names a role, whoever asked last lends its login to the
        next connection: everybody may read the catalogue.
        """
        own = _own_login(settings)
        credential = self._find_credential(own, from_login)
        known = self._known.get(settings.database)
        if known is None:
            helper = Helper(own, lambda: made.credential, self._keys, _HELPER)
            polls = None if self._find_slate is None else SharedPolls(self._find_slate, lambda: helper.settings)
            catalogue = Catalogue(helper, self._settings, settings.database, polls)
            made = known = self._known[settings.database] = Catalogued(settings.database, catalogue, helper, credential)
        elif credential is not None or own.forced_user:
            known.helper.settings = own
            known.credential = credential
        return known.catalogue

    def move(self, settings: PoolSettings) -> None:
        """The database of this login is elsewhere now, so what is known of it is doubtful."""
        known = self._known.get(settings.database)
        if known is not None:
            known.helper.move_to(_own_login(settings))
            known.catalogue.on_ddl()

    def drop_unused(self) -> None:
        """Forget databases whose catalogue isn't loaded and has no connection: under "*" clients choose their names."""
        for database, one in list(self._known.items()):
            if one.catalogue.unused and not one.helper.size:
                del self._known[database]

    async def close(self) -> None:
        """Close every connection, for good, and wait until the servers have hung up. Whoever waits gets an error."""
        for one in self:
            one.catalogue.close()
        for one in list(self):
            await one.helper.close()
        self._known.clear()


def _own_login(settings: PoolSettings) -> PoolSettings:
    user = settings.catalogue_user
    if not user or (settings.forced_user and user == settings.user):
        return settings
    return replace(settings, user=user, password=None, forced_user=True)
