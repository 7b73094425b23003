"""Queries: their clauses, and which names mean what in each."""

from __future__ import annotations

from typing import Any

from interceptor.sql.expressions import StatementReader, name_of
from interceptor.sql.facts import (
    Access,
    ColumnUse,
    FunctionUse,
    Limit,
    Locking,
    QualifiedName,
    Via,
    Where,
)
from interceptor.sql.joins import is_cartesian
from interceptor.sql.parsing import Node
from interceptor.sql.scopes import Scope
from interceptor.sql.wheres import judge_where

__all__ = ["INNER", "OUTERMOST", "read_from", "read_pending", "read_select", "read_with"]

_RESTRICTS = {Where.NONE: 0, Where.GIVEN: 1, Where.CONSTANT: 2, Where.ALWAYS_TRUE: 3, Where.ABSENT: 4}

# What a query is to its statement: the statement itself, an arm of its UNION, or a part of it.
INNER, ARM, OUTERMOST = 0, 1, 2

_SIMPLE = frozenset(["targetList", "fromClause", "whereClause", "limitOption", "op"])

_STRENGTHS = {
    "LCS_FORUPDATE": "update",
    "LCS_FORNOKEYUPDATE": "no key update",
    "LCS_FORSHARE": "share",
    "LCS_FORKEYSHARE": "key share",
}
_WAITS = {"LockWaitBlock": "block", "LockWaitError": "nowait", "LockWaitSkip": "skip locked"}


def read_pending(reader: StatementReader) -> None:
    """Read the queries that were put aside, and those that they hold."""
    pending = reader.pending
    while pending:
        body, parent, ctes, level, rank = pending.pop()
        read_select(reader, body, parent, ctes, level, rank)


def read_select(
    reader: StatementReader, body: Node, parent: Scope | None, ctes: frozenset[str], level: int, rank: int
) -> None:
    """Read a SelectStmt. ``parent``: the queries around it whose columns it sees; ``rank``: OUTERMOST, ARM or INNER."""
    simple = body.keys() <= _SIMPLE
    if not simple:
        if "withClause" in body:
            ctes = read_with(reader, body["withClause"], parent, ctes, level)
        if rank == OUTERMOST and "limitCount" in body:
            reader.limit = _limit(body)
        if body["op"] != "SETOP_NONE":
            _read_set_operation(reader, body, parent, ctes, level, rank)
            return
        if "intoClause" in body:
            reader.into = reader.use(body["intoClause"]["rel"], Access.DEFINE)
    scope = Scope(parent, ctes)
    nodes: list[Node] = []
    items = body.get("fromClause")
    where = body.get("whereClause")
    if items:
        read_from(reader, items, scope, nodes, level)
        if rank != INNER:
            found = judge_where(where)
            if _RESTRICTS[found] > _RESTRICTS[reader.where]:
                reader.where = found
        if (len(items) > 1 or "JoinExpr" in items[0]) and not reader.cartesian:
            reader.cartesian = is_cartesian(items, where)
    nodes.extend([target["ResTarget"]["val"] for target in body.get("targetList", ())])
    if where is not None:
        nodes.append(where)
    if not simple:
        _read_further_clauses(reader, body, scope, nodes)
    reader.walk(nodes, scope, level + 1)


def _read_further_clauses(reader: StatementReader, body: Node, scope: Scope, nodes: list[Node]) -> None:
    words = reader.words
    rows = body.get("valuesLists")
    if rows:
        reader.rows = max(reader.rows, len(rows))
        words.add("values")
        for row in rows:
            nodes.extend(row["List"].get("items", ()))
    if "distinctClause" in body:
        words.add("distinct")
        nodes.extend([node for node in body["distinctClause"] if node])
    if "groupClause" in body:
        words.add("group by")
        _read_positions(reader, body["groupClause"], nodes)
    if "havingClause" in body:
        words.add("having")
        nodes.append(body["havingClause"])
    if "windowClause" in body:
        nodes.extend(body["windowClause"])
    if "sortClause" in body:
        words.add("order by")
        outputs = {target["ResTarget"].get("name") for target in body.get("targetList", ())}
        _read_sort(reader, body["sortClause"], nodes, outputs)
    if "limitCount" in body:
        nodes.append(body["limitCount"])
    if "limitOffset" in body:
        words.add("offset")
        nodes.append(body["limitOffset"])
    for clause in body.get("lockingClause", ()):
        lock = clause["LockingClause"]
        aliases = tuple([relation["RangeVar"]["relname"] for relation in lock.get("lockedRels", ())])
        reader.locking = (
            *reader.locking,
            Locking(_STRENGTHS.get(lock["strength"], lock["strength"]), aliases, _WAITS[lock["waitPolicy"]]),
        )


