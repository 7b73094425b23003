"""Numbers of connections, by which the console names them. No two connections of a node have the same."""

from __future__ import annotations

from itertools import count
from typing import Final

__all__ = ["CONNECTION_NUMBERS", "next_number", "number_from"]

CONNECTION_NUMBERS: Final = 1024
"""The step from one number of a worker to its next: as many workers as there can be."""

_numbers = count(1)


def next_number() -> int:
    """A number that no other connection has."""
    return next(_numbers)


def number_from(first: int, step: int) -> None:
    """From now on this process gives ``first``, ``first + step`` and so on: for a worker, so that none meets another's.

    To be called before there are connections.
    """
    global _numbers
    _numbers = count(first, step)
