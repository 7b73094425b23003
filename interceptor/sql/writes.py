"""INSERT, UPDATE, DELETE and MERGE."""

from __future__ import annotations

from typing import Final

from interceptor.sql.expressions import StatementReader
from interceptor.sql.facts import Access, ColumnUse, QualifiedName, Where
from interceptor.sql.joins import is_cartesian
from interceptor.sql.parsing import Node
from interceptor.sql.queries import INNER, read_from, read_with
from interceptor.sql.scopes import Scope
from interceptor.sql.wheres import NOBODY, alike, gives_all, judge_where

__all__ = ["read_delete", "read_insert", "read_merge", "read_update"]


def _target(reader: StatementReader, body: Node, parent: Scope | None, ctes: frozenset[str]) -> tuple[Scope, Node]:
    """Return the scope of a write with its target in it, and of the target the fields."""
    relation = body["relation"]
    scope = Scope(parent, ctes)
    name = reader.use(relation, Access.WRITE)  # never a CTE, whatever its name
    scope.add(relation["alias"]["aliasname"] if "alias" in relation else name.name, name)
    return scope, relation


def _read_returning(reader: StatementReader, body: Node, scope: Scope, nodes: list[Node]) -> None:
    clause = body.get("returningClause")
    if clause is None:
        return
    reader.words.add("returning")
    target = (scope.relations[0],)
    scope.items.setdefault("old", target)
    scope.items.setdefault("new", target)
    for option in clause.get("options", ()):
        scope.items[option["ReturningOption"]["value"]] = target
    nodes.extend([item["ResTarget"]["val"] for item in clause["exprs"]])


def _read_targets(
    reader: StatementReader, targets: list[Node], name: QualifiedName, nodes: list[Node], has_values: bool
) -> None:
    """The columns that are written, and what is written into them."""
    for item in targets:
        target = item["ResTarget"]
        reader.columns.append(ColumnUse(target["name"], None, (name,), target.get("location", -1), False, False, True))
        nodes.extend([part for part in target.get("indirection", ()) if "A_Indices" in part])
        value = target.get("val")
        if has_values and value is not None:
            several = value.get("MultiAssignRef")
            if several is None:
                nodes.append(value)
            elif several["colno"] == 1:  # the same source again for each column
                nodes.append(several["source"])


def read_insert(reader: StatementReader, body: Node, parent: Scope | None, ctes: frozenset[str], level: int) -> None:
    """Read an InsertStmt."""
    if "withClause" in body:
        ctes = read_with(reader, body["withClause"], parent, ctes, level)
    scope, relation = _target(reader, body, parent, ctes)
    name = scope.relations[0]
    nodes: list[Node] = []
    if "cols" in body:
        _read_targets(reader, body["cols"], name, nodes, False)
    else:
        reader.columns.append(ColumnUse("*", None, (name,), relation.get("location", -1), True, False, True))
    if "selectStmt" in body:
        reader.pending.append((body["selectStmt"]["SelectStmt"], parent, ctes, level, INNER))
    else:
        reader.words.add("default values")
        reader.rows = 1
    conflict = body.get("onConflictClause")
    if conflict is not None:
        reader.words.add("on conflict")
        if conflict["action"] == "ONCONFLICT_UPDATE":
            reader.words.add("do update")
            if gives_all(body.get("selectStmt", {}), relation):
                # Each row of the target conflicts with itself.
                reader.where = judge_where(conflict.get("whereClause"))
        scope.items["excluded"] = (name,)
        infer = conflict.get("infer")
        if infer is not None:
            for element in infer.get("indexElems", ()):
                if "name" in element["IndexElem"]:
                    reader.columns.append(ColumnUse(element["IndexElem"]["name"], None, (name,), -1))
                nodes.append(element)
            if "whereClause" in infer:
                nodes.append(infer["whereClause"])
        _read_targets(reader, conflict.get("targetList", []), name, nodes, True)
        if "whereClause" in conflict:
            nodes.append(conflict["whereClause"])
    _read_returning(reader, body, scope, nodes)
    reader.walk(nodes, scope, level + 1)


def read_update(reader: StatementReader, body: Node, parent: Scope | None, ctes: frozenset[str], level: int) -> None:
    """Read an UpdateStmt."""
    if "withClause" in body:
        ctes = read_with(reader, body["withClause"], parent, ctes, level)
    scope, relation = _target(reader, body, parent, ctes)
    name = scope.relations[0]
    nodes: list[Node] = []
    _read_joined(reader, body, "fromClause", scope, relation, nodes, level)
    _read_targets(reader, body["targetList"], name, nodes, True)
    _read_returning(reader, body, scope, nodes)
    reader.walk(nodes, scope, level + 1)


def read_delete(reader: StatementReader, body: Node, parent: Scope | None, ctes: frozenset[str], level: int) -> None:
    """Read a DeleteStmt."""
    if "withClause" in body:
        ctes = read_with(reader, body["withClause"], parent, ctes, level)
    scope, relation = _target(reader, body, parent, ctes)
    nodes: list[Node] = []
    _read_joined(reader, body, "usingClause", scope, relation, nodes, level)
    _read_returning(reader, body, scope, nodes)
    reader.walk(nodes, scope, level + 1)


def _read_joined(
    reader: StatementReader, body: Node, key: str, scope: Scope, relation: Node, nodes: list[Node], level: int
) -> None:
    """The relations that an UPDATE or DELETE is joined with, and its WHERE."""
    where = body.get("whereClause")
    items = body.get(key)
    if items:
        read_from(reader, items, scope, nodes, level)
        reader.cartesian = is_cartesian([{"RangeVar": relation}, *items], where)
    reader.where = judge_where(where, NOBODY if where is None else alike(relation, items or []))
    if where is not None:
        nodes.append(where)


_RESTRICTS: Final = (Where.ABSENT, Where.ALWAYS_TRUE, Where.CONSTANT, Where.GIVEN, Where.NONE)
"""The least first."""


def read_merge(reader: StatementReader, body: Node, parent: Scope | None, ctes: frozenset[str], level: int) -> None:
    """Read a MergeStmt."""
    if "withClause" in body:
        ctes = read_with(reader, body["withClause"], parent, ctes, level)
    scope, relation = _target(reader, body, parent, ctes)
    name = scope.relations[0]
    condition = body["joinCondition"]
    nodes: list[Node] = [condition]
    read_from(reader, [body["sourceRelation"]], scope, nodes, level)
    reader.cartesian = is_cartesian([{"RangeVar": relation}, body["sourceRelation"]], condition)
    same_rows = alike(relation, [body["sourceRelation"]])
    for item in body["mergeWhenClauses"]:
        when = item["MergeWhenClause"]
        if "condition" in when:
            nodes.append(when["condition"])
        nodes.extend(when.get("values", ()))
        command = when["commandType"]
        if command in ("CMD_UPDATE", "CMD_DELETE"):
            # ON says of which rows, but for those BY SOURCE: they are the others.
            others = when.get("matchKind") == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE"
            where = judge_where(when.get("condition") if others else condition, same_rows)
            reader.where = min(reader.where, where, key=_RESTRICTS.index)
        reader.words.add("merge " + command.removeprefix("CMD_").lower())
        if command == "CMD_INSERT" and "targetList" not in when:
            reader.columns.append(ColumnUse("*", None, (name,), relation.get("location", -1), True, False, True))
        _read_targets(reader, when.get("targetList", []), name, nodes, command == "CMD_UPDATE")
    _read_returning(reader, body, scope, nodes)
    reader.walk(nodes, scope, level + 1)
