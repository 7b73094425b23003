"""The trace that a statement belongs to, as its comment says (sqlcommenter; W3C Trace Context, traceparent)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

__all__ = ["Parent", "parent_of"]

_PAIR: Final = re.compile(r"traceparent\s*=\s*'([^']{1,100})'")
_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class Parent:
    """A span of somebody else's."""

    trace: int
    span: int
    sampled: bool


def parent_of(comments: Iterable[str]) -> Parent | None:
    """The first traceparent in these comments; None where there is none that can be read."""
    for comment in comments:
        pair = _PAIR.search(comment)
        found = _PARENT.fullmatch(unquote(pair[1])) if pair else None
        if found is None or found[0].startswith("ff"):
            continue
        trace, span = int(found[1], 16), int(found[2], 16)
        if trace and span:
            return Parent(trace, span, bool(int(found[3], 16) & _SAMPLED))
    return None
