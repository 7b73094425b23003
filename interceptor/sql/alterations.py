"""The actions of ALTER TABLE and its kin."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from interceptor.sql.facts import Access, Alteration
from interceptor.sql.parsing import Node

if TYPE_CHECKING:
    from interceptor.sql.expressions import StatementReader

__all__ = ["read_alteration", "read_partition"]


def read_alteration(reader: StatementReader, node: Node) -> None:
    """One action of ALTER TABLE."""
    column = node.get("name")
    words: set[str] = set()
    definition = node.get("def", {})
    if "ColumnDef" in definition:
        column = definition["ColumnDef"].get("colname", column)
        words.update(_constraint_words(definition["ColumnDef"].get("constraints", ())))
        if "raw_default" in definition["ColumnDef"]:
            words.add("using")
    elif "Constraint" in definition:
        column = definition["Constraint"].get("conname", column)
        words.update(_constraint_words([definition]))
    if node.get("missing_ok"):
        words.add("if exists")
    if node.get("behavior") == "DROP_CASCADE":
        words.add("cascade")
    reader.alterations = (*reader.alterations, Alteration(_action(node["subtype"]), column, frozenset(words)))
    if "RangeVar" in definition:  # INHERIT
        reader.use(definition["RangeVar"], Access.MENTION)
    else:
        reader.below.append(definition)


def read_partition(reader: StatementReader, node: Node) -> None:
    """ATTACH and DETACH PARTITION."""
    reader.use(node["name"], Access.MENTION)
    if "bound" in node:
        reader.below.append(node["bound"])


_CONSTRAINTS = {
    "CONSTR_NOTNULL": "not null", "CONSTR_DEFAULT": "default", "CONSTR_IDENTITY": "identity",
    "CONSTR_GENERATED": "generated", "CONSTR_CHECK": "check", "CONSTR_PRIMARY": "primary key",
    "CONSTR_UNIQUE": "unique", "CONSTR_EXCLUSION": "exclude", "CONSTR_FOREIGN": "foreign key",
}  # fmt: skip


def _constraint_words(constraints: Iterable[Node]) -> Iterator[str]:
    for item in constraints:
        constraint = item["Constraint"]
        if constraint["contype"] in _CONSTRAINTS:
            yield _CONSTRAINTS[constraint["contype"]]
        if constraint.get("skip_validation"):
            yield "not valid"
        if "indexname" in constraint:
            yield "using index"


_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _action(subtype: str) -> str:
    """Return "add column" for AT_AddColumn."""
    return _HUMP.sub(" ", subtype.removeprefix("AT_")).lower()
