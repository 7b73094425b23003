"""What the dispatch of hooks asks of an event loop. ``asyncio_waits`` implements it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, TypeVar

__all__ = ["DeadlineExceeded", "Waits"]

T = TypeVar("T")


class DeadlineExceeded(Exception):
    """An awaitable of a plugin took longer than it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it did not answer within {seconds:g} s")
        self.seconds = seconds


class Waits(Protocol):
    """Waiting, with and without an end."""

    def monotonic(self) -> float:
        """A clock in seconds."""

    async def within(self, awaitable: Awaitable[T], seconds: float) -> T:
        """The awaitable's result. Raises what it raises, or DeadlineExceeded: then it is canceled and left to itself.

        If the caller is canceled, so is the awaitable.
        """

    async def sleep(self, seconds: float) -> None:
        """Return after this time."""
