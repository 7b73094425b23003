"""The name that somebody probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A clause to end a sentence with: the nearest known name, or nothing where none is near."""
    nearest = difflib.get_close_matches(name.lower(), known, n=1)
    return f'; did you mean "{nearest[0]}"?' if nearest else ""
