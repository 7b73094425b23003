"""The canonical text of a statement: an identity, which ``fingerprint()`` is not.

It is the sequence of tokens that PostgreSQL's own scanner finds, written in one way: keywords in lower case, comments
gone, one space where one may stand, names quoted only where they need it, and constants that a parameter could
replace as parameters. The parser sees nothing but those tokens. So two texts with the same canonical text are the same
statement, apart from the values of these constants. (The reverse doesn't hold: ``a <> b`` and ``a != b``, ``(a)`` and
``a`` have canonical texts of their own.)
"""

from __future__ import annotations

import re

from pglast import parser

from interceptor.sql.facts import LiteralKind, MessageFacts, OpaqueReason
from interceptor.sql.parsing import decode_text
from interceptor.sql.statements import analyse_facts

__all__ = ["MAX_CANONICAL", "canonical_text"]

_COMMENTS = ("C_COMMENT", "SQL_COMMENT")
_CONSTANTS = frozenset(["ICONST", "FCONST", "SCONST", "BCONST", "XCONST", "USCONST"])
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_$]*\Z")
_UPPER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_UNREAD = frozenset(
    [
        OpaqueReason.UNPARSABLE,
        OpaqueReason.TOO_LONG,
        OpaqueReason.TOO_DEEP,
        OpaqueReason.TOO_COMPLEX,
        OpaqueReason.LEXING,
    ]
)
MAX_CANONICAL = 16 * 1024  # bytes; some 5 ms, and 20 for the worst
_NO_SPACE_BEFORE = frozenset([",", ")", "]", ";"])
_NO_SPACE_AFTER = frozenset(["(", "["])


def canonical_text(sql: bytes | str, facts: MessageFacts | None = None) -> str | None:
    """Return the canonical text of all statements of the text, or None if it can't be read, or has more than
    ``MAX_CANONICAL`` bytes: its tokens would hold up the loop for longer than an analysis does.

    ``facts`` are those of this very text (``FactsCache.exact``), if the caller has them; an example's won't do.
    """
    if isinstance(sql, str):
        sql = sql.encode("utf-8", "replace")
    if len(sql) > MAX_CANONICAL:
        return None
    if facts is None:
        facts = analyse_facts(sql)
    assert not facts.example, "the places of an example are those of another text"
    if not facts.all or (facts.all[0].kind == "" and facts.opaque and facts.opaque[0].reason in _UNREAD):
        return None if facts.all else ""
    text, is_utf8 = decode_text(sql)
    try:
        tokens = parser.scan(text)
    except parser.ParseError:
        return None
    replaced = {
        literal.place
        for literal in facts.literals
        if not literal.fixed and literal.kind not in (LiteralKind.BOOLEAN, LiteralKind.NULL)
    }
    number = max([parameter.number for parameter in facts.parameters], default=0)
    shift = 0 if not is_utf8 or text.isascii() else None
    parts: list[str] = []
    last = ""
    negative = False
    for token in tokens:
        if token.name in _COMMENTS:
            continue
        place = token.start if shift == 0 else len(text[: token.start].encode())
        written = text[token.start : token.end + 1]
        if place in replaced and token.name == "ASCII_45":
            negative = True  # of a negative constant the minus sign has the place
        elif token.name in _CONSTANTS and (place in replaced or negative):
            number += 1
            written, negative = f"${number}", False
        else:
            written = _write(token, written)
        if written == ";" and last in ("", ";"):
            continue
        if parts and written not in _NO_SPACE_BEFORE and last not in _NO_SPACE_AFTER and not _is_dotted(last, written):
            parts.append(" ")
        parts.append(written)
        last = written
    if last == ";":
        parts.pop()
    return "".join(parts)


def _write(token: parser.Token, written: str) -> str:
    if token.kind != "NO_KEYWORD":
        return written.translate(_UPPER)
    if token.name == "IDENT":
        if not written.startswith('"'):
            return written.translate(_UPPER)
        name = written[1:-1].replace('""', '"')
        return name if _PLAIN_NAME.match(name) and not _is_keyword(name) else written
    return written


def _is_keyword(name: str) -> bool:
    return bool(parser.scan(name)[0].kind != "NO_KEYWORD")


def _is_dotted(last: str, written: str) -> bool:
    """A dot between names needs no space; next to a digit it would be a number's."""
    return (written == "." and bool(_NAME_END.search(last))) or (last == "." and bool(_NAME_START.match(written)))


_NAME_END = re.compile(r"[A-Za-z_\"\]]\Z")
_NAME_START = re.compile(r"[A-Za-z_\"*]")
