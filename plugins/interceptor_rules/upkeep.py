"""What PostgreSQL computes without being told to, when a table is kept up or altered: indexes, statistics, checks."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Final

from interceptor import StatementFacts
from interceptor.catalogue import Expression, Kind, Relation
from interceptor.catalogue.model import FIRST_USER_OID
from interceptor.catalogue.snapshot import Snapshot
from interceptor_rules.world import World

__all__ = ["compared_by_name", "computed"]

_UPKEEP: Final = frozenset(["reindex", "cluster", "vacuum", "analyze", "refresh"])
_INDEXES: Final = frozenset([Kind.INDEX, Kind.PARTITIONED_INDEX])


def computed(facts: StatementFacts, world: World) -> list[Expression]:
    """The stored expressions that a statement may compute for the rows that are there.

    Which indexes a statement builds anew, and which expressions ANALYZE has come to, is not looked at.
    """
    if world.closures is None:
        return []
    snapshot = world.snapshot
    if facts.kind in _UPKEEP:
        if not facts.relations:
            stored = chain(snapshot.write_expressions.values(), snapshot.statistics.values())
            return [*_made(chain.from_iterable(stored), snapshot), *_comparing(snapshot)]
    elif facts.kind != "alter" or not facts.alterations:
        return []
    found: list[Expression] = []
    for use in facts.relations:
        for relation in world.relations(use.name):
            found += _of_relation(relation, snapshot, altered=facts.kind == "alter")
    return found


def _of_relation(relation: Relation, snapshot: Snapshot, *, altered: bool) -> list[Expression]:
    oid = relation.oid
    found: list[Expression] = []
    if relation.kind in _INDEXES:
        table = snapshot.computing_indexes.get(oid)
        if table is None:
            return _comparing(snapshot)  # of a composite or an array, perhaps
        oid = table
    for one in (oid, *snapshot.descendants(oid), *snapshot.ancestors(oid)):
        found += snapshot.write_expressions.get(one, ())
        found += snapshot.statistics.get(one, ())
        if altered:
            found += snapshot.checks.get(one, ())
            found += [
                snapshot.defaults[one][column.number]
                for column in (snapshot.columns(one) if one in snapshot.defaults else ())
                if column.generated and column.number in snapshot.defaults[one]
            ]
    return _made(found, snapshot)


def compared_by_name(facts: StatementFacts, world: World) -> list[Expression]:
    """What a statement may compare values by that names an operator class: CREATE INDEX, PARTITION BY."""
    if world.closures is None:
        return []
    if "operator class" not in facts.words and not ("known operator class" in facts.words and _hides_own(world)):
        return []
    functions = world.snapshot.comparisons.get(0)
    return [Expression(functions=functions)] if functions else []


def _hides_own(world: World) -> bool:
    """Whether something in the path may stand before what PostgreSQL itself brings."""
    path = world.scope.search_path
    return path is None or "pg_catalog" in path


def _comparing(snapshot: Snapshot) -> list[Expression]:
    functions = frozenset(chain.from_iterable(snapshot.comparisons.values()))
    return [Expression(functions=functions)] if functions else []


def _made(expressions: Iterable[Expression], snapshot: Snapshot) -> list[Expression]:
    """Those that call what anybody made."""
    return [
        one
        for one in expressions
        if one.unread
        or any(oid >= FIRST_USER_OID for oid in chain(one.functions, one.operators, one.types))
        or not snapshot.operators.keys() >= one.operators
    ]
