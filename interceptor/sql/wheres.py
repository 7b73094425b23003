"""Which WHERE clauses tell one row from another. docs/design/facts.md has the definition, and what can't be seen."""

from __future__ import annotations

from typing import Any, Final

from interceptor.sql.facts import Where
from interceptor.sql.parsing import Node
from interceptor.sql.predicates import same, truth

__all__ = ["NOBODY", "Alike", "alike", "gives_all", "judge_where", "names_column"]

Alike = tuple[str, str | None, frozenset[str], str]
"""Name and schema of the target of a write, the aliases under which its own rows, all of them, stand in it if there are
several, and its own."""

NOBODY: Final[Alike] = ("", None, frozenset(), "")

_COMPARISONS: Final = frozenset(["=", "<", ">", "<=", ">=", "<>"])
_ARITHMETIC: Final = frozenset(["+", "-", "*", "/", "%", "||"])
_CONDITIONS: Final = frozenset(["BoolExpr", "NullTest", "BooleanTest"])
_OPERATIONS: Final = frozenset(
    """
    AEXPR_OP AEXPR_DISTINCT AEXPR_NOT_DISTINCT AEXPR_BETWEEN AEXPR_NOT_BETWEEN AEXPR_BETWEEN_SYM AEXPR_NOT_BETWEEN_SYM
    """.split()
)
_ALL_ROWS: Final = frozenset(["targetList", "fromClause", "whereClause", "limitOption", "op", "sortClause"])
"""What a query may have that leaves no row out, as far as its WHERE does not."""
_ARRAY: Final = "ARRAY_SUBLINK"
_MOST_LEVELS: Final = 200


def judge_where(clause: Node | None, target: Alike = NOBODY) -> Where:
    """Return what a WHERE clause restricts; None is no clause."""
    if clause is None:
        return Where.ABSENT
    if _compares_column(clause):
        return Where.GIVEN
    if truth(clause) is True:
        return Where.ALWAYS_TRUE
    return Where.GIVEN if _tells(clause, False, target, 0) else Where.CONSTANT


def alike(relation: Node, items: list[Node]) -> Alike:
    """The target of a write, and those of the relations that it is joined with which are the same one, whole."""
    name, schema = relation["relname"], relation.get("schemaname")
    own = (name, schema, frozenset[str](), "")
    aliases = {_alias(relation)}
    for item in items:
        kind, body = next(iter(item.items()))
        if (kind == "RangeVar" and _is_target(body, own)) or (
            kind == "RangeSubselect" and _gives_all(body["subquery"], own)
        ):
            aliases.add(_alias(body))
    return name, schema, frozenset(aliases if len(aliases) > 1 else ()), _alias(relation)


def _alias(item: Node) -> str:
    alias: str = item["alias"]["aliasname"] if "alias" in item else item.get("relname", "")
    return alias


def _is_target(table: Node, target: Alike) -> bool:
    schema = table.get("schemaname")
    return bool(table["relname"] == target[0] and (schema is None or target[1] is None or schema == target[1]))


def gives_all(query: Node, relation: Node) -> bool:
    """Whether a query has each row of a relation."""
    return _gives_all(query, (relation["relname"], relation.get("schemaname"), frozenset(), ""))


def _gives_all(query: Node, target: Alike) -> bool:
    """Whether a query has each row of the target."""
    select = query.get("SelectStmt", {})
    items = select.get("fromClause", ())
    return (
        select.keys() <= _ALL_ROWS
        and len(items) == 1
        and "RangeVar" in items[0]
        and _is_target(items[0]["RangeVar"], target)
        and judge_where(select.get("whereClause")) is not Where.GIVEN
    )


