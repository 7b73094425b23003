"""One statement read: what its expressions name, call and compare.

The walk goes level by level, without recursion, so that the depth of a tree costs no stack and is counted on the way.
Queries inside an expression are put aside and read when the one around them is done.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from interceptor.sql.alterations import read_alteration, read_partition
from interceptor.sql.facts import (
    Access,
    ColumnUse,
    FunctionUse,
    Literal,
    LiteralKind,
    OpaqueReason,
    Parameter,
    QualifiedName,
    RelationUse,
    Setting,
)
from interceptor.sql.gathering import Findings, TooDeep
from interceptor.sql.parsing import Node
from interceptor.sql.scopes import Scope

__all__ = ["GENERIC", "HANDLERS", "LEAVES", "StatementReader", "name_of"]

# Kinds of expression that say nothing themselves; what they hold may.
GENERIC = frozenset(
    """
    A_ArrayExpr A_Indices BooleanTest CTECycleClause CTESearchClause CaseWhen CoalesceExpr CollateClause DefElem
    GroupingFunc GroupingSet JsonAggConstructor JsonArgument JsonArrayAgg JsonArrayConstructor
    JsonArrayQueryConstructor JsonBehavior JsonFormat JsonIsPredicate JsonKeyValue JsonObjectAgg
    JsonObjectConstructor JsonOutput JsonReturning JsonTable
    JsonTableColumn JsonTablePathSpec JsonValueExpr List MinMaxExpr MultiAssignRef NamedArgExpr NullTest RangeTableFunc
    RangeTableFuncCol ResTarget RowExpr WindowDef XmlExpr XmlSerialize

    ColumnDef Constraint IndexElem PartitionBoundSpec PartitionElem PartitionRangeDatum PartitionSpec
    PublicationTable PublicationObjSpec StatsElem VacuumRelation FunctionParameter TableLikeClause ReturnStmt
    CreateOpClassItem ReplicaIdentityStmt ATAlterConstraint
    """.split()
)

# Kinds in which nothing is named that counts.
LEAVES = frozenset(
    """
    A_Star AccessPriv Alias BitString Boolean Float Integer ObjectWithArgs RoleSpec SetToDefault String
    TriggerTransition
    """.split()
)

# The forms of a moment that is another each time it is read: date and time input takes them among other words.
_MOMENT = re.compile(r"(?<![a-z])(now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE)
_MAX_MOMENT = 128  # PostgreSQL's MAXDATELEN: no longer text is a date or a time

# Members of an enum take longer to find than what is in the module.
_INTEGER, _STRING = LiteralKind.INTEGER, LiteralKind.STRING


class StatementReader(Findings):
    """Reads the expressions of one statement. Its methods are the handlers of HANDLERS."""

    def walk(self, nodes: list[Node], scope: Scope, level: int) -> None:
        """Look at every node of these expressions. Queries in them are put into ``pending``."""
        self.scope = scope
        self.aliases = scope.items if scope.parent is None else None
        self.candidates = scope.candidates()
        handlers = HANDLERS
        while nodes:
            level += 1
            self.level = level
            below: list[Node] = []
            self.below = below
            for node in nodes:
                for key, value in node.items():
                    handler = handlers.get(key)
                    if handler is not None:
                        handler(self, value)
                    elif type(value) is dict:
                        if key >= "a" or key in GENERIC:
                            below.append(value)
                        elif key not in LEAVES:
                            self.unknown(key, value)
                    elif type(value) is list:
                        below.extend([item for item in value if type(item) is dict])
            nodes = below
        self.reached(level)

    def reached(self, level: int) -> None:
        """Count the levels. Raises TooDeep."""
        message = self.message
        if level > message.depth:
            message.depth = level
            if level > message.limits.depth:
                raise TooDeep

    def unknown(self, kind: str, body: Node) -> None:
        """A kind of node in no table: a newer grammar must not slip through."""
        self.is_opaque(OpaqueReason.UNKNOWN_SYNTAX, kind)
        self.below.append(body)

    def push(self, nodes: list[Node]) -> None:
        """Look at these on the next level."""
        self.below.extend([node for node in nodes if type(node) is dict])

    # --- handlers of kinds ---

    def column_ref(self, node: Node) -> None:
        fields = node["fields"]
        place = node.get("location", -1)
        if len(fields) > 1:
            self.qualified_column(fields, place)
            return
        last = fields[0].get("String")
        if last is None:
            self.columns.append(ColumnUse("*", None, self.scope.own(), place, True))
            return
        name = last["sval"]
        row = self.aliases.get(name) if self.aliases is not None else self.scope.find(name)
        candidates = self.candidates
        if not row or row != candidates:
            # A column of that name is found first, even in a query around this one.
            self.columns.append(ColumnUse(name, None, candidates, place))
        if row:
            self.columns.append(ColumnUse(name, None, row, place, False, True))

    def qualified_column(self, fields: list[Node], place: int) -> None:
        qualifier = fields[-2]["String"]["sval"]
        found: tuple[QualifiedName, ...] | None
        if len(fields) > 2:
            parts = [field["String"]["sval"] for field in fields[:-1]]
            found = (QualifiedName(*reversed(parts[-3:])),)
        else:
            found = self.aliases.get(qualifier) if self.aliases is not None else self.scope.find(qualifier)
        last = fields[-1].get("String")
        if last is None:
            self.columns.append(ColumnUse("*", qualifier, found or (), place, True))
        else:
            self.columns.append(ColumnUse(last["sval"], qualifier, found or (), place))

    def constant(self, node: Node) -> None:
        number = node.get("ival")
        if number is not None:  # of which long lists are made
            self.message.literals.append(Literal(number.get("ival", 0), _INTEGER, node.get("location", -1), self.fixed))
        else:
            self.literal(node, self.fixed)

    def literal(self, node: Node, fixed: bool) -> None:
        place = node.get("location", -1)
        if "ival" in node:
            found = Literal(node["ival"].get("ival", 0), _INTEGER, place, fixed)
        elif "sval" in node:
            text = node["sval"].get("sval", "")
            found = Literal(text, _STRING, place, fixed)
            if len(text) <= _MAX_MOMENT and _MOMENT.search(text):
                self.volatile_literals = (*self.volatile_literals, text)
        elif "boolval" in node:
            found = Literal("boolval" in node["boolval"], LiteralKind.BOOLEAN, place, fixed)
        elif "isnull" in node:
            found = Literal(None, LiteralKind.NULL, place, fixed)
        elif "fval" in node:
            found = Literal(node["fval"]["fval"], LiteralKind.NUMERIC, place, fixed)
        else:
            found = Literal(node["bsval"]["bsval"], LiteralKind.BIT_STRING, place, fixed)
        self.message.literals.append(found)

    def parameter(self, node: Node) -> None:
        self.message.parameters.append(Parameter(node.get("number", 0), node.get("location", -1)))

    def a_expr(self, node: Node) -> None:
        names = node.get("name")
        if names:
            name = names[-1]["String"]["sval"]
            if "BETWEEN" in name:
                self.operator_named("<" if name.startswith("NOT") else ">=")
                self.operator_named(">" if name.startswith("NOT") else "<=")
            elif len(names) == 1:
                if name not in self.operators:
                    self.operators[name] = QualifiedName(name)
            else:
                self.operator(names)
        left = node.get("lexpr")
        if left is not None:
            self.below.append(left)
        right = node.get("rexpr")
        if right is not None:
            if node["kind"] == "AEXPR_IN" and "List" in right:
                items = right["List"].get("items", [])
                self.longest_list = max(self.longest_list, len(items))
                for item in items:
                    if "A_Const" in item:
                        self.constant(item["A_Const"])
                    else:
                        self.below.append(item)
            else:
                self.below.append(right)

    def operator_named(self, name: str) -> None:
        self.operators.setdefault(name, QualifiedName(name))

    def operator(self, names: list[Node]) -> None:
        """An operator's name where it is not that of an A_Expr: of a subquery comparison, or USING of a sort."""
        name = name_of(names)
        self.operators.setdefault(str(name), name)

    def bool_expr(self, node: Node) -> None:
        self.below.extend(node["args"])

    def sub_link(self, node: Node) -> None:
        if "testexpr" in node:
            self.below.append(node["testexpr"])
            if "operName" not in node:
                self.operator_named("=")
        if "operName" in node:
            self.operator(node["operName"])
        self.sub_query(node["subselect"])

    def sub_query(self, node: Node) -> None:
        body = node.get("SelectStmt")
        if body is None:  # not met: the grammar has only SELECT here
            self.unknown(next(iter(node)), node)
        else:
            self.pending.append((body, self.scope, self.scope.ctes, self.level, 0))

    def select(self, body: Node) -> None:
        """A query where an expression may stand: JSON_ARRAY(SELECT …)."""
        self.pending.append((body, self.scope, self.scope.ctes, self.level, 0))

    def func_call(self, node: Node) -> None:
        names = node["funcname"]
        args = node.get("args")
        texts: tuple[str | None, ...] = ()
        if args:
            texts = tuple([_text(arg) for arg in args])
            self.below.extend(args)
        name = QualifiedName(names[0]["String"]["sval"]) if len(names) == 1 else name_of(names)
        self.functions.append(FunctionUse(name, node.get("location", -1), texts))
        if name.name == "set_config" and name.schema in (None, "pg_catalog"):
            self.set_config(args or [], texts)
        for key in ("agg_order", "agg_filter", "over"):
            part = node.get(key)
            if part is not None:
                self.below.extend(part) if type(part) is list else self.below.append(part)

    def set_config(self, args: list[Node], texts: tuple[str | None, ...]) -> None:
        name, value = (*texts, None, None)[:2]
        flag = args[2].get("A_Const", {}).get("boolval", {}) if len(args) == 3 else {}
        values = (value,) if value is not None else None
        self.settings = (
            *self.settings,
            Setting(name.lower() if name is not None else None, values, "boolval" in flag, value is not None),
        )

    def type_cast(self, node: Node) -> None:
        self.below.append(node["arg"])
        self.type_name(node["typeName"])

    def type_name(self, node: Node | list[Node]) -> None:
        if isinstance(node, list):  # the name of a type that is defined
            return
        names = node.get("names")
        if names:
            name = name_of(names)
            self.types.setdefault(str(name), name)
            if node.get("pct_type") and len(names) > 1:  # table.column%TYPE
                self.types.pop(str(name))
                parts = [part["String"]["sval"] for part in names]
                relation = QualifiedName(*reversed(parts[:-1][-3:]))
                self.relations.append(RelationUse(relation, Access.MENTION, relation.name, node.get("location", -1)))

    def sql_value(self, node: Node) -> None:
        name = node["op"].removeprefix("SVFOP_").lower().removesuffix("_n")
        if name not in self.value_functions:
            self.value_functions = (*self.value_functions, name)

    def newer_syntax(self, node: Node, name: str, count: int) -> None:
        self.calls_before_17 = (
            *self.calls_before_17,
            FunctionUse(QualifiedName(name), node.get("location", -1), (None,) * count),
        )
        self.below.append(node)

    def json_function(self, node: Node) -> None:
        self.newer_syntax(node, node["op"].removesuffix("_OP").lower(), 2 + len(node.get("passing", ())))

    def json_parse(self, node: Node) -> None:
        self.newer_syntax(node, "json", 1)

    def json_scalar(self, node: Node) -> None:
        self.newer_syntax(node, "json_scalar", 1)

    def json_serialize(self, node: Node) -> None:
        self.newer_syntax(node, "json_serialize", 1)

    def merge_action(self, node: Node) -> None:
        self.newer_syntax(node, "merge_action", 0)

    def case(self, node: Node) -> None:
        if "arg" in node:
            self.operator_named("=")
            self.below.append(node["arg"])
        self.below.extend(node["args"])
        if "defresult" in node:
            self.below.append(node["defresult"])

    def indirection(self, node: Node) -> None:
        self.below.append(node["arg"])
        for part in node["indirection"]:
            if "A_Indices" in part:
                self.below.append(part)
            elif "String" in part:  # a field, or a function of the value
                self.columns.append(ColumnUse(part["String"]["sval"], None, (), -1))

    def array(self, node: Node) -> None:
        elements = node.get("elements", [])
        self.longest_list = max(self.longest_list, len(elements))
        self.below.extend(elements)

    def sort_by(self, node: Node) -> None:
        if "useOp" in node:
            self.operator(node["useOp"])
        self.below.append(node["node"])

    def current_of(self, node: Node) -> None:
        self.words.add("current of")
        self.subject = node.get("cursor_name") or self.subject

    def range_var(self, node: Node) -> None:
        """A relation where no query is: in a definition, VACUUM, LOCK…"""
        self.use(node, self.subject_access)

    def mention(self, value: Any) -> None:
        if type(value) is dict:
            if "relname" in value:
                self.use(value, Access.MENTION)
            else:
                self.below.append(value)
        elif type(value) is list:
            for item in value:
                self.mention(item.get("RangeVar", item))

    def subject_relation(self, value: Any) -> None:
        if type(value) is dict:
            if "relname" in value:
                self.use(value, self.subject_access)
            else:
                self.below.append(value)


