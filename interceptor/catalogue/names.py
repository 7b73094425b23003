"""Names to objects, as PostgreSQL finds them by a search_path (namespace.c), for a role and its privileges.

What can't be told comes back as a value, `Unresolved`, never as a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Final, TypeVar

from interceptor.catalogue.model import PG_CATALOG, Function, Operator, Relation, Type
from interceptor.catalogue.snapshot import Snapshot

__all__ = [
    "Names",
    "Scope",
    "Unresolved",
    "parse_search_path",
]

_Found = TypeVar("_Found", Relation, Type)

PG_TEMP: Final = "pg_temp"
_TEMPORARY: Final = -1
"""The place of the session's temporary schema in a list of schemas' oids."""


class Unresolved(Enum):
    """Why a name leads to no object of the snapshot. Whoever asked has to take it for the worst that it may be."""

    ABSENT = "nothing of that name is where the name is looked for"
    TEMPORARY = "it is, or may be, something temporary of the session"
    AFTER_DDL = "its transaction has defined something, which nobody else can see yet"
    UNKNOWN_ROLE = "the role is not in the catalogue, so it can't be told which schemas it may use"
    UNKNOWN_PATH = "the search_path is not known"


@dataclass(frozen=True, slots=True)
class Scope:
    """What decides about names in one session at one moment. Hashable: conclusions are remembered by it.

    ``search_path``: its entries, unquoted, as ``parse_search_path`` gives them; None if unknown. ``role``: its
    current_user.
    ``temporary``: the names of the session's own temporary relations, types included; None if unknown, and then every
    unqualified name of a relation or type counts as temporary that is not found before pg_temp is looked at.
    ``after_ddl``: its transaction has defined something, or another is taking something away just now; then nothing
    resolves.
    """

    search_path: tuple[str, ...] | None
    role: str
    temporary: frozenset[str] | None = frozenset()
    after_ddl: bool = False

    def with_path(self, setting: str) -> Scope:
        """The same under another search_path, given as in SET."""
        return replace(self, search_path=parse_search_path(setting))

    def with_role(self, role: str) -> Scope:
        """The same as another role."""
        return replace(self, role=role)


# One name of a list (SplitIdentifierString): in double quotes, or bare up to a space or comma.
_ENTRY: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s,"][^\s,]*))\s*(,|$)')
_LONGEST_NAME: Final = 63  # bytes; NAMEDATALEN - 1


@lru_cache(maxsize=256)
def parse_search_path(setting: str) -> tuple[str, ...] | None:
    """Return the entries of a search_path as SHOW gives it, or None for what PostgreSQL would not take.

    Source: varlena.c, SplitIdentifierString.
    """
    entries: list[str] = []
    position = 0
    if not setting.strip():
        return ()
    while True:
        match = _ENTRY.match(setting, position)
        if match is None:
            return None
        quoted, bare, separator = match.groups()
        name = quoted.replace('""', '"') if quoted is not None else _fold(bare)
        if quoted is None and not name:
            return None
        entries.append(_truncate(name))
        position = match.end()
        if not separator:
            return tuple(entries) if position == len(setting) else None


def _fold(name: str) -> str:
    # Only ASCII is sure to be folded: other letters are by the server's locale, in single-byte encodings alone.
    return "".join(chr(ord(one) + 32) if "A" <= one <= "Z" else one for one in name)


def _truncate(name: str) -> str:
    encoded = name.encode("utf-8", "surrogateescape")
    return name if len(encoded) <= _LONGEST_NAME else encoded[:_LONGEST_NAME].decode("utf-8", "ignore")


class Names:
    """Resolves names in one snapshot. Keep one for each snapshot: it remembers the search paths that it met."""

    __slots__ = ("_paths", "_snapshot")

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._paths: dict[tuple[tuple[str, ...], str], tuple[int, ...] | None] = {}

    def relation(self, scope: Scope, name: str, schema: str | None = None) -> Relation | Unresolved:
        """The relation that the name stands for: of any kind, also an index."""
        return self._find(self._snapshot.relation_named, scope, name, schema)

    def type(self, scope: Scope, name: str, schema: str | None = None) -> Type | Unresolved:
        """The type that the name stands for, by its name in ``pg_type`` (``int4``, not ``integer``)."""
        return self._find(self._snapshot.type_named, scope, name, schema)

    def _find(
        self, look: Callable[[int, str], _Found | None], scope: Scope, name: str, schema: str | None
    ) -> _Found | Unresolved:
        """What has this name in the schema, or else in the first of the path that has one."""
        if scope.after_ddl:
            return Unresolved.AFTER_DDL
        if schema is not None:
            oid = self._explicit(schema)
            return oid if isinstance(oid, Unresolved) else look(oid, name) or Unresolved.ABSENT
        path = self.path(scope)
        if isinstance(path, Unresolved):
            return path
        for oid in path:
            if oid == _TEMPORARY:
                if scope.temporary is None or name in scope.temporary:
                    return Unresolved.TEMPORARY
            else:
                found = look(oid, name)
                if found is not None:
                    return found
        return Unresolved.ABSENT

    def relations(self, scope: Scope, name: str, schema: str | None = None) -> tuple[Relation, ...] | Unresolved:
        """All relations that the name may stand for: the one of ``relation``, since all is known here."""
        found = self.relation(scope, name, schema)
        return found if isinstance(found, Unresolved) else (found,)

    def types(self, scope: Scope, name: str, schema: str | None = None) -> tuple[Type, ...] | Unresolved:
        """All types that the name may stand for; likewise."""
        found = self.type(scope, name, schema)
        return found if isinstance(found, Unresolved) else (found,)

    def functions(
        self, scope: Scope, name: str, schema: str | None = None, argument_count: int | None = None
    ) -> tuple[Function, ...] | Unresolved:
        """All functions that a call by this name may reach; which one, PostgreSQL decides by the arguments' types.

        ``argument_count``: how many arguments are written, all by position and none VARIADIC; None if it can't be told.
        A function that is hidden by one with the same arguments in an earlier schema is left out.
        """
        oids = self._schemas_of_callables(scope, schema)
        if isinstance(oids, Unresolved):
            return oids
        by_schema = self._snapshot.functions_named(name)
        found: dict[tuple[int, ...], Function] = {}
        for oid in oids:
            for function in by_schema.get(oid, ()):
                if argument_count is None or _takes(function, argument_count):
                    found.setdefault(function.arguments, function)
        return tuple(found.values()) or Unresolved.ABSENT

    def function(
        self, scope: Scope, name: str, arguments: Sequence[int], schema: str | None = None
    ) -> Function | Unresolved:
        """The function with exactly these argument types, as ``to_regprocedure`` finds it."""
        oids = self._schemas_of_callables(scope, schema)
        if isinstance(oids, Unresolved):
            return oids
        wanted = tuple(arguments)
        by_schema = self._snapshot.functions_named(name)
        candidates = (function for oid in oids for function in by_schema.get(oid, ()) if function.arguments == wanted)
        return next(candidates, Unresolved.ABSENT)

    def operators(self, scope: Scope, name: str, schema: str | None = None) -> tuple[Operator, ...] | Unresolved:
        """All operators that an expression with this name may use, those hidden by an earlier schema left out."""
        oids = self._schemas_of_callables(scope, schema)
        if isinstance(oids, Unresolved):
            return oids
        by_schema = self._snapshot.operators_named(name)
        found: dict[tuple[int, int], Operator] = {}
        for oid in oids:
            for operator in by_schema.get(oid, ()):
                found.setdefault((operator.left, operator.right), operator)
        return tuple(found.values()) or Unresolved.ABSENT

    def path(self, scope: Scope) -> tuple[int, ...] | Unresolved:
        """The schemas that are searched, in their order; -1 is the session's own temporary schema.

        As ``current_schemas(true)``: entries that don't exist or may not be used are passed by, pg_catalog comes first
        unless it is named, and the temporary schema before it unless that is named.
        """
        if scope.search_path is None:
            return Unresolved.UNKNOWN_PATH
        key = (scope.search_path, scope.role)
        if key not in self._paths:
            if len(self._paths) >= _MOST_PATHS:
                self._paths.clear()
            self._paths[key] = self._compute_path(*key)
        found = self._paths[key]
        return Unresolved.UNKNOWN_ROLE if found is None else found

    def _compute_path(self, entries: Iterable[str], role_name: str) -> tuple[int, ...] | None:
        snapshot = self._snapshot
        role = snapshot.roles_by_name.get(role_name)
        if role is None:
            return None
        path: dict[int, None] = {}
        for entry in entries:
            if entry == PG_TEMP:
                path.setdefault(_TEMPORARY)
                continue
            schema = snapshot.schemas_by_name.get(role.name if entry == "$user" else entry)
            if schema is not None and snapshot.may_use_schema(role, schema):
                path.setdefault(schema.oid)
        before = [oid for oid in (_TEMPORARY, PG_CATALOG) if oid not in path]
        return (*before, *path)

    def _schemas_of_callables(self, scope: Scope, schema: str | None) -> Sequence[int] | Unresolved:
        """Where functions and operators are looked for: never in the temporary schema, unless it is named."""
        if scope.after_ddl:
            return Unresolved.AFTER_DDL
        if schema is not None:
            oid = self._explicit(schema)
            return (oid,) if isinstance(oid, int) else oid
        path = self.path(scope)
        return path if isinstance(path, Unresolved) else [oid for oid in path if oid != _TEMPORARY]

    def _explicit(self, schema: str) -> int | Unresolved:
        if schema == PG_TEMP or schema.startswith(("pg_temp_", "pg_toast_temp_")):
            return Unresolved.TEMPORARY
        found = self._snapshot.schemas_by_name.get(schema)
        return Unresolved.ABSENT if found is None else found.oid


_MOST_PATHS: Final = 10_000


def _takes(function: Function, count: int) -> bool:
    """Whether a call with so many arguments may mean it (FuncnameGetCandidates)."""
    most = len(function.arguments)
    return count == most or most - function.defaults <= count < most or (function.variadic and count >= most)
