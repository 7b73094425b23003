"""Waiting on asyncio: the only module of ``interceptor.hooks`` that knows which event loop there is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Final, TypeVar, cast

from interceptor.hooks.waits import DeadlineExceeded, Work

__all__ = ["AsyncioWaits"]

T = TypeVar("T")

# The loop itself keeps only weak references to tasks, and one that was abandoned has nobody else.
_running: Final[set[asyncio.Task[object]]] = set()


class AsyncioWaits:
    """Implements ``Waits``. Each awaitable runs in a task, so that one which swallows its cancellation can be left."""

    def monotonic(self) -> float:
        """As ``Waits.monotonic``."""
        return time.monotonic()

    def start(self, awaitable: Awaitable[object]) -> Work:
        """As ``Waits.start``."""
        return _AsyncioWork(awaitable)

    async def within(self, awaitable: Awaitable[T], seconds: float) -> T:
        """As ``Waits.within``."""
        work = _AsyncioWork(awaitable)
        try:
            if not await work.wait(seconds):
                raise DeadlineExceeded(seconds)
        finally:
            work.cancel()
        return cast("T", work.result())

    async def sleep(self, seconds: float) -> None:
        """As ``Waits.sleep``."""
        await asyncio.sleep(seconds)


class _AsyncioWork:
    """Implements ``Work`` as a task."""

    __slots__ = ("_reported", "_task")

    def __init__(self, awaitable: Awaitable[object]) -> None:
        self._reported: asyncio.Future[None] | None = None
        self._task: Final = asyncio.get_running_loop().create_task(_run(awaitable), name="hook of a plugin")
        _running.add(self._task)
        self._task.add_done_callback(_forget)

    def report(self) -> None:
        """As ``Work.report``."""
        if self._reported is not None and not self._reported.done():
            self._reported.set_result(None)

    async def wait(self, seconds: float) -> bool:
        """As ``Work.wait``."""
        if not self._task.done():
            reported = self._reported = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait((self._task, reported), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                reported.cancel()
                self._reported = None
        return self._task.done()

    def result(self) -> object:
        """As ``Work.result``."""
        if self._task.cancelled():
            # Let through, it would pass for a cancellation of the caller.
            raise RuntimeError("it was canceled, and not by the proxy")
        return self._task.result()

    def cancel(self) -> None:
        """As ``Work.cancel``."""
        self._task.cancel()


async def _run(awaitable: Awaitable[object]) -> object:
    try:
        return await awaitable
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:
        # SystemExit and KeyboardInterrupt would end the whole loop, and any other would pass for a cancellation of the
        # caller.
        raise RuntimeError(f"it raised {type(error).__name__}") from error


def _forget(task: asyncio.Task[object]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # what an abandoned one raises is nobody's any more; asyncio would complain of it
