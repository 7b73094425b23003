"""What a person sees: pools, statements, plugins, the busiest first, as much of it as the terminal has room for.

Names and statements come from clients, so no character of them may steer the terminal, and none is markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pooler.config import CONSOLE_DATABASES

if TYPE_CHECKING:
    from interceptor.services import Value
    from pooler.top.watching import Picture, Rows

__all__ = ["MOST_POOLS", "MOST_QUERIES", "Room", "make_screen"]

MOST_POOLS: Final = 15
MOST_QUERIES: Final = 12
_HEAD_OF_TABLE: Final = 3
"""Lines that a table has beside its rows: an empty one, its title, and the names of its columns."""
_NARROW: Final = 130
"""Below so many columns, what matters least is left out, so that the rest can be read."""


class Room:
    """How much the terminal can show."""

    def __init__(self, width: int, height: int | None) -> None:
        """``height``: None where lines may be as many as there are, as on no terminal."""
        self.narrow = width < _NARROW
        self._lines = height

    def rows(self, share: float, most: int) -> int:
        """How many rows a table may have, of what is left: this share of it, and one at least."""
        if self._lines is None:
            return most
        return max(1, min(most, int((self._lines - _HEAD_OF_TABLE) * share)))

    def take(self, lines: int) -> None:
        """So many lines are used."""
        if self._lines is not None:
            self._lines -= lines


def make_screen(picture: Picture, where: str, room: Room, problem: str = "") -> RenderableType:
    """One picture. ``problem``: why there is no newer one."""
    parts: list[RenderableType] = [_heading(picture, where)]
    room.take(2)
    if problem:
        parts.append(Text(_plain(problem), style="bold red"))
        room.take(2)
    plugins = len(picture.plugins) + _HEAD_OF_TABLE if picture.plugins else 0
    # Plugins are few, and come last: where they leave no room for the rest they are left out.
    fits = not plugins or room.rows(1, 100) >= plugins + 2 * _HEAD_OF_TABLE
    if fits:
        room.take(plugins)
    parts.append(_pools(picture, room))
    if picture.queries:
        parts.append(_queries(picture, room))
    if picture.plugins and fits:
        parts.append(_plugins(picture))
    return Group(*parts)


def _heading(picture: Picture, where: str) -> Text:
    lists = picture.lists
    rates = picture.rates.values()
    queries = sum(rate.get("query_count", 0.0) for rate in rates)
    transactions = sum(rate.get("xact_count", 0.0) for rate in rates)
    waiting = sum(_number(pool["cl_waiting"]) for pool in picture.pools)
    text = Text(no_wrap=True, overflow="ellipsis")
    # SHOW VERSION says first whose console it is.
    text.append(f"{picture.version.rpartition(', ')[2]} ", style="bold")
    text.append(f"at {where}, {picture.at:%H:%M:%S}\n")
    text.append(f"clients {lists.get('used_clients', 0)}   ")
    text.append(f"waiting {waiting:.0f}   ", style="yellow" if waiting else "")
    text.append(f"servers {lists.get('used_servers', 0)}   ")
    text.append(f"queries/s {queries:.0f}   transactions/s {transactions:.0f}")
    return text


def _table(title: str, *columns: str) -> Table:
    """``columns``: those whose name ends with "<" are texts, and stand at the left."""
    table = Table(title=f"\n{title}", title_justify="left", title_style="bold", box=None, pad_edge=False, expand=True)
    for column in columns:
        text = column.endswith("<")
        table.add_column(
            column.rstrip("<"),
            justify="left" if text else "right",
            no_wrap=True,
            overflow="ellipsis",
            min_width=8 if column in _RATIOS else None,
            ratio=_RATIOS.get(column),
        )
    return table


_RATIOS: Final = {"query<": 12, "database<": 4, "user<": 3, "name<": 4}
"""Of the columns that share what the others leave."""


def _pools(picture: Picture, room: Room) -> Table:
    some = ("active", "waiting", "wait", "busy", "idle", "queries/s", "ms each")
    more = ("longest wait", "logging in", "in/s", "out/s")
    columns = some if room.narrow else (*some[:2], more[0], *some[3:5], more[1], *some[5:], *more[2:])
    # Consoles have rows in SHOW POOLS as in PgBouncer, and nobody who looks for trouble wants them.
    pools = [pool for pool in picture.pools if pool["database"] not in CONSOLE_DATABASES]
    pools.sort(key=lambda pool: (-_number(pool["cl_waiting"]), -_number(pool["sv_active"])))
    count = room.rows(0.5 if picture.queries else 1, MOST_POOLS)
    if len(pools) > count:
        title = f"Pools: {count} of {len(pools)}, those with most clients waiting first"
    else:
        title = f"Pools: {len(pools)}"
    table = _table(title, "database<", "user<", *(() if room.narrow else ("mode<",)), *columns)
    shown: set[str] = set()
    for pool in pools[:count]:
        database = str(pool["database"])
        # Rates are the database's, and stand beside its first pool.
        figures = _figures(pool, {} if database in shown else picture.rates.get(database, {}))
        shown.add(database)
        mode = () if room.narrow else (_text(pool["pool_mode"]),)
        table.add_row(_text(database), _text(pool["user"]), *mode, *(figures[name] for name in columns))
    room.take(_HEAD_OF_TABLE + min(len(pools), count))
    return table


def _figures(pool: Rows, rate: dict[str, float]) -> dict[str, Text]:
    waiting = _number(pool["cl_waiting"])
    longest = _number(pool["maxwait"]) + _number(pool["maxwait_us"]) / 1e6
    queries = rate.get("query_count", 0.0)
    wait = Text(f"{longest:.2f} s" if longest else "", style="bold red" if longest > 1 else "")
    plain = {
        "active": f"{_number(pool['cl_active']):.0f}",
        "busy": f"{_number(pool['sv_active']):.0f}",
        "idle": f"{_number(pool['sv_idle']) + _number(pool['sv_used']):.0f}",
        "logging in": f"{_number(pool['sv_login']):.0f}",
        "queries/s": f"{queries:.0f}" if rate else "",
        "ms each": f"{rate['query_time'] / queries / 1000:.2f}" if queries else "",
        "in/s": _size(rate.get("bytes_received", 0.0)) if rate else "",
        "out/s": _size(rate.get("bytes_sent", 0.0)) if rate else "",
    }
    found = {name: Text(text) for name, text in plain.items()}
    found["waiting"] = Text(f"{waiting:.0f}", style="yellow" if waiting else "")
    return found | {"wait": wait, "longest wait": wait}


def _queries(picture: Picture, room: Room) -> Table:
    columns: tuple[str, ...] = ("time", "calls", "p95", "database<", "query<")
    if not room.narrow:
        columns = ("time", "calls", "errors", "blocked", "p50", "p95", "p99", "database<", "user<", "query<")
    table = _table("Statements that took the most time just now", *columns)
    busy_ones = [row for row in picture.queries if _number(row["seconds"])]
    for row in busy_ones[: room.rows(1, MOST_QUERIES)]:
        busy = _number(row["seconds"]) / picture.seconds if picture.seconds else _number(row["seconds"])
        cells = {
            "time": Text(f"{busy:.1%}" if picture.seconds else f"{busy:.1f} s"),
            "calls": Text(f"{_number(row['calls']):.0f}"),
            "errors": Text(f"{_number(row['errors']):.0f}", style="red" if _number(row["errors"]) else ""),
            "blocked": Text(f"{_number(row['blocked']):.0f}"),
            **{name: Text(_milliseconds(row[f"{name}_us"])) for name in ("p50", "p95", "p99")},
            **{f"{name}<": _text(row[name]) for name in ("database", "user", "query")},
        }
        table.add_row(*(cells[name] for name in columns))
    return table


def _plugins(picture: Picture) -> Table:
    table = _table("Plugins", "name<", "version<", "state<", "calls", "failures", "at work", "waited for")
    styles = {"active": "green", "tripped": "yellow", "broken": "bold red"}
    for row in picture.plugins:
        table.add_row(
            _text(row["name"]),
            _text(row["version"]),
            Text(_plain(str(row["state"])), style=styles.get(str(row["state"]), "")),
            f"{_number(row['calls']):.0f}",
            f"{_number(row['failures']):.0f}",
            f"{_number(row['time_us']) / 1e6:.1f} s",
            f"{_number(row['waited_us']) / 1e6:.1f} s",
        )
    return table


def _text(value: Value) -> Text:
    return Text(_plain(str(value)))


def _plain(text: str) -> str:
    """Without line breaks, escape sequences, and whatever else has no place of its own on a screen."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "\ufffd" for one in text)


def _number(value: Value) -> float:
    return 0.0 if value is None else float(str(value))


def _milliseconds(value: Value) -> str:
    return f"{_number(value) / 1000:.2f} ms"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GB"
