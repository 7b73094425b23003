"""What names of a session mean, and what they lead to, as far as rules want to know it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from interceptor.catalogue import (
    Action,
    Closures,
    Function,
    Kind,
    Relation,
    Scope,
    Snapshot,
    Touches,
    Type,
    parse_search_path,
)
from interceptor.catalogue.anywhere import NamesUncovered
from interceptor.catalogue.model import FIRST_USER_OID, PG_CATALOG
from interceptor.sql.facts import QualifiedName
from interceptor_rules.extensions import may_be_believed
from interceptor_rules.scoped import MOST_REMEMBERED, ScopedNames
from interceptor_rules.subjects import ColumnName, FunctionName, Subject, Use

if TYPE_CHECKING:
    from interceptor_rules.glancing import Glance
    from interceptor_rules.ruleset import Subset

__all__ = ["Reach", "World", "Worlds"]

_SYSTEM_COLUMNS: Final = frozenset(["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"])
_SCHEMAS_OF_STORAGE: Final = "pg_toast"
_MOST_SCOPES: Final = 1000
_MOST_GLANCES: Final = 100


@dataclass(frozen=True, slots=True)
class Reach:
    """What an action on one relation, or a value of one type, reaches in the end."""

    uses: tuple[Use, ...]
    columns: frozenset[ColumnName]
    functions: tuple[int, ...]
    """Those that anybody made."""
    names: tuple[FunctionName, ...]
    """Of all of them, PostgreSQL's own too."""
    opaque: tuple[str, ...]
    rules: tuple[tuple[str, frozenset[tuple[int, Action]]], ...]
    """Of rewrite rules that run: name, and what they touch."""
    simple: bool
    """Nothing is reached but relations."""


class Worlds:
    """The world of each session's scope, kept as long as the catalogue is the same.

    ``trusted_functions`` and ``trusted_tables`` say whether somebody vouched for a function, or a foreign table, by
    schema and name; ``trusted_extension`` for an extension by its name; ``guarded`` whether any rule names columns
    of a table.
    """

    def __init__(
        self,
        trusted_functions: Callable[[str, str], bool],
        trusted_tables: Callable[[str, str], bool],
        guarded: Callable[[str | None, str], bool],
        *,
        trusted_extension: Callable[[str], bool] = lambda name: False,
        trusts_any: bool = False,
        assumes: bool = False,
    ) -> None:
        """``trusts_any``: whether ``trusted_functions`` is true for any name. ``assumes``: without a catalogue, names
        are taken for what they say, and not for the worst."""
        self.assumes = assumes
        self.trusts_any = trusts_any
        self.trusted_functions = trusted_functions
        self.trusted_tables = trusted_tables
        self.trusted_extension = trusted_extension
        self.guarded = guarded
        self._closures: Closures | None = None
        self._mine: Closures | None = None
        self._uncovered: Closures | None = None
        """For transactions that took away what may have hidden another thing of the same name."""
        self._known: dict[Scope, World] = {}
        self._casts: dict[int, list[int]] | None = None
        self._glances = 0
        self._last: World | None = None

    def of(self, closures: Closures | None, scope: Scope) -> World:
        """The world of a scope. ``closures`` None: there is no catalogue."""
        last = self._last
        if last is not None and last.scope is scope and closures is self._closures:
            return last
        if closures is not self._closures or len(self._known) > _MOST_SCOPES:
            self._closures = closures
            self._known = {}
            self._mine = self._uncovered = self._casts = None
            self._glances = 0
            self._last = None
        if self._mine is None and closures is not None:
            snapshot = closures.snapshot

            def trusted(function: Function) -> bool:
                return self.trusts(function, snapshot)

            self._mine = Closures(snapshot, trusted=trusted, key_checks=False, compares=True)
            names = NamesUncovered(snapshot)
            self._uncovered = Closures(snapshot, trusted=trusted, key_checks=False, compares=True, names=names)
        self._last = self.world(scope)
        return self._last

    def world(self, scope: Scope) -> World:
        """The world of a scope in the catalogue that ``of`` was given last."""
        world = self._known.get(scope)
        if world is None:
            closures = self._uncovered if scope.after_ddl else self._mine
            world = self._known[scope] = World(self, closures, scope)
        return world

    def trusts(self, function: Function, snapshot: Snapshot) -> bool:
        """Whether somebody vouched for a function, so that it is not looked into."""
        if may_be_believed(function) and self.trusted_extension(function.extension):
            return True
        return self.trusted_functions(*snapshot.qualified_name(function))

    def count_glance(self) -> None:
        """One more is kept. All are forgotten where they are too many."""
        self._glances += 1
        if self._glances > _MOST_GLANCES:
            self._glances = 1
            for world in self._known.values():
                world.glances.clear()

    # --- What is the same for all scopes of one catalogue ------------------------------------------------------------

    @property
    def cast_types(self) -> dict[int, list[int]]:
        """Types that anybody made, with the functions that convert something to or from each."""
        if self._casts is None:
            self._casts = {}
            for ends, cast in self._snapshot.casts.items():
                if cast.function >= FIRST_USER_OID:
                    for one in ends:
                        if one >= FIRST_USER_OID:
                            self._casts.setdefault(one, []).append(cast.function)
        return self._casts

    @property
    def _snapshot(self) -> Snapshot:
        assert self._mine is not None
        return self._mine.snapshot


