"""One database's catalogue as it was at one moment: look-ups by oid, and by schema and name."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from interceptor.catalogue.expressions import NOTHING
from interceptor.catalogue.model import (
    Cast,
    Column,
    Expression,
    ForeignKey,
    Function,
    Operator,
    Policy,
    Relation,
    Role,
    Rule,
    Schema,
    Trigger,
    Type,
)

__all__ = ["FunctionSource", "Snapshot"]

_COMPRESSED_FROM: Final = 256
"""Bytes from which on a source is kept compressed: below, nothing is won."""


class FunctionSource(msgspec.Struct, frozen=True):
    """What is needed to read a function's body."""

    text: str
    """``pg_proc.prosrc``."""
    argument_names: list[str] = []
    """Of all arguments, output ones too; "" for one without a name. Empty if none has a name."""
    argument_modes: list[str] = []
    """Of all arguments: "i", "o", "b", "v", "t". Empty if all are inputs."""
    all_arguments: list[int] = []
    """The types of all arguments. Empty if all are inputs: see ``Function.arguments``."""


_decode_name: Final = msgspec.json.Decoder(str).decode
_decode_source: Final = msgspec.json.Decoder(FunctionSource).decode


@dataclass(slots=True, eq=False, repr=False)
class Snapshot:
    """A catalogue at one moment. Filled by ``loading.load``, never changed afterwards.

    ``digest`` identifies the content of the catalogue: two snapshots of one database with the same digest hold the
    same. ``taken_at`` is PostgreSQL's own snapshot (``pg_current_snapshot``).
    """

    version: int = 0
    server_version: int = 0
    """As 180004."""
    database_owner: int = 0
    database_settings: Mapping[str, str] = field(default_factory=dict)
    """ALTER DATABASE … SET."""
    digest: bytes = b""
    taken_at: str = ""

    schemas: dict[int, Schema] = field(default_factory=dict)
    schemas_by_name: dict[str, Schema] = field(default_factory=dict)
    roles: dict[int, Role] = field(default_factory=dict)
    roles_by_name: dict[str, Role] = field(default_factory=dict)
    relations: dict[int, Relation] = field(default_factory=dict)
    functions: dict[int, Function] = field(default_factory=dict)
    operators: dict[int, Operator] = field(default_factory=dict)
    types: dict[int, Type] = field(default_factory=dict)
    casts: dict[tuple[int, int], Cast] = field(default_factory=dict)
    """By source and target."""

    children: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Partitions and tables that inherit, by their parent: one level."""
    parents: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """The other way round."""
    rules: dict[int, list[Rule]] = field(default_factory=dict)
    policies: dict[int, list[Policy]] = field(default_factory=dict)
    triggers: dict[int, list[Trigger]] = field(default_factory=dict)
    foreign_keys: dict[int, list[ForeignKey]] = field(default_factory=dict)
    """By the relation that refers."""
    referenced_by: dict[int, list[ForeignKey]] = field(default_factory=dict)
    """By the relation that is referred to."""
    defaults: dict[int, dict[int, Expression]] = field(default_factory=dict)
    """By relation and column: defaults, and the expressions of generated columns."""
    checks: dict[int, list[Expression]] = field(default_factory=dict)
    """CHECK and EXCLUDE constraints by relation."""
    type_checks: dict[int, list[Expression]] = field(default_factory=dict)
    """CHECK constraints by domain."""
    write_expressions: dict[int, list[Expression]] = field(default_factory=dict)
    """What indexes and partition keys compute for each row written, by relation; PostgreSQL's own functions as well."""
    computing_indexes: dict[int, int] = field(default_factory=dict)
    """Indexes that compute anything, or whose operator class isn't PostgreSQL's own, and their relations."""
    statistics: dict[int, list[Expression]] = field(default_factory=dict)
    """What ANALYZE computes for CREATE STATISTICS, by relation."""
    comparisons: dict[int, frozenset[int]] = field(default_factory=dict)
    """By type the functions that its default operator classes and, for a range, its own working call, if anybody made
    them; those in C that an extension brought are left out. 0: of the operator classes that are no type's default."""
    event_triggers: frozenset[int] = frozenset()
    """The functions that data definition fires."""

    _columns: dict[int, bytes] = field(default_factory=dict)
    _sources: dict[int, bytes] = field(default_factory=dict)
    _sql_bodies: dict[int, Expression] = field(default_factory=dict)
    _argument_defaults: dict[int, Expression] = field(default_factory=dict)
    _relation_names: dict[int, dict[str, Relation]] = field(default_factory=lambda: defaultdict(dict))
    _function_names: dict[str, dict[int, list[Function]]] = field(default_factory=dict)
    _operator_names: dict[str, dict[int, list[Operator]]] = field(default_factory=dict)
    _type_names: dict[int, dict[str, Type]] = field(default_factory=lambda: defaultdict(dict))
    left_out: frozenset[int] = frozenset()
    """Functions whose source was too large to keep; see ``source``."""
    source_bytes: int = 0
    """Bytes that the sources take."""
    _privileges: dict[int, frozenset[int]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Snapshot {self.version}: {len(self.relations)} relations, {len(self.functions)} functions>"

    # --- By oid ------------------------------------------------------------------------------------------------------

    def columns(self, relation: int) -> tuple[Column, ...]:
        """The columns of a relation in their order; empty for an index, a sequence, or an oid that isn't known.

        Decoded when asked for, 20 µs for 20 columns, and not kept.
        """
        text = self._columns.get(relation)
        return () if text is None else tuple(map(_decode_column, text.decode().split("\n")))

    def source(self, function: int) -> FunctionSource | None:
        """The text of a function; None for one in C, one of PostgreSQL's own, or one that was too large to keep."""
        packed = self._sources.get(function)
        if packed is None:
            return None
        return _decode_source(packed if packed[:1] == b"{" else zlib.decompress(packed))

    def sql_body(self, function: int) -> Expression | None:
        """What the body of a function in standard SQL (BEGIN ATOMIC, RETURN) names; None for one that has a text."""
        return self._sql_bodies.get(function)

    def argument_defaults(self, function: int) -> Expression:
        """What the defaults of a function's arguments name."""
        return self._argument_defaults.get(function, NOTHING)

    def qualified_name(self, thing: Relation | Function | Operator | Type) -> tuple[str, str]:
        """Schema and name, unquoted."""
        schema = self.schemas.get(thing.schema)
        return ("" if schema is None else schema.name), thing.name

    def descendants(self, relation: int) -> tuple[int, ...]:
        """Partitions and children of a relation at any depth, without itself."""
        found: dict[int, None] = {}
        waiting = list(self.children.get(relation, ()))
        while waiting:
            one = waiting.pop()
            if one not in found:
                found[one] = None
                waiting.extend(self.children.get(one, ()))
        return tuple(found)

    def ancestors(self, relation: int) -> tuple[int, ...]:
        """What a relation is a partition of or inherits from, at any distance, without itself."""
        found: dict[int, None] = {}
        waiting = list(self.parents.get(relation, ()))
        while waiting:
            one = waiting.pop()
            if one not in found:
                found[one] = None
                waiting.extend(self.parents.get(one, ()))
        return tuple(found)

    # --- By schema and name ------------------------------------------------------------------------------------------

    def relation_named(self, schema: int, name: str) -> Relation | None:
        """The relation of any kind, indexes too, with this name in this schema."""
        names = self._relation_names.get(schema)
        return None if names is None else names.get(name)

    def functions_named(self, name: str) -> Mapping[int, list[Function]]:
        """The functions with this name, by schema."""
        return self._function_names.get(name, {})

    def operators_named(self, name: str) -> Mapping[int, list[Operator]]:
        """The operators with this name, by schema."""
        return self._operator_names.get(name, {})

    def type_named(self, schema: int, name: str) -> Type | None:
        """The type with this name in this schema."""
        names = self._type_names.get(schema)
        return None if names is None else names.get(name)

    # --- Privileges --------------------------------------------------------------------------------------------------

    def privileges_of(self, role: int) -> frozenset[int]:
        """The roles whose privileges a role has at once: itself, and all that it inherits from."""
        found = self._privileges.get(role)
        if found is None:
            seen = {role}
            waiting = [role]
            while waiting:
                one = self.roles.get(waiting.pop())
                fresh = set() if one is None else one.inherits_from - seen
                seen |= fresh
                waiting.extend(fresh)
            found = self._privileges[role] = frozenset(seen)
        return found

    def may_use_schema(self, role: Role, schema: Schema) -> bool:
        """Whether the role has the privilege USAGE: without it, search_path passes by the schema."""
        if role.superuser or 0 in schema.usage:
            return True
        return not self.privileges_of(role.oid).isdisjoint(schema.usage)

    # --- Filling -----------------------------------------------------------------------------------------------------

    def add_columns(self, relation: int, text: str) -> None:
        """Keep the lines of a relation's columns."""
        self._columns[relation] = text.encode()

    def add_schema(self, schema: Schema) -> None:
        self.schemas[schema.oid] = self.schemas_by_name[schema.name] = schema

    def add_role(self, role: Role) -> None:
        self.roles[role.oid] = self.roles_by_name[role.name] = role

    def add_relation(self, relation: Relation) -> None:
        self.relations[relation.oid] = relation
        self._relation_names[relation.schema][relation.name] = relation

    def add_type(self, one: Type) -> None:
        self.types[one.oid] = one
        self._type_names[one.schema][one.name] = one

    def add_operator(self, operator: Operator) -> None:
        self.operators[operator.oid] = operator
        self._operator_names.setdefault(operator.name, {}).setdefault(operator.schema, []).append(operator)

    def add_function(self, function: Function) -> None:
        self.functions[function.oid] = function
        self._function_names.setdefault(function.name, {}).setdefault(function.schema, []).append(function)

    def add_foreign_key(self, key: ForeignKey) -> None:
        self.foreign_keys.setdefault(key.relation, []).append(key)
        self.referenced_by.setdefault(key.referenced, []).append(key)

    def add_source(self, function: int, source: FunctionSource, limit: int) -> None:
        """Keep a source, unless all sources together would be larger than ``limit`` bytes."""
        packed = msgspec.json.encode(source)
        if len(packed) > _COMPRESSED_FROM:
            packed = zlib.compress(packed, 1)
        if self.source_bytes + len(packed) > limit:
            self.left_out |= {function}
            return
        self.source_bytes += len(packed)
        self._sources[function] = packed

    def add_sql_body(self, function: int, body: Expression) -> None:
        self._sql_bodies[function] = body

    def add_argument_defaults(self, function: int, defaults: Expression) -> None:
        self._argument_defaults[function] = defaults


def _decode_column(line: str) -> Column:
    number, type_oid, modifier, not_null, has_default, identity, generated, name = line.split(" ", 7)
    return Column(
        number=int(number),
        name=_decode_name(name),
        type=int(type_oid),
        type_modifier=int(modifier),
        not_null=not_null == "1",
        has_default=has_default == "1",
        identity=identity.strip("-"),
        generated=generated.strip("-"),
    )