def _read_positions(reader: StatementReader, clause: list[Node], nodes: list[Node]) -> None:
    for node in clause:
        if "A_Const" in node:  # the number of an output column
            reader.literal(node["A_Const"], True)
        else:
            nodes.append(node)


def _read_sort(reader: StatementReader, clause: list[Node], nodes: list[Node], outputs: set[Any]) -> None:
    for item in clause:
        sort = item["SortBy"]
        node = sort["node"]
        if "useOp" in sort:
            reader.operator(sort["useOp"])
        column = node.get("ColumnRef")
        if "A_Const" in node:
            reader.literal(node["A_Const"], True)
        elif column is None or len(column["fields"]) > 1 or column["fields"][0]["String"]["sval"] not in outputs:
            nodes.append(node)


def _read_set_operation(
    reader: StatementReader, body: Node, parent: Scope | None, ctes: frozenset[str], level: int, rank: int
) -> None:
    reader.words.add("set operation")
    # The left arm of a long UNION is as deep as it is long: an arm at the time, and none counts as a level.
    arms = [body["larg"], body["rarg"]]
    scope = Scope(None, ctes)
    while arms:
        arm = arms.pop()
        plain = arm["op"] != "SETOP_NONE" and not arm.keys() & _OWN_CLAUSES
        if plain:
            arms.append(arm["larg"])
            arms.append(arm["rarg"])
        else:
            reader.pending.append((arm, parent, ctes, level, ARM if rank != INNER else INNER))
    nodes: list[Node] = []
    if "sortClause" in body:  # of output columns only
        reader.words.add("order by")
        for item in body["sortClause"]:
            node = item["SortBy"]["node"]
            if "A_Const" in node:
                reader.literal(node["A_Const"], True)
            elif "ColumnRef" not in node:
                nodes.append(node)
    nodes.extend([body[key] for key in ("limitCount", "limitOffset") if key in body])
    if "limitOffset" in body:
        reader.words.add("offset")
    if nodes:
        reader.walk(nodes, scope, level + 1)


_OWN_CLAUSES = frozenset(["withClause", "sortClause", "limitCount", "limitOffset", "lockingClause", "intoClause"])


def _limit(body: Node) -> Limit | None:
    count = body["limitCount"]
    ties = body.get("limitOption") == "LIMIT_OPTION_WITH_TIES"
    if "A_Const" in count:
        constant = count["A_Const"]
        if "isnull" in constant:
            return None
        if "ival" in constant:
            return Limit(constant["ival"].get("ival", 0), ties=ties)
        if "fval" in constant and constant["fval"]["fval"].isdecimal():
            return Limit(int(constant["fval"]["fval"]), ties=ties)
    if "ParamRef" in count:
        return Limit(parameter=count["ParamRef"].get("number", 0), ties=ties)
    return Limit(computed=True, ties=ties)


def read_with(
    reader: StatementReader, clause: Node, parent: Scope | None, ctes: frozenset[str], level: int
) -> frozenset[str]:
    """Read the queries of a WITH clause and return the names that are no relations after it."""
    tables = [cte["CommonTableExpr"] for cte in clause["ctes"]]
    names = ctes | {table["ctename"] for table in tables}
    recursive = clause.get("recursive", False)
    if recursive:
        reader.words.add("recursive")
    visible = names if recursive else ctes
    for table in tables:
        reader.level = level
        reader.nest(table["ctequery"], Via.CTE, True, parent, visible)
        visible |= {table["ctename"]}
    return names


