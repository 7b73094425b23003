"""From a text to the facts of its statements: ``analyse_facts``, and what each kind of statement is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter

from interceptor.sql.definitions import DEFINITIONS, read_definition
from interceptor.sql.embedded import read_create_function, read_do
from interceptor.sql.expressions import StatementReader
from interceptor.sql.facts import (
    Group,
    MessageFacts,
    Opaque,
    OpaqueReason,
    QualifiedName,
    StatementFacts,
    Via,
)
from interceptor.sql.gathering import MessageReader, TooDeep
from interceptor.sql.hints import find_comments
from interceptor.sql.lexical import reads_alike
from interceptor.sql.parsing import INLINE, SMALL, Limits, Node, parse, uncollected
from interceptor.sql.queries import OUTERMOST, read_pending, read_select
from interceptor.sql.scopes import NO_CTES, Scope
from interceptor.sql.utilities import UTILITIES, transaction_kind
from interceptor.sql.writes import read_delete, read_insert, read_merge, read_update

__all__ = ["KINDS", "analyse_facts", "facts_of_tree", "read_statement"]

_QUERIES: dict[str, tuple[str, Group, Callable[[StatementReader, Node, Scope | None, frozenset[str], int], None]]] = {
    "DeleteStmt": ("delete", Group.WRITE, read_delete),
    "InsertStmt": ("insert", Group.WRITE, read_insert),
    "MergeStmt": ("merge", Group.WRITE, read_merge),
    "UpdateStmt": ("update", Group.WRITE, read_update),
}

_OTHERS: dict[str, tuple[str, Group, Callable[[StatementReader, Node], None]]] = {
    **UTILITIES,
    "CreateFunctionStmt": ("create", Group.DDL, read_create_function),
    "DoStmt": ("do", Group.UTILITY, read_do),
}

_PLACE = attrgetter("place")

KINDS = frozenset(["SelectStmt", "ReturnStmt", "PLAssignStmt", *_QUERIES, *_OTHERS, *DEFINITIONS])
"""The kinds of statement node that are known; any other is opaque."""


def analyse_facts(sql: bytes | str, standard_lexing: bool = True, limits: Limits = INLINE) -> MessageFacts:
    """Return what the text of a Query or Parse, without its final NUL, says of itself.

    Under the limits ``INLINE`` it takes no more than some 5 ms, whatever the text. Never raises: what can't be read, or
    would take too long, has one statement that is opaque and says why. ``standard_lexing`` is as in
    ``interceptor.sql.analysis.StatementCache.effects``: without it, a text that could read otherwise is opaque.
    """
    if isinstance(sql, str):
        sql = sql.encode("utf-8", "replace")
    if not standard_lexing and not reads_alike(sql):
        return _opaque(sql, Opaque(OpaqueReason.LEXING))
    if len(sql) <= SMALL:
        return _analyse(sql, limits)
    with uncollected(sql):
        return _analyse(sql, limits)


def _analyse(sql: bytes, limits: Limits) -> MessageFacts:
    tree = parse(sql, limits, keep=True)
    return _opaque(sql, tree) if isinstance(tree, Opaque) else facts_of_tree(sql, tree, limits)


def facts_of_tree(sql: bytes, tree: list[Node], limits: Limits = INLINE) -> MessageFacts:
    """Return the facts of a text whose tree the caller has, from ``interceptor.sql.parsing.parse``, and leave that as
    it is.

    For who reads the tree for other purposes as well, so that one parse serves both. Never raises.
    """
    message = MessageReader(limits, read_statement)
    try:
        statements = tuple([_read_top(message, node, len(sql)) for node in tree])
    except (TooDeep, RecursionError):
        return _opaque(sql, Opaque(OpaqueReason.TOO_DEEP))
    comments = find_comments(sql) if sql.find(b"--") >= 0 or sql.find(b"/*") >= 0 else ()
    literals = message.literals
    if len(literals) > 1:
        literals.sort(key=_PLACE)
    parameters = message.parameters
    if len(statements) == 1:
        only = statements[0]
        if not only.nested:
            return MessageFacts(
                len(sql), message.depth, statements, statements, only.reads, only.writes, only.defines, only.mentions,
                only.opaque, tuple(literals), tuple(parameters), comments,
            )  # fmt: skip
    everything = tuple(_flatten(statements))
    return MessageFacts(
        len(sql),
        message.depth,
        statements,
        everything,
        _union([statement.reads for statement in everything]),
        _union([statement.writes for statement in everything]),
        _union([statement.defines for statement in everything]),
        _union([statement.mentions for statement in everything]),
        tuple(dict.fromkeys([opaque for statement in everything for opaque in statement.opaque])),
        tuple(literals),
        tuple(parameters),
        comments,
    )


def _opaque(sql: bytes, reason: Opaque) -> MessageFacts:
    statement = StatementFacts("", Group.UTILITY, 0, len(sql), opaque=(reason,))
    return MessageFacts(len(sql), 0, (statement,), (statement,), opaque=(reason,))


def _flatten(statements: Iterable[StatementFacts]) -> Iterable[StatementFacts]:
    for statement in statements:
        yield statement
        if statement.nested:
            yield from _flatten(statement.nested)


def _union(names: list[tuple[QualifiedName, ...]]) -> tuple[QualifiedName, ...]:
    return tuple(dict.fromkeys([name for some in names for name in some]))


def _read_top(message: MessageReader, node: Node, size: int) -> StatementFacts:
    start = node.get("stmt_location", 0)
    length = node.get("stmt_len")
    end = start + length if length is not None else size
    return read_statement(message, node["stmt"], None, True, None, NO_CTES, 0, False, start, end)


def read_statement(
    message: MessageReader,
    node: Node,
    via: Via | None,
    runs: bool,
    parent: Scope | None,
    ctes: frozenset[str],
    level: int,
    fixed: bool,
    start: int = -1,
    end: int = -1,
) -> StatementFacts:
    """Return the facts of one statement, ``{"Kind": …}``.

    ``parent``: the queries whose columns it sees; ``ctes``: the names that are no relations to it; ``level``: how deep
    it stands; ``fixed``: its constants belong to a definition.
    """
    kind, body = next(iter(node.items()))
    if kind == "SelectStmt":
        keyword, group = "select", Group.READ
        reader = StatementReader(message, group, via, runs, ctes)
        reader.fixed = fixed
        read_select(reader, body, parent, ctes, level, OUTERMOST)
        if reader.into is not None:
            reader.group = Group.DDL
    elif kind in _QUERIES:
        keyword, group, read = _QUERIES[kind]
        reader = StatementReader(message, group, via, runs, ctes)
        reader.fixed = fixed
        read(reader, body, parent, ctes, level)
    else:
        reader = StatementReader(message, Group.UTILITY, via, runs, ctes)
        reader.fixed = True
        reader.level = level
        keyword = _read_other(reader, kind, body, parent)
    if reader.pending:
        read_pending(reader)
    return reader.facts(reader.kind or keyword, start, end)


def _read_other(reader: StatementReader, kind: str, body: Node, parent: Scope | None) -> str:
    if parent is not None:
        reader.scope = Scope(parent, NO_CTES)
    if kind in _OTHERS:
        keyword, reader.group, read = _OTHERS[kind]
        read(reader, body)
        return keyword
    if kind in DEFINITIONS:
        return read_definition(reader, kind, body)
    if kind == "TransactionStmt":
        reader.group = Group.TRANSACTION
        return transaction_kind(reader, body)
    if kind == "ReturnStmt":  # the last of a body in BEGIN ATOMIC
        reader.group = Group.READ
        reader.walk([body["returnval"]], reader.scope, reader.level)
        return "select"
    reader.is_opaque(OpaqueReason.UNKNOWN_SYNTAX, kind)
    reader.walk([body], reader.scope, reader.level)
    return ""
