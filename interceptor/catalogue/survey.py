"""Everything of a database that may change the session of who uses it, found once for a snapshot.

In most databases that is nothing. Where something is, ``Dangers`` holds its names, so that a text can be searched for
them without a parse. Names count in whichever schema they are: see ``NamesAnywhere``.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from interceptor.catalogue.anywhere import ANY_SCOPE, NamesAnywhere
from interceptor.catalogue.closure import Closures, SessionChange, SessionVerdict
from interceptor.catalogue.model import FIRST_USER_OID, Action, Expression, Function, Kind
from interceptor.catalogue.nodes import CallOf, CheckOf, UseOf
from interceptor.catalogue.snapshot import Snapshot
from interceptor.sql.effects import NONE, WRITES, SessionEffects
from interceptor.sql.functions import harmless_functions

__all__ = ["Dangers", "Findings", "Survey", "survey"]

_QUERIED: Final = frozenset([Kind.TABLE, Kind.PARTITIONED_TABLE, Kind.VIEW, Kind.MATERIALIZED_VIEW, Kind.FOREIGN_TABLE])
_TRIGGERS: Final = frozenset([2279, 3838])
"""What trigger and event trigger functions return (pg_type.dat). SQL can't call them."""

_READS_SEQUENCE: Final = SessionEffects(None, 1, reads_sequence=True, touches_sequence=True)
_DEFINES: Final = SessionEffects(None, 1, reads_sequence=True, touches_sequence=True, defines=True)

_WORD: Final = re.compile(rb"[A-Za-z0-9_]+")
_LONGEST_NAME: Final = 63
"""Bytes; PostgreSQL cuts off the rest of a longer one, so that a text may have more."""


@dataclass(slots=True)
class Dangers:
    """Names of what may change the session, by schema."""

    functions: dict[str, set[str]] = field(default_factory=dict)
    row_functions: set[str] = field(default_factory=set)
    """Those that may also be written as a column: ``t.f``, ``(t).f``."""
    relations: dict[str, dict[str, set[Action]]] = field(default_factory=dict)
    types: dict[str, set[str]] = field(default_factory=dict)
    operators: dict[str, set[str]] = field(default_factory=dict)
    everywhere: bool = False
    """A cast that may be applied without a word."""
    when_defining: bool = False
    """An event trigger."""

    def __bool__(self) -> bool:
        named = self.functions or self.relations or self.types or self.operators
        return bool(named or self.everywhere or self.when_defining)

    def words(self) -> frozenset[bytes]:
        """For each name but operators' a word in lower case that any text must have that uses it.

        A name without a letter of ASCII stands as b"": who writes it writes bytes from 128 on.
        """
        names = [*self.functions, *self.relations, *self.types]
        return frozenset(max(_WORD.findall(name.encode()), key=len, default=b"").lower() for name in names)

    @property
    def may_be_cut(self) -> bool:
        """Whether a longer name may stand for one of these."""
        return any(len(name.encode()) >= _LONGEST_NAME for name in (*self.functions, *self.relations, *self.types))


@dataclass(slots=True)
class Findings:
    """All that a survey found. ``functions`` and ``operators``: by name and schema, what each does; None if it is not
    harmless. Those of PostgreSQL's own that are known to be harmless are left out."""

    server_version: int
    functions: dict[str, dict[str, SessionEffects | None]] = field(default_factory=dict)
    operators: dict[str, dict[str, SessionEffects | None]] = field(default_factory=dict)
    triggers: set[str] = field(default_factory=set)
    """The names of trigger functions that are not harmless."""
    dangers: Dangers = field(default_factory=Dangers)
    relations: frozenset[str] = frozenset()
    """The names of all relations, whatever they do."""

    def function(self, schema: str, name: str) -> SessionEffects | None:
        """See ``KnownCalls``."""
        return _worst(self.functions.get(name), schema)

    def operator(self, schema: str, name: str) -> SessionEffects | None:
        """See ``KnownCalls``."""
        return _worst(self.operators.get(name), schema)


