"""Conditions that restrict nothing.

Only the obvious is folded: what somebody writes who wants a WHERE clause that isn't one. The rest is a condition.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Final

from interceptor.sql.parsing import Node

__all__ = ["MAYBE", "SYSTEM_COLUMNS", "same", "truth"]


class _Maybe(Enum):
    """The value of what is not known before it runs."""

    MAYBE = "maybe"


MAYBE: Final = _Maybe.MAYBE
Value = bool | int | float | str | None | _Maybe

_TRUE_TEXT = re.compile(r"\s*(t|tr|tru|true|y|ye|yes|on|1)\s*\Z", re.IGNORECASE)
_FALSE_TEXT = re.compile(r"\s*(f|fa|fal|fals|false|n|no|of|off|0)\s*\Z", re.IGNORECASE)

# What holds for any value and itself, if it is not null.
_REFLEXIVE = frozenset(["=", "<=", ">=", "~~", "~~*", "@>", "<@", "&&"])
_COMPLEMENTS = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
SYSTEM_COLUMNS = frozenset(["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"])
"""What no row is without."""
_STRICT = frozenset(["=", "<>", "<", ">", "<=", ">=", "~~", "~~*", "!~~", "!~~*", "~", "~*", "!~", "!~*"])
"""Operators of PostgreSQL's own that answer NULL where a side is NULL."""
_PLACES = frozenset(["location", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end"])
_MATCHES_ALL = re.compile(r"\^?(\.\*)?\$?\Z|\(?\.\*\)?\Z")


def truth(node: Node) -> Value:
    """Return True, False or None (NULL) for a condition that is surely that, and MAYBE for any other.

    What holds for every value but NULL is True: ``id = id``.
    """
    kind, body = next(iter(node.items()))
    if kind == "BoolExpr":
        return _bool_expr(body)
    if kind == "A_Expr":
        return _a_expr(body)
    if kind == "NullTest":
        value = _value(body["arg"])
        if value is MAYBE:
            return bool(body["nulltesttype"] != "IS_NULL") if _is_system_column(body["arg"]) else MAYBE
        return bool((value is None) == (body["nulltesttype"] == "IS_NULL"))
    if kind == "BooleanTest":
        value = truth(body["arg"])
        if value is MAYBE:
            return MAYBE
        test = body["booltesttype"]
        found = value is {"TRUE": True, "FALSE": False}.get(test.rsplit("_", 1)[1])
        return bool(found != ("_NOT_" in test))
    if kind == "FuncCall":
        return _call(body)
    value = _value(node)
    return _as_bool(value) if isinstance(value, str) else value


def _is_system_column(node: Node) -> bool:
    fields = node.get("ColumnRef", {}).get("fields", [{}])
    return fields[-1].get("String", {}).get("sval") in SYSTEM_COLUMNS


def _call(body: Node) -> Value:
    """What begins with nothing."""
    args = body.get("args", [])
    if body["funcname"][-1]["String"]["sval"] == "starts_with" and len(args) == 2 and _value(args[1]) == "":
        return True
    return MAYBE


def _as_bool(text: str) -> Value:
    if _TRUE_TEXT.match(text):
        return True
    return False if _FALSE_TEXT.match(text) else MAYBE


def _bool_expr(body: Node) -> Value:
    args = body["args"]
    values = [truth(arg) for arg in args]
    operator = body["boolop"]
    if operator == "NOT_EXPR":
        value = values[0]
        return value if value is MAYBE or value is None else not value
    decisive = bool(operator == "OR_EXPR")
    if decisive in values:
        return decisive
    if decisive and len(args) <= 16 and any([_complement(one, other) for one in args for other in args]):
        return True
    if MAYBE in values:
        return MAYBE
    return None if None in values else not decisive


def _complement(one: Node, other: Node) -> bool:
    """Say whether one of the two holds, whatever the values (NULL apart, where NULL is not what they ask for)."""
    negated = one.get("BoolExpr")
    if negated is not None and negated["boolop"] == "NOT_EXPR":
        return same(negated["args"][0], other)
    if "BooleanTest" in one or "BooleanTest" in other:
        return _cover_all(one, other)
    if "NullTest" in one and "NullTest" in other:
        return one["NullTest"]["nulltesttype"] != other["NullTest"]["nulltesttype"] and same(
            one["NullTest"]["arg"], other["NullTest"]["arg"]
        )
    left, right = one.get("A_Expr"), other.get("A_Expr")
    if left is None or right is None or left["kind"] != "AEXPR_OP" or right["kind"] != "AEXPR_OP":
        return False
    return (
        _COMPLEMENTS.get(_operator(left)) == _operator(right)
        and same(left.get("lexpr"), right.get("lexpr"))
        and same(left.get("rexpr"), right.get("rexpr"))
    )


_COVERED: Final = {
    "IS_TRUE": "t", "IS_NOT_TRUE": "f", "IS_FALSE": "f", "IS_NOT_FALSE": "t", "IS_UNKNOWN": "", "IS_NOT_UNKNOWN": "tf",
}  # fmt: skip


def _cover_all(one: Node, other: Node) -> bool:
    """Whether of two tests of the same condition one holds, be that true or false: ``x OR x IS NOT TRUE``."""
    tests = [node.get("BooleanTest", {"booltesttype": "IS_TRUE", "arg": node}) for node in (one, other)]
    covered = {letter for test in tests for letter in _COVERED[test["booltesttype"]]}
    return len(covered) == 2 and same(tests[0]["arg"], tests[1]["arg"])


def _operator(body: Node) -> str:
    name: str = body["name"][-1]["String"]["sval"]
    return name


def _a_expr(body: Node) -> Value:
    kind = body["kind"]
    left, right = body.get("lexpr"), body["rexpr"]
    if left is None:
        return MAYBE
    if kind in ("AEXPR_IN", "AEXPR_OP_ANY", "AEXPR_OP_ALL"):
        return _in_list(body, left, right)
    if kind in ("AEXPR_BETWEEN", "AEXPR_BETWEEN_SYM"):
        low, high = right["List"]["items"]
        lower = _compare(">=", left, low)
        upper = _compare("<=", left, high)
        return True if lower is True and upper is True else MAYBE
    if kind in ("AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT"):
        if same(left, right) and not _runs_anything(left):
            return bool(kind == "AEXPR_NOT_DISTINCT")
        one, other = _value(left), _value(right)
        if one is MAYBE or other is MAYBE:
            return MAYBE
        return bool((one == other) == (kind == "AEXPR_NOT_DISTINCT"))
    if kind in ("AEXPR_LIKE", "AEXPR_ILIKE", "AEXPR_SIMILAR"):
        if kind == "AEXPR_SIMILAR":
            right = right.get("FuncCall", {}).get("args", [right])[0]
        return _compare("~~" if _operator(body) == "~" else _operator(body), left, right)
    if kind == "AEXPR_OP":
        return _compare(_operator(body), left, right)
    return MAYBE


def _in_list(body: Node, left: Node, right: Any) -> Value:
    if "List" in right:
        items = right["List"].get("items", [])
        if "ColumnRef" in left and all(["A_Const" in item for item in items]):
            return MAYBE
    elif "A_ArrayExpr" in right:
        items = right["A_ArrayExpr"].get("elements", [])
    elif "TypeCast" in right:
        return _in_list(body, left, right["TypeCast"]["arg"])
    else:
        text = right.get("A_Const", {}).get("sval", {}).get("sval", "").strip()
        if not (text.startswith("{") and text.endswith("}")):
            return MAYBE
        inside = [part.strip().strip('"') for part in text[1:-1].split(",")] if text[1:-1].strip() else []
        items = [{"A_Const": {"sval": {"sval": part}}} for part in inside]
    if body["kind"] == "AEXPR_OP_ALL":
        of_all = len(items) <= 64 and all([_compare(_operator(body), left, item) is True for item in items])
        return True if of_all else MAYBE
    operator = _operator(body)
    if operator == "=" or body["kind"] == "AEXPR_OP_ANY":
        return True if any([_compare(operator, left, item) is True for item in items[:64]]) else MAYBE
    if operator == "<>":  # NOT IN
        return True if items and all([_compare("<>", left, item) is True for item in items]) else MAYBE
    return MAYBE


def _compare(operator: str, left: Node, right: Node) -> Value:
    if operator in _STRICT and (_value(left) is None or _value(right) is None):
        return None
    if operator in ("~~", "~~*"):
        pattern = _value(right)
        if isinstance(pattern, str) and pattern and not pattern.strip("%"):
            return True
    if operator in _REFLEXIVE and same(left, right) and not _runs_anything(left):
        return True
    if operator in ("~", "~*"):
        pattern = _value(right)
        return True if isinstance(pattern, str) and _MATCHES_ALL.match(pattern) else MAYBE
    one, other = _value(left), _value(right)
    if one is MAYBE or other is MAYBE:
        return MAYBE
    if one is None or other is None:
        return None
    if isinstance(one, str) != isinstance(other, str):
        return MAYBE  # an unknown literal takes the other's type
    if operator == "=":
        return one == other
    if operator == "<>":
        return one != other
    if isinstance(one, str) or isinstance(other, str):
        return MAYBE  # the collation decides
    if isinstance(one, _Maybe) or isinstance(other, _Maybe):
        return MAYBE
    if operator == "<":
        return one < other
    if operator == ">":
        return one > other
    if operator == "<=":
        return one <= other
    return one >= other if operator == ">=" else MAYBE


def _value(node: Node) -> Value:
    """Return the value of a constant expression of the simplest kinds."""
    kind, body = next(iter(node.items()))
    if kind == "A_Const":
        return _constant(body)
    if kind == "TypeCast":
        value = _value(body["arg"])
        if isinstance(value, str):
            names = body["typeName"].get("names", [])
            is_bool = bool(names) and names[-1]["String"]["sval"] == "bool"
            is_text = bool(names) and names[-1]["String"]["sval"] in ("text", "varchar", "name", "bpchar")
            return _as_bool(value) if is_bool else value if is_text else MAYBE
        return value
    if kind in ("BoolExpr", "NullTest", "BooleanTest"):
        return truth(node)
    if kind == "A_Expr":
        return _arithmetic(body)
    if kind == "CoalesceExpr":
        for arg in body["args"]:
            value = _value(arg)
            if value is not None:
                return value
        return None
    if kind == "CaseExpr":
        return _case(body)
    if kind == "SubLink":
        return _sub_link(body)
    return MAYBE


def _constant(body: Node) -> Value:
    if "ival" in body:
        number: int = body["ival"].get("ival", 0)
        return number
    if "boolval" in body:
        return "boolval" in body["boolval"]
    if "isnull" in body:
        return None
    if "sval" in body:
        text: str = body["sval"].get("sval", "")
        return text
    if "fval" in body:
        try:
            return float(body["fval"]["fval"].replace("_", ""))
        except ValueError:
            return MAYBE
    return MAYBE


def _arithmetic(body: Node) -> Value:
    if body["kind"] != "AEXPR_OP":
        return _a_expr(body)
    operator = _operator(body)
    if operator == "||" and "lexpr" in body:
        before, after = _value(body["lexpr"]), _value(body["rexpr"])
        return before + after if isinstance(before, str) and isinstance(after, str) else MAYBE
    if operator not in ("+", "-", "*"):
        return _a_expr(body)
    right = _value(body["rexpr"])
    left = _value(body["lexpr"]) if "lexpr" in body else 0
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left + right if operator == "+" else left - right if operator == "-" else left * right
    return MAYBE


def _case(body: Node) -> Value:
    results = []
    for when in body["args"]:
        condition = MAYBE if "arg" in body else truth(when["CaseWhen"]["expr"])
        if condition is MAYBE:
            results.append(_value(when["CaseWhen"]["result"]))
        elif condition is True:
            results.append(_value(when["CaseWhen"]["result"]))
            break
    else:
        results.append(_value(body["defresult"]) if "defresult" in body else None)
    return results[0] if all([result is results[0] for result in results]) else MAYBE


def _sub_link(body: Node) -> Value:
    select = body["subselect"].get("SelectStmt")
    if select is not None and _has_no_rows(select):
        return False if body["subLinkType"] in ("EXISTS_SUBLINK", "ANY_SUBLINK") else MAYBE
    if select is None or select["op"] != "SETOP_NONE" or not select.keys() <= _ONE_ROW:
        return MAYBE
    if body["subLinkType"] == "EXISTS_SUBLINK":
        return True
    if body["subLinkType"] == "EXPR_SUBLINK":
        return _value(select["targetList"][0]["ResTarget"]["val"])
    return MAYBE


def _has_no_rows(select: Node) -> bool:
    """Whether its WHERE is never true, and no aggregate makes a row of nothing."""
    values = [item["ResTarget"]["val"] for item in select.get("targetList", ())]
    return (
        "whereClause" in select
        and all(["ColumnRef" in one or "A_Const" in one for one in values])
        and not select.keys() & {"groupClause", "havingClause"}
        and truth(select["whereClause"]) in (False, None)
    )


_ONE_ROW = frozenset(["targetList", "limitOption", "op"])


def same(one: Any, other: Any) -> bool:
    """Say whether two trees are one expression, written in two places."""
    if type(one) is not type(other):
        return False
    if type(one) is dict:
        keys = one.keys() | other.keys()
        return all([same(one.get(key), other.get(key)) for key in keys if key not in _PLACES])
    if type(one) is list:
        return len(one) == len(other) and all([same(left, right) for left, right in zip(one, other, strict=True)])
    return bool(one == other)


def _runs_anything(node: Any) -> bool:
    """Say whether the expression calls something, which may answer otherwise each time."""
    if type(node) is dict:
        return "FuncCall" in node or "SubLink" in node or any([_runs_anything(value) for value in node.values()])
    return type(node) is list and any([_runs_anything(item) for item in node])
