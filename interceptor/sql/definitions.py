"""Statements that define: CREATE, ALTER, DROP, GRANT, COMMENT and their kin.

Most say what they define in fields of their own; the table tells where. What else they hold (expressions, types, other
relations) the walk finds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interceptor.sql.creations import (
    note_relation,
    read_cast,
    read_create_as,
    read_create_foreign_table,
    read_create_table,
    read_event_trigger,
    read_flags,
    read_general,
    read_index,
    read_on_relation,
    read_operator,
    read_policy,
    read_rule,
    read_schema,
    read_transform,
    read_trigger,
    read_view,
)
from interceptor.sql.expressions import StatementReader, name_of
from interceptor.sql.facts import (
    Access,
    ColumnUse,
    DefinedObject,
    FunctionUse,
    Group,
    OpaqueReason,
    QualifiedName,
)
from interceptor.sql.parsing import Node
from interceptor.sql.scopes import Scope

__all__ = ["DEFINITIONS", "read_definition"]

_RELATIONS = frozenset(["table", "view", "materialized view", "index", "sequence", "foreign table"])
# Parts of a relation: the last name is the part's, those before it the relation's.
_PARTS = frozenset(["trigger", "rule", "policy", "table constraint", "column"])

Read = Callable[[StatementReader, Node, Scope], None]


# What event triggers call an object, where the name of the parser's constant is another.
_TYPES = {
    "domconstraint": "domain constraint",
    "fdw": "foreign data wrapper",
    "foreign server": "server",
    "largeobject": "large object",
    "matview": "materialized view",
    "opclass": "operator class",
    "opfamily": "operator family",
    "statistic ext": "statistics object",
    "tabconstraint": "table constraint",
    "tsconfiguration": "text search configuration",
    "tsdictionary": "text search dictionary",
    "tsparser": "text search parser",
    "tstemplate": "text search template",
}


def _type_of(value: str) -> str:
    name = value.removeprefix("OBJECT_").lower().replace("_", " ")
    return _TYPES.get(name, name)


def _object(reader: StatementReader, kind: str, node: Any) -> None:
    """Note an object by the name that DROP, COMMENT and ALTER have for it."""
    if "ObjectWithArgs" in node:
        name = name_of(node["ObjectWithArgs"]["objname"])
    elif "TypeName" in node:
        name = name_of(node["TypeName"]["names"])
    elif "String" in node:
        name = QualifiedName(node["String"]["sval"])
    elif "List" in node:
        items = node["List"]["items"]
        if kind in ("operator class", "operator family"):
            items = items[1:]  # the access method stands first
        if "TypeName" in items[0]:  # CAST, TRANSFORM, a domain's constraint
            name = name_of(items[0]["TypeName"]["names"])
        elif kind in _PARTS:
            note_relation(reader, name_of(items[:-1]), reader.subject_access)
            name = name_of(items[-1:])
        else:
            name = name_of(items)
            if kind in _RELATIONS:
                note_relation(reader, name, reader.subject_access)
                return
    else:
        return
    reader.objects = (*reader.objects, DefinedObject(kind, name))


def _named_object(kind: str, key: str) -> Read:
    """The object's name is the text, or the list of names, in one field."""

    def read(reader: StatementReader, body: Node, scope: Scope) -> None:
        value = body.get(key)
        if type(value) is str:
            name = QualifiedName(value)
        elif type(value) is list:
            name = name_of(value)
        else:
            name = QualifiedName(value.get("rolename", "")) if value is not None else QualifiedName("")
        reader.objects = (*reader.objects, DefinedObject(kind, name))
        read_flags(reader, body)
        reader.walk([{field: part for field, part in body.items() if field != key}], scope, reader.level)

    return read


def _drop(reader: StatementReader, body: Node, scope: Scope) -> None:
    kind = _type_of(body["removeType"])
    read_flags(reader, body)
    for node in body["objects"]:
        _object(reader, kind, node)


