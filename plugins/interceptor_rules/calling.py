"""What a statement reaches: the functions that it calls, what their bodies do, and what runs when values are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final

import msgspec

from interceptor import QualifiedName, StatementFacts
from interceptor.catalogue import Action, Expression, Function, FunctionKind, FunctionSource, read_body
from interceptor.catalogue.model import FIRST_USER_OID
from interceptor.catalogue.reading import calls_of
from interceptor.catalogue.variables import variable_types
from interceptor.sql.bodies import BodyFacts, MadeFunction
from interceptor.sql.facts import OpaqueReason
from interceptor.sql.functions import RUN_SQL_IN_TEXT
from interceptor_rules.inputs import runs_code_of_values
from interceptor_rules.making import Made
from interceptor_rules.subjects import Subject, Use
from interceptor_rules.traits import PATH_SETTINGS, ROLE_SETTINGS, changes_names
from interceptor_rules.world import Reach, World
from interceptor_rules.writing import note_write

__all__ = ["CallReader", "inside_made", "merge"]

_MOST_SUBJECTS: Final = 1000
_PREPARES: Final = frozenset(["prepare", "execute", "deallocate", "discard"])


class CallReader(ABC):
    """Follows the calls of a statement into the bodies of functions, whose statements are read as its own are."""

    def __init__(self, world: World, made: Made) -> None:
        """``made``: functions that are newer than the catalogue."""
        self.world = world
        self._made = made
        self._bodies: dict[tuple[MadeFunction, World], Subject] = {}

    @abstractmethod
    def _read_statement(self, facts: StatementFacts, world: World, origin: str) -> Subject:
        """What a statement names, in this world; ``origin``: what holds it, if it isn't in the text."""

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
            merge(subject, body)
            if len(subject.indirect) > _MOST_SUBJECTS:
                subject.opaque.append("it reaches more statements than are looked at")
                return
            for call in body.calls:
                if call not in seen:
                    seen.add(call)
                    waiting.append(call)

    # --- Functions ----------------------------------------------------------------------------------------------------

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

    def call_all(self, subject: Subject, oids: Iterable[int], world: World, through: str) -> None:
        """Note that functions are called, as far as the catalogue knows them."""
        for oid in oids:
            function = world.snapshot.functions.get(oid)
            if function is not None:
                self.call(subject, function, world, through or "what it reads or writes")

    def _call_made(self, subject: Subject, made: MadeFunction, world: World) -> None:
        subject.functions.setdefault((made.name.schema, made.name.name), "")
        if world.worlds.trusted_functions(made.name.schema or "", made.name.name):
            return
        world = inside_made(made, world)
        body = self._bodies.get((made, world))
        if body is None:
            origin = f"the function {made.name}"
            # Where it calls itself, what it does is counted once.
            body = self._bodies[made, world] = Subject(frozenset(), "", origin=origin)
            self._read_body(body, made.body, origin, world)
        merge(subject, body)
        subject.calls.extend(body.calls)

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

    # --- Bodies -------------------------------------------------------------------------------------------------------

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

    def _as_called(self, facts: StatementFacts) -> StatementFacts:
        """With all functions that this server calls."""
        if not facts.calls_before_17 or self.world.closures is None:
            return facts
        return msgspec.structs.replace(facts, functions=calls_of(facts, self.world.snapshot.server_version))

    # --- Relations, and types -----------------------------------------------------------------------------------------

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

    def read_type(self, subject: Subject, name: QualifiedName, world: World) -> None:
        """Note what runs when values of a type are made."""
        for one in world.types(name):
            self.make_value(subject, one.oid, world)

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


def merge(subject: Subject, body: Subject) -> None:
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


def inside_made(made: MadeFunction, world: World) -> World:
    """The same for a function that the transaction made."""
    if made.security_definer:
        world = world.with_role(None)
    for name, value in made.settings:
        if name in PATH_SETTINGS or name in ROLE_SETTINGS:
            world = world.with_path(value if name == "search_path" else None)
    return world
