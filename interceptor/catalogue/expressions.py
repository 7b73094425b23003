"""What a stored query or expression names, read from the text of its tree (``pg_node_tree``).

Dependencies of PostgreSQL's own objects are not in ``pg_depend`` (they are pinned), so the functions that a view or a
default calls can be had from the tree alone. In it a node is ``{KIND :field value …}``. Spaces, brackets and
backslashes inside a name are written with a backslash before them (outfuncs.c, outToken), and constants as numbers of
bytes: so ``" :funcid 12"`` can be nothing but a field, and regular expressions read it well.
"""

from __future__ import annotations

import re
from typing import Final, TypeVar, cast

from interceptor.catalogue.model import Action, Expression

__all__ = ["NOTHING", "read_expression"]

T = TypeVar("T")

NOTHING: Final = Expression()
_EMPTY: Final[frozenset[object]] = frozenset()

_REFERENCES: Final = re.compile(
    r" :(?:"
    r"(?P<function>funcid|opfuncid|hashfuncid|negfuncid|aggfnoid|winfnoid|tsmhandler|startInRangeFunc|endInRangeFunc)"
    r"|(?P<operator>opno|eqop|sortop)|(?P<type>resulttype)) (?P<oid>[1-9][0-9]*)"
)
_ROW_COMPARE: Final = re.compile(r" :opnos \(o ([0-9 ]+)\)")

# One for each relation of each query, since PostgreSQL 16. The bits of requiredPerms are those of parsenodes.h.
_PERMISSION: Final = re.compile(
    r"\{RTEPERMISSIONINFO :relid ([0-9]+) :inh \w+ :requiredPerms ([0-9]+) :checkAsUser [0-9]+ "
    r":selectedCols \(b([0-9 ]*)\) :insertedCols \(b([0-9 ]*)\) :updatedCols \(b([0-9 ]*)\)"
)
_ACTIONS: Final = (
    (1, Action.INSERT),
    (2, Action.SELECT),
    (4, Action.UPDATE),  # also what SELECT FOR UPDATE needs
    (8, Action.DELETE),
    (16, Action.TRUNCATE),
)
_FIRST_COLUMN_BIT: Final = 7  # column 0, the whole row (sysattr.h, FirstLowInvalidHeapAttributeNumber)

_VALUES: Final = "{SQLVALUEFUNCTION "
_NEXT_VALUE: Final = "{NEXTVALUEEXPR "
_UTILITY: Final = re.compile(r" :utilityStmt \{(\w+)")


def read_expression(tree: str | None) -> Expression:
    """Return what the tree names. Takes some 10 ns a character."""
    if not tree or tree == "<>":
        return NOTHING
    functions: set[int] = set()
    operators: set[int] = set()
    types: set[int] = set()
    for match in _REFERENCES.finditer(tree):
        into = functions if match["function"] else operators if match["operator"] else types
        into.add(int(match["oid"]))
    for match in _ROW_COMPARE.finditer(tree):
        operators.update(map(int, match[1].split()))
    relations, columns = _relations(tree)
    return Expression(
        functions=_frozen(functions),
        operators=_frozen(operators),
        types=_frozen(types),
        relations=_frozen(relations),
        columns=_frozen(columns),
        sequences=_NEXT_VALUE in tree,
        session_values=_VALUES in tree,
        unread=_unread(tree),
    )


def _frozen(found: set[T]) -> frozenset[T]:
    # Each empty one would be an object of its own, of which a catalogue has tens of thousands.
    return frozenset(found) if found else cast("frozenset[T]", _EMPTY)


def _relations(tree: str) -> tuple[set[tuple[int, Action]], set[tuple[int, int]]]:
    relations: set[tuple[int, Action]] = set()
    columns: set[tuple[int, int]] = set()
    for relation, permissions, *sets in _PERMISSION.findall(tree):
        oid, needed = int(relation), int(permissions)
        relations.update((oid, action) for bit, action in _ACTIONS if needed & bit)
        columns.update((oid, int(bit) - _FIRST_COLUMN_BIT) for bits in sets for bit in bits.split())
    return relations, columns


def _unread(tree: str) -> str:
    if "{RTEPERMISSIONINFO " not in tree and " :requiredPerms " in tree:
        return "the server is older than PostgreSQL 16, and stores queries in another form"
    for statement in _UTILITY.findall(tree):
        if statement != "NOTIFYSTMT":
            return f"it holds a utility statement ({statement})"
    return ""
