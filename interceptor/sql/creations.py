"""What CREATE makes, where it takes more than a name: tables, indexes, views, rules, triggers, policies…"""

from __future__ import annotations

from typing import Any

from interceptor.sql.expressions import StatementReader, name_of
from interceptor.sql.facts import Access, ColumnUse, DefinedObject, FunctionUse, QualifiedName, RelationUse, Via
from interceptor.sql.parsing import Node
from interceptor.sql.scopes import Scope

__all__ = [
    "note_relation",
    "read_cast",
    "read_create_as",
    "read_create_foreign_table",
    "read_create_table",
    "read_event_trigger",
    "read_flags",
    "read_general",
    "read_index",
    "read_on_relation",
    "read_operator",
    "read_policy",
    "read_rule",
    "read_schema",
    "read_transform",
    "read_trigger",
    "read_view",
]


def note_relation(reader: StatementReader, name: QualifiedName, access: Access) -> None:
    """A relation that is named in another way than by a RangeVar."""
    reader.relations.append(RelationUse(name, access, name.name, -1))


_FLAGS = {
    "if_not_exists": "if not exists",
    "missing_ok": "if exists",
    "concurrent": "concurrently",
    "unique": "unique",
    "replace": "or replace",
}


def read_flags(reader: StatementReader, body: Node) -> None:
    """IF EXISTS, CONCURRENTLY and the like."""
    for key, word in _FLAGS.items():
        if body.get(key):
            reader.words.add(word)
    if body.get("behavior") == "DROP_CASCADE":
        reader.words.add("cascade")


def read_general(reader: StatementReader, body: Node, scope: Scope) -> None:
    """A statement of which the walk finds all."""
    read_flags(reader, body)
    reader.walk([body], scope, reader.level)


def read_on_relation(reader: StatementReader, body: Node, scope: Scope) -> None:
    """A statement about the relation in one of its fields; its expressions are over that relation's columns."""
    for key in ("relation", "table", "view", "sequence"):
        relation = body.get(key)
        if relation is not None and "relname" in relation:
            name = QualifiedName(relation["relname"], relation.get("schemaname"), relation.get("catalogname"))
            scope.add(name.name, name)
    read_general(reader, body, scope)


_COMMON_CLASSES = frozenset(
    """
    array_ops bpchar_pattern_ops date_ops inet_ops int2_ops int4_ops int8_ops jsonb_ops jsonb_path_ops numeric_ops
    range_ops text_ops text_pattern_ops timestamptz_ops tsvector_ops uuid_ops varchar_ops varchar_pattern_ops
    """.split()
)
"""Operator classes that PostgreSQL brings, in all of its versions."""


def _note_operator_class(reader: StatementReader, element: Node) -> None:
    if "opclass" in element:
        name = name_of(element["opclass"])
        known = name.name in _COMMON_CLASSES and name.schema in (None, "pg_catalog")
        reader.words.add("known operator class" if known else "operator class")


def read_create_table(reader: StatementReader, body: Node, scope: Scope) -> None:
    """Read CREATE TABLE."""
    if "partbound" in body:
        reader.words.add("partition of")
    for one in body.get("partspec", {}).get("partParams", ()):
        _note_operator_class(reader, one["PartitionElem"])
    # LIKE, REFERENCES, INHERITS name other relations, not this one's; of LIKE, under the same field.
    reader.use(body["relation"], Access.DEFINE)
    scope.add(body["relation"]["relname"], reader.relations[0].name)
    reader.subject_access = Access.MENTION
    if "ofTypename" in body:
        reader.type_name(body["ofTypename"])
    read_flags(reader, body)
    reader.walk([{key: value for key, value in body.items() if key != "relation"}], scope, reader.level)


def read_create_foreign_table(reader: StatementReader, body: Node, scope: Scope) -> None:
    """Read CREATE FOREIGN TABLE."""
    read_create_table(reader, body["base"], scope)


def read_index(reader: StatementReader, body: Node, scope: Scope) -> None:
    """Read CREATE INDEX."""
    relation = body["relation"]
    if "idxname" in body:
        note_relation(reader, QualifiedName(body["idxname"], relation.get("schemaname")), Access.DEFINE)
    for element in (*body.get("indexParams", ()), *body.get("indexIncludingParams", ())):
        if "name" in element["IndexElem"]:
            name = QualifiedName(relation["relname"], relation.get("schemaname"), relation.get("catalogname"))
            reader.columns.append(ColumnUse(element["IndexElem"]["name"], None, (name,), -1))
        _note_operator_class(reader, element["IndexElem"])
    read_on_relation(reader, body, scope)


