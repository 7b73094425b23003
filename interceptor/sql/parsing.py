"""From a text to its decoded parse tree, within limits of time and memory.

libpg_query's JSON is the only way in: ``parse_sql``, which builds Python objects, dies by SIGSEGV on deep expressions.
"""

from __future__ import annotations

import gc
import re
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from pglast import parser

from interceptor.sql.facts import Opaque, OpaqueReason
from interceptor.sql.lexical import may_parse

__all__ = [
    "HELPER",
    "INLINE",
    "SMALL",
    "Limits",
    "Node",
    "Parsed",
    "beyond",
    "decode_text",
    "keep_parse",
    "kept_parse",
    "parse",
    "uncollected",
]

# A decoded node of the tree: {"Kind": {fields}}. A type for each of PostgreSQL's 270 kinds would be a second grammar.
Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """What is analysed; beyond it a text is opaque. ``depth`` is ``MessageFacts.depth``."""

    bytes: int
    tree: int
    depth: int
    expressions: int
    guarded: bool


INLINE = Limits(bytes=16 * 1024, tree=128 * 1024, depth=400, expressions=120, guarded=True)
"""Keeps an analysis under some 5 ms, whatever the text: for the loop that serves clients."""

HELPER = Limits(bytes=4 * 1024 * 1024, tree=256 * 1024 * 1024, depth=400, expressions=100_000, guarded=False)
"""For a process that may take seconds: some 20 microseconds for each value of a long list."""

_decode = msgspec.json.Decoder().decode

_RUN = re.compile(rb"[-+*/<>=~!@#%^&|`?]{16,}+")
_RUNS_LIMIT = 50_000_000  # squared bytes; see lexical.may_parse. Some 0.2 s.


class Parsed(NamedTuple):
    """A text, libpg_query's JSON of it, and what that says."""

    sql: bytes
    tree: str
    statements: list[Node]


# One text alone: its facts, what it does to its session, and what the catalogue makes of that are asked for one after
# the other. A large tree is not worth its memory, nor the time that the collector of garbage takes for it.
_MAX_KEPT = 32 * 1024  # characters of JSON
SMALL = 1000  # bytes of a text
_kept: Parsed | None = None


def parse(sql: bytes, limits: Limits, *, keep: bool = False) -> list[Node] | Opaque:
    """Return the statements of the text, each ``{"stmt": …, "stmt_location": …, "stmt_len": …}``, or why not.

    Places in the tree count bytes of ``sql``. ``keep``: whoever asks for the tree of this text next is given the same
    one. Everybody leaves it as it is.
    """
    global _kept
    if _kept is not None and _kept.sql == sql and limits is INLINE:
        return _kept.statements
    refused = beyond(sql, limits)
    if refused is not None:
        return refused
    text, is_utf8 = decode_text(sql)
    try:
        tree = parser.parse_sql_json(text)
    except parser.ParseError as error:
        return Opaque(_parse_failure(error), str(error.args[0]) if error.args else "")
    if len(tree) > limits.tree:
        return Opaque(OpaqueReason.TOO_COMPLEX)
    try:
        statements: list[Node] = _decode(tree).get("stmts", [])
    except RecursionError:
        return Opaque(OpaqueReason.TOO_DEEP)
    if not is_utf8:
        _count_characters(statements, text)
    if keep and limits is INLINE and len(tree) <= _MAX_KEPT:
        _kept = Parsed(sql, tree, statements)
    return statements


@contextmanager
def uncollected(sql: bytes) -> Iterator[None]:
    """Put off the collection of garbage while a tree of this text is there, if it may be large.

    It has no cycles and is gone soon; but that it takes so many objects would set off a collection of all that the
    process has, which takes ten times as long as the analysis.
    """
    if len(sql) <= SMALL or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def kept_parse(sql: bytes) -> Parsed | None:
    """Return what was kept, if it is of this text."""
    return _kept if _kept is not None and _kept.sql == sql else None


def keep_parse(sql: bytes, tree: str, statements: list[Node]) -> None:
    """Keep what somebody else has parsed, for ``parse``."""
    global _kept
    if len(tree) <= _MAX_KEPT and sql.isascii():
        _kept = Parsed(sql, tree, statements)


def beyond(sql: bytes, limits: Limits) -> Opaque | None:
    """Return why the text must not even be given to the parser, or None."""
    if len(sql) > limits.bytes:
        return Opaque(OpaqueReason.TOO_LONG)
    if limits.guarded:
        if not may_parse(sql):
            return Opaque(OpaqueReason.TOO_COMPLEX)
    elif sum([len(run) ** 2 for run in _RUN.findall(sql)]) > _RUNS_LIMIT:
        return Opaque(OpaqueReason.TOO_COMPLEX)
    if 0 in sql:
        return Opaque(OpaqueReason.UNPARSABLE, "a zero byte ends the text")
    return None


def decode_text(sql: bytes) -> tuple[str, bool]:
    """Return the text, and whether it is UTF-8.

    In another encoding every byte from 128 on is a letter to PostgreSQL's scanner, and so is what latin-1 makes of it.
    """
    try:
        return sql.decode(), True
    except UnicodeDecodeError:
        return sql.decode("latin-1"), False


def _parse_failure(error: parser.ParseError) -> OpaqueReason:
    message = str(error)
    too_deep = "stack depth" in message or "memory exhausted" in message
    return OpaqueReason.TOO_DEEP if too_deep else OpaqueReason.UNPARSABLE


_PLACES = ("location", "stmt_location", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end")


def _count_characters(statements: list[Node], text: str) -> None:
    """Turn the places of the tree, which count bytes of the UTF-8 that the parser was given, into those of ``text``."""
    # Each character from 128 on takes two bytes there; the places of the second ones.
    seconds = [place for place, byte in enumerate(text.encode()) if 0x80 <= byte < 0xC0]
    stack: list[Any] = [statements]
    while stack:
        node = stack.pop()
        if type(node) is list:
            stack.extend(node)
        elif type(node) is dict:
            if "stmt_len" in node:
                start = node.get("stmt_location", 0)
                end = start + node["stmt_len"]
                node["stmt_len"] -= bisect_left(seconds, end) - bisect_left(seconds, start)
            for place in _PLACES:
                if node.get(place, -1) > 0:
                    node[place] -= bisect_left(seconds, node[place])
            stack.extend(node.values())
