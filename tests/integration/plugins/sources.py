"""A plugin whose answers come from sources of every kind: ``select 'name of the source'``."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import cast

from interceptor import (
    Block,
    Blocked,
    Column,
    Execution,
    Plan,
    PluginInfo,
    Replay,
    Respond,
    SessionClass,
    Statement,
    hookimpl,
)
from interceptor.hooks import breaker
from interceptor.hooks.decisions import Row, Rows

# More sources fail than a plugin may have before it is left out.
breaker.MOST_FAILURES = 1_000_000  # type: ignore[misc]

plugin_info = PluginInfo(deadline=0.4)

COLUMNS = (Column("number", "int4"), Column("text", "text"))
GOOD: Row = (1, "one")
WRONG_ROWS: dict[str, object] = {
    "too few": (2,),
    "too many": (2, "two", 3),
    "no row": 5,
    "a text": "ab",
    "unfit": ("two", 2),
    "too large": (1 << 31, "two"),
    "a NUL": (2, "t\0wo"),
    "infinite": (Decimal("NaN"), "two"),
    "not text": (2, "\ud800"),
    "an object": (object(), "two"),
}


def failing() -> Iterator[Row]:
    yield GOOD
    raise RuntimeError("secret")


def exiting() -> Iterator[Row]:
    yield GOOD
    raise SystemExit("secret")


def interrupted() -> Iterator[Row]:
    yield GOOD
    raise KeyboardInterrupt("secret")


def blocked() -> Iterator[Row]:
    yield GOOD
    raise Blocked(Block("HV000", "the service is down"))


class Closing:
    """Says when it is closed, which generators do by themselves."""

    def __init__(self, name: str, rows: Iterator[Row]) -> None:
        self.name = name
        self.rows = rows

    def __iter__(self) -> Iterator[Row]:
        return self.rows

    def close(self) -> None:
        print(f"closed {self.name}", flush=True)


def endless(name: str) -> Iterator[Row]:
    try:
        for number in itertools.count():
            yield number % 1_000_000, "x" * 1000
    finally:
        print(f"closed {name}", flush=True)


async def slowly(rows: Iterator[Row], name: str) -> AsyncIterator[Row]:
    try:
        for row in rows:
            yield row
            await asyncio.sleep(0)
    finally:
        print(f"closed {name}", flush=True)


async def held(name: str) -> AsyncIterator[Row]:
    try:
        yield GOOD
        while True:
            # Each time shorter than the deadline.
            await asyncio.sleep(0.1)
            yield GOOD
    finally:
        print(f"closed {name}", flush=True)


async def stuck() -> AsyncIterator[Row]:
    yield GOOD
    await asyncio.Event().wait()


async def stubborn() -> AsyncIterator[Row]:
    yield GOOD
    for _ in range(2):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


def rows_of(kind: str, name: str) -> Rows:
    if kind in WRONG_ROWS:
        wrong = WRONG_ROWS[kind]
        return [GOOD, cast("Row", wrong)]
    if kind == "closing":
        return Closing(name, itertools.repeat(GOOD))
    if kind == "endless":
        return endless(name)
    if kind == "held":
        return held(name)
    sources = {"failing": failing, "exiting": exiting, "interrupted": interrupted, "blocked": blocked}
    if kind in sources:
        return sources[kind]()
    return {"stuck": stuck, "stubborn": stubborn}[kind]()


@hookimpl
def virtual(statement: Statement, session: SessionClass) -> Plan | None:
    found = re.fullmatch(r"select '(async )?source ([\w ]+?)( \d+)?'", statement.text)
    if found is None:
        return None
    asynchronous, kind, number = found.groups()
    name = f"{asynchronous or ''}{kind}{number or ''}"

    def answer(execution: Execution) -> Respond:
        rows = rows_of(kind, name)
        if asynchronous:
            assert not hasattr(rows, "__aiter__")
            rows = slowly(iter(rows), name)
        return Respond(COLUMNS, rows)

    return Plan(answer)


PIECE = b"D\0\0\0\x1a\0\x02\0\0\0\x011\0\0\0\x07" + b"replied"
DESCRIPTION = b"\0\1a\0" + bytes(6) + b"\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"


@hookimpl
def cache(statement: Statement, session: SessionClass) -> Plan | None:
    if statement.text != "select 'replayed without end'":
        return None
    rows = (PIECE * 2000,) * 5_000
    return Plan(Replay(DESCRIPTION, rows, 10_000_000, "SELECT 10000000"))
