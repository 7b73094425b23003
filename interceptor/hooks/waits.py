"""What the dispatch of hooks asks of an event loop. ``asyncio_waits`` and ``instant_waits`` implement it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, TypeVar

__all__ = ["DeadlineExceeded", "Waits", "Work"]

T = TypeVar("T")


class DeadlineExceeded(Exception):
    """An awaitable of a plugin took longer than it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it did not answer within {seconds:g} s")
        self.seconds = seconds


class Work(Protocol):
    """An awaitable that runs by itself."""

    def report(self) -> None:
        """Called by what runs: there is something to see, though it has not ended. Who waits goes on."""

    async def wait(self, seconds: float) -> bool:
        """Wait until it has ended or reported, at most so long. Returns whether it has ended.

        If the caller is canceled, it goes on.
        """

    def result(self) -> object:
        """Of what has ended. Raises what it raised, but nothing that is no Exception."""

    def cancel(self) -> None:
        """Tell it to end."""


class Waits(Protocol):
    """Waiting, with and without an end."""

    def monotonic(self) -> float:
        """A clock in seconds."""

    def start(self, awaitable: Awaitable[object]) -> Work:
        """Let it run by itself. What becomes of it is nobody's business unless somebody asks."""

    async def within(self, awaitable: Awaitable[T], seconds: float) -> T:
        """The awaitable's result. Raises what it raises, or DeadlineExceeded: then it is canceled and left to itself.

        If the caller is canceled, so is the awaitable.
        """

    async def sleep(self, seconds: float) -> None:
        """Return after this time."""
