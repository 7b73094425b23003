"""What may change a session, by database: a judge of texts for each that has clients, and the catalogue behind it.

docs/design/session-effects.md says what is known when, and docs/design/catalogue.md how old it may be.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Iterable, Iterator
from typing import Final

from interceptor.catalogue.judging import SessionJudge, Sight
from interceptor.catalogue.service import CatalogueService
from interceptor.catalogue.snapshot import Snapshot
from interceptor.catalogue.survey import Findings, survey
from interceptor.errors import HELPER_TIMEOUT, BackendError
from pooler.auth import BackendCredential
from pooler.config import PoolSettings
from pooler.helpers import Catalogues
from pooler.tasks import spawn

__all__ = ["USE_INTERVAL", "DatabaseJudge", "Judges"]

logger = logging.getLogger(__name__)

USE_INTERVAL: Final = 60.0
"""Seconds between two looks at which databases are used. Fewer than those after which a catalogue counts as unused."""

_SLICE: Final = 0.001
"""Seconds of work between two pauses."""

_PAUSE_AFTER_READING: Final = 4.0
"""After a catalogue has been read, it isn't read again for so many times as long as that took, unless a statement waits
for it. In between, backends are asked."""

_RETRY_AFTER: Final = 30.0
"""Seconds until a catalogue that could not be read is asked for again."""


_MOST_AWAITED: Final = 1.0
"""Seconds that a statement waits for a judge that sees nothing yet."""

_RETRY_WHEN_BUSY: Final = 1.0
"""The same where the server took too long."""


class DatabaseJudge:
    """The judge of one database's texts, kept up to date by its catalogue.

    Nothing is read before a text calls for it.
    """

    def __init__(self, name: str, catalogue: CatalogueService, retry_after: float = _RETRY_AFTER) -> None:
        self.judge = SessionJudge(self._start_reading)
        # Each client has both, and would bind methods of its own to them.
        self.effects: Final = self.judge.texts.effects
        self.wait_for_sight: Final = self.sight
        self.readings = 0
        """How often the catalogue was surveyed."""
        self._name = name
        self._catalogue = catalogue
        self._retry_after = retry_after
        self._unsubscribe = catalogue.subscribe(self._on_change)
        self._closed = False
        self._reading = False
        self._may_read_at = 0.0
        self._last_took = 0.0
        """Seconds that the last reading took."""
        self._surveyed: tuple[Snapshot, Findings] | None = None
        self._sees = asyncio.Event()
        self._awaited = asyncio.Event()
        """A statement waits until it sees."""
        self._in_vain = False
        """One has waited for as long as it may, and it sees nothing yet: the next would wait as long for nothing."""

    def touch(self) -> None:
        """The database is in use."""
        self._catalogue.touch()

    def close(self) -> None:
        """Its last client is gone."""
        self._closed = True
        self._unsubscribe()

    def _on_change(self, version: int) -> None:
        self.judge.texts.generation = object()
        if self._catalogue.snapshot is None:
            # What was defined here is known to be there, but not what it is.
            if self.judge.sight is Sight.CLEAR:
                self.judge.go_blind()
        else:
            # Found by a poll: it has been so for a while, and what was known goes on to hold for the rest.
            self._start_reading()

    def sight(self) -> Awaitable[object] | None:
        """What to wait for until more is known than nothing, be it for a second at most; None where it is, or where
        no wait would help."""
        if self.judge.sight is not Sight.BLIND:
            return None
        self._start_reading()
        if self._in_vain or self._last_took > _MOST_AWAITED:
            return None
        self._sees.clear()
        self._awaited.set()
        return self._await_sight()

    async def _await_sight(self) -> None:
        try:
            async with asyncio.timeout(_MOST_AWAITED):
                await self._sees.wait()
        except TimeoutError:
            self._in_vain = self.judge.sight is Sight.BLIND

    def _see(self, findings: Findings | None) -> None:
        """Tell the judge; None: the catalogue can't be read."""
        if findings is None:
            self.judge.see_dimly()
        else:
            self.judge.see(findings)
        self._in_vain = False
        self._awaited.clear()
        self._sees.set()

    def _start_reading(self) -> None:
        if not self._reading and not self._closed:
            self._reading = True
            spawn(self._read(), name=f"survey of {self._name}")

    async def _read(self) -> None:
        try:
            while not self._closed and not await self._read_once():
                pass
        finally:
            self._reading = False

    async def _read_once(self) -> bool:
        """Whether all is known now."""
        if self._catalogue.snapshot is None:
            await self._pause()
        begun = time.monotonic()
        try:
            snapshot = await self._catalogue.current()
        except BackendError as error:
            if error.failure is HELPER_TIMEOUT:
                # It is busy, or its catalogue changes all the time. Backends go on to be asked.
                await asyncio.sleep(_RETRY_WHEN_BUSY)
                return False
            if self.judge.sight is not Sight.DIM:
                logger.warning("functions and triggers of %s are judged by their names alone: %s", self._name, error)
                self._see(None)
            await asyncio.sleep(self._retry_after)
            return False
        if self._surveyed is None or self._surveyed[0] is not snapshot:
            self._surveyed = snapshot, await _survey(snapshot)
            self.readings += 1
            # Of what changed while nobody watched nothing was said.
            self.judge.texts.generation = object()
        now = time.monotonic()
        self._last_took = now - begun
        self._may_read_at = now + _PAUSE_AFTER_READING * self._last_took
        if self._catalogue.snapshot is not snapshot:
            return False
        self._see(self._surveyed[1])
        return True

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._may_read_at - time.monotonic())):
                await self._awaited.wait()


async def _survey(snapshot: Snapshot) -> Findings:
    """Judge everything, and let others work in between."""
    pieces = survey(snapshot)
    resume_at = time.perf_counter() + _SLICE
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            findings: Findings = end.value
            return findings
        if time.perf_counter() > resume_at:
            await asyncio.sleep(0)
            resume_at = time.perf_counter() + _SLICE


class Judges:
    """The judges of all databases that have clients."""

    def __init__(self, catalogues: Catalogues) -> None:
        self._catalogues = catalogues
        self._known: dict[str, DatabaseJudge] = {}

    def __iter__(self) -> Iterator[DatabaseJudge]:
        return iter(self._known.values())

    def get(self, settings: PoolSettings, credential: BackendCredential | None) -> DatabaseJudge | None:
        """The judge for a login; None where the catalogue isn't to be read. ``credential``: the pool's."""
        if not settings.catalogue:
            return None
        catalogue = self._catalogues.get(settings, credential)
        known = self._known.get(settings.database)
        if known is None:
            known = self._known[settings.database] = DatabaseJudge(settings.database, catalogue)
        return known

    def keep(self, connected: Iterable[str], active: Iterable[str]) -> None:
        """To be called every ``USE_INTERVAL``: with the databases that have clients, and those that were used since."""
        used = set(active)
        remaining = set(connected)
        for database, judge in list(self._known.items()):
            if database in used:
                judge.touch()
            elif database not in remaining:
                judge.close()
                del self._known[database]
        self._catalogues.drop_unused()

    def close(self) -> None:
        """The server stops."""
        for judge in self:
            judge.close()
        self._known.clear()
