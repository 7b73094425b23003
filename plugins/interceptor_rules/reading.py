"""From the facts of a message to what rules are tried on: its statements, and those that they reach."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from interceptor import MessageFacts, QualifiedName, StatementFacts
from interceptor.catalogue import (
    Action,
    Expression,
    Function,
    FunctionKind,
    FunctionSource,
    read_body,
)
from interceptor.catalogue.reading import calls_of
from interceptor.catalogue.variables import variable_types
from interceptor.sql.bodies import BodyFacts, MadeFunction
from interceptor.sql.facts import Access, ColumnUse, OpaqueReason, RelationUse, Via
from interceptor.sql.functions import RUN_SQL_IN_TEXT
from interceptor_rules.defining import read_definition
from interceptor_rules.following import world_behind
from interceptor_rules.inputs import makes_row, named_type, runs_code_of_values
from interceptor_rules.kinds import kinds_of
from interceptor_rules.making import Made, named
from interceptor_rules.subjects import Subject, Use
from interceptor_rules.traits import (
    PATH_SETTINGS,
    ROLE_SETTINGS,
    SET_CONFIG,
    changes_names,
    flattened,
    installs,
    makes_routine,
    may_be_catalogue,
    misleads,
    written,
)
from interceptor_rules.upkeep import compared_by_name, computed
from interceptor_rules.world import FIRST_USER_OID, Reach, World
from interceptor_rules.writing import note_write

__all__ = ["MessageReader"]

_UNREAD: Final = frozenset(
    [
        OpaqueReason.UNPARSABLE,
        OpaqueReason.TOO_LONG,
        OpaqueReason.TOO_DEEP,
        OpaqueReason.TOO_COMPLEX,
        OpaqueReason.LEXING,
        OpaqueReason.UNKNOWN_SYNTAX,
    ]
)
_MOST_USES: Final = 20_000
_MOST_SUBJECTS: Final = 1000
_OPAQUE_KINDS: Final = frozenset(["do", "load"])
_PREPARES: Final = frozenset(["prepare", "execute", "deallocate", "discard"])
_UNCOVERING: Final = frozenset(["drop", "alter", "grant", "revoke", "reassign"])
"""Statements after which a name may mean what was hidden by another thing of that name."""


class MessageReader:
    """Reads the statements of one message, one after the other: each may change what names mean to the next."""

    def __init__(self, world: World, *, names_columns: bool, made: Made = ()) -> None:
        """``names_columns``: whether any rule is about columns; they cost time. ``made``: functions that are newer than
        the catalogue."""
        self._made = made
        self.needs_made = False
        """A function is called that the transaction may have made, or made anew."""
        self.world = world
        self.names_columns = names_columns
        self.reads_together = False
        """What a part of a statement does depends on its other parts."""
        self._alone = False
        self._stored = False
        self._bodies: dict[tuple[MadeFunction, World], Subject] = {}
        self.executes: list[str] = []
        """The prepared statements that the message runs, where it is nothing but one EXECUTE."""

    def read(self, facts: MessageFacts) -> list[Subject]:
        """The statements of the message, nested ones too, each with those that it reaches."""
        if sum([len(one.columns) + len(one.relations) + len(one.functions) for one in facts.all]) > _MOST_USES:
            subject = Subject(frozenset(), "", unread="it names more than is looked at")
            return [subject]
        found: list[Subject] = []
        several = len(facts.statements) > 1
        self._alone = not several
        for top in facts.statements:
            places = (top.start, top.end)
            for one in map(self._as_called, flattened(top)):
                subject = self._read_statement(one, self.world, "")
                subject.start, subject.end = places
                self._follow(subject)
                found.append(subject)
                if several or one.settings or SET_CONFIG in subject.functions:
                    self.world = world_behind(one, subject, self.world)
                if several and one.kind in _UNCOVERING:
                    self.world = self.world.uncovered()
                self._read_made_again(one, subject)
        return found

    def _as_called(self, facts: StatementFacts) -> StatementFacts:
        """With all functions that this server calls."""
        if not facts.calls_before_17 or self.world.closures is None:
            return facts
        return msgspec.structs.replace(facts, functions=calls_of(facts, self.world.snapshot.server_version))

    def read_function(self, oid: int) -> Subject:
        """What a FunctionCall message is."""
        subject = Subject(frozenset(["select"]), "read")
        if self.world.closures is None:
            subject.opaque.append("it calls a function by its number, and there is no catalogue to look it up")
            return subject
        function = self.world.snapshot.functions.get(oid)
        if function is None:
            subject.opaque.append("it calls a function that is not in the catalogue")
            return subject
        if not self.world.worlds.trusts(function, self.world.snapshot):
            subject.opaque.append("it is a FunctionCall message")
        self.call(subject, function, self.world)
        self._follow(subject)
        return subject

    def _follow(self, subject: Subject) -> None:
        """Add to a statement what the functions do that it calls, and those that they call."""
        if not subject.calls:
            return
        seen = set(subject.calls)
        waiting = list(subject.calls)
        while waiting:
            oid, world = waiting.pop()
            assert isinstance(world, World)
            body = world.bodies.get(oid)
            if body is None:
                body = world.bodies[oid] = self._read_function(world.snapshot.functions[oid], world)
            _merge(subject, body)
            if len(subject.indirect) > _MOST_SUBJECTS:
                subject.opaque.append("it reaches more statements than are looked at")
                return
            for call in body.calls:
                if call not in seen:
                    seen.add(call)
                    waiting.append(call)

    # --- Statements ------------------------------------------------------------------------------------------------

    def _read_statement(self, facts: StatementFacts, world: World, origin: str) -> Subject:
        subject = Subject(kinds_of(facts), facts.group, facts, origin)
        # What a body calls that isn't there yet is looked at when the body is: whoever uses it is tried.
        self._stored = facts.via is Via.FUNCTION and not facts.runs
        if facts.opaque or facts.copy is not None or facts.kind in _OPAQUE_KINDS:
            self._read_opaque(subject, facts, world)
        for setting in facts.settings:
            if misleads(setting):
                subject.unread = f"with this value of {setting.name}, texts are read in another way"
        for relation in facts.relations:
            self._read_relation(subject, facts, relation, world)
        calling = world
        if facts.settings and facts.kind not in ("set", "reset", "begin") and any(map(changes_names, facts.settings)):
            # set_config acts before a function is called that stands behind it.
            calling = world.with_path(None)
        for call in facts.functions:
            type_name = named_type(call)
            if type_name is not None:
                self.read_type(subject, type_name, calling)
            self._read_function_name(subject, call.name, len(call.texts), calling, told=type_name is not None)
        if any(map(makes_row, facts.functions)):
            self.reads_together = True
            for use in facts.relations:
                for candidate in world.relations(use.name):
                    for oid in world.types_of_columns(candidate):
                        self.make_value(subject, oid, calling)
        for name in facts.operators:
            self.call_all(subject, world.user_operators(name), calling, f"the operator {name}")
        for name in facts.types:
            self.read_type(subject, name, calling)
        if world.closures is not None and world.worlds.cast_types:
            self._read_casts(subject, facts, calling)
        if self.names_columns or world.closures is not None:
            for column in facts.columns:
                self._read_column(subject, column, world)
        if facts.into is not None or facts.via is Via.CREATE_AS or (facts.kind == "create" and "table" in facts.words):
            self._read_copied_types(subject, facts, world)
        if facts.objects or facts.alterations or facts.group in ("ddl", "dcl", "utility"):
            read_definition(self, subject, facts, world)
            for expression in (*computed(facts, world), *compared_by_name(facts, world)):
                self._read_expression(subject, expression, "what is computed of rows", world)
        return subject

    def _read_opaque(self, subject: Subject, facts: StatementFacts, world: World) -> None:
        nested = subject.origin != ""
        for why in facts.opaque:
            if why.reason in _UNREAD and not facts.kind:
                subject.unread = why.reason.value
            elif why.reason is OpaqueReason.CALL:
                # A procedure that a body calls is followed by its name.
                if not nested and not self._calls_trusted(facts, world):
                    subject.opaque.append("it calls a procedure")
            elif (
                why.reason is OpaqueReason.EXTENSION and installs(facts) and world.worlds.trusted_extension(why.detail)
            ):
                pass
            elif why.reason is OpaqueReason.EXECUTE and self._alone and not nested:
                self.executes.append(why.detail)
            else:
                detail = f" ({why.detail})" if why.detail else ""
                subject.opaque.append(f"{why.reason.value}{detail}")
        if facts.kind == "do" and not nested:
            subject.opaque.append("it is a DO block")
        elif facts.kind == "load":
            subject.opaque.append("it loads a library")
        if facts.copy is not None and facts.copy.program is not None:
            subject.opaque.append("it runs a program on the server")

    def _calls_trusted(self, facts: StatementFacts, world: World) -> bool:
        candidates = world.functions(facts.functions[0].name, len(facts.functions[0].texts))
        if candidates:
            return all(world.worlds.trusts(one, world.snapshot) for one in candidates)
        name = facts.functions[0].name
        return world.worlds.trusted_functions(name.schema or "", name.name)

    # --- Relations -------------------------------------------------------------------------------------------------

    def _read_relation(self, subject: Subject, facts: StatementFacts, use: RelationUse, world: World) -> None:
        name, access = use.name, use.access
        if world.is_storage(name.schema):
            subject.everything = f"{name} holds the contents of some table"
        candidates = world.relations(name)
        actions: Sequence[Action] = (Action.SELECT,)
        if access is Access.WRITE:
            actions = written(facts)
        label = access.value if access in (Access.DEFINE, Access.MENTION) else ""
        if access in (Access.DEFINE, Access.WRITE):
            known = bool(candidates) or world.closures is None
            subject.known_tables = subject.known_tables or known
            subject.new_tables = subject.new_tables or not known
        if world.closures is None and not world.is_assumed:
            subject.opaque.append(f"there is no catalogue, so that it isn't known what {name} is")
        if access is Access.DEFINE and facts.kind in ("alter", "drop") and any(map(world.is_catalogue, candidates)):
            subject.opaque.append(f"it alters the catalogue {name}")
        if not candidates:
            if access is Access.WRITE and world.is_assumed and may_be_catalogue(name):
                subject.opaque.append(f"it may write to the catalogue {name}")
            # What is altered is there, and what this transaction made was tried when it did. Indexes are with tables.
            makes = access is Access.DEFINE and facts.kind == "create" and "index" not in facts.words
            schema = world.written_schema(name, defines=makes)
            for action in actions:
                subject.uses.append(Use(schema, name.name, label or action.value))
            return
        for relation in candidates:
            for action in actions:
                reach = world.reach(relation, action)
                if not reach.simple:
                    self.reached(subject, reach, world)
                if label:
                    subject.uses += [one if one.through else Use(one.schema, one.name, label) for one in reach.uses]
                else:
                    subject.uses += reach.uses

    def reached(self, subject: Subject, reach: Reach, world: World) -> None:
        """Note the columns and functions that come with a relation."""
        subject.columns |= reach.columns
        for name in reach.names:
            subject.functions.setdefault(name, "what it reads or writes")
            note_write(subject, *name)
        subject.opaque.extend(reach.opaque)
        self.call_all(subject, reach.functions, world, "")
        for origin, touched in reach.rules:
            self._read_touched(subject, origin, touched, world)

    def _read_touched(self, subject: Subject, origin: str, touched: Iterable[tuple[int, Action]], world: World) -> None:
        """Statements of which only the relations are known."""
        for oid, action in touched:
            relation = world.snapshot.relations.get(oid)
            if relation is None:
                continue
            group = "read" if action is Action.SELECT else "write"
            inner = Subject(frozenset([action.value]), group, None, origin)
            inner.use(world.reach(relation, action).uses)
            subject.indirect.append(inner)

    # --- Functions -------------------------------------------------------------------------------------------------

    def _read_function_name(
        self, subject: Subject, name: QualifiedName, count: int, world: World, *, told: bool = False
    ) -> None:
        """``told``: the arguments tell whose code it runs, and that is read."""
        candidates = world.functions(name, count)
        for function in candidates:
            self.call(subject, function, world, told=told)
        made = named(self._made, name) if self._made else ()
        if not candidates or (world.in_doubt and candidates[-1].oid >= FIRST_USER_OID):
            self.needs_made = True
        for one in made:
            self._call_made(subject, one, world)
        if candidates or made:
            return
        subject.functions[(name.schema, name.name)] = ""
        if world.is_assumed and name.schema is None:
            note_write(subject, "pg_catalog", name.name)
        if self._stored:
            return
        if world.is_assumed and world.is_builtin(name):
            return
        if not world.worlds.trusted_functions(name.schema or "", name.name):
            subject.opaque.append(f"the function {name} is not in the catalogue")

    def call(
        self, subject: Subject, function: Function, world: World, through: str = "", *, told: bool = False
    ) -> None:
        """Note that a function is called, ``through`` something or by the statement itself."""
        schema, name = world.snapshot.qualified_name(function)
        if subject.functions.get((schema, name), " "):
            subject.functions[(schema, name)] = through
        if world.worlds.trusts(function, world.snapshot):
            return
        note_write(subject, schema, name)
        if function.oid >= FIRST_USER_OID:
            subject.calls.append((function.oid, _inside(function, world)))
        elif schema == "pg_catalog" and name in RUN_SQL_IN_TEXT:
            subject.opaque.append(f"the function {name} runs SQL that it is given as text")
        elif schema == "pg_catalog" and not told and runs_code_of_values(name, world.snapshot):
            subject.opaque.append(f"the function {name} runs what was made for the type or table that it is given")

    def _call_made(self, subject: Subject, made: MadeFunction, world: World) -> None:
        subject.functions.setdefault((made.name.schema, made.name.name), "")
        if world.worlds.trusted_functions(made.name.schema or "", made.name.name):
            return
        world = _inside_made(made, world)
        body = self._bodies.get((made, world))
        if body is None:
            origin = f"the function {made.name}"
            # Where it calls itself, what it does is counted once.
            body = self._bodies[made, world] = Subject(frozenset(), "", origin=origin)
            self._read_body(body, made.body, origin, world)
        _merge(subject, body)
        subject.calls.extend(body.calls)

    def call_all(self, subject: Subject, oids: Iterable[int], world: World, through: str) -> None:
        """Note that functions are called, as far as the catalogue knows them."""
        for oid in oids:
            function = world.snapshot.functions.get(oid)
            if function is not None:
                self.call(subject, function, world, through or "what it reads or writes")

    def _read_function(self, function: Function, world: World) -> Subject:
        """What a function that anybody made does by itself, in the world in which its body runs."""
        snapshot = world.snapshot
        origin = f"the function {'.'.join(snapshot.qualified_name(function))}"
        subject = Subject(frozenset(), "", origin=origin)
        for type_oid in (*function.arguments, function.result):
            self.make_value(subject, type_oid, world)
        self.call_all(subject, snapshot.argument_defaults(function.oid).functions, world, origin)
        if function.kind in (FunctionKind.AGGREGATE, FunctionKind.WINDOW) and function.parts:
            self.call_all(subject, function.parts, world, origin)
            return subject
        body = snapshot.sql_body(function.oid)
        source = snapshot.source(function.oid)
        if body is not None:
            self._read_expression(subject, body, origin, world)
        elif source is None or function.language not in ("sql", "plpgsql"):
            subject.opaque.append(f"{origin} is in the language {function.language}, which can't be read")
        else:
            self._read_text(subject, function, source, origin, world)
        return subject

    def _read_expression(self, subject: Subject, body: Expression, origin: str, world: World) -> None:
        """A body in standard SQL, of which the catalogue keeps what it names."""
        snapshot = world.snapshot
        self._read_touched(subject, origin, body.relations, world)
        for oid, action in body.relations:
            relation = snapshot.relations.get(oid)
            if relation is not None:
                reach = world.reach(relation, action)
                self.reached(subject, reach, world)
                subject.use(reach.uses)
        for oid, number in body.columns:
            subject.columns |= world.columns_of(oid, number)
        operators = [snapshot.operators[one].function for one in body.operators if one in snapshot.operators]
        self.call_all(subject, [*body.functions, *operators], world, origin)
        for oid in body.types:
            self.make_value(subject, oid, world)
        if body.unread:
            subject.opaque.append(f"{origin}: {body.unread}")

    def _read_text(
        self, subject: Subject, function: Function, source: FunctionSource, origin: str, world: World
    ) -> None:
        self._read_body(subject, read_body(function, source, world.snapshot), origin, world)
        if function.language == "plpgsql":
            for oid in variable_types(world.snapshot, source.text):
                self.make_value(subject, oid, world)

    def _read_body(self, subject: Subject, facts: BodyFacts, origin: str, world: World) -> None:
        for why in facts.opaque:
            if why.reason is not OpaqueReason.CALL:
                subject.opaque.append(f"{origin}: {why.reason.value}")
        for one in map(self._as_called, facts.statements):
            statement = self._read_statement(one, world, origin)
            subject.indirect.append(statement)
            subject.indirect.extend(statement.indirect)
            statement.indirect = []
            subject.calls.extend(statement.calls)
            subject.use(statement.uses)
            subject.columns |= statement.columns | statement.columns_written
            for name, through in statement.functions.items():
                subject.functions.setdefault(name, through)
            if one.kind in _PREPARES:
                subject.opaque.append(f"{origin} makes prepared statements, or takes them away")
            if any(map(changes_names, one.settings)):
                subject.opaque.append(f"{origin} changes what names mean on its way")

    # --- Types -----------------------------------------------------------------------------------------------------

    def read_type(self, subject: Subject, name: QualifiedName, world: World) -> None:
        """Note what runs when values of a type are made."""
        for one in world.types(name):
            self.make_value(subject, one.oid, world)

    def _read_copied_types(self, subject: Subject, facts: StatementFacts, world: World) -> None:
        """A table is made with columns of others: what it is of nobody knows before it is in the catalogue, where
        something temporary never is."""
        for use in facts.relations:
            if use.access is Access.READ or use.access is Access.MENTION:
                for relation in world.relations(use.name):
                    for oid in world.types_of_columns(relation):
                        self.make_value(subject, oid, world)

    def _read_casts(self, subject: Subject, facts: StatementFacts, world: World) -> None:
        """The conversions, made by anybody, that PostgreSQL may call for values of the types that occur."""
        worlds = world.worlds
        types = {one.oid for name in facts.types for one in world.types(name)}
        for use in facts.relations:
            for relation in world.relations(use.name):
                types |= world.types_of_columns(relation)
        for call in facts.functions:
            types |= {function.result for function in world.functions(call.name, len(call.texts))}
        for one in types & worlds.cast_types.keys():
            self.call_all(subject, worlds.cast_types[one], world, "a cast")

    def make_value(self, subject: Subject, oid: int, world: World) -> None:
        """Note what runs when a value of a type is made: the checks of domains in it."""
        if oid < FIRST_USER_OID or world.closures is None:
            return
        one = world.snapshot.types.get(oid)
        if one is not None and (one.kind in "dc" or one.element or oid in world.snapshot.comparisons):
            reach = world.reach_of_type(one)
            if reach.functions or reach.uses or reach.opaque:
                self.reached(subject, reach, world)
                subject.use(reach.uses)

    # --- Columns ---------------------------------------------------------------------------------------------------

    def _read_column(self, subject: Subject, use: ColumnUse, world: World) -> None:
        every = use.star or use.whole_row
        columns, is_column = world.column_use(use.relations, None if every else use.name)
        if columns:
            target = subject.columns_written if use.written else subject.columns
            target |= columns
        if not is_column and world.closures is not None:
            # t.f is f(t) where t has no column f, and (x).f is f(x).
            for function in world.functions(QualifiedName(use.name), 1):
                if function.oid >= FIRST_USER_OID:
                    self.call(subject, function, world)
            made = named(self._made, QualifiedName(use.name))
            for one in made:
                self._call_made(subject, one, world)
            self.needs_made = self.needs_made or world.in_doubt

    # --- One after the other ---------------------------------------------------------------------------------------

    def _read_made_again(self, facts: StatementFacts, subject: Subject) -> None:
        """What the transaction made may be called by what it also made, of which nobody knows: views, triggers,
        defaults. So where names come to mean something else, its functions are tried under their new meaning."""
        sets = any(map(changes_names, facts.settings)) or SET_CONFIG in subject.functions
        world = self.world
        worlds = {world: None}
        if makes_routine(facts):
            # Bodies run what was made in their own world: of those that were made before, and of this one.
            worlds = {_inside_made(one, world): None for one in self._made if one.settings}
        elif not sets:
            if facts.kind not in _UNCOVERING or world.scope.search_path is None:
                return
            worlds = {world.uncovered(): None}
        self.needs_made = True
        if not self._made:
            return
        again = Subject(frozenset(), "")
        for world in worlds:
            for one in self._made:
                self._call_made(again, one, world)
        self._follow(again)
        again.opaque.clear()  # that matters to who calls them, and he was tried
        _merge(subject, again)


def _merge(subject: Subject, body: Subject) -> None:
    """Add what a function does to what its caller does."""
    subject.use([Use(use.schema, use.name, use.action, body.origin) for use in body.uses])
    subject.columns |= body.columns
    for name, through in body.functions.items():
        subject.functions.setdefault(name, through or body.origin)
    subject.opaque.extend(body.opaque)
    subject.indirect.extend(body.indirect)


def _inside(function: Function, world: World) -> World:
    """The world in which the body of a function runs."""
    if function.security_definer:
        owner = world.snapshot.roles.get(function.owner)
        world = world.with_role(None if owner is None else owner.name)
    for setting in function.settings:
        key, _, value = setting.partition("=")
        if key.lower() == "search_path":
            world = world.with_path(value)
    return world


def _inside_made(made: MadeFunction, world: World) -> World:
    """The same for a function that the transaction made."""
    if made.security_definer:
        world = world.with_role(None)
    for name, value in made.settings:
        if name in PATH_SETTINGS or name in ROLE_SETTINGS:
            world = world.with_path(value if name == "search_path" else None)
    return world