def _text(node: Node) -> str | None:
    constant = node.get("A_Const")
    if constant is None or "sval" not in constant:
        return None
    text: str = constant["sval"].get("sval", "")
    return text


def name_of(names: list[Node]) -> QualifiedName:
    """Return the name that ``[{"String": …}, …]`` is."""
    parts = [name["String"]["sval"] for name in names if "String" in name]
    return QualifiedName(*reversed(parts[-3:]))


# By kind, which starts with a capital letter, or by field, which never does.
HANDLERS: dict[str, Callable[[StatementReader, Any], None]] = {
    "A_ArrayExpr": StatementReader.array,
    "A_Const": StatementReader.constant,
    "A_Expr": StatementReader.a_expr,
    "A_Indirection": StatementReader.indirection,
    "BoolExpr": StatementReader.bool_expr,
    "CaseExpr": StatementReader.case,
    "ColumnRef": StatementReader.column_ref,
    "CurrentOfExpr": StatementReader.current_of,
    "FuncCall": StatementReader.func_call,
    "JsonFuncExpr": StatementReader.json_function,
    "JsonParseExpr": StatementReader.json_parse,
    "JsonScalarExpr": StatementReader.json_scalar,
    "JsonSerializeExpr": StatementReader.json_serialize,
    "MergeSupportFunc": StatementReader.merge_action,
    "ParamRef": StatementReader.parameter,
    "PartitionCmd": read_partition,
    "RangeVar": StatementReader.range_var,
    "SQLValueFunction": StatementReader.sql_value,
    "SelectStmt": StatementReader.select,
    "SortBy": StatementReader.sort_by,
    "SubLink": StatementReader.sub_link,
    "TypeCast": StatementReader.type_cast,
    "TypeName": StatementReader.type_name,
    "AlterTableCmd": read_alteration,
    "constrrel": StatementReader.mention,
    "inhRelations": StatementReader.mention,
    "pktable": StatementReader.mention,
    "relation": StatementReader.subject_relation,
    "sequence": StatementReader.subject_relation,
    "table": StatementReader.subject_relation,
    "typeName": StatementReader.type_name,
}