class World(ScopedNames):
    """What names mean in one scope, and what they reach."""

    def __init__(self, worlds: Worlds, closures: Closures | None, scope: Scope) -> None:
        super().__init__(closures, scope, assumes=worlds.assumes)
        self.worlds: Final = worlds
        self._reach: dict[tuple[int, Action], Reach] = {}
        self._column_types: dict[int, frozenset[int]] = {}
        self._column_names: dict[int, frozenset[str]] = {}
        self._column_uses: dict[tuple[tuple[QualifiedName, ...], str | None], tuple[frozenset[ColumnName], bool]] = {}
        self.bodies: Final[dict[int, Subject]] = {}
        """What functions do by themselves, as far as it was read: kept here by who reads them."""
        self.glances: Final[dict[Subset, Glance]] = {}
        """What is known of parts of statements for some rules: kept here by ``keep_glance``."""

    def keep_glance(self, subset: Subset, glance: Glance) -> None:
        """Remember it as long as names mean the same."""
        self.worlds.count_glance()
        self.glances[subset] = glance

    # --- Other scopes ------------------------------------------------------------------------------------------------

    def elsewhere(self, scope: Scope) -> World:
        """The world of another scope, of the same catalogue."""
        if scope == self.scope:
            return self
        return self.worlds.world(scope)

    def with_path(self, setting: str | None) -> World:
        """The world under another search_path; None for one that isn't known."""
        return self.elsewhere(replace(self.scope, search_path=None if setting is None else parse_search_path(setting)))

    def with_role(self, role: str | None) -> World:
        """The world of another role; None for one that isn't known."""
        if role is None:
            return self.elsewhere(replace(self.scope, search_path=None))
        return self.elsewhere(self.scope.with_role(role))

    def uncovered(self) -> World:
        """The world behind a statement that may have taken away what hid others of its name."""
        return self if self.scope.after_ddl else self.elsewhere(replace(self.scope, after_ddl=True))

    # --- What names lead to ----------------------------------------------------------------------------------------

    def reach(self, relation: Relation, action: Action) -> Reach:
        """What an action on a relation reaches, itself included."""
        key = (relation.oid, action)
        known = self._reach.get(key)
        if known is None:
            if len(self._reach) > MOST_REMEMBERED:
                self._reach.clear()
            assert self.closures is not None
            touches = [self.closures.relations_touched(relation.oid, action, self._scope)]
            if action is Action.SELECT:
                # A materialized view has rows of its own: those that its definition shows.
                stored = [one for one in touches[0].read if self._is_materialized(one)]
                touches += [self.closures.relations_touched(one, Action.UPDATE, self._scope) for one in stored]
            known = self._reach[key] = self._reached(relation, action, touches)
        return known

    def _is_materialized(self, oid: int) -> bool:
        relation = self.snapshot.relations.get(oid)
        return relation is not None and relation.kind is Kind.MATERIALIZED_VIEW

    def reach_of_type(self, type: Type) -> Reach:
        """What the making of a value of this type reaches."""
        assert self.closures is not None
        touches = [self.closures.type_touches(type.oid, self._scope)]
        if self.snapshot.comparisons:
            touches.append(self.closures.comparison_touches(type.oid, self._scope))
        return self._reached(None, Action.SELECT, touches)

    def _reached(self, start: Relation | None, action: Action, all_touches: Sequence[Touches]) -> Reach:
        snapshot = self.snapshot
        uses: dict[tuple[int, str], Use] = {}
        columns: set[ColumnName] = set()
        functions: dict[int, None] = {}
        names: dict[FunctionName, None] = {}
        opaque: dict[str, None] = {}
        rules: list[tuple[str, frozenset[tuple[int, Action]]]] = []
        via = "" if start is None else ".".join(snapshot.qualified_name(start))
        parts = () if start is None else snapshot.descendants(start.oid)
        for number, touches in enumerate(all_touches):
            for oid, done in touches.relations:
                relation = snapshot.relations.get(oid)
                if relation is None:
                    continue
                if done is not Action.SELECT and self.is_catalogue(relation):
                    # Names, bodies of functions and what belongs to what would be others than were judged.
                    opaque[f"it writes to the catalogue {relation.name}"] = None
                # A materialized view that is read is not written; a row that moves to another partition is updated.
                if (number and start is not None) or (oid in parts and done is not action):
                    done = Action.SELECT if number and start is not None else action
                here = "" if start is not None and oid == start.oid and done is action else via
                for one in (oid, *snapshot.ancestors(oid)):
                    found = snapshot.relations.get(one)
                    if found is not None:
                        schema, name = snapshot.qualified_name(found)
                        uses.setdefault((one, done.value), Use(schema, name, done.value, here))
                rules += [
                    (
                        f"the rule {rule.name} of {'.'.join(snapshot.qualified_name(relation))}",
                        rule.expression.relations,
                    )
                    for rule in snapshot.rules.get(oid, ())
                    if rule.action is done and done is not Action.SELECT
                ]
            for oid, column in touches.columns:
                columns |= self.columns_of(oid, column)
            for oid in touches.functions:
                function = snapshot.functions.get(oid)
                if function is not None:
                    names[snapshot.qualified_name(function)] = None
                    if oid >= FIRST_USER_OID:
                        functions[oid] = None
            for thing in touches.opaque:
                if thing.kind == "relation":
                    relation = snapshot.relations.get(thing.oid)
                    if relation is not None and self.worlds.trusted_tables(*snapshot.qualified_name(relation)):
                        continue
                if thing.kind == "function" and thing.oid >= FIRST_USER_OID:
                    continue  # read by itself
                opaque[f"the {thing.kind} {thing.name}: {thing.because}"] = None
        return Reach(
            tuple(uses.values()), frozenset(columns), tuple(functions), tuple(names), tuple(opaque), tuple(rules),
            not (columns or names or opaque or rules),
        )  # fmt: skip

    # --- Columns -------------------------------------------------------------------------------------------------

    def family(self, relation: Relation) -> list[Relation]:
        """A relation, what it is a part of, and its parts: rows of one are rows of the others."""
        snapshot = self.snapshot
        oids = (relation.oid, *snapshot.ancestors(relation.oid), *snapshot.descendants(relation.oid))
        return [snapshot.relations[oid] for oid in oids if oid in snapshot.relations]

    def columns_of(self, oid: int, number: int) -> set[ColumnName]:
        relation = self.snapshot.relations.get(oid)
        if relation is None:
            return set()
        names = None
        if number:
            names = {column.name for column in self.snapshot.columns(oid) if column.number == number}
        return self.columns(relation, names)

    def columns(self, relation: Relation, names: set[str] | None) -> set[ColumnName]:
        """Columns of a relation by these names, and of what it is a part of; None: all. Only where a rule names some.

        Names that are no columns of it are left out.
        """
        found: set[ColumnName] = set()
        for one in self.family(relation):
            schema, table = self.snapshot.qualified_name(one)
            if self.worlds.guarded(schema, table):
                for column in self.snapshot.columns(one.oid):
                    if names is None or column.name in names:
                        found.add((schema, table, column.name))
        return found

    def types_of_columns(self, relation: Relation) -> frozenset[int]:
        """The types of its columns."""
        known = self._column_types.get(relation.oid)
        if known is None:
            types = [column.type for column in self.snapshot.columns(relation.oid)]
            known = self._column_types[relation.oid] = frozenset(types)
        return known

    def _has_column(self, relation: Relation, name: str) -> bool:
        known = self._column_names.get(relation.oid)
        if known is None:
            names = [column.name for column in self.snapshot.columns(relation.oid)]
            known = self._column_names[relation.oid] = _SYSTEM_COLUMNS.union(names)
        return name in known

    def column_use(self, relations: tuple[QualifiedName, ...], name: str | None) -> tuple[frozenset[ColumnName], bool]:
        """The columns that a name stands for which may belong to these relations, as far as rules may be about them,
        and whether it stands for a column at all. ``name`` None: all columns."""
        key = (relations, name)
        known = self._column_uses.get(key)
        if known is None:
            if len(self._column_uses) > MOST_REMEMBERED:
                self._column_uses.clear()
            known = self._column_uses[key] = self._find_columns(relations, name)
        return known

    def _find_columns(
        self, relations: tuple[QualifiedName, ...], name: str | None
    ) -> tuple[frozenset[ColumnName], bool]:
        found: set[ColumnName] = set()
        is_column = name is None
        for written in relations:
            candidates = self.relations(written)
            if not candidates:
                found.add((self.written_schema(written), written.name, name or "*"))
                is_column = True
            for relation in candidates:
                found |= self.columns(relation, None if name is None else {name})
                is_column = is_column or (name is not None and self._has_column(relation, name))
        return frozenset(found), is_column

    def is_catalogue(self, relation: Relation) -> bool:
        """Whether it is one of the tables in which PostgreSQL keeps what everything else means."""
        return relation.schema == PG_CATALOG and relation.kind is Kind.TABLE

    def is_storage(self, schema: str | None) -> bool:
        """Whether a relation of this schema holds what belongs to tables that can't be told."""
        return schema == _SCHEMAS_OF_STORAGE
