"""Catalogues of test databases: read once, or kept up as the server does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from interceptor.catalogue import Body, Function, FunctionSource, Scope, Snapshot
from interceptor.catalogue.loading import load
from interceptor.testing.postgres import PostgresServer
from pooler.auth import KeyCache
from pooler.config import PoolSettings, config_from_upstream
from pooler.helpers import Catalogue, CatalogueSettings, Helper, HelperSettings
from pooler.helpers.polls import SharedPolls
from pooler.processes.slate import Slate
from tests.support.watch import TIMEOUT

__all__ = [
    "Catalogued",
    "Described",
    "catalogue",
    "helper",
    "oids",
    "relation_oid",
    "scope",
    "settings_for",
    "snapshot_of",
]


def settings_for(server: PostgresServer, database: str, user: str = "postgres") -> PoolSettings:
    """What the proxy would know of this login to this database."""
    config = config_from_upstream(f"postgresql://{user}@{server.host}:{server.port}/{database}")
    return config.pool_settings(database, user)


@asynccontextmanager
async def helper(
    server: PostgresServer, database: str, user: str = "postgres", settings: HelperSettings | None = None
) -> AsyncIterator[Helper]:
    """A helper connection, closed at the end."""
    made = Helper(settings_for(server, database, user), lambda: None, KeyCache(), settings)
    try:
        yield made
    finally:
        await made.close()


class Catalogued:
    """A catalogue with its helper, and the versions that a listener was told."""

    def __init__(self, catalogue: Catalogue, helper: Helper) -> None:
        self.catalogue = catalogue
        self.helper = helper
        self.told: list[int] = []
        self._news = asyncio.Event()
        catalogue.subscribe(self._listen)

    def _listen(self, version: int) -> None:
        self.told.append(version)
        self._news.set()

    async def next_version(self) -> int:
        """Wait until the listener is told of a version."""
        async with asyncio.timeout(TIMEOUT):
            await self._news.wait()
        self._news.clear()
        return self.told[-1]


@asynccontextmanager
async def catalogue(
    server: PostgresServer, database: str, *, user: str = "postgres", poll_interval: float = 0.05,
    idle_timeout: float = 60.0, slate: Slate | None = None,
) -> AsyncIterator[Catalogued]:  # fmt: skip
    """A catalogue that looks for changes often. ``slate``: of a process that isn't alone."""
    async with helper(server, database, user, HelperSettings(search_path="pg_catalog, pg_temp")) as made:
        settings = CatalogueSettings(
            poll_interval=poll_interval, idle_timeout=idle_timeout, pause_after_poll=0, pause_after_load=0
        )
        polls = None if slate is None else SharedPolls(lambda: slate, lambda: made.settings)
        kept = Catalogue(made, settings, database, polls)
        try:
            yield Catalogued(kept, made)
        finally:
            kept.close()


def snapshot_of(server: PostgresServer, database: str, user: str = "postgres", source_limit: int = 1 << 25) -> Snapshot:
    """The catalogue of a database as it is now."""

    async def read() -> Snapshot:
        async with helper(server, database, user) as made, made.snapshot() as queries:
            return await load(queries, lambda: asyncio.sleep(0), source_limit)

    return asyncio.run(read())


class Described:
    """A `BodyReader` for tests that aren't about reading: bodies by the name of their function."""

    def __init__(self, **bodies: Body) -> None:
        self._bodies = bodies

    def read(self, function: Function, source: FunctionSource, snapshot: Snapshot) -> Body:
        return self._bodies.get(function.name, Body(opaque="no test says what it does"))


def scope(*path: str, role: str = "postgres", temporary: frozenset[str] | None = frozenset()) -> Scope:
    """A scope; ``public`` if no path is given."""
    return Scope(path or ("public",), role, temporary)


def relation_oid(snapshot: Snapshot, name: str, schema: str = "public") -> int:
    """The oid of a relation that exists."""
    found = snapshot.relation_named(snapshot.schemas_by_name[schema].oid, name)
    assert found is not None, name
    return found.oid


def oids(snapshot: Snapshot, *names: str) -> set[int]:
    """The oids of relations of public."""
    return {relation_oid(snapshot, name) for name in names}
