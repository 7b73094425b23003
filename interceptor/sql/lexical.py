"""What the bytes of a text tell before it is parsed: that it is harmless, or that it is too much to parse here.

Everything here takes time linear in the length of the text.
"""

from __future__ import annotations

import re

__all__ = ["MAX_PARSED", "MAX_SKIMMED", "is_plain", "may_parse", "reads_alike"]

MAX_SKIMMED = 128 * 1024  # bytes; the worst text of this length takes is_plain 4 ms
MAX_PARSED = 16 * 1024  # bytes; see may_parse

_OPERATOR_BYTES = rb"-+*/<>=~!@#%^&|`?"

# A word of a plain text: any but INTO (SELECT INTO makes a table) and those that start with pg_ (pg_settings can be
# updated, pg_temp makes things temporary). The first alternative keeps the check off most words.
_WORD = (
    rb"[A-HJ-OQ-Za-hj-oq-z0-9_][A-Za-z0-9_]*+"
    rb"|[IPip](?!(?i:nto)(?![A-Za-z0-9_])|(?i:g_))[A-Za-z0-9_]*+"
)
_QUOTED = rb'"(?!pg_)[^"]*+"'
_NAME = rb"(?:" + _WORD + rb"|" + _QUOTED + rb")"

# One operator, all of whose bytes are here: the next byte must not belong to it. Nor can a comment start.
_OPERATOR = rb"(?:[=<>+*/%-]|<=|>=|<>|!=|\|\||::)(?![" + _OPERATOR_BYTES + rb":])"

# A parenthesis after a word calls a function, unless the word can't be the name of one: these are reserved. After a
# dot even they can, hence the byte before the space. Other reserved words are left to the parser.
_AFTER_WORD = b"|".join(
    rb"(?<=[^.\s]\s(?i:" + word + rb")" + space + rb")"
    for word in (b"in", b"values", b"where", b"and", b"or", b"on")
    for space in (b" ", b"")
)
_PARENTHESIS = rb"(?:(?<=[=<>(,+*-])|(?<=[=<>(,+*-] )|" + _AFTER_WORD + rb")\("

# A word that touches the quote would change what the string means: e'', u&''.
_STRING = rb"(?<![A-Za-z0-9_])'[^']*+'"
_PARAMETER = rb"\$[0-9]++"

_PLAIN = re.compile(
    rb"[ \t\r\n]*+"
    rb"(?:(?i:select|update|delete)(?=[ \t\r\n])"
    rb"|(?i:insert into )" + _NAME + rb"(?:\." + _NAME + rb")?+(?: ?+\()?+)"
    rb"(?:[ \t\r\n,.)]*+"
    rb"(?:" + b"|".join([_WORD, _OPERATOR, _STRING, _QUOTED, _PARENTHESIS, _PARAMETER]) + rb"))*+"
    rb"[ \t\r\n,.)]*+;?+[ \t\r\n]*+\Z"
)  # fmt: skip

_matches_plain = _PLAIN.match


def is_plain(sql: bytes) -> bool:
    """Say whether the text is surely one SELECT, INSERT, UPDATE or DELETE that leaves its session as it was.

    A quick look, for texts that carry their values and so are new each time. False means nothing. True means: one
    statement (or a syntax error, which has no effect), no comment, no call of a function, no operator that
    isn't PostgreSQL's own, no INTO, and nothing named ``pg_…``. The caller makes sure that strings read as with
    standard_conforming_strings on (``reads_alike``).
    """
    return len(sql) <= MAX_SKIMMED and _matches_plain(sql) is not None


_LONG_RUN = re.compile(rb"[" + _OPERATOR_BYTES + rb"]{64,}+")
_RUNS_BUDGET = 200_000  # squared bytes; 200,000 take about 1 ms
_SHORT = 256


def may_parse(sql: bytes) -> bool:
    """Say whether parsing the text can't hold up the loop for more than a few milliseconds.

    PostgreSQL's scanner takes time quadratic in the length of a run of operator characters (``/*/*/*…``, ``+++…``:
    40 ms for 4 KB), and what one byte of dense SQL becomes in the tree has some 70 bytes.
    """
    size = len(sql)
    if size <= _SHORT:
        return True
    if size > MAX_PARSED:
        return False
    return sum([len(run) ** 2 for run in _LONG_RUN.findall(sql)]) <= _RUNS_BUDGET


def reads_alike(sql: bytes) -> bool:
    """Say whether the text means the same under every standard_conforming_strings and client_encoding.

    Without a backslash no string ends elsewhere; in ASCII alone no byte is part of another character (the second
    byte of a character in SJIS, BIG5, GBK and others may be a backslash).
    """
    return sql.isascii() and b"\\" not in sql
