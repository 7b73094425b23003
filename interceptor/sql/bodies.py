"""What the body of a function says of itself, for whoever knows functions from a catalogue."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from interceptor.sql.embedded import (
    Body,
    language_and_text,
    read_atomic,
    read_plpgsql,
    read_sql,
    written_parameters,
    written_result,
)
from interceptor.sql.expressions import name_of
from interceptor.sql.facts import Opaque, OpaqueReason, QualifiedName, StatementFacts, Via
from interceptor.sql.gathering import MessageReader
from interceptor.sql.parsing import INLINE, Limits, Node, parse
from interceptor.sql.statements import read_statement

__all__ = ["BodyFacts", "MadeFunction", "body_facts", "functions_made"]


class BodyFacts(msgspec.Struct, frozen=True, gc=False):
    """The statements of a body, nested ones too, and what they read, write and define together."""

    statements: tuple[StatementFacts, ...] = ()
    reads: tuple[QualifiedName, ...] = ()
    writes: tuple[QualifiedName, ...] = ()
    defines: tuple[QualifiedName, ...] = ()
    mentions: tuple[QualifiedName, ...] = ()
    opaque: tuple[Opaque, ...] = ()


class MadeFunction(msgspec.Struct, frozen=True, gc=False):
    """A function that a text makes, for whoever wants to know it before a catalogue does."""

    name: QualifiedName
    language: str
    body: BodyFacts
    security_definer: bool = False
    settings: tuple[tuple[str, str | None], ...] = ()
    """Its SET clauses: name, and value; None for one that isn't written (SET … FROM CURRENT)."""


def functions_made(sql: bytes, limits: Limits = INLINE) -> tuple[MadeFunction, ...]:
    """Return the functions and procedures that the statements of a text make. Never raises: one that can't be read has
    a body that is opaque."""
    tree = parse(sql, limits)
    if isinstance(tree, Opaque):
        return ()
    nodes = [statement["stmt"].get("CreateFunctionStmt") for statement in tree]
    return tuple([_made(node, limits) for node in nodes if node is not None])


def _made(node: Node, limits: Limits) -> MadeFunction:
    found = Body(MessageReader(limits, read_statement), Via.FUNCTION, True)
    options = node.get("options", [])
    language, text = language_and_text(options)
    try:
        if "sql_body" in node:
            language = "sql"
            read_atomic(found, node["sql_body"])
        elif text is not None and language == "sql":
            read_sql(found, text)
        elif text is not None and language == "plpgsql":
            is_procedure = node.get("is_procedure", False)
            read_plpgsql(found, text, written_parameters(node), written_result(node, is_procedure))
        else:
            found.is_opaque(OpaqueReason.LANGUAGE, language)
    except RecursionError:
        found.is_opaque(OpaqueReason.TOO_DEEP)
    definer = False
    settings: list[tuple[str, str | None]] = []
    for option in options:
        element = option["DefElem"]
        if element["defname"] == "security":
            definer = "boolval" in element["arg"].get("Boolean", {})
        elif element["defname"] == "set":
            clause = element["arg"]["VariableSetStmt"]
            settings.append((clause.get("name", "").lower(), _value_of(clause)))
    return MadeFunction(name_of(node["funcname"]), language, _facts_of(found), definer, tuple(settings))


def _value_of(clause: Node) -> str | None:
    values = [one.get("A_Const", {}).get("sval", {}).get("sval") for one in clause.get("args", ())]
    if not values or None in values:
        return None
    return ", ".join(['"' + value.replace('"', '""') + '"' for value in values])


def body_facts(language: str, body: str, arguments: str = "", returns: str = "", limits: Limits = INLINE) -> BodyFacts:
    """Return what runs when the function is called, as far as its body tells. Never raises: see ``BodyFacts.opaque``.

    ``body`` is ``pg_proc.prosrc``, or ``pg_get_function_sqlbody(oid)`` where that isn't null. For PL/pgSQL,
    ``arguments`` is ``pg_get_function_arguments(oid)`` and ``returns`` is ``pg_get_function_result(oid)`` ("void" for a
    procedure): its parser refuses a body that assigns to a variable it doesn't know.
    """
    found = Body(MessageReader(limits, read_statement), Via.FUNCTION, True)
    try:
        if language == "plpgsql":
            read_plpgsql(found, body, arguments, returns)
        elif language == "sql":
            _read_sql_body(found, body)
        elif language != "internal":  # PostgreSQL's own, which its catalogue describes
            found.is_opaque(OpaqueReason.LANGUAGE, language)
    except RecursionError:
        found.is_opaque(OpaqueReason.TOO_DEEP)
    return _facts_of(found)


def _facts_of(found: Body) -> BodyFacts:
    everything = tuple(_flatten(found.statements))
    return BodyFacts(
        everything,
        _union([statement.reads for statement in everything]),
        _union([statement.writes for statement in everything]),
        _union([statement.defines for statement in everything]),
        _union([statement.mentions for statement in everything]),
        tuple(dict.fromkeys([*found.opaque, *[why for statement in everything for why in statement.opaque]])),
    )


def _read_sql_body(found: Body, body: str) -> None:
    words = body.split(None, 2)
    first = words[0].upper() if words else ""
    if first == "RETURN" or (first == "BEGIN" and len(words) > 1 and words[1].upper() == "ATOMIC"):
        tree = parse(f"CREATE FUNCTION f() RETURNS record LANGUAGE sql {body}".encode(), found.limits)
        if isinstance(tree, Opaque):
            found.opaque.append(tree)
            return
        read_atomic(found, tree[0]["stmt"]["CreateFunctionStmt"]["sql_body"])
    else:
        read_sql(found, body)


def _flatten(statements: Iterable[StatementFacts]) -> Iterable[StatementFacts]:
    for statement in statements:
        yield statement
        yield from _flatten(statement.nested)


def _union(names: list[tuple[QualifiedName, ...]]) -> tuple[QualifiedName, ...]:
    return tuple(dict.fromkeys([name for some in names for name in some]))
