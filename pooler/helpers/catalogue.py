"""The catalogue of one database: loaded when asked for, watched while in use, dropped when not."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from interceptor.catalogue.loading import State, load, read_state
from interceptor.catalogue.service import Listener
from interceptor.catalogue.snapshot import Snapshot
from interceptor.errors import HELPER_TIMEOUT, BackendError
from interceptor.services import HelperQueries
from pooler.helpers.polls import SharedPolls
from pooler.tasks import Handle, spawn

__all__ = ["Catalogue", "CatalogueSettings", "CatalogueStats"]

logger = logging.getLogger(__name__)

_MOST_LOADS: Final = 4

_MISSED_POLLS: Final = 3
"""After so many poll intervals without an answer the catalogue is no longer trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueSettings:
    """Durations in seconds."""

    poll_interval: float = 5.0
    idle_timeout: float = 300.0
    """A catalogue that nobody used for so long is dropped, and its polling ends."""
    pause_after_poll: float = 20.0
    """The pause after a poll lasts at least so many times as long as the poll: it takes no more than 5 % of one of the
    server's processors, however large the catalogue."""
    pause_after_load: float = 4.0
    """The same after a poll that found something new and read the catalogue."""


@dataclass(slots=True)
class CatalogueStats:
    """What has happened since the catalogue was made."""

    loads: int = 0
    polls: int = 0
    changes: int = 0
    """Polls that found something new."""
    last_load_seconds: float = 0.0
    last_poll_seconds: float = 0.0


