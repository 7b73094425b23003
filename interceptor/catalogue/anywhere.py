"""Names for who doesn't know the search_path: whatever has the name, in whichever schema."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from interceptor.catalogue.model import Function, Operator, Relation, Type
from interceptor.catalogue.names import Names, Scope, Unresolved
from interceptor.catalogue.snapshot import Snapshot

__all__ = ["ANY_SCOPE", "NamesAnywhere"]

T = TypeVar("T")

ANY_SCOPE: Final = Scope((), "")
"""Stands for all of them, where names are looked for everywhere."""


class NamesAnywhere(Names):
    """Resolves a name without a schema to all that it may be in any session, under any search_path, for any role.

    What is temporary is not among them.
    """

    __slots__ = ("_all",)

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        self._all = snapshot

    def relation(self, scope: Scope, name: str, schema: str | None = None) -> Relation | Unresolved:
        found = self.relations(scope, name, schema)
        return found if isinstance(found, Unresolved) else found[0]

    def relations(self, scope: Scope, name: str, schema: str | None = None) -> tuple[Relation, ...] | Unresolved:
        if schema is not None:
            found = super().relation(scope, name, schema)
            return found if isinstance(found, Unresolved) else (found,)
        return _or_absent(self._all.relation_named(oid, name) for oid in self._all.schemas)

    def type(self, scope: Scope, name: str, schema: str | None = None) -> Type | Unresolved:
        found = self.types(scope, name, schema)
        return found if isinstance(found, Unresolved) else found[0]

    def types(self, scope: Scope, name: str, schema: str | None = None) -> tuple[Type, ...] | Unresolved:
        if schema is not None:
            found = super().type(scope, name, schema)
            return found if isinstance(found, Unresolved) else (found,)
        return _or_absent(self._all.type_named(oid, name) for oid in self._all.schemas)

    def functions(
        self, scope: Scope, name: str, schema: str | None = None, argument_count: int | None = None
    ) -> tuple[Function, ...] | Unresolved:
        if schema is not None:
            return super().functions(scope, name, schema, argument_count)
        by_schema = self._all.functions_named(name).values()
        return tuple(one for functions in by_schema for one in functions) or Unresolved.ABSENT

    def operators(self, scope: Scope, name: str, schema: str | None = None) -> tuple[Operator, ...] | Unresolved:
        if schema is not None:
            return super().operators(scope, name, schema)
        by_schema = self._all.operators_named(name).values()
        return tuple(one for operators in by_schema for one in operators) or Unresolved.ABSENT


def _or_absent(found: Iterable[T | None]) -> tuple[T, ...] | Unresolved:
    return tuple(one for one in found if one is not None) or Unresolved.ABSENT
