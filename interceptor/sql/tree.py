"""Parse trees: the kinds of their nodes, and what names and constants in them say.

A tree is libpg_query's JSON, decoded. In it a node is ``{"Kind": {fields}}``, except where its field can hold only
one kind: there the fields come alone. Kinds start with a capital letter, and fields never do. Fields that are zero,
false or empty are left out.
"""

from __future__ import annotations

from typing import cast

from interceptor.sql.effects import Effect

__all__ = ["LEAVES", "PINS", "WALKED", "Json", "Node", "constant", "qualified"]

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
Node = dict[str, Json]

# Kinds that do nothing to the session themselves; what they hold may.
WALKED = frozenset(
    """
    AlterDomainStmt CreateSchemaStmt CreateTableAsStmt ExplainStmt IndexStmt SelectStmt

    A_ArrayExpr A_Indices A_Indirection BoolExpr BooleanTest CTECycleClause CTESearchClause CaseExpr CaseWhen
    CoalesceExpr CollateClause ColumnDef CommonTableExpr Constraint DefElem GroupingFunc GroupingSet IndexElem
    InferClause IntoClause JoinExpr JsonAggConstructor JsonArgument JsonArrayAgg JsonArrayConstructor
    JsonArrayQueryConstructor JsonBehavior JsonFormat JsonIsPredicate JsonKeyValue JsonObjectAgg
    JsonObjectConstructor JsonOutput JsonReturning JsonTable
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
    AlterTypeStmt AlterUserMappingStmt CheckPointStmt ClusterStmt CommentStmt CompositeTypeStmt
    ConstraintsSetStmt CreateCastStmt CreateDomainStmt CreateEnumStmt CreateEventTrigStmt CreateFdwStmt
    CreateForeignServerStmt CreateFunctionStmt CreateOpClassStmt CreateOpFamilyStmt CreatePolicyStmt
    CreatePublicationStmt CreateRangeStmt CreateRoleStmt CreateSeqStmt CreateStatsStmt CreateSubscriptionStmt
    CreateTableSpaceStmt CreateTransformStmt CreateTrigStmt CreateUserMappingStmt CreatedbStmt DefineStmt
    DropRoleStmt DropSubscriptionStmt DropTableSpaceStmt DropUserMappingStmt DropdbStmt FetchStmt
    GrantRoleStmt GrantStmt ImportForeignSchemaStmt LockStmt NotifyStmt ReassignOwnedStmt RefreshMatViewStmt ReindexStmt
    RenameStmt ReplicaIdentityStmt RuleStmt SecLabelStmt TransactionStmt TruncateStmt VacuumStmt
    VariableShowStmt ViewStmt

    ATAlterConstraint A_Const A_Star Alias BitString Boolean ColumnRef CurrentOfExpr Float Integer LockingClause
    ParamRef RoleSpec SQLValueFunction SetToDefault String TypeName VacuumRelation
    """.split()
)

# Kinds whose presence is enough.
PINS: dict[str, Effect] = {
    "AlterExtensionStmt": Effect.OPAQUE,  # runs the scripts of an extension, as CREATE EXTENSION does
    "CreateAmStmt": Effect.OPAQUE,
    "CreateConversionStmt": Effect.OPAQUE,  # calls the function that it is given
    "CreateExtensionStmt": Effect.OPAQUE,
    "CreatePLangStmt": Effect.OPAQUE,
    "DeallocateStmt": Effect.REDUCTION,
    "DoStmt": Effect.OPAQUE,
    "ExecuteStmt": Effect.PREPARED_STATEMENT,
    "LoadStmt": Effect.LIBRARY,
    "PrepareStmt": Effect.PREPARED_STATEMENT,
}


def qualified(names: Json) -> tuple[str, str]:
    """Return schema and name of ``[{"String": {"sval": …}}, …]``; the schema is empty where there is none."""
    words = [cast("dict[str, dict[str, str]]", name)["String"]["sval"] for name in cast("list[Json]", names)]
    return ".".join(words[:-1]), words[-1]


def constant(node: Json) -> str | bool | None:
    """Return the value of a string or boolean constant, "" for a parameter, and None for anything else."""
    if isinstance(node, dict):
        if "ParamRef" in node:
            return ""
        constant = node.get("A_Const")
        if isinstance(constant, dict):
            if "sval" in constant:
                return cast("dict[str, str]", constant["sval"]).get("sval", "")
            if "boolval" in constant:
                return "boolval" in cast("Node", constant["boolval"])
    return None
