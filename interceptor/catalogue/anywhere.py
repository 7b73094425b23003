"""Names for who doesn't know the search_path, or what was taken away from its schemas: whatever may have the name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from interceptor.catalogue.model import PG_CATALOG, Function, Operator, Relation, Type
from interceptor.catalogue.names import PG_TEMP, Names, Scope, Unresolved
from interceptor.catalogue.snapshot import Snapshot

__all__ = ["ANY_SCOPE", "NamesAnywhere", "NamesUncovered"]

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


class NamesUncovered(Names):
    """Resolves a name without a schema to all of that name in the schemas of the search_path, not to the first alone.

    For a transaction that has taken something away, or given it another name, of which the snapshot doesn't know yet.
    Schemas count that the role had no USAGE of, too.
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
        path = self.path(scope)
        if isinstance(path, Unresolved):
            return path
        return _or_absent(self._all.relation_named(oid, name) for oid in path)

    def type(self, scope: Scope, name: str, schema: str | None = None) -> Type | Unresolved:
        found = self.types(scope, name, schema)
        return found if isinstance(found, Unresolved) else found[0]

    def types(self, scope: Scope, name: str, schema: str | None = None) -> tuple[Type, ...] | Unresolved:
        if schema is not None:
            found = super().type(scope, name, schema)
            return found if isinstance(found, Unresolved) else (found,)
        path = self.path(scope)
        if isinstance(path, Unresolved):
            return path
        return _or_absent(self._all.type_named(oid, name) for oid in path)

    def functions(
        self, scope: Scope, name: str, schema: str | None = None, argument_count: int | None = None
    ) -> tuple[Function, ...] | Unresolved:
        if schema is not None:
            return super().functions(scope, name, schema, argument_count)
        path = self.path(scope)
        if isinstance(path, Unresolved):
            return path
        by_schema = self._all.functions_named(name)
        return tuple(one for oid in path for one in by_schema.get(oid, ())) or Unresolved.ABSENT

    def operators(self, scope: Scope, name: str, schema: str | None = None) -> tuple[Operator, ...] | Unresolved:
        if schema is not None:
            return super().operators(scope, name, schema)
        path = self.path(scope)
        if isinstance(path, Unresolved):
            return path
        by_schema = self._all.operators_named(name)
        return tuple(one for oid in path for one in by_schema.get(oid, ())) or Unresolved.ABSENT

    def _compute_path(self, entries: Iterable[str], role_name: str) -> tuple[int, ...] | None:
        snapshot = self._all
        if not role_name:
            return None
        named = [role_name if entry == "$user" else entry for entry in entries if entry != PG_TEMP]
        schemas = [snapshot.schemas_by_name.get(name) for name in named]
        path = dict.fromkeys([one.oid for one in schemas if one is not None])
        return tuple(path) if PG_CATALOG in path else (PG_CATALOG, *path)


def _or_absent(found: Iterable[T | None]) -> tuple[T, ...] | Unresolved:
    return tuple(one for one in found if one is not None) or Unresolved.ABSENT
