"""PostgreSQL's own functions that run, for a type or a table they are given as a value, what anybody made for it."""

from __future__ import annotations

import re
from typing import Final

from interceptor.catalogue import Snapshot
from interceptor.sql.facts import FunctionUse, QualifiedName
from interceptor.sql.statements import analyse_facts

__all__ = ["makes_row", "named_type", "runs_code_of_values"]

_CHECKS_INPUT: Final = frozenset(["pg_input_is_valid", "pg_input_error_info"])
_TAKES_TYPE: Final = _CHECKS_INPUT | {
    "array_in", "record_in", "domain_in", "range_in", "multirange_in", "pg_restore_attribute_stats",
}  # fmt: skip
_TAKES_TABLE: Final = frozenset(["brin_summarize_new_values", "brin_summarize_range", "gin_clean_pending_list"])
_MAKES_ROW: Final = frozenset(
    "json_populate_record json_populate_recordset jsonb_populate_record jsonb_populate_recordset"
    " jsonb_populate_record_valid".split()
)
_PLAIN_TYPE: Final = re.compile(r'[\w". ]+(?:\([\d, ]+\))?(?:\[\])*')


def runs_code_of_values(name: str, snapshot: Snapshot) -> bool:
    """Whether a function in pg_catalog may run somebody's code that only its arguments tell."""
    if name in _TAKES_TYPE:
        return bool(snapshot.type_checks or snapshot.comparisons)
    return name in _TAKES_TABLE and bool(snapshot.write_expressions)


def makes_row(call: FunctionUse) -> bool:
    """Whether a call makes a row of the type that its argument has, which may be that of a table."""
    return call.name.name in _MAKES_ROW


def named_type(call: FunctionUse) -> QualifiedName | None:
    """The type that such a call names by a constant; None if it can't be told."""
    if call.name.name not in _CHECKS_INPUT or len(call.texts) != 2:
        return None
    text = call.texts[1]
    if text is None or _PLAIN_TYPE.fullmatch(text) is None:
        return None
    statements = analyse_facts(f"select null::{text}".encode()).statements
    if len(statements) != 1 or len(statements[0].types) != 1 or statements[0].columns:
        return None
    return statements[0].types[0]
