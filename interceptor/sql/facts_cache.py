"""The facts of texts, remembered by their bytes."""

from __future__ import annotations

from interceptor.sql.facts import MessageFacts
from interceptor.sql.statements import analyse_facts

__all__ = ["FactsCache", "facts_size"]

MAX_CACHED = 16 * 1024  # bytes of one text
_ENTRY_OVERHEAD = 600  # bytes of memory of an entry with no more than one statement that names nothing
_STATEMENT = 500
_ITEM = 130  # a column, a relation, a function, with what it refers to


def facts_size(facts: MessageFacts) -> int:
    """Return about how many bytes of memory the facts take, from above."""
    size = _ENTRY_OVERHEAD
    for literal in facts.literals:
        size += _ITEM + (len(literal.value) if isinstance(literal.value, str) else 0)
    size += sum([_ITEM + len(comment.text) for comment in facts.comments]) + 60 * len(facts.parameters)
    size += 2 * _ITEM * len(facts.opaque)
    for one in facts.all:
        size += _STATEMENT + _ITEM * (
            2 * len(one.relations) + len(one.columns) + 2 * len(one.functions) + len(one.operators)
            + len(one.types) + len(one.settings) + 2 * len(one.objects) + 3 * len(one.alterations)
            + len(one.words) + len(one.locking) + len(one.value_functions) + len(one.opaque)
        )  # fmt: skip
    return size


class FactsCache:
    """The facts of texts, remembered by their bytes.

    One cache serves any number of clients and sessions. Two generations of at most half of ``max_bytes`` each: when the
    young one is full it becomes the old one, and a text that is asked for again moves back. So what is used stays, and
    nothing is counted or reordered on a hit.
    """

    __slots__ = ("_half", "_old", "_old_bytes", "_young", "_young_bytes")

    def __init__(self, max_bytes: int = 16 * 1024 * 1024) -> None:
        """``max_bytes`` bounds the memory of the cache."""
        self._half = max_bytes // 2
        self._young: dict[bytes, MessageFacts] = {}
        self._old: dict[bytes, MessageFacts] = {}
        self._young_bytes = 0
        self._old_bytes = 0

    def memory(self) -> int:
        """Return about how many bytes of memory the entries take, never more than ``max_bytes``."""
        return self._young_bytes + self._old_bytes

    def facts(self, sql: bytes, standard_lexing: bool = True) -> MessageFacts:
        """Return the facts of the text of a Query or Parse, without its final NUL.

        ``standard_lexing`` is as in ``interceptor.sql.analysis.StatementCache.effects``. The facts may be those of a
        text that differs in the values of its literals alone: see ``MessageFacts.example``.
        """
        return self.exact(sql, standard_lexing)

    def exact(self, sql: bytes, standard_lexing: bool = True) -> MessageFacts:
        """Return the facts of this very text, with its own literals and places."""
        if not standard_lexing:
            return analyse_facts(sql, False)
        found = self._young.get(sql)
        if found is not None:
            return found
        found = self._old.get(sql)
        if found is None:
            found = analyse_facts(sql)
        if len(sql) <= MAX_CACHED:
            self._remember(sql, found)
        return found

    def _remember(self, sql: bytes, facts: MessageFacts) -> None:
        size = len(sql) + facts_size(facts)
        if size > self._half:
            return
        if self._young_bytes + size > self._half:
            self._old = self._young
            self._old_bytes = self._young_bytes
            self._young = {}
            self._young_bytes = 0
        self._young[sql] = facts
        self._young_bytes += size
