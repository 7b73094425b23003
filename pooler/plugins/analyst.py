"""Where plans get their facts from: the text, in the loop or beside it, and the catalogue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from interceptor.catalogue import CatalogueService, Closures
from interceptor.errors import BackendError
from interceptor.hooks.statement import Resolution
from interceptor.sql.facts import OpaqueReason
from interceptor.sql.facts_cache import FactsCache
from interceptor.sql.parsing import HELPER
from pooler.plugins.long_sql import LongSql

if TYPE_CHECKING:
    from interceptor.hooks.statement import Session
    from interceptor.sql.facts import MessageFacts

__all__ = ["Analyst"]

_LIMITS: Final = frozenset([OpaqueReason.TOO_LONG, OpaqueReason.TOO_COMPLEX])
"""What is too much for the loop. A helper process may find more."""

FindCatalogue = Callable[["Session"], CatalogueService | None]


class Analyst:
    """Implements ``interceptor.hooks.plans.Analyst``."""

    def __init__(
        self,
        find_catalogue: FindCatalogue,
        on_catalogue_changed: Callable[[str, int], None],
        long_sql: LongSql,
        is_in_flux: Callable[[Session], bool] = lambda session: False,
    ) -> None:
        """``on_catalogue_changed`` is called with the database and the new version, after which names are resolved
        anew. ``is_in_flux``: whether somebody is taking something away just now that may have hidden another thing of
        its name: then its names mean what they do to who takes it away."""
        self._find_catalogue = find_catalogue
        self._on_catalogue_changed = on_catalogue_changed
        self._long_sql = long_sql
        self._is_in_flux = is_in_flux
        self._cache = FactsCache()
        self._closures: dict[str, Closures] = {}
        self._unsubscribe: dict[str, Callable[[], None]] = {}

    # --- The text ----------------------------------------------------------------------------------------------------

    def facts(self, sql: bytes, standard_lexing: bool) -> MessageFacts | Awaitable[MessageFacts]:
        """As ``Analyst.facts``."""
        facts = self._cache.facts(sql, standard_lexing)
        if not facts.opaque or len(sql) > HELPER.bytes or not any(one.reason in _LIMITS for one in facts.opaque):
            return facts
        return self._long_sql.known(sql, standard_lexing) or self._long_sql.facts(sql, standard_lexing)

    def exact(self, sql: bytes, standard_lexing: bool) -> MessageFacts:
        """As ``Analyst.exact``."""
        # Only plain, short texts have an example for facts.
        return self._cache.exact(sql, standard_lexing)

    # --- The catalogue -----------------------------------------------------------------------------------------------

    def resolve(self, session: Session) -> Resolution | Awaitable[Resolution]:
        """As ``Analyst.resolve``."""
        catalogue = self._find_catalogue(session)
        if catalogue is None:
            return Resolution(None, session.scope())
        snapshot = catalogue.snapshot
        if snapshot is None:
            return self._resolve_later(catalogue, session)
        closures = self._closures.get(session.database)
        if closures is None or closures.snapshot is not snapshot:
            closures = self._closures[session.database] = Closures(snapshot)
            self._watch(session.database, catalogue)
        scope = session.scope()
        if not scope.after_ddl and self._is_in_flux(session):
            scope = replace(scope, after_ddl=True)
        return Resolution(closures, scope)

    async def _resolve_later(self, catalogue: CatalogueService, session: Session) -> Resolution:
        try:
            await catalogue.current()
        except BackendError:
            # The catalogue has logged why. Nothing resolves, which is the worst case to whoever asks.
            return Resolution(None, session.scope())
        found = self.resolve(session)
        return found if isinstance(found, Resolution) else Resolution(None, session.scope())

    def _watch(self, database: str, catalogue: CatalogueService) -> None:
        """Be told of the next change. No longer: of a catalogue that nobody uses any more nothing is to be kept."""

        def on_change(version: int) -> None:
            self._unsubscribe.pop(database)()
            self._closures.pop(database, None)
            self._on_catalogue_changed(database, version)

        if database not in self._unsubscribe:
            self._unsubscribe[database] = catalogue.subscribe(on_change)

    def close(self) -> None:
        """Listen to no catalogue any more."""
        while self._unsubscribe:
            self._unsubscribe.popitem()[1]()
        self._closures.clear()
