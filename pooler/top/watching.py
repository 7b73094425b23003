"""Asking the console again and again, and what has changed in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.live import Live

from interceptor.errors import BackendError
from pooler.auth import BackendCredential, KeyCache, PlainPassword
from pooler.config import Config, DatabaseSettings, ServerSettings, Upstream
from pooler.console.columns import COLUMNS
from pooler.helpers import Helper, HelperSettings
from pooler.top.screen import Room, make_screen

if TYPE_CHECKING:
    from interceptor.services import Row, Value

__all__ = ["Picture", "Rows", "Watch", "run_top"]

_PATIENCE: Final = 10.0
"""Seconds that the console has for an answer."""
_WIDTH_OF_NO_TERMINAL: Final = 140

Rows = dict[str, "Value"]
Table = list[Rows]


@dataclass(slots=True)
class Picture:
    """What the console said at one moment, and what has changed since the moment before."""

    seconds: float
    """Since the picture before; 0 for the first."""
    version: str
    pools: Table
    lists: dict[str, int]
    statistics: Table
    rates: dict[str, dict[str, float]] = field(default_factory=dict)
    """By database and by the name of a total: how much was added in a second."""
    queries: Table = field(default_factory=list)
    """Those that took the most time since the picture before, with ``seconds``: that time."""
    plugins: Table = field(default_factory=list)
    at: datetime = field(default_factory=datetime.now)


class Watch:
    """A connection to the console, and what it said last."""

    def __init__(self, console: Upstream) -> None:
        """``console``: the proxy's address, a user that may look, and the database ``interceptor``."""
        settings = Config(
            server=ServerSettings(), databases=MappingProxyType({"console": DatabaseSettings(primary=console)})
        ).pool_settings("console", console.user or "postgres")
        credential: BackendCredential | None = None
        if console.password is not None:
            credential = PlainPassword(console.password.reveal().encode())
        helper = HelperSettings(
            application_name="interceptor top", statement_timeout=_PATIENCE, idle_timeout=3600, read_only=False
        )
        self._helper = Helper(settings, lambda: credential, KeyCache(), helper)
        self._at = 0.0
        self._totals: dict[str, dict[str, float]] = {}
        self._query_times: dict[tuple[Value, ...], float] = {}

    async def look(self) -> Picture:
        """Ask for everything. Raises BackendError if the console can't be reached, or refuses."""
        version = await self._helper.query("SHOW VERSION")
        picture = Picture(
            seconds=0.0,
            version=str(version[0][0]),
            pools=await self._show("POOLS"),
            lists={str(row["list"]): int(str(row["items"])) for row in await self._show("LISTS")},
            statistics=await self._show("STATS_TOTALS"),
            plugins=await self._show("PLUGINS"),
        )
        queries = await self._show("QUERIES")
        now = time.monotonic()
        picture.seconds = now - self._at if self._at else 0.0
        self._at = now
        self._compare(picture, queries)
        return picture

    async def close(self) -> None:
        """Say goodbye."""
        await self._helper.close()

    async def _show(self, what: str) -> Table:
        names = [name for name, _ in COLUMNS[what]]
        return [_named(names, row) for row in await self._helper.query(f"SHOW {what}")]

    def _compare(self, picture: Picture, queries: Table) -> None:
        totals = {
            str(row["database"]): {name: float(str(value)) for name, value in row.items() if name != "database"}
            for row in picture.statistics
        }
        for database, now in totals.items():
            before = self._totals.get(database)
            if before is not None and picture.seconds:
                # A restart in between begins again at 0.
                picture.rates[database] = {
                    name: max(value - before.get(name, 0.0), 0.0) / picture.seconds for name, value in now.items()
                }
        self._totals = totals
        times: dict[tuple[Value, ...], float] = {}
        for row in queries:
            key = (row["database"], row["user"], row["query"])
            times[key] = float(str(row["total_us"])) / 1e6
            row["seconds"] = max(times[key] - self._query_times.get(key, 0.0), 0.0)
        self._query_times = times
        picture.queries = sorted(queries, key=_seconds, reverse=True)


def _named(names: Sequence[str], row: Row) -> dict[str, Value]:
    return dict(zip(names, row, strict=True))


def _seconds(row: Mapping[str, Value]) -> float:
    return float(str(row["seconds"]))


async def run_top(console: Upstream, interval: float, count: int = 0) -> None:
    """Draw a picture every ``interval`` seconds, ``count`` times (0: until it is interrupted).

    Where the output is no terminal, each is printed below the one before. Raises BackendError if the first can't be
    had; later the screen says why, and it is tried again.
    """
    watch = Watch(console)
    where = str(console.host) if console.host.startswith("/") else f"{console.host}:{console.port}"
    terminal = Console(highlight=False, markup=False)
    try:
        picture = await watch.look()
        if not terminal.is_terminal:
            await _print(terminal, watch, picture, where, interval, count)
            return
        with Live(console=terminal, screen=True, auto_refresh=False) as live:
            problem = ""
            done = 0
            while True:
                # Asked anew each time: somebody may have made the window larger.
                room = Room(*terminal.size)
                live.update(make_screen(picture, where, room, problem), refresh=True)
                done += 1
                if done == count:
                    return
                await asyncio.sleep(interval)
                try:
                    picture, problem = await watch.look(), ""
                except BackendError as error:
                    problem = f"as of {picture.at:%H:%M:%S}; since then: {error}"
    finally:
        await watch.close()


async def _print(terminal: Console, watch: Watch, picture: Picture, where: str, interval: float, count: int) -> None:
    if terminal.width < _WIDTH_OF_NO_TERMINAL:
        terminal = Console(highlight=False, markup=False, width=_WIDTH_OF_NO_TERMINAL)
    done = 0
    while True:
        terminal.print(make_screen(picture, where, Room(terminal.width, None)))
        done += 1
        if done == count:
            return
        await asyncio.sleep(interval)
        picture = await watch.look()