class Catalogue:
    """Implements ``CatalogueService``."""

    def __init__(
        self,
        queries: HelperQueries,
        settings: CatalogueSettings | None = None,
        name: str = "",
        polls: SharedPolls | None = None,
    ) -> None:
        """``name``: of the database, for the log. ``polls``: those of all processes; without them there is only this
        one."""
        self.settings = settings or CatalogueSettings()
        self.stats = CatalogueStats()
        self.version = 0
        self._queries = queries
        self._name = name
        self._polls = polls
        self._snapshot: Snapshot | None = None
        self._state: State | None = None
        self._read_at = 0.0
        """When this process began to read the state that is known."""
        self._last: tuple[Snapshot, State] | None = None
        """What was known before somebody may have defined something. Perhaps nobody has."""
        self._listeners: dict[object, Listener] = {}
        self._loading: asyncio.Future[Snapshot] | None = None
        self._watch: Handle | None = None
        self._used = False
        self._closed = False

    # --- CatalogueService --------------------------------------------------------------------------------------------

    @property
    def snapshot(self) -> Snapshot | None:
        self._used = True
        return self._snapshot

    async def current(self) -> Snapshot:
        self._used = True
        if self._snapshot is not None:
            return self._snapshot
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_future()
            # A load that nobody waits for any longer and that failed has been logged.
            self._loading.add_done_callback(lambda done: done.cancelled() or done.exception())
            spawn(self._load_first(self._loading), name=f"catalogue of {self._name}")
        return await asyncio.shield(self._loading)

    def touch(self) -> None:
        self._used = True

    def on_ddl(self) -> None:
        last = self._last
        if self._snapshot is not None and self._state is not None:
            last = self._snapshot, self._state
        self._drop()
        self._last = last

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        key = object()
        self._listeners[key] = listener
        return partial(self._listeners.pop, key, None)  # type: ignore[return-value]

    @property
    def unused(self) -> bool:
        """Nothing is loaded, nobody listens and nobody waits."""
        return self._snapshot is None and self._loading is None and self._watch is None and not self._listeners

    # --- Life --------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Forget everything and stop watching. Whoever waits gets an error as soon as the helper is closed."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._drop()

    def _drop(self) -> None:
        """What is known may be wrong. A load under way began too early: it is done again."""
        self.version += 1
        self._snapshot = None
        self._state = None
        self._last = None
        self._tell()

    def _tell(self) -> None:
        for listener in list(self._listeners.values()):
            listener(self.version)

    async def _load_first(self, result: asyncio.Future[Snapshot]) -> None:
        try:
            snapshot, state = await self._load_settled()
        except BackendError as error:
            logger.warning("the catalogue of %s could not be read: %s", self._name, error)
            self._end_loading(result)
            result.set_exception(error)
        except BaseException:
            self._end_loading(result)
            result.cancel()
            raise
        else:
            self._end_loading(result)
            self._keep(snapshot, state)
            result.set_result(snapshot)
            if self._watch is None and not self._closed:
                self._watch = spawn(self._poll(), name=f"polling of the catalogue of {self._name}")

    async def _load_settled(self) -> tuple[Snapshot, State]:
        """Load until nothing is defined meanwhile. Raises BackendError, also after a few times in vain."""
        for _ in range(_MOST_LOADS):
            version = self.version
            loaded = await self._load()
            if version == self.version:
                return loaded
        raise BackendError(
            HELPER_TIMEOUT,
            f"the catalogue of {self._name} changes faster than it can be read: {_MOST_LOADS} times something was "
            "defined meanwhile",
        )

    def _end_loading(self, result: asyncio.Future[Snapshot]) -> None:
        assert self._loading is result
        self._loading = None

    def _keep(self, snapshot: Snapshot, state: State) -> None:
        snapshot.version = self.version
        self._snapshot = snapshot
        self._state = state
        self._last = None

    async def _load(self) -> tuple[Snapshot, State]:
        begun = self._read_at = time.monotonic()
        last = self._last
        async with self._queries.snapshot() as queries:
            state = await read_state(queries, None if last is None else last[1])
            if last is not None and state.sums == last[1].sums:
                # IF NOT EXISTS, a ROLLBACK, an error: nothing was defined.
                return last[0], state
            snapshot = await load(queries, partial(asyncio.sleep, 0))
        self.stats.loads += 1
        self.stats.last_load_seconds = time.monotonic() - begun
        return snapshot, state

    # --- Watching ----------------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        """Look for changes made elsewhere, as long as somebody uses the catalogue."""
        settings = self.settings
        last_used = last_answer = time.monotonic()
        pause = settings.poll_interval
        while True:
            await asyncio.sleep(pause)
            now = time.monotonic()
            if self._used:
                self._used = False
                last_used = now
            if now - last_used > settings.idle_timeout:
                self._watch = None
                self._drop()
                return
            if self._snapshot is None:
                last_answer = now  # the next load will tell
                continue
            told = self._told_by_others(now)
            if told is not None:
                last_answer, again = told
                pause = again - now
                continue
            loads = self.stats.loads
            try:
                await self._check()
            except BackendError as error:
                if now - last_answer > _MISSED_POLLS * settings.poll_interval and self._snapshot is not None:
                    logger.warning("the catalogue of %s is no longer trusted: %s", self._name, error)
                    self._drop()
                looked = False
            else:
                last_answer = now
                looked = True
            share = settings.pause_after_poll if loads == self.stats.loads else settings.pause_after_load
            pause = max(settings.poll_interval, share * (time.monotonic() - now))
            if looked and self._polls is not None and self._state is not None:
                self._read_at = now
                self._polls.note(now, now + pause, self._state)

    def _told_by_others(self, now: float) -> tuple[float, float] | None:
        """When another process has found what is known here, and when to ask again; None if it is this one's turn."""
        if self._polls is None or self._state is None:
            return None
        return self._polls.latest(self._read_at, self._state, now)

    async def _check(self) -> None:
        begun = time.monotonic()
        version, last = self.version, self._state
        assert last is not None
        state = await read_state(self._queries, last)
        self.stats.polls += 1
        self.stats.last_poll_seconds = time.monotonic() - begun
        if version != self.version:
            return
        if state.sums == last.sums:
            self._state = state
            return
        snapshot, state = await self._load()
        if version != self.version or self._snapshot is None:
            return
        if snapshot.digest == self._snapshot.digest:
            self._state = state  # TRUNCATE, REINDEX and the like, which change nothing that anybody concludes from
            return
        self.stats.changes += 1
        self.version += 1
        self._keep(snapshot, state)
        self._tell()
