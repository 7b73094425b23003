"""The effects of a parse tree on the session: every node of every statement is looked at, whatever it is nested in.

A kind neither in a table of ``tree`` nor in HANDLED makes the text opaque: a newer grammar must not slip through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from interceptor.sql.effects import Effect, SessionEffects, graver
from interceptor.sql.functions import (
    PINNING,
    SEQUENCE_READERS,
    SEQUENCE_WRITERS,
    UNLOCKS,
    harmless_functions,
    harmless_helpers,
    known_operators,
)
from interceptor.sql.gucs import OF_TRANSACTION, decides_parsing
from interceptor.sql.tree import LEAVES, PINS, WALKED, Json, Node, constant, qualified

__all__ = ["HANDLED", "KnownCalls", "Walk", "is_misleading_path"]

_CURSOR_OPT_HOLD = 0x0020  # parsenodes.h

# A_Expr gives these, which are syntax, the place of an operator's name.
_BETWEEN = frozenset(["BETWEEN", "NOT BETWEEN", "BETWEEN SYMMETRIC", "NOT BETWEEN SYMMETRIC"])
_OPERATORS = known_operators() | _BETWEEN

# Unqualified names count as pg_catalog's: it is searched first, unless search_path says otherwise.
_PG_CATALOG = ("", "pg_catalog")

_SAMPLING_METHODS = frozenset(["bernoulli", "system"])

_NEVER_LOCAL = frozenset(["client_encoding", "standard_conforming_strings"])


class KnownCalls(Protocol):
    """What is known of functions and operators that aren't PostgreSQL's own.

    ``schema`` is "" where none is written. None: nothing is known, or nothing good.
    """

    def function(self, schema: str, name: str) -> SessionEffects | None:
        """What a call by this name may do, whichever function it reaches."""

    def operator(self, schema: str, name: str) -> SessionEffects | None:
        """What an expression with this operator may do."""


class Walk:
    """One pass over one tree. Make one, call ``visit`` with each statement, and read what it found.

    The fields mean what those of ``SessionEffects`` do; ``writes`` is its ``touches_sequence``.
    """

    __slots__ = (
        "_calls_before_17",
        "_functions",
        "_known",
        "_stack",
        "channels",
        "defines",
        "effect",
        "ends_pin",
        "reads_sequence",
        "reduces",
        "reparses",
        "settings",
        "writes",
    )

    def __init__(self, server_version: int, known: KnownCalls | None = None) -> None:
        self._known = known
        self._calls_before_17 = server_version < 170000
        self.defines = False
        self.effect: Effect | None = None
        self.reads_sequence = False
        self.writes = False
        self.ends_pin = False
        self.reparses = False
        self.reduces = False
        self.settings: set[str] = set()
        self.channels: set[str] = set()
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

    def found(self, effect: Effect) -> None:
        """Note an effect; the gravest counts."""
        self.effect = graver(self.effect, effect)
        if effect is Effect.REDUCTION:
            self.reduces = True

    def _meet(self, kind: str, node: Node) -> None:
        handler = HANDLED.get(kind)
        if handler is not None:
            handler(self, node)
        else:
            self.found(PINS.get(kind, Effect.OPAQUE))
            self._stack.append(node)  # an effect found deeper may be graver

    # Kinds that need a closer look

    def _a_expr(self, node: Node) -> None:
        self._operator(node.get("name"))
        for side in ("lexpr", "rexpr"):
            operand = node.get(side)
            if operand is not None:
                self._stack.append(cast("Node", operand))

    def _operator(self, names: Json) -> None:
        schema, name = qualified(names)
        if name not in _OPERATORS or schema not in _PG_CATALOG:
            self._take(None if self._known is None else self._known.operator(schema, name))

    def _call(self, schema: str, name: str) -> None:
        self._take(None if self._known is None else self._known.function(schema, name))

    def _take(self, known: SessionEffects | None) -> None:
        if known is None:
            self.found(Effect.OPAQUE)
        else:
            self.reads_sequence = self.reads_sequence or known.reads_sequence
            self.writes = self.writes or known.touches_sequence
            self.defines = self.defines or known.defines

    def _range_var(self, node: Node) -> None:
        if node.get("relname") == "pg_prepared_statements":
            self.found(Effect.PREPARED_STATEMENT)

    def _func_call(self, node: Node) -> None:
        schema, name = qualified(node.get("funcname"))
        if name == "pg_prepared_statement":
            self.found(Effect.PREPARED_STATEMENT)
        if schema in _PG_CATALOG:
            if name not in self._functions:
                self._unquiet_function(schema, name, node)
            elif name in UNLOCKS or name == "pg_listening_channels":
                # A client that listens with others has none on its backend, until they are put back for this.
                self.ends_pin = True
        elif schema != "information_schema" or name not in harmless_helpers():
            self._call(schema, name)
        self._stack.append(node)

    def _call_statement(self, node: Node) -> None:
        if self._known is None:
            self.found(Effect.OPAQUE)
        self._func_call(cast("Node", node["funccall"]))

    def _newer_syntax(self, node: Node, name: str) -> None:
        """What older servers take for a call of somebody's function."""
        if self._calls_before_17:
            self._call("", name)
        self._stack.append(node)

    def _json_function(self, node: Node) -> None:
        self._newer_syntax(node, cast("str", node["op"]).removesuffix("_OP").lower())

    def _json_parse(self, node: Node) -> None:
        self._newer_syntax(node, "json")

    def _json_scalar(self, node: Node) -> None:
        self._newer_syntax(node, "json_scalar")

    def _json_serialize(self, node: Node) -> None:
        self._newer_syntax(node, "json_serialize")

    def _merge_action(self, node: Node) -> None:
        self._newer_syntax(node, "merge_action")

    def _unquiet_function(self, schema: str, name: str, node: Node) -> None:
        if name == "set_config":
            self._set_config(node.get("args"))
        elif name in SEQUENCE_READERS:
            self.reads_sequence = True
        elif name in SEQUENCE_WRITERS:
            self.writes = True
        elif name in PINNING:
            self.found(PINNING[name])
        else:
            self._call(schema, name)

    def _set_config(self, arguments: Json) -> None:
        values = [constant(argument) for argument in cast("list[Json]", arguments or [])]
        if len(values) == 3 and isinstance(values[0], str) and values[0]:
            self._set(values[0], [values[1]], local=values[2] is True)
        else:
            # Which setting is known when it has been done.
            self.found(Effect.OPAQUE)

    def _set(self, name: str, values: list[str | bool | None], *, local: bool) -> None:
        name = name.lower()
        if name == "seed":
            self.found(Effect.SEED)
            return
        self.reparses = self.reparses or decides_parsing(name)
        if not local and name not in OF_TRANSACTION:
            self.found(Effect.SETTING)
            self.settings.add(name)
        elif local and _misleads(name, values):
            self.found(Effect.OPAQUE)

    def _variable_set(self, node: Node) -> None:
        kind = node["kind"]
        name = cast("str", node.get("name", ""))
        if kind in ("VAR_RESET", "VAR_RESET_ALL", "VAR_SET_DEFAULT"):
            self.reparses = self.reparses or not name or decides_parsing(name.lower())
            if not node.get("is_local"):
                self.found(Effect.REDUCTION)
        elif kind == "VAR_SET_MULTI":
            if name not in ("TRANSACTION", "TRANSACTION SNAPSHOT"):
                self.found(Effect.OPAQUE)
        else:
            values = [constant(value) for value in cast("list[Json]", node.get("args", []))]
            self._set(name, values, local=bool(node.get("is_local")))

    def _discard(self, node: Node) -> None:
        self.ends_pin = True
        if node["target"] == "DISCARD_ALL":
            self.found(Effect.REDUCTION)

    def _listen(self, node: Node) -> None:
        self.found(Effect.LISTEN)
        self.channels.add(cast("str", node["conditionname"]))

    def _declare_cursor(self, node: Node) -> None:
        if cast("int", node["options"]) & _CURSOR_OPT_HOLD:
            self.found(Effect.HOLD_CURSOR)
        self._stack.append(node)

    def _update(self, node: Node) -> None:
        # A rule of pg_settings turns the update into set_config.
        relation = cast("Node", node["relation"])
        if relation.get("relname") == "pg_settings" and relation.get("schemaname", "pg_catalog") == "pg_catalog":
            self.found(Effect.OPAQUE)
        self._write(node)

    def _write(self, node: Node) -> None:
        self.writes = True
        self._stack.append(node)

    def _take_away(self, node: Node) -> None:
        self.ends_pin = True

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
        schema, name = qualified(node.get("method"))
        if name not in _SAMPLING_METHODS or schema not in _PG_CATALOG:
            self.found(Effect.OPAQUE)
        self._stack.append(node)


