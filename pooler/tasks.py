"""The one way to start a task.

The loop itself holds tasks weakly, so one that nobody else holds may vanish half-way; and a task without a name says
nothing in a log. Both are seen to here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar, cast

logger = logging.getLogger(__name__)

T = TypeVar("T")


def _give_way() -> None:
    # A storm of wrong passwords must not take the processor from the loop's thread, where everybody else is served.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


_NICE = 10
_derivers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="derive", initializer=_give_way)
_running: set[asyncio.Task[None]] = set()


class Handle(Protocol):
    """A task that runs by itself, and that can be told to stop."""

    def cancel(self) -> bool:
        """Ask it to stop. False if it has ended already."""


def spawn(coroutine: Coroutine[None, None, None], *, name: str) -> Handle:
    """Run a coroutine beside the caller. One that raises is a bug of ours: it is logged with its trace."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_on_done)
    return task


def _on_done(task: asyncio.Task[None]) -> None:
    _running.discard(task)
    if not task.cancelled() and task.exception() is not None:
        logger.error("task %s failed", task.get_name(), exc_info=task.exception())


async def derive(function: Callable[[], T]) -> T:
    """Run a function that hashes for milliseconds in one of a few threads of its own.

    Not in the loop's default threads, which look up host names: a storm of wrong passwords would hold those up.
    """
    return await asyncio.get_running_loop().run_in_executor(_derivers, function)


async def read_files(function: Callable[[], T]) -> T:
    """Run a function that reads files in a thread of its own: a file system that hangs holds up nobody else.

    Not even the end of the process, which would wait for the threads of a pool.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(cast("T", result))
        else:
            done.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="files", daemon=True).start()
    return await done


async def cancel_all() -> None:
    """Cancel what still runs, and wait for it. For the end of the process."""
    tasks = [task for task in _running if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
