"""SHOW RULES."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from interceptor import ConsoleCommand, PythonValue
from interceptor_rules.counting import Notes
from interceptor_rules.judging import DEFAULT, ON_OPAQUE, ON_UNPARSABLE
from interceptor_rules.ruleset import RuleSet

__all__ = ["gather_rules", "rows_of_rules", "show_rules"]

Row = Sequence[PythonValue]

_COLUMNS = (
    ("name", "text"),
    ("action", "text"),
    ("mode", "text"),
    ("hits", "int8"),
    ("shadow_hits", "int8"),
    ("last_hit", "timestamptz"),
    ("file", "text"),
)


def show_rules(rows: Callable[[], Sequence[Row]]) -> ConsoleCommand:
    """The command."""
    return ConsoleCommand("SHOW RULES", _COLUMNS, lambda words: rows(), gather=gather_rules)


def gather_rules(answers: Sequence[Sequence[Row]]) -> Sequence[Row]:
    """What all processes count together. A rule that not all of them have read yet stands behind the others."""
    found: dict[tuple[PythonValue, PythonValue], list[Row]] = {}
    for rows in answers:
        for row in rows:
            found.setdefault((row[0], row[-1]), []).append(row)
    return [_together(rows) for rows in found.values()]


def _together(rows: Sequence[Row]) -> Row:
    name, action, mode, _, _, _, file = rows[0]
    last = max([float(str(row[5])) for row in rows if row[5] is not None], default=None)
    when = datetime.fromtimestamp(last, UTC) if last is not None else None
    return (name, action, mode, _sum(rows, 3), _sum(rows, 4), when, file)


def _sum(rows: Sequence[Row], column: int) -> int:
    return sum([int(str(row[column])) for row in rows])


def rows_of_rules(rules: RuleSet, notes: Notes) -> list[Row]:
    """All rules in their order, and then what holds where none decides. Counts are of this process, and the last hit
    is in seconds since 1970."""
    found = [
        _row(one.name, one.source.action, "shadow" if one.source.shadow else rules.mode, one.file, notes)
        for one in rules.rules
    ]
    for name, blocks in (
        (ON_UNPARSABLE, rules.unparsable_blocks),
        (ON_OPAQUE, rules.opaque_blocks),
        (DEFAULT, rules.default_blocks),
    ):
        found.append(_row(name, "block" if blocks else "allow", rules.mode, "", notes))
    return found


def _row(name: str, action: str, mode: str, file: str, notes: Notes) -> Row:
    hits = notes.hits(name)
    return (name, action, mode, hits.hits, hits.shadow_hits, hits.last_hit or None, file)
