"""Rows of an async source, gathered beside the client that reads them: rows in hand don't wait for the next one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, cast

from interceptor.hooks.containment import Hook, is_awaitable
from interceptor.hooks.decisions import Blocked, Row
from interceptor.hooks.waits import DeadlineExceeded, Waits, Work

__all__ = ["PIECE_BYTES", "PIECE_SECONDS", "Gatherer"]

PIECE_BYTES: Final = 64 * 1024
PIECE_SECONDS: Final = 0.005
"""Rows are handed on after this time, so that a slow source is not waited for with rows in hand."""

_GRACE: Final = 1.0
"""Seconds that a source has to end when it is told to; one that does not is left to itself."""


class Gatherer:
    """One source's rows. A call of ``pull`` must end before the next; ``close`` it in any case."""

    __slots__ = ("_encode", "_hook", "_made", "_since", "_waits", "_work", "rows")

    def __init__(self, rows: AsyncIterator[Row], hook: Hook, waits: Waits, encode: Callable[[Row], bytes]) -> None:
        """``encode`` makes a message of a row; what it raises is the source's failure."""
        self.rows: Final = rows
        self._hook: Final = hook
        self._waits: Final = waits
        self._encode: Final = encode
        self._made: list[bytes] = []
        self._work: Work | None = None
        """Gathers a piece; it goes on while no piece is asked for, up to the bounds of the one that was."""
        self._since = 0.0
        """When the row that is waited for was asked for."""

    async def pull(self, most: int) -> tuple[list[bytes], object]:
        """The next rows as messages, at most ``most``; and whether there are no more, or a failure, or a Block."""
        work, waits = self._work, self._waits
        start = waits.monotonic()
        if work is None:
            work = self._work = waits.start(self._gather(most))
            self._since = start
        try:
            ended = False
            if not self._made:
                ended = await work.wait(max(0.0, self._hook.plugin.deadline - (start - self._since)))
            if self._made and not ended:
                ended = await work.wait(PIECE_SECONDS)
        finally:
            self._since, since = waits.monotonic(), self._since
            self._hook.waited += self._since - start
        made, self._made = self._made, []
        if ended:
            self._work = None
            return made, self._end(work)
        if made:
            return made, False
        self._since = since
        return made, self._hook.failed(f"did not answer within {self._hook.plugin.deadline:g} s")

    def _end(self, work: Work) -> object:
        try:
            return work.result()
        except Blocked as blocked:
            return blocked.block
        except Exception as error:
            return self._hook.failed(error)

    async def _gather(self, most: int) -> bool:
        """Gather up to so many rows. Returns whether there are no more."""
        count = size = 0
        end = time.monotonic() + PIECE_SECONDS
        async for row in self.rows:
            message = self._encode(row)
            self._made.append(message)
            count += 1
            size += len(message)
            if count >= most or size >= PIECE_BYTES or time.monotonic() > end:
                return False
            if len(self._made) == 1 and self._work is not None:
                self._work.report()
        return True

    async def close(self) -> None:
        """Let the source know that no more are wanted."""
        hook, work = self._hook, self._work
        if work is not None:
            self._work = None
            work.cancel()
            if not await work.wait(_GRACE):
                hook.failed("has rows that go on when they are told to end")
                return
        closing = hook.call_always(_close, self.rows)
        if is_awaitable(closing):
            try:
                await self._waits.within(cast("Awaitable[object]", closing), hook.plugin.deadline)
            except DeadlineExceeded as late:
                hook.failed(f"did not end its rows within {late.seconds:g} s")
            except Exception as error:
                hook.failed(error)


def _close(rows: object) -> object:
    closing = cast("Callable[[], object] | None", getattr(rows, "aclose", None))
    return None if closing is None else closing()
