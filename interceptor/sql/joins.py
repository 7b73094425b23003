"""Joins with nothing that says which rows belong together."""

from __future__ import annotations

from typing import Any

from interceptor.sql.parsing import Node

__all__ = ["is_cartesian"]


class _Groups:
    """Which relations of a FROM clause hang together."""

    def __init__(self) -> None:
        self.group: dict[str, int] = {}

    def unite(self, aliases: set[str]) -> None:
        groups = {self.group[alias] for alias in aliases if alias in self.group}
        if len(groups) > 1:
            first = groups.pop()
            for alias, group in self.group.items():
                if group in groups:
                    self.group[alias] = first


def is_cartesian(items: list[Node], where: Node | None) -> bool:
    """Say whether relations of a FROM clause are joined with nothing that says which rows belong together.

    A condition that has columns without a qualifier counts as joining whatever it might.
    """
    groups = _Groups()
    conditions: list[Node] = [where] if where is not None else []
    joined: list[set[str]] = []
    for item in items:
        _leaves(item, groups, conditions, joined)
    for aliases in joined:
        groups.unite(aliases)
    known = set(groups.group)
    for condition in _conjuncts(conditions):
        qualifiers: set[str] = set()
        bare = _qualifiers(condition, qualifiers)
        touched = qualifiers & known
        groups.unite(known if bare and bare + len(touched) > 1 else touched)
    return len(set(groups.group.values())) > 1


def _leaves(item: Node, groups: _Groups, conditions: list[Node], joined: list[set[str]]) -> set[str]:
    kind, body = next(iter(item.items()))
    if kind == "JoinExpr":
        left = _leaves(body["larg"], groups, conditions, joined)
        right = _leaves(body["rarg"], groups, conditions, joined)
        if "quals" in body:
            conditions.append(body["quals"])
        elif "usingClause" in body or body.get("isNatural"):
            joined.append(left | right)
        both = left | right
        if "alias" in body:
            # Columns may be qualified with the alias of the join: as good as with one of its relations.
            alias: str = body["alias"]["aliasname"]
            groups.group[alias] = groups.group[next(iter(both))]
            both = {*both, alias}
        return both
    if kind == "RangeTableSample":
        return _leaves(body["relation"], groups, conditions, joined)
    alias = body["alias"]["aliasname"] if "alias" in body else body.get("relname") or _function_name(body)
    while alias in groups.group:
        alias += " "  # another one of this name, in another schema
    groups.group[alias] = len(groups.group)
    if kind != "RangeVar":  # a function's arguments and a lateral subquery may refer to what stands before them
        qualifiers: set[str] = set()
        bare = _qualifiers(body, qualifiers)
        if kind != "RangeSubselect" or body.get("lateral"):
            joined.append({alias, *groups.group} if bare and kind != "RangeSubselect" else {alias, *qualifiers})
    return {alias}


def _function_name(body: Node) -> str:
    for function in body.get("functions", ()):
        call = function["List"]["items"][0].get("FuncCall")
        if call is not None:
            name: str = call["funcname"][-1]["String"]["sval"]
            return name
    return "?"


def _conjuncts(conditions: list[Node]) -> list[Node]:
    stack, found = list(conditions), []
    while stack:
        node = stack.pop()
        body = node.get("BoolExpr")
        if body is not None and body["boolop"] == "AND_EXPR":
            stack.extend(body["args"])
        else:
            found.append(node)
    return found


def _qualifiers(tree: Any, found: set[str]) -> int:
    """Add the qualifiers of the columns in the tree; return how many columns have none."""
    bare = 0
    stack: list[Any] = [tree]
    while stack:
        node = stack.pop()
        if type(node) is list:
            stack.extend(node)
        elif type(node) is dict:
            column = node.get("ColumnRef")
            if column is None:
                stack.extend(node.values())
            elif len(column["fields"]) > 1 and "String" in column["fields"][-2]:
                found.add(column["fields"][-2]["String"]["sval"])
            else:
                bare += 1
    return bare
