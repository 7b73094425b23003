"""Writing TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from textwrap import wrap

__all__ = ["comment", "key", "quote"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH = 110


def quote(text: str) -> str:
    """A TOML string that stands for exactly this text, also where ``${`` would stand for a variable."""
    # JSON's escapes are TOML's too, but for the one control character that JSON leaves as it is.
    return json.dumps(text.replace("${", "$${"), ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    """A TOML key."""
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")


def comment(text: str) -> Iterable[str]:
    """Lines of a comment."""
    printable = "".join(one if one.isprintable() else "?" for one in text)
    return [f"# {line}" for line in wrap(printable, _WIDTH, break_long_words=False, break_on_hyphens=False)]