def _about(key: str, type_key: str) -> Read:
    """COMMENT, ALTER … OWNER, SET SCHEMA, RENAME: the object's type in one field, its name or relation in another."""

    def read(reader: StatementReader, body: Node, scope: Scope) -> None:
        kind = _type_of(body[type_key])
        read_flags(reader, body)
        relation = body.get("relation")
        if relation is not None:
            reader.use(relation, reader.subject_access)
            if kind in ("column", "attribute") and "subname" in body:
                reader.columns.append(ColumnUse(body["subname"], None, (reader.relations[0].name,), -1))
            elif kind not in _RELATIONS and "subname" in body:
                reader.objects = (DefinedObject(kind, QualifiedName(body["subname"])),)
        elif key in body:
            _object(reader, kind, body[key])
        elif "subname" in body:
            reader.objects = (DefinedObject(kind, QualifiedName(body["subname"])),)

    return read


def _grant(reader: StatementReader, body: Node, scope: Scope) -> None:
    reader.kind = "grant" if body.get("is_grant") else "revoke"
    kind = _type_of(body["objtype"])
    read_flags(reader, body)
    for privilege in body.get("privileges", ()):
        right = privilege["AccessPriv"]
        reader.words.add(right.get("priv_name", "all"))
    if body.get("targtype") != "ACL_TARGET_OBJECT":  # ALL TABLES IN SCHEMA s
        kind = "schema"
    for node in body.get("objects", ()):
        if "RangeVar" in node:
            name = reader.use(node["RangeVar"], Access.MENTION)
            for privilege in body.get("privileges", ()):
                for column in privilege["AccessPriv"].get("cols", ()):
                    reader.columns.append(ColumnUse(column["String"]["sval"], None, (name,), -1))
        else:
            _object(reader, kind, node)


def _grant_role(reader: StatementReader, body: Node, scope: Scope) -> None:
    reader.kind = "grant" if body.get("is_grant") else "revoke"
    read_flags(reader, body)
    for role in body["granted_roles"]:
        reader.objects = (*reader.objects, DefinedObject("role", QualifiedName(role["AccessPriv"]["priv_name"])))


def _roles(reader: StatementReader, body: Node, scope: Scope) -> None:
    read_flags(reader, body)
    reader.objects = tuple(
        [DefinedObject("role", QualifiedName(role["RoleSpec"].get("rolename", ""))) for role in body.get("roles", ())]
    )


_DEFINE_FUNCTIONS = frozenset(
    """
    sfunc finalfunc combinefunc serialfunc deserialfunc msfunc minvfunc mfinalfunc procedure function join restrict
    input output receive send typmod_in typmod_out analyze subscript canonical subtype_diff start gettoken end lextypes
    headline init lexize handler validator
    """.split()
)


def _define(reader: StatementReader, body: Node, scope: Scope) -> None:
    """CREATE AGGREGATE, OPERATOR, TYPE, TEXT SEARCH …, COLLATION: functions and types stand in one list."""
    read_flags(reader, body)
    reader.objects = (DefinedObject(_type_of(body["kind"]), name_of(body["defnames"])),)
    nodes: list[Node] = []
    for option in body.get("definition", ()):
        element = option["DefElem"]
        arg = element.get("arg", {})
        if "TypeName" in arg and element["defname"] in _DEFINE_FUNCTIONS:
            reader.functions.append(FunctionUse(name_of(arg["TypeName"]["names"]), -1))
        else:
            nodes.append(arg)
    reader.walk([*nodes, *[arg for arg in body.get("args", ()) if arg]], scope, reader.level)


def _extension(reader: StatementReader, body: Node, scope: Scope) -> None:
    read_flags(reader, body)
    reader.objects = (DefinedObject("extension", QualifiedName(body["extname"])),)
    reader.is_opaque(OpaqueReason.EXTENSION, body["extname"])
    if any(option["DefElem"]["defname"] == "cascade" for option in body.get("options", ())):
        reader.words.add("cascade")


