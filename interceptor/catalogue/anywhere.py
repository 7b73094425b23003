"""Names for who doesn't know the search_path, or what was taken away from its schemas: whatever may have the name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from interceptor.catalogue.model import PG_CATALOG, Function, Operator, Relation, Type
from interceptor.catalogue.names import PG_TEMP, Names, Scope, Unresolved
from interceptor.catalogue.snapshot import Snapshot

__all__ = ["ANY_SCOPE", "NamesAnywhere", "NamesUncovered"]

T = TypeVar("T")

ANY_SCOPE: Final = Scope((), "")
"""Stands for all of them, where names are looked for everywhere."""


class _NamesOfSchemas(Names, ABC):
    """Resolves a name without a schema to all of that name in the schemas that count, not to the first alone."""

    __slots__ = ("_all",)

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        self._all = snapshot

    @abstractmethod
    def _schemas(self, scope: Scope, having: Iterable[int]) -> Iterable[int] | Unresolved:
        """The schemas that count; nothing of the name is in any but those ``having`` something."""

    def relation(self, scope: Scope, name: str, schema: str | None = None) -> Relation | Unresolved:
        found = self.relations(scope, name, schema)
        return found if isinstance(found, Unresolved) else found[0]

    def relations(self, scope: Scope, name: str, schema: str | None = None) -> tuple[Relation, ...] | Unresolved:
        if schema is not None:
            found = super().relation(scope, name, schema)
            return found if isinstance(found, Unresolved) else (found,)
        schemas = self._schemas(scope, self._all.schemas)
        if isinstance(schemas, Unresolved):
            return schemas
        return _or_absent(self._all.relation_named(oid, name) for oid in schemas)

    def type(self, scope: Scope, name: str, schema: str | None = None) -> Type | Unresolved:
        found = self.types(scope, name, schema)
        return found if isinstance(found, Unresolved) else found[0]

    def types(self, scope: Scope, name: str, schema: str | None = None) -> tuple[Type, ...] | Unresolved:
        if schema is not None:
            found = super().type(scope, name, schema)
            return found if isinstance(found, Unresolved) else (found,)
        schemas = self._schemas(scope, self._all.schemas)
        if isinstance(schemas, Unresolved):
            return schemas
        return _or_absent(self._all.type_named(oid, name) for oid in schemas)

    def functions(
        self, scope: Scope, name: str, schema: str | None = None, argument_count: int | None = None
    ) -> tuple[Function, ...] | Unresolved:
        if schema is not None:
            return super().functions(scope, name, schema, argument_count)
        return self._gather(scope, self._all.functions_named(name))

    def operators(self, scope: Scope, name: str, schema: str | None = None) -> tuple[Operator, ...] | Unresolved:
        if schema is not None:
            return super().operators(scope, name, schema)
        return self._gather(scope, self._all.operators_named(name))

    def _gather(self, scope: Scope, by_schema: Mapping[int, Iterable[T]]) -> tuple[T, ...] | Unresolved:
        schemas = self._schemas(scope, by_schema)
        if isinstance(schemas, Unresolved):
            return schemas
        return tuple(one for oid in schemas for one in by_schema.get(oid, ())) or Unresolved.ABSENT


class NamesAnywhere(_NamesOfSchemas):
    """Resolves a name without a schema to all that it may be in any session, under any search_path, for any role.

    What is temporary is not among them.
    """

    __slots__ = ()

    def _schemas(self, scope: Scope, having: Iterable[int]) -> Iterable[int]:
        return having


class NamesUncovered(_NamesOfSchemas):
    """Resolves a name without a schema to all of that name in the schemas of the search_path.

    For a transaction that has taken something away, or given it another name, of which the snapshot doesn't know yet.
    Schemas count that the role had no USAGE of, too.
    """

    __slots__ = ()

    def _schemas(self, scope: Scope, having: Iterable[int]) -> Iterable[int] | Unresolved:
        return self.path(scope)

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
