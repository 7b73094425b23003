"""SHOW QUERIES and RESET QUERIES."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from interceptor import ConsoleCommand, PythonValue
from interceptor_queries.figures import Figures, Key, Table, percentile

__all__ = ["MAX_TEXT", "commands"]

MAX_TEXT: Final = 4000
"""Characters of a statement that are shown."""

Row = Sequence[PythonValue]

_COLUMNS: Final = (
    ("database", "text"),
    ("user", "text"),
    ("calls", "int8"),
    ("errors", "int8"),
    ("blocked", "int8"),
    ("answered", "int8"),
    ("rows", "int8"),
    ("total_ms", "float8"),
    ("mean_ms", "float8"),
    ("p50_ms", "float8"),
    ("p95_ms", "float8"),
    ("p99_ms", "float8"),
    ("max_ms", "float8"),
    ("query", "text"),
)


def commands(table: Table) -> tuple[ConsoleCommand, ...]:
    """What the plugin adds to the console."""

    def run(words: tuple[str, ...]) -> Sequence[Row]:
        return [(*key, figures.as_numbers(), figures.times) for key, figures in table.items()]

    def reset(words: tuple[str, ...]) -> Sequence[Row]:
        table.clear()
        return []

    return (
        ConsoleCommand("SHOW QUERIES", _COLUMNS, run, gather=_gather),
        ConsoleCommand("RESET QUERIES", (), reset, changes=True),
    )


def _gather(answers: Sequence[Sequence[Row]]) -> Sequence[Row]:
    """The figures of all processes together, what took the most time first."""
    merged: dict[Key, Figures] = {}
    for rows in answers:
        for database, user, query, numbers, times in rows:
            key = cast("Key", (database, user, query))
            merged.setdefault(key, Figures()).add(cast("list[float]", numbers), cast("list[int]", times))
    ordered = sorted(merged.items(), key=lambda item: item[1].seconds, reverse=True)
    return [_shown(key, figures) for key, figures in ordered]


def _shown(key: Key, figures: Figures) -> Row:
    database, user, query = key
    ran = sum(figures.times)
    return (
        database,
        user,
        figures.calls,
        figures.errors,
        figures.blocked,
        figures.answered,
        figures.rows,
        _milliseconds(figures.seconds),
        _milliseconds(figures.seconds / ran if ran else 0.0),
        *(_milliseconds(min(percentile(figures.times, share), figures.slowest)) for share in (0.5, 0.95, 0.99)),
        _milliseconds(figures.slowest),
        query if len(query) <= MAX_TEXT else f"{query[:MAX_TEXT]}…",
    )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