def _sequence(reader: StatementReader, body: Node, scope: Scope) -> None:
    read_flags(reader, body)
    reader.use(body["sequence"], Access.DEFINE)
    for option in body.get("options", ()):
        element = option["DefElem"]
        if element["defname"] == "owned_by":
            names = element["arg"]["List"]["items"]
            if len(names) > 1:
                note_relation(reader, name_of(names[:-1]), Access.MENTION)


def _composite_type(reader: StatementReader, body: Node, scope: Scope) -> None:
    made = body["typevar"]
    reader.objects = (DefinedObject("type", QualifiedName(made["relname"], made.get("schemaname"))),)
    reader.walk(body.get("coldeflist", []), scope, reader.level)


def _domain(reader: StatementReader, body: Node, scope: Scope) -> None:
    reader.objects = (DefinedObject("domain", name_of(body.get("domainname") or body["typeName"])),)
    rest = {key: value for key, value in body.items() if key != "domainname"}
    reader.walk([rest], scope, reader.level)


def _publication(reader: StatementReader, body: Node, scope: Scope) -> None:
    reader.objects = (DefinedObject("publication", QualifiedName(body["pubname"])),)
    read_general(reader, body, scope)


def _statistics(reader: StatementReader, body: Node, scope: Scope) -> None:
    if "defnames" in body:
        reader.objects = (DefinedObject("statistics object", name_of(body["defnames"])),)
    for relation in body.get("relations", ()):
        if "RangeVar" in relation:
            name = relation["RangeVar"]["relname"]
            scope.add(name, QualifiedName(name, relation["RangeVar"].get("schemaname")))
    for one in body.get("exprs", ()):
        if "name" in one["StatsElem"]:
            reader.columns.append(ColumnUse(one["StatsElem"]["name"], None, scope.own(), -1))
    read_general(reader, {key: value for key, value in body.items() if key != "defnames"}, scope)


def _function(reader: StatementReader, body: Node, scope: Scope) -> None:
    kind = _type_of(body.get("objtype", "OBJECT_FUNCTION"))
    reader.objects = (DefinedObject(kind, name_of(body["func"]["objname"])),)


def _setting_of(kind: str, key: str) -> Read:
    """ALTER ROLE … SET, ALTER DATABASE … SET."""

    def read(reader: StatementReader, body: Node, scope: Scope) -> None:
        value = body.get(key)
        name = value if type(value) is str else (value or {}).get("rolename", "all")
        reader.objects = (DefinedObject(kind, QualifiedName(name)),)
        reader.subject = body["setstmt"].get("name", "all")

    return read


def _default_privileges(reader: StatementReader, body: Node, scope: Scope) -> None:
    action = body["action"]
    reader.words.add("grant" if action.get("is_grant") else "revoke")
    for privilege in action.get("privileges", ()):
        reader.words.add(privilege["AccessPriv"].get("priv_name", "all"))


def _system(reader: StatementReader, body: Node, scope: Scope) -> None:
    reader.subject = body["setstmt"].get("name", "all")


_D = Access.DEFINE
_M = Access.MENTION
_DDL, _DCL = Group.DDL, Group.DCL

