"""What the bytes of a text tell before it is parsed: that it is harmless, or that it is too much to parse here.

Everything here takes time linear in the length of the text.
"""

from __future__ import annotations

import re

__all__ = ["MAX_PARSED", "MAX_SKIMMED", "is_plain", "may_parse", "names_of_settings", "reads_alike", "says_temporary"]

MAX_SKIMMED = 64 * 1024  # bytes; the worst text of this length takes is_plain some 5 ms, an ordinary one 1 ms
MAX_PARSED = 16 * 1024  # bytes; see may_parse

_OPERATOR_BYTES = rb"-+*/<>=~!@#%^&|`?"

# A word of a plain text: any but INTO (SELECT INTO makes a table) and those that start with pg_ (pg_settings can be
# updated, pg_temp makes things temporary). The first alternative keeps the check off most words.
_WORD = (
    rb"[A-HJ-OQ-Za-hj-oq-z0-9_][A-Za-z0-9_]*+"
    rb"|[IPip](?![nN][tT][oO](?![A-Za-z0-9_])|[gG]_)[A-Za-z0-9_]*+"
)
_QUOTED = rb'"(?!pg_)[^"]*+"(?:"[^"]*+")*+'
_NAME = rb"(?:" + _WORD + rb"|" + _QUOTED + rb")"

# One operator, all of whose bytes are here: the next byte must not belong to it. Nor can a comment start.
_OPERATOR = rb"(?:[=<>+*/%-]|<=|>=|<>|!=|\|\||::)(?![" + _OPERATOR_BYTES + rb":])"

# A parenthesis after a word calls a function, unless the word can't be the name of one: these are reserved. After a
# dot even they can, hence the byte before the space. Other reserved words are left to the parser.
_AFTER_WORD = b"|".join(
    rb"(?<=[^.\s]\s" + word + rb"\()"
    for word in (
        rb"[iI][nN] ", rb"[iI][nN]", rb"[vV][aA][lL][uU][eE][sS] ", rb"[vV][aA][lL][uU][eE][sS]",
        rb"[aA][nN][dD] ", rb"[oO][rR] ", rb"[oO][nN] ", rb"[wW][hH][eE][rR][eE] ",
    )
)  # fmt: skip
_PARENTHESIS = rb"\((?:(?<=[=<>(,+*-]\()|(?<=[=<>(,+*-] \()|" + _AFTER_WORD + rb")"

# A word that touches the quote would change what the string means: e'', u&''.
_STRING = rb"(?<![A-Za-z0-9_])'[^']*+'(?:'[^']*+')*+"
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
_last_plain: bytes | None = None


def is_plain(sql: bytes) -> bool:
    """Say whether the text is surely one SELECT, INSERT, UPDATE or DELETE that leaves its session as it was.

    A quick look, for texts that carry their values and so are new each time. False means nothing. True means: one
    statement (or a syntax error, which has no effect), no comment, no call of a function, no operator that
    isn't PostgreSQL's own, no INTO, and nothing named ``pg_…``. The caller makes sure that strings read as with
    standard_conforming_strings on (``reads_alike``).
    """
    # The session's effects, the plans and the facts of a text each ask, one after the other.
    global _last_plain
    if sql == _last_plain:
        return True
    if len(sql) <= MAX_SKIMMED and _matches_plain(sql) is not None:
        _last_plain = sql
        return True
    return False


# Bytes that become whole nodes of the tree by themselves, and thus some 70 bytes of JSON each.
_DENSE = rb"-+*/<>=~!@#%^&|`?:[(;"
_DENSE_LIMIT = 1500
_RUN = re.compile(rb"[" + _OPERATOR_BYTES + rb"]{16,}+")
_RUNS_LIMIT = 100_000  # squared bytes, of which PostgreSQL's scanner reads some 300 in a microsecond


def may_parse(sql: bytes) -> bool:
    """Say whether parsing the text and walking its tree surely takes less than about 5 ms.

    Two things make a short text dear: many nodes for few bytes (``1+1+1…``: 14 ms for 16 KB), and long runs of operator
    characters (``/*/*/*…``, ``+++…``: 40 ms for 4 KB), for the scanner takes a step back after each character and
    reads the run again.
    """
    size = len(sql)
    if size > MAX_PARSED:
        return False
    if size <= 300:
        return True
    dense = size - len(sql.translate(None, _DENSE))
    if dense <= 300:  # not even a single run of them all would be too long
        return True
    return dense <= _DENSE_LIMIT and sum([len(run) ** 2 for run in _RUN.findall(sql)]) <= _RUNS_LIMIT


_BACKSLASH = ord("\\")


def reads_alike(sql: bytes) -> bool:
    """Say whether the text means the same under every standard_conforming_strings and client_encoding.

    Without a backslash no string ends elsewhere; in ASCII alone no byte is part of another character (the second
    byte of a character in SJIS, BIG5, GBK and others may be a backslash).
    """
    return sql.isascii() and _BACKSLASH not in sql


def says_temporary(sql: bytes) -> bool:
    """Say whether the text could have TEMP, TEMPORARY or a name that starts with pg_temp, be it as U&"pg\\005ftemp"."""
    return sql.lower().find(b"temp") >= 0 or sql.find(b'&"') >= 0


# From the beginning of a word, and without a way back: else each letter of a long word begins a search of its own.
_CUSTOM_NAME = re.compile(
    rb"(?<![\w$\x80-\xff])[A-Za-z_\x80-\xff][\w$\x80-\xff]{0,62}+(?:\.[A-Za-z_\x80-\xff][\w$\x80-\xff]{0,62}+)++"
)


def names_of_settings(sql: bytes) -> set[str]:
    """Return whatever in the text looks like the name of a custom setting (``app.tenant``), in lower case.

    For a text that may set some where only its execution tells which: the body of a DO has them in its strings. Many
    of these are names of columns and functions; to ask for a setting of that name does no harm.
    """
    return {name.decode("utf-8", "replace").lower() for name in _CUSTOM_NAME.findall(sql)}
