"""From what somebody types to words: statements apart, comments away, quotes off."""

from __future__ import annotations

import re
from typing import Final

from interceptor.errors import CONSOLE_SYNTAX, ClientError

__all__ = ["Word", "split"]

_TOKEN: Final = re.compile(
    r"""
    (?P<blank>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<end>;)
    |"(?P<name>(?:[^"]|"")*)"
    |'(?P<text>(?:[^']|'')*)'
    |(?P<symbol>[=,()])
    |(?P<bare>[^\s;"'=,()]+)
    """,
    re.VERBOSE | re.DOTALL,
)


class Word(str):
    """A word without its quotes. ``quoted``: it had some, so it is a name or a text and no keyword."""

    __slots__ = ("quoted",)
    quoted: bool

    def __new__(cls, text: str, quoted: bool = False) -> Word:
        word = super().__new__(cls, text)
        word.quoted = quoted
        return word

    @property
    def keyword(self) -> str:
        """In upper case; empty where it was quoted."""
        return "" if self.quoted else self.upper()


def split(text: str) -> list[list[Word]]:
    """The statements of a text, each as its words; empty ones are left out. Raises ClientError, not fatal."""
    statements: list[list[Word]] = [[]]
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ClientError(
                CONSOLE_SYNTAX, f"a quote is not closed, at character {position + 1} of the command", fatal=False
            )
        position = found.end()
        if found["end"]:
            statements.append([])
        elif found["name"] is not None:
            statements[-1].append(Word(found["name"].replace('""', '"'), quoted=True))
        elif found["text"] is not None:
            statements[-1].append(Word(found["text"].replace("''", "'"), quoted=True))
        elif found["symbol"] or found["bare"]:
            statements[-1].append(Word(found["symbol"] or found["bare"]))
    return [words for words in statements if words]