DEFINITIONS: dict[str, tuple[str, Group, Access, Read]] = {
    "AlterCollationStmt": ("alter", _DDL, _D, _named_object("collation", "collname")),
    "AlterDatabaseRefreshCollStmt": ("alter", _DDL, _D, _named_object("database", "dbname")),
    "AlterDatabaseSetStmt": ("alter", _DDL, _D, _setting_of("database", "dbname")),
    "AlterDatabaseStmt": ("alter", _DDL, _D, _named_object("database", "dbname")),
    "AlterDefaultPrivilegesStmt": ("alter", _DCL, _D, _default_privileges),
    "AlterDomainStmt": ("alter", _DDL, _D, _domain),
    "AlterEnumStmt": ("alter", _DDL, _D, _named_object("type", "typeName")),
    "AlterEventTrigStmt": ("alter", _DDL, _D, _named_object("event trigger", "trigname")),
    "AlterExtensionContentsStmt": ("alter", _DDL, _D, _named_object("extension", "extname")),
    "AlterExtensionStmt": ("alter", _DDL, _D, _extension),
    "AlterFdwStmt": ("alter", _DDL, _D, _named_object("foreign data wrapper", "fdwname")),
    "AlterForeignServerStmt": ("alter", _DDL, _D, _named_object("server", "servername")),
    "AlterFunctionStmt": ("alter", _DDL, _D, _function),
    "AlterObjectDependsStmt": ("alter", _DDL, _D, _about("object", "objectType")),
    "AlterObjectSchemaStmt": ("alter", _DDL, _D, _about("object", "objectType")),
    "AlterOpFamilyStmt": ("alter", _DDL, _D, _named_object("operator family", "opfamilyname")),
    "AlterOperatorStmt": ("alter", _DDL, _D, read_operator),
    "AlterOwnerStmt": ("alter", _DDL, _D, _about("object", "objectType")),
    "AlterPolicyStmt": ("alter", _DDL, _D, read_policy),
    "AlterPublicationStmt": ("alter", _DDL, _M, _publication),
    "AlterRoleSetStmt": ("alter", _DCL, _D, _setting_of("role", "role")),
    "AlterRoleStmt": ("alter", _DCL, _D, _named_object("role", "role")),
    "AlterSeqStmt": ("alter", _DDL, _D, _sequence),
    "AlterStatsStmt": ("alter", _DDL, _D, _named_object("statistics object", "defnames")),
    "AlterSubscriptionStmt": ("alter", _DDL, _D, _named_object("subscription", "subname")),
    "AlterSystemStmt": ("alter", Group.UTILITY, _D, _system),
    "AlterTSConfigurationStmt": ("alter", _DDL, _D, _named_object("text search configuration", "cfgname")),
    "AlterTSDictionaryStmt": ("alter", _DDL, _D, _named_object("text search dictionary", "dictname")),
    "AlterTableMoveAllStmt": ("alter", _DDL, _D, _named_object("tablespace", "orig_tablespacename")),
    "AlterTableSpaceOptionsStmt": ("alter", _DDL, _D, _named_object("tablespace", "tablespacename")),
    "AlterTableStmt": ("alter", _DDL, _D, read_on_relation),
    "AlterTypeStmt": ("alter", _DDL, _D, _named_object("type", "typeName")),
    "AlterUserMappingStmt": ("alter", _DDL, _D, _named_object("user mapping", "servername")),
    "CommentStmt": ("comment", _DDL, _M, _about("object", "objtype")),
    "CompositeTypeStmt": ("create", _DDL, _D, _composite_type),
    "CreateAmStmt": ("create", _DDL, _D, _named_object("access method", "amname")),
    "CreateCastStmt": ("create", _DDL, _D, read_cast),
    "CreateConversionStmt": ("create", _DDL, _D, _named_object("conversion", "conversion_name")),
    "CreateDomainStmt": ("create", _DDL, _D, _domain),
    "CreateEnumStmt": ("create", _DDL, _D, _named_object("type", "typeName")),
    "CreateEventTrigStmt": ("create", _DDL, _D, read_event_trigger),
    "CreateExtensionStmt": ("create", _DDL, _D, _extension),
    "CreateFdwStmt": ("create", _DDL, _D, _named_object("foreign data wrapper", "fdwname")),
    "CreateForeignServerStmt": ("create", _DDL, _D, _named_object("server", "servername")),
    "CreateForeignTableStmt": ("create", _DDL, _D, read_create_foreign_table),
    "CreateOpClassStmt": ("create", _DDL, _D, _named_object("operator class", "opclassname")),
    "CreateOpFamilyStmt": ("create", _DDL, _D, _named_object("operator family", "opfamilyname")),
    "CreatePLangStmt": ("create", _DDL, _D, _named_object("language", "plname")),
    "CreatePolicyStmt": ("create", _DDL, _D, read_policy),
    "CreatePublicationStmt": ("create", _DDL, _M, _publication),
    "CreateRangeStmt": ("create", _DDL, _D, _named_object("type", "typeName")),
    "CreateRoleStmt": ("create", _DCL, _D, _named_object("role", "role")),
    "CreateSchemaStmt": ("create", _DDL, _D, read_schema),
    "CreateSeqStmt": ("create", _DDL, _D, _sequence),
    "CreateStatsStmt": ("create", _DDL, _M, _statistics),
    "CreateStmt": ("create", _DDL, _D, read_create_table),
    "CreateSubscriptionStmt": ("create", _DDL, _D, _named_object("subscription", "subname")),
    "CreateTableAsStmt": ("create", _DDL, _D, read_create_as),
    "CreateTableSpaceStmt": ("create", _DDL, _D, _named_object("tablespace", "tablespacename")),
    "CreateTransformStmt": ("create", _DDL, _D, read_transform),
    "CreateTrigStmt": ("create", _DDL, _D, read_trigger),
    "CreateUserMappingStmt": ("create", _DDL, _D, _named_object("user mapping", "servername")),
    "CreatedbStmt": ("create", _DDL, _D, _named_object("database", "dbname")),
    "DefineStmt": ("create", _DDL, _D, _define),
    "DropOwnedStmt": ("drop", _DCL, _D, _roles),
    "DropRoleStmt": ("drop", _DCL, _D, _roles),
    "DropStmt": ("drop", _DDL, _D, _drop),
    "DropSubscriptionStmt": ("drop", _DDL, _D, _named_object("subscription", "subname")),
    "DropTableSpaceStmt": ("drop", _DDL, _D, _named_object("tablespace", "tablespacename")),
    "DropUserMappingStmt": ("drop", _DDL, _D, _named_object("user mapping", "servername")),
    "DropdbStmt": ("drop", _DDL, _D, _named_object("database", "dbname")),
    "GrantRoleStmt": ("grant", _DCL, _M, _grant_role),
    "GrantStmt": ("grant", _DCL, _M, _grant),
    "ImportForeignSchemaStmt": ("import", _DDL, _D, _named_object("schema", "local_schema")),
    "IndexStmt": ("create", _DDL, _D, read_index),
    "ReassignOwnedStmt": ("reassign", _DCL, _D, _roles),
    "RenameStmt": ("alter", _DDL, _D, _about("object", "renameType")),
    "RuleStmt": ("create", _DDL, _D, read_rule),
    "SecLabelStmt": ("security", _DDL, _M, _about("object", "objtype")),
    "ViewStmt": ("create", _DDL, _D, read_view),
}


# What sort of relation a statement is about, by its kind; DROP and ALTER say it themselves.
_SORTS = {
    "CreateForeignTableStmt": "foreign table",
    "CreateSeqStmt": "sequence",
    "CreateStmt": "table",
    "AlterSeqStmt": "sequence",
    "IndexStmt": "index",
    "ViewStmt": "view",
}
_SORT_FIELDS = {"AlterTableStmt": "objtype", "CreateTableAsStmt": "objtype", "DropStmt": "removeType"}


def read_definition(reader: StatementReader, kind: str, body: Node) -> str:
    """Read a statement of DEFINITIONS; return its keyword."""
    sort = _SORTS.get(kind) or _type_of(body.get(_SORT_FIELDS.get(kind, ""), ""))
    if sort in _RELATIONS:
        reader.words.add(sort)
    keyword, reader.group, reader.subject_access, read = DEFINITIONS[kind]
    read(reader, body, Scope(reader.scope.parent, reader.scope.ctes))
    return keyword