def _compares_column(clause: Node) -> bool:
    """Say whether a column is compared with a value, alone or beside other conditions: what most clauses are."""
    comparison = clause.get("A_Expr")
    if comparison is not None:
        if comparison["kind"] != "AEXPR_OP" or "ColumnRef" not in comparison.get("lexpr", ()):
            return False
        right = comparison["rexpr"]
        return (
            ("ParamRef" in right or "A_Const" in right)
            and _operator(comparison) in _COMPARISONS
            and _column(comparison["lexpr"]) != "tableoid"
        )
    several = clause.get("BoolExpr")
    return (
        several is not None
        and several["boolop"] == "AND_EXPR"
        and any([_compares_column(condition) for condition in several["args"]])
    )


def _operator(body: Node) -> str:
    name: str = body["name"][-1]["String"]["sval"]
    return name


def _column(node: Node | None) -> str:
    """The name of a column, without what it is of; empty for anything else."""
    if node is None or "ColumnRef" not in node:
        return ""
    name: str = node["ColumnRef"]["fields"][-1].get("String", {}).get("sval", "")
    return name


def _tells(node: Node, negated: bool, target: Alike, level: int) -> bool:
    """Whether a condition, or its negation, may hold for one row and not for another, as far as can be seen."""
    kind, body = next(iter(node.items()))
    if level > _MOST_LEVELS:
        return names_column(node)
    if kind == "BoolExpr":
        return _tells_of_several(body, negated, target, level)
    if kind == "NullTest":
        asks_for_null = (body["nulltesttype"] == "IS_NULL") is not negated
        return (asks_for_null or not _is_condition(body["arg"])) and names_column(node)
    if kind == "BooleanTest":
        test = body["booltesttype"]
        if test.endswith("UNKNOWN"):
            asks_for_null = (test == "IS_UNKNOWN") is not negated
            return (asks_for_null or not _is_condition(body["arg"])) and names_column(node)
        return _tells(body["arg"], negated is not (test in ("IS_NOT_TRUE", "IS_FALSE")), target, level + 1)
    if kind == "A_Expr":
        return not _compares_with_itself(body, target) and names_column(node)
    if kind == "SubLink":
        return _sub_link_tells(body, target)
    return names_column(node)


def _tells_of_several(body: Node, negated: bool, target: Alike, level: int) -> bool:
    args = body["args"]
    if body["boolop"] == "NOT_EXPR":
        return _tells(args[0], not negated, target, level + 1)
    if (body["boolop"] == "AND_EXPR") is not negated:
        return any([_tells(arg, negated, target, level + 1) for arg in args])
    # One side that holds for all rows is enough; one that holds for none adds nothing.
    open_sides = [arg for arg in args if truth(arg) not in ((True,) if negated else (False, None))]
    return bool(open_sides) and all([_tells(arg, negated, target, level + 1) for arg in open_sides])


def _is_condition(node: Node) -> bool:
    """Whether it is true or false by itself, so that all it asks by IS NOT NULL is whether a column is null."""
    kind, body = next(iter(node.items()))
    if kind == "A_Expr":
        return body["kind"] != "AEXPR_OP" or _operator(body) not in _ARITHMETIC
    return kind in _CONDITIONS or kind == "SubLink"


def _compares_with_itself(body: Node, target: Alike) -> bool:
    """Whether both sides are the same column, beside constants: ``id = id + 0``; or the same of the same row."""
    left, right = body.get("lexpr"), body["rexpr"]
    if left is not None and body["kind"] == "AEXPR_OP_ANY" and right.get("SubLink", {}).get("subLinkType") == _ARRAY:
        return not _sub_link_tells({**right["SubLink"], "subLinkType": "ANY_SUBLINK", "testexpr": left}, target)
    if left is None or body["kind"] not in _OPERATIONS:
        return False
    sides = [left, *right["List"]["items"]] if "List" in right and "BETWEEN" in body["kind"] else [left, right]
    if any(_column(side) == "tableoid" for side in sides) and not all(names_column(side) for side in sides):
        return True
    columns = [_plain_columns(side, target[3]) for side in sides]
    if columns[0] and len(columns[0]) == 1 and all(one == columns[0] for one in columns):
        return True
    return (
        bool(target[2])
        and body["kind"] == "AEXPR_OP"
        and _operator(body) == "="
        and _column(left) == _column(right) != ""
        and all(len(side["ColumnRef"]["fields"]) == 2 for side in sides)
        and all(side["ColumnRef"]["fields"][0]["String"]["sval"] in target[2] for side in sides)
    )