def read_view(reader: StatementReader, body: Node, scope: Scope) -> None:
    """Read CREATE VIEW."""
    read_flags(reader, body)
    reader.use(body["view"], Access.DEFINE)
    reader.nest(body["query"], Via.VIEW, False)


def read_create_as(reader: StatementReader, body: Node, scope: Scope) -> None:
    """Read CREATE TABLE AS, CREATE MATERIALIZED VIEW."""
    into = body["into"]
    read_flags(reader, body)
    reader.into = reader.use(into["rel"], Access.DEFINE)
    skips = into.get("skipData", False)
    if skips:
        reader.words.add("with no data")
    reader.fixed = False
    reader.nest(body["query"], Via.CREATE_AS, not skips)


def read_rule(reader: StatementReader, body: Node, scope: Scope) -> None:
    """Read CREATE RULE."""
    read_flags(reader, body)
    name = reader.use(body["relation"], Access.DEFINE)
    reader.objects = (DefinedObject("rule", QualifiedName(body["rulename"])),)
    around = Scope(None, scope.ctes)
    around.items = {"old": (name,), "new": (name,)}
    if "whereClause" in body:
        reader.walk([body["whereClause"]], around, reader.level)
    for action in body.get("actions", ()):
        reader.nest(action, Via.RULE, False, around)


def _within(schema: str, value: Any) -> Any:
    """What CREATE SCHEMA makes, it makes in the new schema."""
    return {"schemaname": schema, **value} if type(value) is dict and "relname" in value else value


def read_schema(reader: StatementReader, body: Node, scope: Scope) -> None:
    """Read CREATE SCHEMA, with what it makes in the schema."""
    read_flags(reader, body)
    name = body.get("schemaname") or body.get("authrole", {}).get("rolename", "")
    reader.objects = (DefinedObject("schema", QualifiedName(name)),)
    for element in body.get("schemaElts", ()):
        ((kind, fields),) = element.items()
        reader.nest({kind: {key: _within(name, value) for key, value in fields.items()}}, Via.SCHEMA)


def read_policy(reader: StatementReader, body: Node, scope: Scope) -> None:
    """Read CREATE and ALTER POLICY."""
    reader.objects = (DefinedObject("policy", QualifiedName(body["policy_name"])),)
    read_on_relation(reader, body, scope)


def read_operator(reader: StatementReader, body: Node, scope: Scope) -> None:
    """Read ALTER OPERATOR."""
    reader.objects = (DefinedObject("operator", name_of(body["opername"]["objname"])),)


def read_cast(reader: StatementReader, body: Node, scope: Scope) -> None:
    """A cast is named by its types."""
    source, target = [str(name_of(body[key]["names"])) for key in ("sourcetype", "targettype")]
    reader.objects = (DefinedObject("cast", QualifiedName(f"{source} as {target}")),)
    if "func" in body:
        reader.functions.append(FunctionUse(name_of(body["func"]["objname"]), -1))
    for key in ("sourcetype", "targettype"):
        reader.type_name(body[key])


def read_transform(reader: StatementReader, body: Node, scope: Scope) -> None:
    """Read CREATE TRANSFORM."""
    name = name_of(body["type_name"]["names"])
    reader.objects = (DefinedObject("transform", name),)
    reader.type_name(body["type_name"])
    for key in ("fromsql", "tosql"):
        if key in body:
            reader.functions.append(FunctionUse(name_of(body[key]["objname"]), -1))


def read_trigger(reader: StatementReader, body: Node, scope: Scope) -> None:
    """Read CREATE TRIGGER."""
    reader.objects = (DefinedObject("trigger", QualifiedName(body["trigname"])),)
    reader.functions.append(FunctionUse(name_of(body["funcname"]), -1))
    for alias in ("old", "new"):
        scope.items[alias] = (QualifiedName(body["relation"]["relname"], body["relation"].get("schemaname")),)
    rest = {key: value for key, value in body.items() if key not in ("funcname", "columns", "args")}
    read_on_relation(reader, rest, scope)


def read_event_trigger(reader: StatementReader, body: Node, scope: Scope) -> None:
    """Read CREATE EVENT TRIGGER."""
    reader.objects = (DefinedObject("event trigger", QualifiedName(body["trigname"])),)
    reader.functions.append(FunctionUse(name_of(body["funcname"]), -1))
