"""What the body of a function says of itself, for whoever knows functions from a catalogue."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from interceptor.sql.embedded import Body, read_atomic, read_plpgsql, read_sql
from interceptor.sql.facts import Opaque, OpaqueReason, QualifiedName, StatementFacts, Via
from interceptor.sql.gathering import MessageReader
from interceptor.sql.parsing import INLINE, Limits, parse
from interceptor.sql.statements import read_statement

__all__ = ["BodyFacts", "body_facts"]


class BodyFacts(msgspec.Struct, frozen=True, gc=False):
    """The statements of a body, nested ones too, and what they read, write and define together."""

    statements: tuple[StatementFacts, ...] = ()
    reads: tuple[QualifiedName, ...] = ()
    writes: tuple[QualifiedName, ...] = ()
    defines: tuple[QualifiedName, ...] = ()
    mentions: tuple[QualifiedName, ...] = ()
    opaque: tuple[Opaque, ...] = ()


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
