"""Work of plugins beside the queries: it starts with the server, ends with its plugin, and is named in the log."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable

__all__ = ["PluginTasks"]

logger = logging.getLogger("interceptor.plugins")


class PluginTasks:
    """Implements ``Tasks`` for one plugin.

    What a plugin asks for while it is made waits for ``start``: there is no loop yet, and in a command that only looks
    at plugins there never is.
    """

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self._early: list[tuple[Awaitable[None], str]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._started = False
        self._closed = False

    # --- Tasks -------------------------------------------------------------------------------------------------------

    def spawn(self, work: Awaitable[None], name: str) -> None:
        """As ``Tasks.spawn``. What is asked for after the plugin has stopped does not run."""
        if self._closed:
            _discard(work)
        elif self._started:
            self._run(work, name)
        else:
            self._early.append((work, name))

    def every(self, seconds: float, call: Callable[[], Awaitable[None] | None], name: str) -> None:
        """As ``Tasks.every``. Raises ValueError for a pause that is none: it would leave no time for queries."""
        if not seconds > 0:
            raise ValueError(f"the pause between two calls of {name} must be longer than {seconds:g} s")
        self.spawn(self._repeat(seconds, call, name), name)

    def monotonic(self) -> float:
        """As ``Tasks.monotonic``."""
        return time.monotonic()

    # --- Life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Run what has been asked for so far."""
        self._started = True
        early, self._early = self._early, []
        for work, name in early:
            self._run(work, name)

    async def close(self, seconds: float) -> None:
        """Cancel all of it, and wait until it has ended, for so long at most."""
        self._closed = True
        for work, _ in self._early:
            _discard(work)
        self._early.clear()
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            _, late = await asyncio.wait(running, timeout=seconds)
            for task in late:
                logger.warning("plugin %s: its task %s does not end", self._plugin, task.get_name())

    def _run(self, work: Awaitable[None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(self._contain(work, name), name=f"{self._plugin}: {name}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _contain(self, work: Awaitable[None], name: str) -> None:
        try:
            await work
        except (Exception, SystemExit):
            logger.exception("plugin %s: its task %s failed", self._plugin, name)

    async def _repeat(self, seconds: float, call: Callable[[], Awaitable[None] | None], name: str) -> None:
        failed = False
        while True:
            await asyncio.sleep(seconds)
            try:
                answer = call()
                if answer is not None:
                    await answer
            except (Exception, SystemExit):
                # A timer that fails every second would fill the log: it is told when that begins.
                if not failed:
                    logger.exception("plugin %s: its timer %s failed, and goes on", self._plugin, name)
                failed = True
            else:
                failed = False


def _discard(work: Awaitable[None]) -> None:
    """Python would complain later of a coroutine that nobody awaited."""
    if inspect.iscoroutine(work):
        work.close()
