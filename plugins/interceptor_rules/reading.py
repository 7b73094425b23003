"""From the facts of a message to what rules are tried on: its statements, and those that they reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from interceptor import MessageFacts, QualifiedName, StatementFacts
from interceptor.catalogue import Action
from interceptor.catalogue.model import FIRST_USER_OID
from interceptor.sql.facts import Access, ColumnUse, OpaqueReason, RelationUse, Via
from interceptor_rules.calling import CallReader, inside_made, merge
from interceptor_rules.defining import read_definition
from interceptor_rules.following import world_behind
from interceptor_rules.inputs import makes_row, named_type
from interceptor_rules.kinds import kinds_of
from interceptor_rules.making import Made, named
from interceptor_rules.subjects import Subject, Use
from interceptor_rules.traits import (
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
from interceptor_rules.world import World
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
_MOST_TRIES: Final = 2_000
"""Functions that the transaction made, each under another meaning of names, that are read for one message: some 50 us
each."""
_OPAQUE_KINDS: Final = frozenset(["do", "load"])
_UNCOVERING: Final = frozenset(["drop", "alter", "grant", "revoke", "reassign"])
"""Statements after which a name may mean what was hidden by another thing of that name."""


class MessageReader(CallReader):
    """Reads the statements of one message, one after the other: each may change what names mean to the next."""

    def __init__(self, world: World, *, names_columns: bool, made: Made = ()) -> None:
        """``names_columns``: whether any rule is about columns; they cost time. ``made``: functions that are newer than
        the catalogue."""
        super().__init__(world, made)
        self.needs_made = False
        """A function is called that the transaction may have made, or made anew."""
        self.names_columns = names_columns
        self.reads_together = False
        """What a part of a statement does depends on its other parts."""
        self._tried_again: dict[World, Subject] = {}
        """What the functions that the transaction made do in other worlds."""
        self._alone = False
        self._stored = False
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

    # --- Types -----------------------------------------------------------------------------------------------------

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
            worlds = {inside_made(one, world): None for one in self._made if one.settings}
        elif not sets:
            if facts.kind not in _UNCOVERING or world.scope.search_path is None:
                return
            worlds = {world.uncovered(): None}
        self.needs_made = True
        if not self._made:
            return
        for world in worlds:
            again = self._tried_again.get(world)
            if again is None:
                if len(self._made) * (len(self._tried_again) + 1) > _MOST_TRIES:
                    subject.unread = "it changes too often what names mean in functions that its transaction made"
                    return
                again = self._tried_again[world] = self._try_made(world)
            merge(subject, again)

    def _try_made(self, world: World) -> Subject:
        again = Subject(frozenset(), "")
        for one in self._made:
            self._call_made(again, one, world)
        self._follow(again)
        again.opaque.clear()  # that matters to who calls them, and he was tried
        return again