def read_from(reader: StatementReader, items: list[Node], scope: Scope, nodes: list[Node], level: int) -> None:
    """Add the relations of a FROM clause to the scope, and its expressions to ``nodes``."""
    shared: list[str] = []  # columns of USING
    natural = False
    stack = items[::-1]
    while stack:
        kind, body = next(iter(stack.pop().items()))
        if kind == "RangeVar":
            if "schemaname" not in body and body["relname"] in scope.ctes:
                scope.items.setdefault(body["alias"]["aliasname"] if "alias" in body else body["relname"], ())
            else:
                name = reader.use(body, Access.READ)
                alias = body.get("alias")
                scope.add(alias["aliasname"] if alias is not None else name.name, name)
                if alias is not None and "colnames" in alias:
                    _hide_columns(reader, alias, (name,), body.get("location", -1))
        elif kind == "JoinExpr":
            stack.append(body["rarg"])
            stack.append(body["larg"])
            if "quals" in body:
                nodes.append(body["quals"])
            shared.extend([name["String"]["sval"] for name in body.get("usingClause", ())])
            if body.get("isNatural"):
                natural = True
            if "alias" in body or "join_using_alias" in body:
                _read_join_alias(reader, body, scope)
        elif kind == "RangeSubselect":
            if "alias" in body:
                scope.items.setdefault(body["alias"]["aliasname"], ())
            reader.pending.append(
                (
                    body["subquery"]["SelectStmt"],
                    scope if body.get("lateral") else scope.parent,
                    scope.ctes,
                    level,
                    False,
                )
            )
        elif kind == "RangeFunction":
            _read_range_function(body, scope, nodes)
        elif kind == "RangeTableSample":
            stack.append(body["relation"])
            reader.words.add("tablesample")
            reader.functions.append(FunctionUse(name_of(body["method"]), body.get("location", -1)))
            nodes.extend(body.get("args", ()))
            if "repeatable" in body:
                nodes.append(body["repeatable"])
        else:  # RangeTableFunc, JsonTable, and whatever comes: the walk knows
            if "alias" in body:
                scope.items.setdefault(body["alias"]["aliasname"], ())
            nodes.append({kind: body})
    reader.columns.extend([ColumnUse(column, None, scope.own(), -1) for column in shared])
    if natural:
        reader.words.add("natural")
        reader.columns.append(ColumnUse("*", None, scope.own(), -1, True))


def _hide_columns(reader: StatementReader, alias: Node, names: tuple[QualifiedName, ...], place: int) -> None:
    """``t AS q (one, two)`` gives the columns other names, so that a use of one may be a use of any of them."""
    reader.words.add("renamed columns")
    reader.columns.append(ColumnUse("*", alias["aliasname"], names, place, True))


def _read_join_alias(reader: StatementReader, body: Node, scope: Scope) -> None:
    """``(a JOIN b …) AS j`` has the columns of both; which ones only the catalogue knows."""
    found: list[QualifiedName] = []
    stack = [body["larg"], body["rarg"]]
    while stack:
        kind, part = next(iter(stack.pop().items()))
        if kind == "JoinExpr":
            stack += [part["larg"], part["rarg"]]
        elif kind == "RangeTableSample":
            stack.append(part["relation"])
        elif kind == "RangeVar" and ("schemaname" in part or part["relname"] not in scope.ctes):
            found.append(QualifiedName(part["relname"], part.get("schemaname"), part.get("catalogname")))
    for key in ("alias", "join_using_alias"):
        if key in body:
            scope.items[body[key]["aliasname"]] = tuple(found)
            if "colnames" in body[key]:
                _hide_columns(reader, body[key], tuple(found), -1)


def _read_range_function(body: Node, scope: Scope, nodes: list[Node]) -> None:
    alias = body["alias"]["aliasname"] if "alias" in body else None
    for function in body["functions"]:
        parts = function["List"]["items"]
        nodes.extend([part for part in parts if part])
        call = parts[0].get("FuncCall")
        if alias is None and call is not None and len(body["functions"]) == 1:
            alias = call["funcname"][-1]["String"]["sval"]
    if alias is not None:
        scope.items.setdefault(alias, ())
    nodes.extend(body.get("coldeflist", ()))
