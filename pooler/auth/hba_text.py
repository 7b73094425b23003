"""The form of pg_hba.conf and pg_ident.conf: lines, tokens, lists and quotes (PostgreSQL's src/backend/libpq/hba.c)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interceptor.errors import ConfigError

__all__ = ["Token", "read_lines", "read_text"]

_MOST_BYTES: Final = 16 * 1024 * 1024
_TOKEN: Final = re.compile(r'[ \t\r\f\v]*(?:(?P<comma>,)|(?P<token>(?:"[^"]*"|[^\s,"#])+)|(?P<comment>#.*)|(?P<end>$))')


@dataclass(frozen=True, slots=True)
class Token:
    """One word. In quotes it is only a name, whatever it says: ``"all"`` is a database of that name."""

    text: str
    quoted: bool

    def is_keyword(self, word: str) -> bool:
        """Whether it is this word, and not a name."""
        return not self.quoted and self.text == word


def read_text(path: Path, what: str) -> str:
    """The text of a file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(path), 0, "", f"the {what} can't be read: {error.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(str(path), 0, "", f"the {what} is larger than {_MOST_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), data.count(b"\n", 0, error.start) + 1, "", "this is not UTF-8") from None


def read_lines(text: str) -> Iterator[tuple[int, list[list[Token]] | str]]:
    """Each line that says something: its number, and its fields, each a list of words; or in their place what is wrong.

    A backslash at the end of a line joins it with the next.
    """
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        first = number
        line = lines[number].rstrip("\r")
        while line.endswith("\\") and number + 1 < len(lines):
            number += 1
            line = line[:-1] + lines[number].rstrip("\r")
        number += 1
        fields = _fields(line)
        if fields:
            yield first + 1, fields


def _fields(line: str) -> list[list[Token]] | str:
    fields: list[list[Token]] = []
    position, joined = 0, False
    while True:
        found = _TOKEN.match(line, position)
        if found is None:
            return "a quote is not closed"
        position = found.end()
        if found["comma"]:
            if not fields or joined:
                return "there is nothing before this comma"
            joined = True
        elif found["token"] is None:
            return "there is nothing after the last comma" if joined else fields
        else:
            word = found["token"]
            token = Token(word.replace('"', ""), word.startswith('"'))
            if joined:
                fields[-1].append(token)
            else:
                fields.append([token])
            joined = False
