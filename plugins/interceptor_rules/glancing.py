"""The quick look: whether a statement is none that any rule could be about.

What a statement does is the sum of its parts: the relations, columns, functions, operators and types that it names.
Each part is read once by itself, as a statement that has nothing else (``MessageReader``), and it is remembered whether
any rule comes into question. A statement of nothing but quiet parts is quiet, and no more has to be known of it.
"""

from __future__ import annotations

from typing import Final

from interceptor import MessageFacts, QualifiedName, Statement, StatementFacts
from interceptor.sql.facts import ColumnUse, FunctionUse, RelationUse
from interceptor_rules.reading import MessageReader
from interceptor_rules.ruleset import Subset
from interceptor_rules.subjects import Subject
from interceptor_rules.world import World

__all__ = ["PARTS", "SILENT", "UNSAID", "Glance", "is_quiet"]

PARTS: Final = frozenset(["relations", "columns", "functions", "operators", "types"])
"""What is looked at one by one."""

SILENT: Final = frozenset(
    """
    start end runs reads writes defines mentions value_functions volatile_literals where limit cartesian longest_list
    rows
    """.split()
)
"""What says nothing of what a statement reaches: only rules by kind look at it, of which there must be none."""

UNSAID: Final = frozenset(
    "via locking into subject settings copy objects alterations opaque nested calls_before_17".split()
)
"""What a quiet statement has none of."""

_UNDERSTOOD: Final = PARTS | SILENT | UNSAID | {"kind", "group", "words"} == frozenset(StatementFacts.__struct_fields__)
"""A new fact that is in none of these could be one that rules rest on: then nothing is quiet."""

_KINDS: Final = frozenset(["select", "insert", "update", "delete"])
_MOST_PARTS: Final = 500
"""Of one statement: so that whatever the text, this takes less than its analysis."""
_MOST_KNOWN: Final = 2000

_ColumnKey = str | tuple[str | None, str, bool, bool, bool]


def is_quiet(subset: Subset, world: World, statement: Statement) -> bool:
    """Whether no rule could be about the statement, so that ``judge`` would find nothing. False says nothing."""
    if statement.function or not subset.may_be_quiet or not _UNDERSTOOD:
        return False
    message = statement.facts
    if len(message.statements) != 1:
        return False
    facts = message.statements[0]
    if (
        facts.kind not in _KINDS or facts.nested or facts.opaque or facts.settings or facts.copy is not None
        or facts.locking or facts.objects or facts.alterations or facts.into is not None
        or facts.calls_before_17 or facts.subject is not None or facts.via is not None
    ):  # fmt: skip
        return False
    glance = world.glances.get(subset)
    if glance is None:
        glance = Glance(subset, world)
        world.keep_glance(subset, glance)
    return glance.of(facts)


class Glance:
    """What is known of parts of statements, for the sessions of one class under one meaning of names."""

    __slots__ = ("_columns", "_functions", "_kinds", "_operators", "_relations", "_room", "_subset", "_types", "_world")

    def __init__(self, subset: Subset, world: World) -> None:
        self._subset = subset
        self._world = world
        self._forget()

    def _forget(self) -> None:
        self._room = _MOST_KNOWN
        self._kinds: dict[tuple[str, frozenset[str]], bool] = {}
        self._relations: dict[tuple[QualifiedName, str, str, frozenset[str]], bool] = {}
        self._columns: dict[tuple[QualifiedName, ...], dict[_ColumnKey, bool]] = {}
        self._functions: dict[tuple[QualifiedName, tuple[str | None, ...], str], bool] = {}
        self._operators: dict[QualifiedName, bool] = {}
        self._types: dict[QualifiedName, bool] = {}

    def of(self, facts: StatementFacts) -> bool:
        """Whether a statement of one of a few kinds, which has nothing but parts, is quiet."""
        kind, words = facts.kind, facts.words
        if len(facts.columns) + len(facts.relations) + len(facts.functions) + len(facts.types) > _MOST_PARTS:
            return False
        if self._room <= 0:
            self._forget()
        known = self._kinds.get((kind, words))
        if known is None:
            known = self._kinds[kind, words] = self._learn(facts)
        if not known:
            return False
        for use in facts.relations:
            known = self._relations.get((use.name, use.access, kind, words))
            if known is None:
                known = self._learn(facts, relations=(RelationUse(use.name, use.access, use.name.name, -1),))
                self._relations[use.name, use.access, kind, words] = known
            if not known:
                return False
        for name in facts.operators:
            known = self._operators.get(name)
            if known is None:
                known = self._operators[name] = self._learn(facts, operators=(name,))
            if not known:
                return False
        return self._are_quiet(facts.columns, facts) and not (
            (facts.functions or facts.types) and self._runs_something(facts)
        )

    def _are_quiet(self, columns: tuple[ColumnUse, ...], facts: StatementFacts) -> bool:
        relations: tuple[QualifiedName, ...] | None = None
        names: dict[_ColumnKey, bool] = {}
        for one in columns:
            if one.relations is not relations:
                relations = one.relations
                found = self._columns.get(relations)
                if found is None:
                    found = self._columns[relations] = {}
                names = found
            key: _ColumnKey = one.name
            if one.qualifier is not None or one.written or one.star or one.whole_row:
                key = (one.qualifier, one.name, one.star, one.whole_row, one.written)
            known = names.get(key)
            if known is None:
                reduced = ColumnUse(
                    one.name, one.qualifier, one.relations, -1, one.star, one.whole_row, one.written
                )  # fmt: skip
                known = names[key] = self._learn(facts, columns=(reduced,))
            if not known:
                return False
        return True

    def _runs_something(self, facts: StatementFacts) -> bool:
        for call in facts.functions:
            # With the kind: what writes makes a write of a SELECT, and an UPDATE is one anyway.
            known = self._functions.get((call.name, call.texts, facts.kind))
            if known is None:
                known = self._learn(facts, functions=(FunctionUse(call.name, -1, call.texts),))
                self._functions[call.name, call.texts, facts.kind] = known
            if not known:
                return True
        for name in facts.types:
            known = self._types.get(name)
            if known is None:
                known = self._types[name] = self._learn(facts, types=(name,))
            if not known:
                return True
        return False

    def _learn(
        self,
        facts: StatementFacts,
        *,
        relations: tuple[RelationUse, ...] = (),
        columns: tuple[ColumnUse, ...] = (),
        functions: tuple[FunctionUse, ...] = (),
        operators: tuple[QualifiedName, ...] = (),
        types: tuple[QualifiedName, ...] = (),
    ) -> bool:
        """Read a statement of which nothing is known but one part: what the parts are read for can't rest on more."""
        self._room -= 1
        part = StatementFacts(
            facts.kind, facts.group, relations=relations, columns=columns, functions=functions, operators=operators,
            types=types, words=facts.words,
        )  # fmt: skip
        reader = MessageReader(self._world, names_columns=self._subset.owner.names_columns)
        subjects = reader.read(MessageFacts(0, statements=(part,), all=(part,)))
        if reader.executes or reader.needs_made or reader.reads_together:
            return False
        return all(self._touches_nothing(one) for one in subjects)

    def _touches_nothing(self, subject: Subject) -> bool:
        return not (
            subject.opaque or subject.unread or subject.everything or subject.schemas or subject.indirect
            or subject.calls or list(self._subset.candidates(subject, None))
        )  # fmt: skip
