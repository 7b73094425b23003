"""Comments of a text, and the hints for this proxy in them."""

from __future__ import annotations

import msgspec
from pglast import parser

from interceptor.sql.facts import Comment, MessageFacts
from interceptor.sql.parsing import decode_text

__all__ = ["Hint", "find_comments", "hints"]

_COMMENTS = ("C_COMMENT", "SQL_COMMENT")


class Hint(msgspec.Struct, frozen=True, gc=False):
    """One hint: ``name`` and what follows it. An option without "=" has the value None. ``place``: of its comment."""

    name: str
    options: dict[str, str | None]
    place: int


def find_comments(sql: bytes) -> tuple[Comment, ...]:
    """Return the comments of a text that PostgreSQL's parser can read, as its scanner finds them.

    The caller holds the text to limits (``interceptor.sql.parsing.parse``): a scan may be slow.
    """
    text, is_utf8 = decode_text(sql)
    try:
        tokens = parser.scan(text)
    except parser.ParseError:  # the parser reads on where the scanner alone gives up; none is known
        return ()
    found = []
    for token in tokens:
        if token.name in _COMMENTS:
            place = len(text[: token.start].encode()) if is_utf8 and not text.isascii() else token.start
            found.append(Comment(text[token.start : token.end + 1], place))
    return tuple(found)


def hints(facts: MessageFacts) -> tuple[Hint, ...]:
    """Return the hints in the comments: ``/* interceptor: cache ttl=5 */`` or ``/*+ cache ttl=5s */``, also after
    ``--``.

    Several in one comment are separated by ";". The name, and each option's, count in lower case.
    """
    return tuple([hint for comment in facts.comments for hint in _read(comment)])


def _read(comment: Comment) -> list[Hint]:
    text = comment.text[2:-2] if comment.text.startswith("/*") else comment.text[2:]
    if text.startswith("+"):
        text = text[1:]
    else:
        text = text.strip()
        if not text.lower().startswith("interceptor:"):
            return []
        text = text[len("interceptor:") :]
    found = []
    for part in text.split(";"):
        words = part.split()
        if words:
            options: dict[str, str | None] = {}
            for word in words[1:]:
                name, equals, value = word.partition("=")
                options[name.lower()] = value if equals else None
            found.append(Hint(words[0].lower(), options, comment.place))
    return found
