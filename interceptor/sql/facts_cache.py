"""The facts of texts, remembered by their bytes; and by what is left of them without the values of their literals.

Many programs put their values into the text, so that each text is new: ``SELECT … WHERE id = 57721``. Where the facts
are the same whatever the value, one analysis serves them all. Only plain texts are looked at in this way
(``interceptor.sql.lexical.is_plain``): no comment, no dollar quote, no E'', no call of a function. What is left of such
a text is an identity: no two statements share it that differ in more than the values of literals, and those whose value
the facts depend on are left as they are.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from interceptor.sql.facts import MessageFacts, Opaque
from interceptor.sql.lexical import is_plain, reads_alike
from interceptor.sql.parsing import INLINE, Node, parse, uncollected
from interceptor.sql.skeletons import Skeleton, skeleton_of, text_of
from interceptor.sql.statements import analyse_facts

__all__ = ["MAX_SHAPED", "FactsCache", "facts_size", "shape_of", "without_literals"]

MAX_CACHED = 16 * 1024  # bytes of one text
MAX_SHAPED = 4 * 1024  # bytes; of a longer one the search for literals takes half as long as its analysis
_ENTRY_OVERHEAD = 700  # bytes of memory of an entry with no more than one statement that names nothing
_DOLLAR = ord("$")
_STATEMENT = 950
_MET = 200  # bytes of memory of an entry for a skeleton of which nothing else is known
_ITEM = 140  # a column, a relation, a function, with what it refers to

# Names in quotes stay, as group 1. A string is "?'" (group 2) unless it is empty, a pattern that matches all, an array,
# or may be a moment; a number is "?" unless it belongs to a name or to another form of number, or may be that of LIMIT
# or OFFSET.
_LITERALS = re.compile(
    rb'("[^"]*+")'
    rb"|(')(?!%*+'|\{|(?:[^']|'')*?(?i:now|today|tomorrow|yesterday))[^']*+'(?:'[^']*+')*+"
    rb"|(?<![A-Za-z0-9_.$\x80-\xff])(?<![tT] )[0-9]++(?![A-Za-z0-9_.$\x80-\xff])"
)


_last: tuple[bytes, bytes | None] = (b"", None)


def without_literals(sql: bytes) -> bytes:
    """Return what is left of a plain text. The caller made sure that it is plain."""
    return _LITERALS.sub(rb"\1?\2", sql)


def shape_of(sql: bytes) -> bytes | None:
    """Return what is left of a text without the values of its literals, or None if it has none, or isn't plain.

    It is to be read under standard lexing. What the text shares with others of that shape is another matter
    (``MessageFacts.example``).
    """
    global _last
    if sql == _last[0]:  # plans and facts ask for it in turn
        return _last[1]
    # With parameters in it, it is likely to come again as it is.
    if len(sql) > MAX_SHAPED or _DOLLAR in sql or not is_plain(sql):
        return None
    shape = without_literals(sql)
    _last = (sql, shape if shape != sql else None)
    return _last[1]


def facts_size(facts: MessageFacts) -> int:
    """Return about how many bytes of memory the facts take, from above."""
    size = _ENTRY_OVERHEAD
    for literal in facts.literals:
        size += _ITEM + (len(literal.value) if isinstance(literal.value, str) else 0)
    size += sum([_ITEM + len(comment.text) for comment in facts.comments]) + 60 * len(facts.parameters)
    size += 2 * _ITEM * len(facts.opaque)
    for one in facts.all:
        size += _STATEMENT + _ITEM * (
            2 * len(one.relations) + len(one.columns) + 2 * len(one.functions) + 2 * len(one.calls_before_17)
            + len(one.operators) + len(one.types) + len(one.settings) + 2 * len(one.objects) + 3 * len(one.alterations)
            + len(one.words) + len(one.locking) + len(one.value_functions) + len(one.opaque)
        )  # fmt: skip
    return size


class _Generations:
    """A cache of two generations of at most ``half`` bytes each.

    When the young one is full it becomes the old one, and what is asked for again moves back. So what is used stays,
    and nothing is counted or reordered on a hit.
    """

    __slots__ = ("half", "old", "old_bytes", "young", "young_bytes")

    def __init__(self, half: int) -> None:
        self.half = half
        self.young: dict[bytes, MessageFacts] = {}
        self.old: dict[bytes, MessageFacts] = {}
        self.young_bytes = 0
        self.old_bytes = 0

    def from_old(self, key: bytes) -> MessageFacts | None:
        found = self.old.get(key)
        if found is not None:
            self.remember(key, found)
        return found

    def remember(self, key: bytes, facts: MessageFacts, size: int | None = None) -> None:
        """``size`` is that of the facts, where it is known."""
        size = len(key) + (facts_size(facts) if size is None else size)
        if size > self.half:
            return
        if self.young_bytes + size > self.half:
            self.old, self.old_bytes = self.young, self.young_bytes
            self.young, self.young_bytes = {}, 0
        self.young[key] = facts
        self.young_bytes += size


class _Skeletons:
    """The facts of statements without their names (``skeletons``), of those that were met twice."""

    __slots__ = ("_known", "_met", "_most", "bytes")

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[bytes, Skeleton] = {}
        self._met: dict[bytes, int] = {}
        self.bytes = 0

    def facts(self, plain: bytes, size: int) -> tuple[MessageFacts, int] | None:
        """Return the facts of a plain text of this size, which may be without the values of its literals, and what
        memory they take."""
        found = skeleton_of(plain)
        if found is None:
            return None
        key, names = found
        known = self._known.get(key)
        if known is None:
            # It is worth an analysis of its own where it comes again, and once is enough to know that it can't be had.
            times = self._met.get(key, 0)
            if times > 1:
                return None
            if times == 0 or (known := _without_names(key, len(names))) is None:
                if self._make_room(len(key) + _MET):
                    self._met[key] = times + 1
                return None
            known.memory = facts_size(known.message)
            if self._make_room(len(key) + 3 * known.memory):
                self._known[key] = known
        return known.facts(names, size), known.memory

    def _make_room(self, size: int) -> bool:
        if size > self._most:
            return False
        if self.bytes + size > self._most:
            self._known.clear()
            self._met.clear()
            self.bytes = 0
        self.bytes += size
        return True


class FactsCache:
    """The facts of texts. One cache serves any number of clients and sessions."""

    __slots__ = ("_examples", "_skeletons", "_texts")

    def __init__(self, max_bytes: int = 16 * 1024 * 1024) -> None:
        """``max_bytes`` bounds the memory of the cache. A quarter of it is for what is left of texts without
        literals."""
        self._texts = _Generations(max_bytes * 3 // 8)
        self._examples = _Generations(max_bytes * 3 // 32)
        self._skeletons = _Skeletons(max_bytes // 16)

    def memory(self) -> int:
        """Return about how many bytes of memory the entries take, never more than ``max_bytes``."""
        kept = sum([part.young_bytes + part.old_bytes for part in (self._texts, self._examples)])
        return kept + self._skeletons.bytes

    def facts(self, sql: bytes, standard_lexing: bool = True) -> MessageFacts:
        """Return the facts of the text of a Query or Parse, without its final NUL.

        ``standard_lexing`` is as in ``interceptor.sql.analysis.StatementCache.effects``. The facts may be those of a
        text that differs in the values of its literals alone: see ``MessageFacts.example``. Never raises.
        """
        found = self._texts.young.get(sql)
        if found is not None and (standard_lexing or reads_alike(sql)):
            return found
        if len(sql) > MAX_CACHED or (not standard_lexing and not reads_alike(sql)):
            return analyse_facts(sql, standard_lexing)
        found = self._texts.from_old(sql)
        if found is not None:
            return found
        key = shape_of(sql)
        if key is not None:
            return self._example(key, sql)
        if len(sql) <= MAX_SHAPED and is_plain(sql):
            filled = self._skeletons.facts(sql, len(sql))
            if filled is not None:
                self._texts.remember(sql, *filled)
                return filled[0]
        found = analyse_facts(sql)
        self._texts.remember(sql, found)
        return found

    def exact(self, sql: bytes, standard_lexing: bool = True) -> MessageFacts:
        """Return the facts of this very text, with its own literals and places. Never raises."""
        if standard_lexing or reads_alike(sql):
            found = self._texts.young.get(sql) or self._texts.from_old(sql)
            if found is not None:
                if found.example:
                    found = analyse_facts(sql)
                    self._texts.remember(sql, found)
                return found
        return analyse_facts(sql, standard_lexing)

    def _example(self, key: bytes, sql: bytes) -> MessageFacts:
        examples = self._examples
        found = examples.young.get(key)
        if found is None:
            found = examples.from_old(key)
        if found is not None:
            return found if found.size == len(sql) else msgspec.structs.replace(found, size=len(sql))
        filled = self._skeletons.facts(key, len(sql))
        if filled is not None:
            examples.remember(key, *filled)
            return filled[0]
        found = analyse_facts(sql)
        if _depends_on_values(sql, key, found):
            self._texts.remember(sql, found)
            return found
        found = msgspec.structs.replace(found, example=True, literals=())
        examples.remember(key, found)
        return found


def _without_names(key: bytes, count: int) -> Skeleton | None:
    text = text_of(key)
    facts = analyse_facts(text)
    if text != key and _depends_on_values(text, key, facts):
        return None
    try:
        return Skeleton(facts, count)
    except ValueError:
        return None


def _depends_on_values(sql: bytes, key: bytes, facts: MessageFacts) -> bool:
    """Say whether the facts could be others with other values of the literals that are not in the key."""
    if facts.opaque:
        return True
    for statement in facts.all:
        count = statement.limit.count if statement.limit is not None else None
        if count is not None and not re.search(rb"[tT] %d(?![0-9])" % count, key):
            return True
    with uncollected(sql):
        tree = parse(sql, INLINE)
        return isinstance(tree, Opaque) or any([_decides(statement) for statement in tree])


def _decides(tree: Node) -> bool:
    """Say whether a constant in a WHERE clause stands anywhere but beside a column, as in ``id = 5`` or ``id in (5,
    6)``.

    Anywhere else it may decide whether the clause is always true.
    """
    stack: list[tuple[Any, bool]] = [(tree, False)]
    while stack:
        node, in_where = stack.pop()
        if type(node) is list:
            stack.extend([(item, in_where) for item in node])
        elif type(node) is dict:
            constant = node.get("A_Const")
            if in_where and constant is not None and "boolval" not in constant and "isnull" not in constant:
                return True
            for key, value in node.items():
                if key == "A_Expr" and in_where and "ColumnRef" in value.get("lexpr", ()):
                    right = value["rexpr"]
                    items = right["List"].get("items", []) if "List" in right else [right]
                    stack.append(([item for item in items if "A_Const" not in item], True))
                else:
                    stack.append((value, in_where or key == "whereClause"))
    return False
