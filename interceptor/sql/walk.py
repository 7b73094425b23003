"""The effects of a parse tree on the session: every node of every statement is looked at, whatever it is nested in.

The tree is libpg_query's JSON, decoded. In it a node is ``{"Kind": {fields}}``, except where its field can hold only
one kind: there the fields come alone. Kinds start with a capital letter, and fields never do. Fields that are zero,
false or empty are left out.

A kind that is in none of the tables below makes the text opaque: a newer grammar must not slip through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from interceptor.sql.effects import PinReason
from interceptor.sql.functions import PINNING, harmless_functions, harmless_helpers, known_operators

__all__ = ["HANDLED", "LEAVES", "PINS", "WALKED", "Json", "Node", "Walk"]

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
Node = dict[str, Json]

# Kinds that do nothing to the session themselves; what they hold may.
WALKED = frozenset(
    """
    AlterDomainStmt AlterTableStmt CopyStmt CreateSchemaStmt CreateTableAsStmt DeleteStmt ExplainStmt IndexStmt
    InsertStmt SelectStmt

    A_ArrayExpr A_Indices A_Indirection BoolExpr BooleanTest CTECycleClause CTESearchClause CaseExpr CaseWhen
    CoalesceExpr CollateClause ColumnDef CommonTableExpr Constraint DefElem GroupingFunc GroupingSet IndexElem
    InferClause IntoClause JoinExpr JsonAggConstructor JsonArgument JsonArrayAgg JsonArrayConstructor
    JsonArrayQueryConstructor JsonBehavior JsonFormat JsonFuncExpr JsonIsPredicate JsonKeyValue JsonObjectAgg
    JsonObjectConstructor JsonOutput JsonParseExpr JsonReturning JsonScalarExpr JsonSerializeExpr JsonTable
    JsonTableColumn JsonTablePathSpec JsonValueExpr List MergeWhenClause MinMaxExpr MultiAssignRef NamedArgExpr NullTest
    OnConflictClause PartitionBoundSpec PartitionCmd PartitionElem PartitionRangeDatum PartitionSpec RangeFunction
    RangeSubselect RangeTableFunc RangeTableFuncCol ResTarget ReturningClause ReturningOption RowExpr SortBy SubLink
    TableLikeClause TypeCast WindowDef WithClause XmlExpr XmlSerialize
    """.split()
)

# Kinds in which nothing runs: names, constants, definitions that are stored for later, and statements that change the
# catalogue, other sessions or files. VACUUM, ANALYZE, CLUSTER, REINDEX and REFRESH run expressions and views, but
# PostgreSQL does so in a restricted context that restores the settings and forbids temporary tables.
LEAVES = frozenset(
    """
    AlterCollationStmt AlterDatabaseRefreshCollStmt AlterDatabaseSetStmt AlterDatabaseStmt AlterDefaultPrivilegesStmt
    AlterEnumStmt AlterEventTrigStmt AlterExtensionContentsStmt AlterFdwStmt AlterForeignServerStmt AlterFunctionStmt
    AlterObjectDependsStmt AlterObjectSchemaStmt AlterOpFamilyStmt AlterOperatorStmt AlterOwnerStmt AlterPolicyStmt
    AlterPublicationStmt AlterRoleSetStmt AlterRoleStmt AlterSeqStmt AlterStatsStmt AlterSubscriptionStmt
    AlterSystemStmt AlterTSConfigurationStmt AlterTSDictionaryStmt AlterTableMoveAllStmt AlterTableSpaceOptionsStmt
    AlterTypeStmt AlterUserMappingStmt CheckPointStmt ClosePortalStmt ClusterStmt CommentStmt CompositeTypeStmt
    ConstraintsSetStmt CreateCastStmt CreateDomainStmt CreateEnumStmt CreateEventTrigStmt CreateFdwStmt
    CreateForeignServerStmt CreateFunctionStmt CreateOpClassStmt CreateOpFamilyStmt CreatePolicyStmt
    CreatePublicationStmt CreateRangeStmt CreateRoleStmt CreateSeqStmt CreateStatsStmt CreateSubscriptionStmt
    CreateTableSpaceStmt CreateTransformStmt CreateTrigStmt CreateUserMappingStmt CreatedbStmt DefineStmt DropOwnedStmt
    DropRoleStmt DropStmt DropSubscriptionStmt DropTableSpaceStmt DropUserMappingStmt DropdbStmt FetchStmt
    GrantRoleStmt GrantStmt ImportForeignSchemaStmt LockStmt NotifyStmt ReassignOwnedStmt RefreshMatViewStmt ReindexStmt
    RenameStmt ReplicaIdentityStmt RuleStmt SecLabelStmt TransactionStmt TruncateStmt UnlistenStmt VacuumStmt
    VariableShowStmt ViewStmt

    ATAlterConstraint A_Const A_Star Alias BitString Boolean ColumnRef CurrentOfExpr Float Integer LockingClause
    MergeSupportFunc ParamRef RoleSpec SQLValueFunction SetToDefault String TypeName VacuumRelation
    """.split()
)

# Kinds whose presence is enough.
PINS: dict[str, PinReason] = {
    "AlterExtensionStmt": PinReason.OPAQUE,  # runs the scripts of an extension, as CREATE EXTENSION does
    "CallStmt": PinReason.OPAQUE,
    "CreateAmStmt": PinReason.OPAQUE,
    "CreateConversionStmt": PinReason.OPAQUE,  # calls the function that it is given
    "CreateExtensionStmt": PinReason.OPAQUE,
    "CreatePLangStmt": PinReason.OPAQUE,
    "DeallocateStmt": PinReason.RESET,
    "DoStmt": PinReason.OPAQUE,
    "ExecuteStmt": PinReason.PREPARED_STATEMENT,
    "ListenStmt": PinReason.LISTEN,
    "LoadStmt": PinReason.LIBRARY,
    "PrepareStmt": PinReason.PREPARED_STATEMENT,
}

_CURSOR_OPT_HOLD = 0x0020  # parsenodes.h

# A_Expr gives these, which are syntax, the place of an operator's name.
_BETWEEN = frozenset(["BETWEEN", "NOT BETWEEN", "BETWEEN SYMMETRIC", "NOT BETWEEN SYMMETRIC"])
_OPERATORS = known_operators() | _BETWEEN

# Unqualified names count as pg_catalog's: it is searched first, unless search_path says otherwise.
_PG_CATALOG = ("", "pg_catalog")

_SAMPLING_METHODS = frozenset(["bernoulli", "system"])

_NEVER_LOCAL = frozenset(["client_encoding", "seed", "standard_conforming_strings"])

# Functions that answer from the sequence values that the session remembers.
_SEQUENCE_READERS = frozenset(["currval", "lastval"])


class Walk:
    """One pass over one tree. Make one, call ``visit`` with each statement, read ``pin`` and ``reads_sequence``."""

    __slots__ = ("_functions", "_stack", "pin", "reads_sequence")

    def __init__(self, server_version: int) -> None:
        self.pin: PinReason | None = None
        self.reads_sequence = False
        self._functions = harmless_functions(server_version)
        self._stack: list[Node] = []

    def visit(self, statement: Node) -> None:
        """Look at every node of ``{"Kind": {…}}``. Takes no stack for the depth of the tree."""
        stack = self._stack
        walked, leaves = WALKED, LEAVES
        stack.append(statement)
        while stack:
            node = stack.pop()
            for key, value in node.items():
                if type(value) is dict:
                    if key >= "a" or key in walked:  # a field, or a kind
                        stack.append(value)
                    elif key not in leaves:
                        self._meet(key, value)
                elif type(value) is list:
                    if key == "operName" or key == "useOp":
                        self._operator(value)
                    else:
                        for item in value:
                            if type(item) is dict:
                                stack.append(item)
                            elif type(item) is list:  # not seen: lists in lists come as {"List": {"items": […]}}
                                stack.append({"items": item})

    def found(self, reason: PinReason) -> None:
        """Note a reason to pin; the first counts, and any counts more than RESET."""
        if self.pin is None or self.pin is PinReason.RESET:
            self.pin = reason

    def _meet(self, kind: str, node: Node) -> None:
        handler = HANDLED.get(kind)
        if handler is not None:
            handler(self, node)
        else:
            self.found(PINS.get(kind, PinReason.OPAQUE))
            self._stack.append(node)  # a reason found deeper may be graver than RESET

    # Kinds that need a closer look

    def _a_expr(self, node: Node) -> None:
        self._operator(node.get("name"))
        for side in ("lexpr", "rexpr"):
            operand = node.get(side)
            if operand is not None:
                self._stack.append(cast("Node", operand))

    def _operator(self, names: Json) -> None:
        schema, name = _qualified(names)
        if name not in _OPERATORS or schema not in _PG_CATALOG:
            self.found(PinReason.OPAQUE)

    def _range_var(self, node: Node) -> None:
        if node.get("relname") == "pg_prepared_statements":
            self.found(PinReason.PREPARED_STATEMENT)

    def _func_call(self, node: Node) -> None:
        schema, name = _qualified(node.get("funcname"))
        if name == "pg_prepared_statement":
            self.found(PinReason.PREPARED_STATEMENT)
        if schema in _PG_CATALOG:
            if name not in self._functions:
                self._unquiet_function(name, node)
        elif schema != "information_schema" or name not in harmless_helpers():
            self.found(PinReason.OPAQUE)
        self._stack.append(node)

    def _unquiet_function(self, name: str, node: Node) -> None:
        if name == "set_config":
            if not _is_local_set_config(node.get("args")):
                self.found(PinReason.SETTING)
            return
        if name in _SEQUENCE_READERS:
            self.reads_sequence = True
        self.found(PINNING.get(name, PinReason.OPAQUE))

    def _variable_set(self, node: Node) -> None:
        kind = node["kind"]
        if kind in ("VAR_RESET", "VAR_RESET_ALL"):
            self.found(PinReason.RESET)
        elif node.get("is_local"):
            values = [_constant(value) for value in cast("list[Json]", node.get("args", []))]
            if _pins_though_local(cast("str", node.get("name", "")), values):
                self.found(PinReason.SETTING)
        elif kind == "VAR_SET_DEFAULT":
            self.found(PinReason.RESET)
        elif kind != "VAR_SET_MULTI" or node.get("name") not in ("TRANSACTION", "TRANSACTION SNAPSHOT"):
            self.found(PinReason.SETTING)

    def _discard(self, node: Node) -> None:
        # Without a pin the session has nothing temporary, and values of sequences that are not this client's.
        if node["target"] == "DISCARD_ALL":
            self.found(PinReason.RESET)

    def _declare_cursor(self, node: Node) -> None:
        if cast("int", node["options"]) & _CURSOR_OPT_HOLD:
            self.found(PinReason.HOLD_CURSOR)
        self._stack.append(node)

    def _update(self, node: Node) -> None:
        # A rule of pg_settings turns the update into set_config.
        relation = cast("Node", node["relation"])
        if relation.get("relname") == "pg_settings" and relation.get("schemaname", "pg_catalog") == "pg_catalog":
            self.found(PinReason.SETTING)
        self._stack.append(node)

    def _create_table(self, node: Node) -> None:
        # Defaults and checks are stored; the bounds of a partition are computed now.
        bound = node.get("partbound")
        if isinstance(bound, dict):
            self._stack.append(bound)

    def _create_foreign_table(self, node: Node) -> None:
        self._create_table(cast("Node", node["base"]))

    def _alter_table_command(self, node: Node) -> None:
        if node["subtype"] != "AT_ColumnDefault":  # stored; that of a new column is computed for the rows there are
            self._stack.append(node)

    def _table_sample(self, node: Node) -> None:
        schema, name = _qualified(node.get("method"))
        if name not in _SAMPLING_METHODS or schema not in _PG_CATALOG:
            self.found(PinReason.OPAQUE)
        self._stack.append(node)


HANDLED: dict[str, Callable[[Walk, Node], None]] = {
    "A_Expr": Walk._a_expr,
    "AlterTableCmd": Walk._alter_table_command,
    "CreateForeignTableStmt": Walk._create_foreign_table,
    "CreateStmt": Walk._create_table,
    "DeclareCursorStmt": Walk._declare_cursor,
    "DiscardStmt": Walk._discard,
    "FuncCall": Walk._func_call,
    "MergeStmt": Walk._update,
    "RangeVar": Walk._range_var,
    "RangeTableSample": Walk._table_sample,
    "UpdateStmt": Walk._update,
    "VariableSetStmt": Walk._variable_set,
}


def _qualified(names: Json) -> tuple[str, str]:
    """Return schema and name of ``[{"String": {"sval": …}}, …]``; the schema is empty where there is none."""
    words = [cast("dict[str, dict[str, str]]", name)["String"]["sval"] for name in cast("list[Json]", names)]
    return ".".join(words[:-1]), words[-1]


def _constant(node: Json) -> str | bool | None:
    """Return the value of a string or boolean constant, and None for anything else."""
    if isinstance(node, dict):
        constant = node.get("A_Const")
        if isinstance(constant, dict):
            if "sval" in constant:
                return cast("dict[str, str]", constant["sval"]).get("sval", "")
            if "boolval" in constant:
                return "boolval" in cast("Node", constant["boolval"])
    return None


def _is_local_set_config(arguments: Json) -> bool:
    """Say whether set_config is surely told to change a setting until the end of the transaction only."""
    if not isinstance(arguments, list) or len(arguments) != 3:
        return False
    name, value, local = [_constant(argument) for argument in arguments]
    return local is True and isinstance(name, str) and not _pins_though_local(name, [value])


def _pins_though_local(name: str, values: list[str | bool | None]) -> bool:
    """Say whether setting this pins even with SET LOCAL. A value that isn't known may be any.

    The generator of random() keeps its seed. The encoding and standard_conforming_strings decide how the next texts
    of the transaction read, which we would misread. In search_path, pg_temp makes any CREATE one of something
    temporary, and a schema in front of pg_catalog lets somebody's own lower() be called for PostgreSQL's.
    """
    name = name.lower()
    if name == "search_path":
        known = [value.lower() for value in values if isinstance(value, str)]
        path = ",".join(known)
        return len(known) < len(values) or "pg_temp" in path or path.find("pg_catalog") > 0
    return name in _NEVER_LOCAL
