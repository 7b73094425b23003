"""SHOW RULES."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from interceptor import ConsoleCommand, PythonValue
from interceptor_rules.counting import Notes
from interceptor_rules.judging import DEFAULT, ON_OPAQUE, ON_UNPARSABLE
from interceptor_rules.ruleset import RuleSet

__all__ = ["rows_of_rules", "show_rules"]

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
    return ConsoleCommand("SHOW RULES", _COLUMNS, lambda words: rows())


def rows_of_rules(rules: RuleSet, notes: Notes) -> list[Row]:
    """All rules in their order, and then what holds where none decides. Counts are of this process."""
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
    last = datetime.fromtimestamp(hits.last_hit, UTC) if hits.last_hit else None
    return (name, action, mode, hits.hits, hits.shadow_hits, last, file)
