"""Statements that are neither queries nor definitions: sessions, cursors, COPY, maintenance, transactions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interceptor.sql.expressions import StatementReader
from interceptor.sql.facts import Access, ColumnUse, Copy, Group, OpaqueReason, QualifiedName, Setting, Via
from interceptor.sql.parsing import Node

__all__ = ["UTILITIES", "transaction_kind"]


def _walk(reader: StatementReader, nodes: list[Any]) -> None:
    reader.walk([node for node in nodes if type(node) is dict], reader.scope, reader.level)


def _options(body: Node, key: str = "options") -> dict[str, Any]:
    """Return the options of a list of DefElem: their values as they are written, True without one."""
    found: dict[str, Any] = {}
    for option in body.get(key, ()):
        element = option["DefElem"]
        found[element["defname"]] = _plain(element["arg"]) if "arg" in element else True
    return found


def _plain(value: Node) -> Any:
    kind, body = next(iter(value.items()))
    if kind == "String":
        return body.get("sval", "")
    if kind == "Integer":
        return body.get("ival", 0)
    if kind == "Boolean":
        return body.get("boolval", False)
    return value


_FALSE = (False, 0, "false", "off", "no", "0")


def _explain(reader: StatementReader, body: Node) -> None:
    options = _options(body)
    analyze = options.get("analyze", False)
    runs = (analyze.lower() if isinstance(analyze, str) else analyze) not in _FALSE
    if runs:
        reader.words.add("analyze")
    reader.fixed = False
    reader.nest(body["query"], Via.EXPLAIN, runs)


def _prepare(reader: StatementReader, body: Node) -> None:
    reader.subject = body["name"]
    _walk(reader, body.get("argtypes", []))
    reader.fixed = False
    reader.nest(body["query"], Via.PREPARE, False)


def _execute(reader: StatementReader, body: Node) -> None:
    reader.subject = body["name"]
    reader.fixed = False
    _walk(reader, body.get("params", []))
    reader.is_opaque(OpaqueReason.EXECUTE, body["name"])


def _named(key: str) -> Callable[[StatementReader, Node], None]:
    def read(reader: StatementReader, body: Node) -> None:
        reader.subject = body.get(key)
        if reader.subject is None:
            reader.words.add("all")

    return read


_HOLD = 0x0020  # CURSOR_OPT_HOLD of parsenodes.h


def _declare(reader: StatementReader, body: Node) -> None:
    reader.subject = body["portalname"]
    if body["options"] & _HOLD:
        reader.words.add("hold")
    reader.fixed = False
    reader.nest(body["query"], Via.CURSOR)


def _fetch(reader: StatementReader, body: Node) -> None:
    reader.subject = body["portalname"]
    if body.get("ismove"):
        reader.kind = "move"


def _copy(reader: StatementReader, body: Node) -> None:
    is_from = body.get("is_from", False)
    name = body.get("filename")
    program = body.get("is_program", False)
    reader.copy = Copy(is_from, None if program else name, name if program else None)
    reader.group = Group.WRITE if is_from else Group.READ
    reader.fixed = False
    if "query" in body:
        reader.nest(body["query"], Via.COPY)
        return
    relation = reader.use(body["relation"], Access.WRITE if is_from else Access.READ)
    place = body["relation"].get("location", -1)
    reader.scope.add(relation.name, relation)
    if "attlist" in body:
        for column in body["attlist"]:
            reader.columns.append(ColumnUse(column["String"]["sval"], None, (relation,), -1, False, False, is_from))
    else:
        reader.columns.append(ColumnUse("*", None, (relation,), place, True, False, is_from))
    if "whereClause" in body:
        _walk(reader, [body["whereClause"]])


def _call(reader: StatementReader, body: Node) -> None:
    reader.fixed = False
    _walk(reader, [{"FuncCall": body["funccall"]}])
    reader.is_opaque(OpaqueReason.CALL, str(reader.functions[0].name))


_SET_KINDS = {"VAR_RESET": "reset", "VAR_RESET_ALL": "reset"}


def _set(reader: StatementReader, body: Node) -> None:
    kind = body["kind"]
    reader.kind = _SET_KINDS.get(kind, "set")
    name = body.get("name", "all").lower()
    local = body.get("is_local", False)
    reader.subject = name
    if kind == "VAR_SET_MULTI":  # SET TRANSACTION, SESSION CHARACTERISTICS, TRANSACTION SNAPSHOT
        if name != "session characteristics":
            reader.group = Group.TRANSACTION
            local = True
        values: tuple[str, ...] | None = tuple(
            [f"{option['DefElem']['defname']} {_value(option['DefElem'].get('arg', {}))}" for option in body["args"]
             if "DefElem" in option]
        )  # fmt: skip
    elif kind == "VAR_SET_VALUE":
        values = tuple([_value(arg) for arg in body["args"]])
    else:  # RESET, TO DEFAULT, FROM CURRENT
        values = None
    reader.settings = (Setting(name, values, local),)
    _walk(reader, body.get("args", []))


def _value(node: Node) -> str:
    constant = node.get("A_Const")
    if constant is None:
        cast = node.get("TypeCast")  # SET TIME ZONE INTERVAL '1'
        return _value(cast["arg"]) if cast is not None else ""
    for key in ("sval", "ival", "fval", "boolval", "bsval"):
        if key in constant:
            found = constant[key].get(key, "" if key != "ival" else 0)
            return ("off", "on")[bool(found)] if key == "boolval" else str(found)
    return ""


def _discard(reader: StatementReader, body: Node) -> None:
    reader.subject = body["target"].removeprefix("DISCARD_").lower()


def _truncate(reader: StatementReader, body: Node) -> None:
    for relation in body["relations"]:
        reader.use(relation["RangeVar"], Access.WRITE)
    if body.get("behavior") == "DROP_CASCADE":
        reader.words.add("cascade")
    if body.get("restart_seqs"):
        reader.words.add("restart identity")


# Of lock.h, by number.
_LOCK_MODES = (
    "", "access share", "row share", "row exclusive", "share update exclusive", "share", "share row exclusive",
    "exclusive", "access exclusive",
)  # fmt: skip


def _lock(reader: StatementReader, body: Node) -> None:
    reader.words.add(_LOCK_MODES[body["mode"]])
    if body.get("nowait"):
        reader.words.add("nowait")
    _walk(reader, body["relations"])


def _vacuum(reader: StatementReader, body: Node) -> None:
    if not body.get("is_vacuumcmd"):
        reader.kind = "analyze"
    reader.words.update(_options(body))
    for item in body.get("rels", ()):
        relation = item["VacuumRelation"]
        name = reader.use(relation["relation"], Access.MENTION)
        for column in relation.get("va_cols", ()):
            reader.columns.append(ColumnUse(column["String"]["sval"], None, (name,), -1))


def _maintain(reader: StatementReader, body: Node) -> None:
    """CLUSTER, REINDEX: one relation, or all."""
    reader.words.update(_options(body, "params"))
    if "relation" in body:
        reader.use(body["relation"], Access.MENTION)
    elif "name" in body:
        reader.subject = body["name"]


def _refresh(reader: StatementReader, body: Node) -> None:
    reader.use(body["relation"], Access.WRITE)
    if body.get("concurrent"):
        reader.words.add("concurrently")


def _set_constraints(reader: StatementReader, body: Node) -> None:
    # Names of constraints, in the guise of relations.
    reader.subject = ", ".join(
        [str(QualifiedName(name["RangeVar"]["relname"], name["RangeVar"].get("schemaname")))
         for name in body.get("constraints", ())]
    ) or "all"  # fmt: skip


def _nothing(reader: StatementReader, body: Node) -> None:
    pass


UTILITIES: dict[str, tuple[str, Group, Callable[[StatementReader, Node], None]]] = {
    "CallStmt": ("call", Group.UTILITY, _call),
    "CheckPointStmt": ("checkpoint", Group.UTILITY, _nothing),
    "ClosePortalStmt": ("close", Group.SESSION, _named("portalname")),
    "ClusterStmt": ("cluster", Group.UTILITY, _maintain),
    "ConstraintsSetStmt": ("set", Group.TRANSACTION, _set_constraints),
    "CopyStmt": ("copy", Group.WRITE, _copy),
    "DeallocateStmt": ("deallocate", Group.SESSION, _named("name")),
    "DeclareCursorStmt": ("declare", Group.SESSION, _declare),
    "DiscardStmt": ("discard", Group.SESSION, _discard),
    "ExecuteStmt": ("execute", Group.SESSION, _execute),
    "ExplainStmt": ("explain", Group.UTILITY, _explain),
    "FetchStmt": ("fetch", Group.SESSION, _fetch),
    "ListenStmt": ("listen", Group.SESSION, _named("conditionname")),
    "LoadStmt": ("load", Group.SESSION, _named("filename")),
    "LockStmt": ("lock", Group.UTILITY, _lock),
    "NotifyStmt": ("notify", Group.SESSION, _named("conditionname")),
    "PrepareStmt": ("prepare", Group.SESSION, _prepare),
    "RefreshMatViewStmt": ("refresh", Group.DDL, _refresh),
    "ReindexStmt": ("reindex", Group.UTILITY, _maintain),
    "TruncateStmt": ("truncate", Group.WRITE, _truncate),
    "UnlistenStmt": ("unlisten", Group.SESSION, _named("conditionname")),
    "VacuumStmt": ("vacuum", Group.UTILITY, _vacuum),
    "VariableSetStmt": ("set", Group.SESSION, _set),
    "VariableShowStmt": ("show", Group.SESSION, _named("name")),
}

_TRANSACTION_KINDS = {
    "TRANS_STMT_BEGIN": "begin",
    "TRANS_STMT_START": "begin",
    "TRANS_STMT_COMMIT": "commit",
    "TRANS_STMT_ROLLBACK": "rollback",
    "TRANS_STMT_SAVEPOINT": "savepoint",
    "TRANS_STMT_RELEASE": "release",
    "TRANS_STMT_ROLLBACK_TO": "rollback",
    "TRANS_STMT_PREPARE": "prepare",
    "TRANS_STMT_COMMIT_PREPARED": "commit",
    "TRANS_STMT_ROLLBACK_PREPARED": "rollback",
}
_TRANSACTION_WORDS = {
    "TRANS_STMT_ROLLBACK_TO": "to savepoint",
    "TRANS_STMT_PREPARE": "two-phase",
    "TRANS_STMT_COMMIT_PREPARED": "two-phase",
    "TRANS_STMT_ROLLBACK_PREPARED": "two-phase",
}


def transaction_kind(reader: StatementReader, body: Node) -> str:
    """Read a TransactionStmt; return its keyword."""
    kind = body["kind"]
    if kind in _TRANSACTION_WORDS:
        reader.words.add(_TRANSACTION_WORDS[kind])
    if body.get("chain"):
        reader.words.add("chain")
    reader.subject = body.get("savepoint_name") or body.get("gid")
    values = tuple(
        [
            f"{option['DefElem']['defname']} {_value(option['DefElem'].get('arg', {}))}"
            for option in body.get("options", ())
        ]
    )
    if values:  # BEGIN READ ONLY and the like
        reader.settings = (Setting("transaction", values, True),)
    return _TRANSACTION_KINDS[kind]
