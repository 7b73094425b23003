"""What drivers and their pools say without having been asked to, and what they are told so that they go on.

The console has no SQL, no transactions and no session settings. A driver that opens each conversation with BEGIN, sets
extra_float_digits, or asks ``SELECT 1`` whether anybody is there, is answered as if it had.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pooler.console.columns import Columns
from pooler.console.words import Word

__all__ = ["PARAMETERS", "SESSION_SETTINGS", "courtesy"]

PARAMETERS: Final = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO",
    "default_transaction_isolation": "read committed",
    "integer_datetimes": "on",
    "server_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "TimeZone": "GMT",
    "transaction_isolation": "read committed",
}
"""Settings of a session that can be shown; nothing changes them."""

SESSION_SETTINGS: Final = frozenset(
    {name.lower() for name in PARAMETERS}
    | {
        "application_name",
        "bytea_output",
        "characteristics",
        "client_min_messages",
        "default_transaction_read_only",
        "extra_float_digits",
        "idle_in_transaction_session_timeout",
        "intervalstyle",
        "lock_timeout",
        "names",
        "search_path",
        "session",
        "statement_timeout",
        "time",
        "transaction",
    }
)
"""What SET may name without effect: settings of PostgreSQL's that drivers set."""

_BEGIN: Final = frozenset({"BEGIN", "START"})
_END: Final = frozenset({"COMMIT", "END", "ROLLBACK", "ABORT"})
_RESETS: Final = frozenset({"RESET", "DISCARD", "DEALLOCATE", "UNLISTEN", "CLOSE"})
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}")


def courtesy(words: Sequence[Word]) -> tuple[str, Columns, list[list[str | int]], str] | None:
    """The tag, the columns and the rows of the answer, and what it does to the transaction; None if it is no such."""
    first = words[0].keyword
    rest = words[1:]
    if first in _BEGIN:
        return ("START TRANSACTION" if first == "START" else "BEGIN"), (), [], "begin"
    if first in _END:
        return ("COMMIT" if first in ("COMMIT", "END") else "ROLLBACK"), (), [], "end"
    if first in _RESETS:
        return " ".join([first, *(word.upper() for word in rest if word.upper() == "ALL")]), (), [], ""
    if first == "SHOW" and len(rest) == 1:
        for name, value in PARAMETERS.items():
            if name.lower() == rest[0].lower():
                return "SHOW", ((name, "text"),), [[value]], ""
    if first == "SET" and rest and _setting_of(rest) in SESSION_SETTINGS:
        return "SET", (), [], ""
    if first == "SELECT" and len(rest) == 1 and (rest[0].quoted or _NUMBER.fullmatch(rest[0])):
        if rest[0].quoted:
            return "SELECT 1", (("?column?", "text"),), [[str(rest[0])]], ""
        return "SELECT 1", (("?column?", "int4"),), [[int(rest[0])]], ""
    return None


def _setting_of(words: Sequence[Word]) -> str:
    """The name behind SET, or behind SET SESSION and SET LOCAL."""
    skipped = len(words) > 2 and words[0].keyword in ("SESSION", "LOCAL") and words[1] != "="
    return words[1 if skipped else 0].lower()
