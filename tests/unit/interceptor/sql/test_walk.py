"""The tables of node kinds."""

from __future__ import annotations

import inspect
import itertools

import pytest
from pglast import ast

from interceptor.sql.effects import Effect
from interceptor.sql.tree import LEAVES, PINS, WALKED, Node
from interceptor.sql.walk import HANDLED, Walk

# The planner's and the analyser's nodes, which a raw parse tree never has; pieces of kinds in which nothing is looked
# at (LEAVES); and two that only occur in a function's body.
NEVER_MET = set(
    """
    Aggref AlternativeSubPlan ArrayCoerceExpr ArrayExpr CallContext CaseTestExpr CoerceToDomain CoerceToDomainValue
    CoerceViaIO CollateExpr ConvertRowtypeExpr Expr FieldSelect FieldStore FromExpr FuncExpr InferenceElem
    InlineCodeBlock JsonConstructorExpr JsonExpr MergeAction OnConflictExpr OpExpr Param Query RTEPermissionInfo
    RangeTblEntry RangeTblFunction RangeTblRef RawStmt RelabelType ReturningExpr RowCompareExpr RowMarkClause
    ScalarArrayOpExpr SetOperationStmt SortGroupClause SubPlan SubscriptingRef TableFunc TableSampleClause TargetEntry
    ValUnion Var WindowClause WindowFunc WindowFuncRunCondition WithCheckOption

    AccessPriv CreateOpClassItem FunctionParameter ObjectWithArgs PublicationObjSpec PublicationTable StatsElem
    TriggerTransition

    PLAssignStmt ReturnStmt
    """.split()
)


def test_every_kind_of_the_grammar_was_judged() -> None:
    """A new release of the parser brings new kinds. They are OPAQUE until somebody has thought about them."""
    kinds = {name for name, kind in vars(ast).items() if inspect.isclass(kind) and issubclass(kind, ast.Node)}
    judged = WALKED | LEAVES | PINS.keys() | HANDLED.keys() | NEVER_MET
    assert kinds - {"Node"} ^ judged == {"List"}  # which the parser's own classes leave to Python


@pytest.mark.parametrize(
    "statement",
    [
        {"NewStmt": {}},
        {"SelectStmt": {"targetList": [{"ResTarget": {"val": {"NewExpr": {}}}}]}},
        {"SelectStmt": {"larg": {"whereClause": {"NewExpr": {}}}}},
        {"SelectStmt": {"targetList": [[{"NewExpr": {}}]]}},
    ],
)
def test_a_kind_that_nobody_judged_is_opaque(statement: Node) -> None:
    walk = Walk(0)
    walk.visit(statement)
    assert walk.effect is Effect.OPAQUE


def test_tables_do_not_overlap() -> None:
    tables = [WALKED, LEAVES, set(PINS), set(HANDLED), NEVER_MET]
    assert [one & other for one, other in itertools.combinations(tables, 2) if one & other] == []
