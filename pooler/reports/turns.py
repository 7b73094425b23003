"""Long work for somebody who looks, in short turns between the work for clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

__all__ = ["TURN", "in_turns"]

T = TypeVar("T")

TURN: Final = 0.002
"""Seconds."""


async def in_turns(work: Iterable[T]) -> AsyncIterator[list[T]]:
    """What the work yields, in pieces; between two of them all others have had their turn."""
    piece: list[T] = []
    until = time.perf_counter() + TURN
    for item in work:
        piece.append(item)
        if time.perf_counter() >= until:
            yield piece
            piece = []
            await asyncio.sleep(0)
            until = time.perf_counter() + TURN
    yield piece
