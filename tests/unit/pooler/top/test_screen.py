"""The picture of ``interceptor top``, as terminals of several sizes show it."""

from __future__ import annotations

import io
from datetime import datetime

import pytest
from rich.cells import cell_len
from rich.console import Console

from interceptor.services import Value
from pooler.console.columns import COLUMNS
from pooler.top import Picture, make_screen
from pooler.top.screen import Room
from pooler.top.watching import Rows

LONG = "a_database_with_a_name_of_more_than_sixty_characters_that_somebody_chose"
HOSTILE = "[/red] [bold]x\x1b[31m\n\x9b2J"


def row(what: str, **values: Value) -> Rows:
    empty: Rows = {name: "" if kind == "text" else "0" for name, kind in COLUMNS[what]}
    return {**empty, **values}


def pool(database: str, **values: Value) -> Rows:
    return row("POOLS", database=database, user="postgres", pool_mode="transaction", **values)


def picture() -> Picture:
    names = [LONG, HOSTILE, "漢字", *(f"tenant{number}" for number in range(30)), "pgbouncer"]
    query = row("QUERIES", database=HOSTILE, user="u", query=f"select '{HOSTILE}'", calls="7", seconds="1.5")
    return Picture(
        seconds=2.0,
        version="PgBouncer 1.25.0 console, Interceptor 0.1.0",
        pools=[pool(name) for name in names] + [pool("waits", cl_waiting="3", maxwait="2")],
        lists={"used_clients": 40, "used_servers": 20},
        statistics=[],
        rates={LONG: {"query_count": 10.0, "xact_count": 5.0, "query_time": 20_000.0}},
        queries=[query, row("QUERIES", database="app", user="u", query="select 2", calls="1", seconds="0")],
        plugins=[row("PLUGINS", name="rules", version="1", state="active")],
        at=datetime(2026, 1, 1, 12, 0, 0),
    )


def drawn(width: int, height: int | None, problem: str = "") -> list[str]:
    output = io.StringIO()
    console = Console(file=output, width=width, height=height, highlight=False, markup=False)
    console.print(make_screen(picture(), "127.0.0.1:6432", Room(width, height), problem))
    return output.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(60, 12), (80, 24), (110, 24), (160, 50)])
@pytest.mark.parametrize("problem", ["", "the proxy is gone"])
def test_it_fits_the_terminal(width: int, height: int, problem: str) -> None:
    lines = drawn(width, height, problem)
    assert len(lines) <= height
    assert all(cell_len(line) <= width for line in lines)
    row = next(line for line in lines if line.startswith("waits"))  # who waits comes first
    assert width < 80 or " postgres " in row, "a short name has room"
    assert "at 127.0.0.1:6432, 12:00:00" in lines[0]
    assert not problem or problem in lines[2]


@pytest.mark.parametrize("width", [80, 160])
def test_no_number_and_no_heading_is_cut(width: int) -> None:
    lines = drawn(width, 50)
    heading = next(line for line in lines if line.startswith("database"))
    assert "…" not in heading
    assert next(line for line in lines if line.startswith("a_database")).split()[-1] in ("2.00", "B")


def test_names_are_neither_markup_nor_commands_to_the_terminal() -> None:
    text = "\n".join(drawn(160, None))
    assert "[/red] [bold]x" in text
    assert all(one.isprintable() or one == "\n" for one in text)


def test_nothing_that_is_of_no_interest() -> None:
    text = "\n".join(drawn(160, None))
    assert "pgbouncer" not in text, "the console is no pool"
    assert "select 2" not in text, "it took no time since the picture before"
    assert "Pools: 15 of 34" in text