def _plain_columns(node: Node, own: str) -> set[str] | None:
    """The columns of an expression that is nothing but those, constants and arithmetic; None of any other.

    ``own``: what the target of the write is called. Beside a column of it, one without a qualifier is that as well, or
    PostgreSQL would ask whose it is."""
    kind, body = next(iter(node.items()))
    if kind == "ColumnRef":
        parts = [field.get("String", {}).get("sval", "*") for field in body["fields"]]
        return {".".join(parts[-1:] if own and parts[-2:-1] == [own] else parts)}
    if kind in ("A_Const", "ParamRef"):
        return set()
    if kind == "TypeCast":
        return _plain_columns(body["arg"], own)
    if kind == "A_Expr" and body["kind"] == "AEXPR_OP" and _operator(body) in _ARITHMETIC:
        found: set[str] = set()
        for side in ("lexpr", "rexpr"):
            if side in body:
                columns = _plain_columns(body[side], own)
                if columns is None:
                    return None
                found |= columns
        return found
    return None


def _sub_link_tells(body: Node, target: Alike) -> bool:
    select = body["subselect"].get("SelectStmt", {})
    kind = body["subLinkType"]
    if kind == "EXISTS_SUBLINK":
        items = select.get("fromClause", ())
        simple = select.keys() <= _ALL_ROWS and all("RangeVar" in one or "RangeSubselect" in one for one in items)
        correlates = any("lateral" in one.get("RangeSubselect", {}) for one in items)
        inner = NOBODY
        if target[3] and len(items) == 1 and "RangeVar" in items[0] and _is_target(items[0]["RangeVar"], target):
            inner = (target[0], target[1], frozenset([target[3], _alias(items[0]["RangeVar"])]), "")
        if simple and not correlates and judge_where(select.get("whereClause"), inner) is not Where.GIVEN:
            return False
    elif kind == "ANY_SUBLINK" and select.get("targetList"):
        tested, given = body["testexpr"], select["targetList"][0]["ResTarget"]["val"]
        if "fromClause" not in select and same(tested, given) and "whereClause" not in select:
            return False
        if _column(tested) and _column(tested) == _column(given) and _gives_all(body["subselect"], target):
            return False
    return names_column({"SubLink": body})


def names_column(node: Node) -> bool:
    """Whether an expression names a column of what it stands in: not only of the queries that it holds itself."""
    # Level by level: a column is rarely deep, and beside it may be a long list.
    level: list[tuple[Any, frozenset[str]]] = [(node, frozenset())]
    while level:
        below: list[tuple[Any, frozenset[str]]] = []
        for one, inner in level:
            if type(one) is list:
                below.extend([(item, inner) for item in one])
            elif type(one) is dict:
                if "CurrentOfExpr" in one:
                    return True
                column = one.get("ColumnRef")
                if column is not None:
                    fields = column["fields"]
                    if len(fields) != 2 or fields[0]["String"]["sval"] not in inner:
                        return True
                    continue
                select = one.get("SelectStmt")
                if select is not None:
                    inner = inner | _aliases(select.get("fromClause", ()))
                below.extend([(value, inner) for value in one.values()])
        level = below
    return False


def _aliases(items: Any) -> frozenset[str]:
    found: set[str] = set()
    waiting = list(items)
    while waiting:
        kind, body = next(iter(waiting.pop().items()))
        if kind == "JoinExpr":
            waiting += [body["larg"], body["rarg"]]
        if "alias" in body or kind == "RangeVar":
            found.add(_alias(body))
    return frozenset(found)
