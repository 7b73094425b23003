"""What names of a session mean, as far as rules want to know it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from interceptor.catalogue import Closures, Function, Relation, Scope, Snapshot, Type, Unresolved
from interceptor.catalogue.model import FIRST_USER_OID
from interceptor.sql.facts import QualifiedName
from interceptor.sql.functions import harmless_functions

__all__ = ["MOST_REMEMBERED", "ScopedNames"]

MOST_REMEMBERED: Final = 5000
"""Answers of one kind that are kept for one scope."""
_ASSUMED_VERSION: Final = 180000


class ScopedNames:
    """What names mean in one scope of one catalogue; remembered, as the same ones come again and again."""

    def __init__(self, closures: Closures | None, scope: Scope, *, assumes: bool) -> None:
        """``assumes``: without a catalogue names are taken for what they say."""
        self._assumes = assumes
        self.closures: Final = closures
        self.scope: Final = scope
        # What the transaction itself defined was judged when it was, so that the catalogue of before is good enough,
        # but for what it took away.
        self._scope = replace(scope, after_ddl=False)
        if scope.temporary is None:
            self._scope = replace(self._scope, temporary=frozenset())
        self._relations: dict[QualifiedName, tuple[Relation, ...]] = {}
        self._functions: dict[tuple[str, str | None, int | None], tuple[Function, ...]] = {}
        self._operators: dict[tuple[str, str | None], tuple[int, ...]] = {}

    @property
    def is_assumed(self) -> bool:
        """There is no catalogue, and names are taken for what they say."""
        return self.closures is None and self._assumes

    @property
    def in_doubt(self) -> bool:
        """Its transaction may have defined something: then the search_path isn't known, for one."""
        return self.scope.search_path is None or self.scope.after_ddl

    def relations(self, name: QualifiedName) -> tuple[Relation, ...]:
        """The relations that a name may mean; none if it means nothing that the catalogue knows."""
        known = self._relations.get(name)
        if known is None:
            if len(self._relations) > MOST_REMEMBERED:
                self._relations.clear()
            known = self._relations[name] = self._find_relations(name)
        return known

    def _find_relations(self, name: QualifiedName) -> tuple[Relation, ...]:
        closures = self.closures
        if closures is None:
            return ()
        found = closures.names.relations(self._scope, name.name, name.schema)
        if not isinstance(found, Unresolved):
            return found
        if found in (Unresolved.UNKNOWN_PATH, Unresolved.UNKNOWN_ROLE):
            snapshot = closures.snapshot
            candidates = [snapshot.relation_named(schema, name.name) for schema in snapshot.schemas]
            return tuple([one for one in candidates if one is not None])
        return ()

    def written_schema(self, name: QualifiedName, *, defines: bool = False) -> str | None:
        """The schema of a name that means nothing to the catalogue: as written, or where it would be made, or is
        assumed to be. "" if it is in no schema that is searched; None if it may be in any."""
        if name.schema is not None:
            return name.schema
        path = self.scope.search_path
        if self.closures is None and not self.is_assumed:
            return None
        if path is None:
            # What is there in no schema at all is something temporary, or of this transaction.
            return None if defines or self.closures is None else ""
        if self.closures is None or defines:
            fixed = [entry for entry in path if entry != "$user" and not entry.startswith("pg_temp")]
            return fixed[0] if fixed else None
        return ""  # in no schema of the path: something temporary, or not there

    def functions(self, name: QualifiedName, count: int | None) -> tuple[Function, ...]:
        """The functions that a call may reach; none if it can't be told."""
        key = (name.name, name.schema, count)
        known = self._functions.get(key)
        if known is None:
            if len(self._functions) > MOST_REMEMBERED:
                self._functions.clear()
            known = self._functions[key] = self._find_functions(name, count)
        return known

    def _find_functions(self, name: QualifiedName, count: int | None) -> tuple[Function, ...]:
        if self.closures is None:
            return ()
        names = self.closures.names
        found = names.functions(self._scope, name.name, name.schema, count)
        if found is Unresolved.ABSENT and count is not None:
            found = names.functions(self._scope, name.name, name.schema)
        if found in (Unresolved.UNKNOWN_PATH, Unresolved.UNKNOWN_ROLE):
            return tuple([one for some in self.closures.snapshot.functions_named(name.name).values() for one in some])
        return () if isinstance(found, Unresolved) else found

    def is_builtin(self, name: QualifiedName) -> bool:
        """Without a catalogue: whether a name is surely one of PostgreSQL's own harmless functions."""
        return name.schema in (None, "pg_catalog") and name.name in harmless_functions(_ASSUMED_VERSION)

    def user_operators(self, name: QualifiedName) -> tuple[int, ...]:
        """The functions, made by anybody, that an operator of this name may call."""
        key = (name.name, name.schema)
        known = self._operators.get(key)
        if known is None:
            known = self._operators[key] = self._find_operators(name)
        return known

    def _find_operators(self, name: QualifiedName) -> tuple[int, ...]:
        if self.closures is None:
            return ()
        by_schema = self.closures.snapshot.operators_named(name.name)
        if all(one.function < FIRST_USER_OID for some in by_schema.values() for one in some):
            return ()
        found = self.closures.names.operators(self._scope, name.name, name.schema)
        if isinstance(found, Unresolved):
            found = tuple([one for some in by_schema.values() for one in some])
        return tuple([one.function for one in found if one.function >= FIRST_USER_OID])

    def types(self, name: QualifiedName) -> tuple[Type, ...]:
        """The types, made by anybody, that a name may mean."""
        if self.closures is None or name.schema == "pg_catalog":
            return ()
        found = self.closures.names.types(self._scope, name.name, name.schema)
        candidates: Sequence[Type | None] = ()
        if not isinstance(found, Unresolved):
            candidates = found
        elif found in (Unresolved.UNKNOWN_PATH, Unresolved.UNKNOWN_ROLE):
            snapshot = self.closures.snapshot
            candidates = [snapshot.type_named(schema, name.name) for schema in snapshot.schemas]
        return tuple([one for one in candidates if one is not None and one.oid >= FIRST_USER_OID])

    @property
    def snapshot(self) -> Snapshot:
        """The catalogue. Only where there is one."""
        assert self.closures is not None
        return self.closures.snapshot