def _worst(by_schema: Mapping[str, SessionEffects | None] | None, schema: str) -> SessionEffects | None:
    if by_schema is None:
        return None
    if schema:
        return by_schema.get(schema)
    worst: SessionEffects | None = NONE
    for one in by_schema.values():
        worst = _graver(worst, one)
    return worst


def _graver(one: SessionEffects | None, other: SessionEffects | None) -> SessionEffects | None:
    if one is None or other is None:
        return None
    if one.defines or other.defines:
        return _DEFINES
    if one.reads_sequence or other.reads_sequence:
        return _READS_SEQUENCE
    return WRITES if one.touches_sequence or other.touches_sequence else NONE


def survey(snapshot: Snapshot) -> Generator[None, None, Findings]:
    """Judge all there is. Between two pieces lie at most some 5 ms; the result is the generator's."""
    return Survey(snapshot).run()


class Survey:
    """One survey. Run it once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._closures = Closures(snapshot, names=NamesAnywhere(snapshot))
        self._findings = Findings(snapshot.server_version)
        self._functions: set[int] = set()
        """Those that may change the session; likewise the next ones."""
        self._operators: set[int] = set()
        self._types: set[int] = set()

    def run(self) -> Generator[None, None, Findings]:
        yield from self._judge_functions()
        yield from self._judge_operators()
        yield from self._judge_types()
        yield from self._judge_relations()
        self._judge_casts()
        dangers = self._findings.dangers
        self._findings.relations = frozenset([one.name for one in self._snapshot.relations.values()])
        dangers.when_defining = not self._functions.isdisjoint(self._snapshot.event_triggers)
        return self._findings

    def _schema(self, oid: int) -> str:
        schema = self._snapshot.schemas.get(oid)
        return "" if schema is None else schema.name

    # --- Functions, operators, types ---------------------------------------------------------------------------------

    def _judge_functions(self) -> Generator[None, None, None]:
        quiet = harmless_functions(self._snapshot.server_version)
        for function in self._snapshot.functions.values():
            verdict = yield from self._closures.judging(CallOf(function.oid, ANY_SCOPE))
            is_dangerous = verdict.change >= SessionChange.CHANGES
            if is_dangerous:
                self._functions.add(function.oid)
            if is_dangerous and function.result in _TRIGGERS:
                self._findings.triggers.add(function.name)
            if function.result in _TRIGGERS or (function.oid < FIRST_USER_OID and function.name in quiet):
                continue
            schema = self._schema(function.schema)
            _put(self._findings.functions, function.name, schema, verdict)
            if is_dangerous and function.oid >= FIRST_USER_OID:
                self._findings.dangers.functions.setdefault(function.name, set()).add(schema)
                if self._takes_row(function):
                    self._findings.dangers.row_functions.add(function.name)

    def _takes_row(self, function: Function) -> bool:
        """Whether it may be written as a column of its argument."""
        required = len(function.arguments) - function.defaults
        if not function.arguments or required > 1:
            return False
        first = self._snapshot.types.get(function.arguments[0])
        return first is None or first.kind in "cpd"

    def _judge_operators(self) -> Generator[None, None, None]:
        for operator in self._snapshot.operators.values():
            if operator.oid < FIRST_USER_OID:
                continue
            verdict = yield from self._closures.judging(CallOf(operator.function, ANY_SCOPE))
            schema = self._schema(operator.schema)
            _put(self._findings.operators, operator.name, schema, verdict)
            if verdict.change >= SessionChange.CHANGES:
                self._operators.add(operator.oid)
                self._findings.dangers.operators.setdefault(operator.name, set()).add(schema)

    def _judge_types(self) -> Generator[None, None, None]:
        if not self._snapshot.type_checks:
            return  # nothing runs when a value is made
        for one in self._snapshot.types.values():
            if one.oid < FIRST_USER_OID:
                continue
            verdict = yield from self._closures.judging(CheckOf(one.oid, ANY_SCOPE))
            if verdict.change >= SessionChange.CHANGES:
                self._types.add(one.oid)
                self._findings.dangers.types.setdefault(one.name, set()).add(self._schema(one.schema))

    def _judge_casts(self) -> None:
        dangers = self._findings.dangers
        for cast in self._snapshot.casts.values():
            if cast.function in self._functions:
                target = self._snapshot.types.get(cast.target)
                if cast.context == "e" and target is not None:
                    dangers.types.setdefault(target.name, set()).add(self._schema(target.schema))
                else:
                    dangers.everywhere = True

    # --- Relations ---------------------------------------------------------------------------------------------------

    def _judge_relations(self) -> Generator[None, None, None]:
        relations = self._findings.dangers.relations
        suspects = yield from self._suspects()
        for oid in suspects:
            relation = self._snapshot.relations.get(oid)
            if relation is None or relation.kind not in _QUERIED or oid < FIRST_USER_OID:
                continue  # of PostgreSQL's own, only pg_settings does something, and its name tells
            for action in Action:
                verdict = yield from self._closures.judging(UseOf(oid, action, ANY_SCOPE, action is Action.UPDATE))
                if verdict.change >= SessionChange.CHANGES:
                    by_schema = relations.setdefault(relation.name, {})
                    by_schema.setdefault(self._schema(relation.schema), set()).add(action)

    def _suspects(self) -> Generator[None, None, set[int]]:
        """The relations that hold something dangerous, and those from which these may be reached.

        Cheap, so that only these few have to be followed; which of their actions are dangerous is found out then.
        """
        snapshot = self._snapshot
        dangerous = {oid for oid, one in snapshot.relations.items() if one.kind is Kind.FOREIGN_TABLE}
        reached_from: dict[int, set[int]] = {}
        for relation, expressions in self._stored():
            for expression in expressions:
                if self._is_dangerous(expression):
                    dangerous.add(relation)
                for other, _ in expression.relations:
                    reached_from.setdefault(other, set()).add(relation)
            yield
        for relation, triggers in snapshot.triggers.items():
            if any(one.function in self._functions for one in triggers):
                dangerous.add(relation)
        for relation, keys in snapshot.foreign_keys.items():
            for key in keys:
                reached_from.setdefault(key.referenced, set()).add(relation)
                reached_from.setdefault(relation, set()).add(key.referenced)
        yield
        for parent, children in snapshot.children.items():
            for child in children:
                reached_from.setdefault(child, set()).add(parent)
                reached_from.setdefault(parent, set()).add(child)
        yield
        if self._types:
            for relation in snapshot.relations:
                if any(column.type in self._types for column in snapshot.columns(relation)):
                    dangerous.add(relation)
                yield
        waiting = list(dangerous)
        while waiting:
            fresh = reached_from.get(waiting.pop(), set()) - dangerous
            dangerous |= fresh
            waiting.extend(fresh)
        return dangerous

    def _stored(self) -> Iterable[tuple[int, Iterable[Expression]]]:
        """All stored expressions, with the relation that each belongs to."""
        snapshot = self._snapshot
        for relation, defaults in snapshot.defaults.items():
            yield relation, defaults.values()
        yield from snapshot.checks.items()
        yield from snapshot.write_expressions.items()
        for relation, triggers in snapshot.triggers.items():
            yield relation, [one.condition for one in triggers]
        for relation, rules in snapshot.rules.items():
            yield relation, [one.expression for one in rules]
        for relation, policies in snapshot.policies.items():
            yield relation, [one.expression for one in policies]

    def _is_dangerous(self, expression: Expression) -> bool:
        return bool(
            expression.unread
            or not self._functions.isdisjoint(expression.functions)
            or not self._types.isdisjoint(expression.types)
            or any(one in self._operators or one not in self._snapshot.operators for one in expression.operators)
        )


def _put(table: dict[str, dict[str, SessionEffects | None]], name: str, schema: str, verdict: SessionVerdict) -> None:
    """Note what one of possibly several of this name does."""
    effects: SessionEffects | None = None
    if verdict.change < SessionChange.CHANGES:
        effects = WRITES if verdict.change is SessionChange.SEQUENCES else NONE
        effects = _READS_SEQUENCE if verdict.reads_sequence else effects
        effects = _DEFINES if verdict.defines else effects
    by_schema = table.setdefault(name, {})
    by_schema[schema] = _graver(by_schema[schema], effects) if schema in by_schema else effects
