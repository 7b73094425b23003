"""Statements that differ in nothing but names: what one of them says of itself, another says under its own names.

A parser gives the same tree to texts whose tokens differ in identifiers alone, but for the identifiers in it. And what
is read from the tree depends on which names are the same, never on what they are, but for a few words. So the text is
taken apart into its names and what is left, in which each name is a number: its skeleton. The facts of a skeleton are
found once, and filled with the names of each text from then on, in a sixth of the time that an analysis takes.
"""

from __future__ import annotations

import re
from typing import Final, cast

import msgspec
from pglast import keywords

from interceptor.sql.facts import Access, ColumnUse, MessageFacts, QualifiedName, RelationUse, StatementFacts
from interceptor.sql.predicates import SYSTEM_COLUMNS

__all__ = ["Skeleton", "skeleton_of", "text_of"]

_NAMES: Final = re.compile(rb'("[A-Za-z_][A-Za-z0-9_]*+"|(?<![A-Za-z0-9_$"])[A-Za-z_][A-Za-z0-9_]*+)')
_STAY: Final = frozenset().union(
    keywords.RESERVED_KEYWORDS, keywords.UNRESERVED_KEYWORDS, keywords.COL_NAME_KEYWORDS,
    keywords.TYPE_FUNC_NAME_KEYWORDS, SYSTEM_COLUMNS, ["excluded", "old", "new"],
)  # fmt: skip
"""What stays in the skeleton: the words of the grammar, whatever they are there, and names that an analysis knows."""
_LONGEST_NAME: Final = 63  # bytes; of a longer one PostgreSQL takes the beginning
_MARKS: Final = tuple([b'"zq%d"' % number for number in range(64)])
_QUOTE: Final = ord('"')
_MOST_SPELLINGS: Final = 2000

_spelled: set[bytes] = set()
"""Words that stay, as they were met: SELECT, select, Select."""


def skeleton_of(plain: bytes) -> tuple[bytes, tuple[str, ...]] | None:
    """Return a text with numbers for its names, and the names; or None if it can't be taken apart in this way.

    ``plain`` is a plain text (``lexical.is_plain``), with or without the values of its literals
    (``facts_cache.without_literals``).
    """
    if plain.count(b"'") != plain.count(b"?'"):
        return None
    parts = _NAMES.split(plain)
    numbers: dict[str, int] = {}
    stay = _spelled
    for index in range(1, len(parts), 2):
        word = parts[index]
        if word in stay:
            continue
        if word[0] == _QUOTE:
            name = word[1:-1].decode()
        else:
            name = word.decode().lower()
        if name in _STAY:
            # In quotes, too: "ctid" is the column, and value and "value" are one name.
            _learn(word)
            continue
        number = numbers.setdefault(name, len(numbers))
        if number == len(_MARKS) or len(name) > _LONGEST_NAME:
            return None
        parts[index] = _MARKS[number]
    between = parts[2:-1:2]
    if b"" in between or (b'"' in plain and b'"' in b"".join(parts[::2])):
        return None
    return b"".join(parts), tuple(numbers)


def _learn(word: bytes) -> None:
    if len(_spelled) >= _MOST_SPELLINGS:
        _spelled.clear()
    _spelled.add(word)


def text_of(skeleton: bytes) -> bytes:
    """Return a text that has this skeleton, with some value for each literal."""
    return skeleton.replace(b"?'", b"'x'").replace(b"?", b"7")


class Skeleton:
    """The facts of all texts of one skeleton, without their names."""

    __slots__ = (
        "_columns",
        "_depth",
        "_fixed",
        "_groups",
        "_names",
        "_relations",
        "_statement",
        "_uses",
        "memory",
        "message",
    )

    def __init__(self, facts: MessageFacts, count: int) -> None:
        """``facts`` are those of ``text_of``, and ``count`` the number of names. Raises ValueError where they are not
        of a sort that can be filled."""
        if len(facts.all) != 1 or facts.comments:
            raise ValueError("it has several statements, or comments")
        one = facts.all[0]
        if "zq" in str((one.operators, one.value_functions, one.words)):
            raise ValueError("there are names where none are filled in")
        self.message = facts
        self.memory = 0
        """Bytes that such facts take: for who keeps them."""
        self._statement = one
        values: list[str | None] = [f"zq{number}" for number in range(count)]
        self._names: list[tuple[int, int, int]] = []
        self._groups: list[tuple[int, ...]] = []

        def value(text: str | None) -> int:
            if text not in values:
                values.append(text)
            return values.index(text)

        def name(written: QualifiedName) -> int:
            parts = (value(written.name), value(written.schema), value(written.catalog))
            if parts not in self._names:
                self._names.append(parts)
            return self._names.index(parts)

        def group(several: tuple[QualifiedName, ...]) -> int:
            numbers = tuple([name(each) for each in several])
            if numbers not in self._groups:
                self._groups.append(numbers)
            return self._groups.index(numbers)

        self._relations: list[tuple[int, Access, int, int, bool]] = [
            (name(use.name), use.access, value(use.alias), use.place, use.only) for use in one.relations
        ]
        self._uses = tuple([group(each) for each in (one.reads, one.writes, one.defines, one.mentions)])
        self._columns: list[tuple[int, int, int, int, bool, bool, bool]] = [
            (
                value(use.name),
                value(use.qualifier),
                group(use.relations),
                use.place,
                use.star,
                use.whole_row,
                use.written,
            )
            for use in one.columns
        ]
        self._fixed = cast("tuple[str, ...]", tuple(values[count:]))  # None stands where there is no name
        filled = self.facts(tuple([f"zq{number}" for number in range(count)]), facts.size)
        if filled != msgspec.structs.replace(facts, example=True, literals=()):
            raise ValueError("it says more of itself than is filled here")

    def facts(self, names: tuple[str, ...], size: int) -> MessageFacts:
        """Return the facts of a text of this size with these names: an example, whose places are those of another."""
        values = names + self._fixed
        found = [QualifiedName(values[name], values[schema], values[catalog]) for name, schema, catalog in self._names]
        groups = [tuple([found[number] for number in group]) for group in self._groups]
        reads, writes, defines, mentions = [groups[number] for number in self._uses]
        one = self._statement
        statement = StatementFacts(
            one.kind, one.group, one.start, one.end, one.via, one.runs,
            tuple([
                RelationUse(found[name], access, values[alias], place, only)
                for name, access, alias, place, only in self._relations
            ]),
            reads, writes, defines, mentions,
            tuple([
                ColumnUse(values[name], values[qualifier], groups[group], place, star, whole_row, written)
                for name, qualifier, group, place, star, whole_row, written in self._columns
            ]),
            operators=one.operators, value_functions=one.value_functions, where=one.where, limit=one.limit,
            cartesian=one.cartesian, longest_list=one.longest_list, rows=one.rows, words=one.words,
        )  # fmt: skip
        message = self.message
        statements = (statement,)
        return MessageFacts(
            size, message.depth, statements, statements, reads, writes, defines, mentions,
            parameters=message.parameters, example=True,
        )  # fmt: skip
