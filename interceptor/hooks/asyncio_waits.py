"""Waiting on asyncio: the only module of ``interceptor.hooks`` that knows which event loop there is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Final, TypeVar

from interceptor.hooks.waits import DeadlineExceeded

__all__ = ["AsyncioWaits"]

T = TypeVar("T")

# The loop itself keeps only weak references to tasks, and one that was abandoned has nobody else.
_running: Final[set[asyncio.Task[object]]] = set()


class AsyncioWaits:
    """Implements ``Waits``. Each awaitable runs in a task, so that one which swallows its cancellation can be left."""

    def monotonic(self) -> float:
        """As ``Waits.monotonic``."""
        return time.monotonic()

    async def within(self, awaitable: Awaitable[T], seconds: float) -> T:
        """As ``Waits.within``."""

        async def run() -> T:
            try:
                return await awaitable
            except SystemExit as error:
                # Out of a task it would end the whole loop.
                raise RuntimeError("it called sys.exit()") from error

        task = asyncio.get_running_loop().create_task(run(), name="hook of a plugin")
        _running.add(task)
        task.add_done_callback(_forget)
        try:
            await asyncio.wait((task,), timeout=seconds)
        finally:
            if not task.done():
                task.cancel()
        if not task.done():
            raise DeadlineExceeded(seconds)
        if task.cancelled():
            # Let through, it would pass for a cancellation of the caller.
            raise RuntimeError("it was canceled, and not by the proxy")
        return task.result()

    async def sleep(self, seconds: float) -> None:
        """As ``Waits.sleep``."""
        await asyncio.sleep(seconds)


def _forget(task: asyncio.Task[object]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # what an abandoned one raises is nobody's any more; asyncio would complain of it