HANDLED: dict[str, Callable[[Walk, Node], None]] = {
    "A_Expr": Walk._a_expr,
    "AlterTableCmd": Walk._alter_table_command,
    "AlterTableStmt": Walk._write,
    "CallStmt": Walk._call_statement,
    "ClosePortalStmt": Walk._take_away,
    "CopyStmt": Walk._write,
    "CreateForeignTableStmt": Walk._create_foreign_table,
    "CreateStmt": Walk._create_table,
    "DeclareCursorStmt": Walk._declare_cursor,
    "DeleteStmt": Walk._write,
    "DiscardStmt": Walk._discard,
    "DropOwnedStmt": Walk._take_away,
    "DropStmt": Walk._take_away,
    "FuncCall": Walk._func_call,
    "InsertStmt": Walk._write,
    "JsonFuncExpr": Walk._json_function,
    "JsonParseExpr": Walk._json_parse,
    "JsonScalarExpr": Walk._json_scalar,
    "JsonSerializeExpr": Walk._json_serialize,
    "ListenStmt": Walk._listen,
    "MergeStmt": Walk._update,
    "MergeSupportFunc": Walk._merge_action,
    "RangeVar": Walk._range_var,
    "RangeTableSample": Walk._table_sample,
    "UnlistenStmt": Walk._take_away,
    "UpdateStmt": Walk._update,
    "VariableSetStmt": Walk._variable_set,
}


def is_misleading_path(path: str) -> bool:
    """Say whether under this search_path an unqualified name may not be what it looks like.

    With pg_temp in it any CREATE is one of something temporary; with a schema in front of pg_catalog, somebody's own
    lower() is called for PostgreSQL's.
    """
    before, found, _ = path.lower().partition("pg_catalog")
    return "pg_temp" in path.lower() or bool(found and before.strip(' "'))


def _misleads(name: str, values: list[str | bool | None]) -> bool:
    """Say whether setting this with SET LOCAL makes the next texts of the transaction other than they look.

    The encoding and standard_conforming_strings decide how they read. A search_path that comes as a parameter counts as
    an ordinary one: PostgREST begins each of its transactions so, and a question after each would be dear.
    """
    if name == "search_path":
        known = [value for value in values if isinstance(value, str)]
        return len(known) < len(values) or is_misleading_path(",".join(known))
    return name in _NEVER_LOCAL
