"""Long work in turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from pooler.reports.turns import TURN, in_turns


def slow(count: int) -> Iterator[int]:
    for number in range(count):
        until = time.perf_counter() + TURN / 2
        while time.perf_counter() < until:
            pass
        yield number


async def test_others_have_their_turn_between_two_pieces() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.get_running_loop().create_task(other())
    pieces = [piece async for piece in in_turns(slow(20))]
    task.cancel()
    assert [number for piece in pieces for number in piece] == list(range(20))
    assert len(pieces) >= 5
    assert turns >= len(pieces) - 1


async def test_nothing_is_one_empty_piece() -> None:
    nothing: list[int] = []
    assert [piece async for piece in in_turns(nothing)] == [[]]
