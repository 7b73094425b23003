"""Statements that make, change or drop what others use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from interceptor import QualifiedName, StatementFacts
from interceptor.catalogue import Action, Kind
from interceptor.sql.facts import Access
from interceptor_rules.subjects import Subject
from interceptor_rules.traits import object_types
from interceptor_rules.world import World

if TYPE_CHECKING:
    from interceptor_rules.reading import MessageReader

__all__ = ["read_definition"]

_MOVES_ROWS: Final = frozenset(["add inherit", "drop inherit", "attach partition", "detach partition"])
"""Alterations after which rows are seen, or no longer seen, by the name of another table."""
_VIEWS: Final = frozenset([Kind.VIEW, Kind.MATERIALIZED_VIEW])
_ROUTINES: Final = frozenset(["function", "procedure", "routine", "aggregate"])
_NAMING: Final = frozenset(
    """
    search_path role session_authorization all standard_conforming_strings client_encoding local_preload_libraries
    session_preload_libraries shared_preload_libraries
    """.split()
)
"""Settings that decide what texts mean, or load code. Of ALTER ROLE, ALTER DATABASE and ALTER SYSTEM, which act on
sessions of which it isn't known."""


def read_definition(reader: MessageReader, subject: Subject, facts: StatementFacts, world: World) -> None:
    """Add to a statement's subject what it does to the objects that it makes, changes or drops."""
    for one in facts.objects:
        if one.type == "schema":
            subject.schemas.add(one.name.name)
            if facts.kind == "alter":
                _read_schema(reader, subject, one.name.name, world)
        elif one.type in ("type", "domain") and facts.kind == "alter":
            # By another name it would be looked for in vain, until its transaction is over.
            reader.read_type(subject, one.name, world)
        elif one.type in _ROUTINES:
            _read_routine(reader, subject, facts, one.name, world)
        elif one.type in ("role", "database") and facts.subject in _NAMING:
            subject.opaque.append(f"it changes {facts.subject} in sessions to come")
        elif one.type == "database" and facts.kind == "drop":
            subject.everything = "it drops a database"
        elif one.type == "role" and facts.group == "dcl" and facts.kind in ("drop", "reassign"):
            subject.everything = "it is about all that a role owns"
        elif one.type in ("publication", "subscription"):
            subject.everything = f"it is about a {one.type}"
    if facts.kind == "alter" and facts.group == "utility" and facts.subject in _NAMING:
        subject.opaque.append(f"it changes {facts.subject} in sessions to come")
    if facts.kind == "alter" and world.worlds.trusts_any and any(one.type == "schema" for one in facts.objects):
        subject.opaque.append("it may give functions a name that the rules trust")
    if world.closures is not None:
        reader.call_all(subject, world.snapshot.event_triggers, world, "an event trigger")
    if not reader.names_columns:
        return
    named = {use.relations[0] for use in facts.columns if use.relations}
    for relation in facts.relations:
        changed: set[str] | None = {one.column for one in facts.alterations if one.column is not None}
        if not facts.alterations or any(one.action in _MOVES_ROWS for one in facts.alterations):
            changed = None
        if relation.access not in (Access.DEFINE, Access.MENTION) or relation.name in named:
            continue
        if facts.kind == "create" and relation is facts.relations[0] and "trigger" not in object_types(facts):
            continue
        for candidate in world.relations(relation.name):
            subject.columns |= world.columns(candidate, changed)


def _read_schema(reader: MessageReader, subject: Subject, name: str, world: World) -> None:
    """All that is in a schema, and that nobody would find under another name before the transaction is over."""
    if world.closures is None:
        return
    snapshot = world.snapshot
    schema = snapshot.schemas_by_name.get(name)
    if schema is None:
        return
    for relation in snapshot.relations.values():
        if relation.schema == schema.oid and relation.kind in _VIEWS:
            reach = world.reach(relation, Action.SELECT)
            reader.reached(subject, reach, world)
            subject.use(reach.uses)
            subject.columns |= world.columns(relation, None)
    for function in snapshot.functions.values():
        if function.schema == schema.oid:
            reader.call(subject, function, world)
    for one in snapshot.types.values():
        if one.schema == schema.oid and one.kind == "d":
            reader.make_value(subject, one.oid, world)


def _read_routine(
    reader: MessageReader, subject: Subject, facts: StatementFacts, name: QualifiedName, world: World
) -> None:
    """A function that is made, or gets another name: it must not come to one that somebody vouched for."""
    if facts.kind == "create":
        schema = world.written_schema(name, defines=True)
        if world.worlds.trusted_functions(schema or "", name.name):
            subject.opaque.append("it makes a function under a name that the rules trust")
        return
    for function in world.functions(name, None):
        reader.call(subject, function, world)
    if facts.kind == "alter" and world.worlds.trusts_any:
        subject.opaque.append("it may give a function a name that the rules trust")
