"""libpq's other form of a connection string: ``host=a,b port=5432 user=app password='it''s'``.

Source: PostgreSQL manual, 34.1.1.1; a value in single quotes may hold blanks, and a backslash stands before a quote or
a backslash that is meant as it is. No error repeats a part of the text.
"""

from __future__ import annotations

import re

from pooler.config.values import Unfit

__all__ = ["is_conninfo", "join_conninfo", "split_conninfo"]

_FIRST = re.compile(r"\s*[A-Za-z_]+\s*=")
_NAME = re.compile(r"\s*([A-Za-z_]+)\s*=\s*")
_BARE = re.compile(r"(?:[^\s\\]|\\.)*", re.DOTALL)
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'(?=\s|\Z)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def is_conninfo(text: str) -> bool:
    """Whether it begins as such a string does, and not as a URI."""
    return _FIRST.match(text) is not None


def split_conninfo(text: str) -> list[tuple[str, str]]:
    """Names and values, in their order. Raises Unfit."""
    found: list[tuple[str, str]] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        name = _NAME.match(text, position)
        if name is None:
            raise Unfit(f"option {len(found) + 1} is not of the form name=value; a value with blanks stands in quotes")
        position = name.end()
        if text.startswith("'", position):
            value = _QUOTED.match(text, position)
            if value is None:
                raise Unfit(
                    f"the quoted value of option {len(found) + 1} has no end, or no blank after it: "
                    "a quote or a backslash inside has a backslash before it"
                )
            found.append((name[1], _ESCAPED.sub(r"\1", value[1])))
        else:
            value = _BARE.match(text, position)
            assert value is not None, "it matches nothing at all, too"
            found.append((name[1], _ESCAPED.sub(r"\1", value[0])))
        position = value.end()
        if position < len(text) and not text[position].isspace():
            raise Unfit(f"the value of option {len(found)} ends with a backslash")
    return found


def join_conninfo(pairs: list[tuple[str, str]]) -> str:
    """The string that ``split_conninfo`` takes apart into these."""
    return " ".join(f"{name}='{_quoted(value)}'" for name, value in pairs)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
