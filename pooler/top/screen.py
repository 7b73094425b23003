"""What a person sees: pools, statements, plugins, the busiest first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from interceptor.services import Value
    from pooler.top.watching import Picture

__all__ = ["make_screen"]

MOST_POOLS: Final = 15
MOST_QUERIES: Final = 12


def make_screen(picture: Picture, where: str, problem: str = "") -> RenderableType:
    """One picture. ``problem``: why there is no newer one."""
    parts: list[RenderableType] = [_heading(picture, where)]
    if problem:
        parts.append(Text(problem, style="bold red"))
    parts.append(_pools(picture))
    if picture.queries:
        parts.append(_queries(picture))
    if picture.plugins:
        parts.append(_plugins(picture))
    return Group(*parts)


def _heading(picture: Picture, where: str) -> Text:
    lists = picture.lists
    rates = picture.rates.values()
    queries = sum(rate.get("query_count", 0.0) for rate in rates)
    transactions = sum(rate.get("xact_count", 0.0) for rate in rates)
    waiting = sum(_number(pool["cl_waiting"]) for pool in picture.pools)
    text = Text()
    # SHOW VERSION says first whose console it is.
    text.append(f"{picture.version.rpartition(', ')[2]} ", style="bold")
    text.append(f"at {where}, {time.strftime('%H:%M:%S')}\n")
    text.append(f"clients {lists.get('used_clients', 0)}   ")
    text.append(f"waiting {waiting:.0f}   ", style="yellow" if waiting else "")
    text.append(f"servers {lists.get('used_servers', 0)}   ")
    text.append(f"pools {lists.get('pools', 0)}   queries/s {queries:.0f}   transactions/s {transactions:.0f}")
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
            ratio=1 if column == "query<" else None,
        )
    return table


def _pools(picture: Picture) -> Table:
    table = _table(
        "Pools",
        *("database<", "user<", "mode<", "active", "waiting", "longest wait", "busy", "idle", "logging in"),
        *("queries/s", "ms a query", "in/s", "out/s"),
    )
    shown: set[str] = set()
    pools = sorted(picture.pools, key=lambda pool: (-_number(pool["cl_waiting"]), -_number(pool["sv_active"])))
    for pool in pools[:MOST_POOLS]:
        database = str(pool["database"])
        # Rates are the database's, and stand beside its first pool.
        rate = {} if database in shown else picture.rates.get(database, {})
        shown.add(database)
        queries = rate.get("query_count", 0.0)
        waiting = _number(pool["cl_waiting"])
        longest = _number(pool["maxwait"]) + _number(pool["maxwait_us"]) / 1e6
        table.add_row(
            database,
            str(pool["user"]),
            str(pool["pool_mode"]),
            f"{_number(pool['cl_active']):.0f}",
            Text(f"{waiting:.0f}", style="yellow" if waiting else ""),
            Text(f"{longest:.2f} s" if longest else "", style="bold red" if longest > 1 else ""),
            f"{_number(pool['sv_active']):.0f}",
            f"{_number(pool['sv_idle']) + _number(pool['sv_used']):.0f}",
            f"{_number(pool['sv_login']):.0f}",
            f"{queries:.0f}" if rate else "",
            f"{rate['query_time'] / queries / 1000:.2f}" if queries else "",
            _size(rate.get("bytes_received", 0.0)) if rate else "",
            _size(rate.get("bytes_sent", 0.0)) if rate else "",
        )
    if len(pools) > MOST_POOLS:
        table.caption = f"and {len(pools) - MOST_POOLS} more"
    return table


def _queries(picture: Picture) -> Table:
    table = _table(
        "Statements that took the most time just now",
        *("time", "calls", "errors", "blocked", "p50", "p95", "p99", "database<", "user<", "query<"),
    )
    for row in picture.queries[:MOST_QUERIES]:
        busy = _number(row["seconds"]) / picture.seconds if picture.seconds else _number(row["seconds"])
        table.add_row(
            f"{busy:.1%}" if picture.seconds else f"{busy:.1f} s",
            f"{_number(row['calls']):.0f}",
            Text(f"{_number(row['errors']):.0f}", style="red" if _number(row["errors"]) else ""),
            f"{_number(row['blocked']):.0f}",
            *(_milliseconds(row[name]) for name in ("p50_us", "p95_us", "p99_us")),
            str(row["database"]),
            str(row["user"]),
            str(row["query"]),
        )
    return table


def _plugins(picture: Picture) -> Table:
    table = _table("Plugins", "name<", "version<", "state<", "calls", "failures", "at work", "waited for")
    styles = {"active": "green", "tripped": "yellow", "broken": "bold red"}
    for row in picture.plugins:
        state = str(row["state"])
        table.add_row(
            str(row["name"]),
            str(row["version"]),
            Text(state, style=styles.get(state, "")),
            f"{_number(row['calls']):.0f}",
            f"{_number(row['failures']):.0f}",
            f"{_number(row['time_us']) / 1e6:.1f} s",
            f"{_number(row['waited_us']) / 1e6:.1f} s",
        )
    return table


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
