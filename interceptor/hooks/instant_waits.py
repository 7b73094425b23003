"""Waiting without an event loop, for whoever tries plugins where no server runs: time passes when it is waited for."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Final, TypeVar, cast, overload

from interceptor.hooks.waits import DeadlineExceeded, Work

__all__ = ["InstantWaits", "WaitsForOthers", "finish"]

T = TypeVar("T")


class WaitsForOthers(LookupError):
    """Something waits for what only a running server, or a network, could give."""


class InstantWaits:
    """Implements ``Waits``."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds that were waited so far."""

    def monotonic(self) -> float:
        """As ``Waits.monotonic``."""
        return self.now

    def start(self, awaitable: Awaitable[object]) -> Work:
        """As ``Waits.start``. It runs when it is waited for."""
        return _InstantWork(awaitable)

    async def within(self, awaitable: Awaitable[T], seconds: float) -> T:
        """As ``Waits.within``, of what waits for nothing but ``sleep`` of this object."""
        start = self.now
        answer = await awaitable
        if self.now - start > seconds:
            raise DeadlineExceeded(seconds)
        return answer

    async def sleep(self, seconds: float) -> None:
        """As ``Waits.sleep``, in no time."""
        self.now += seconds


class _InstantWork:
    """Implements ``Work``: it has ended when it is first waited for."""

    __slots__ = ("_awaitable", "_error", "_result")

    def __init__(self, awaitable: Awaitable[object]) -> None:
        self._awaitable: Final = awaitable
        self._result: object = None
        self._error: Exception | None = None

    def report(self) -> None:
        """As ``Work.report``."""

    async def wait(self, seconds: float) -> bool:
        """As ``Work.wait``."""
        try:
            self._result = await self._awaitable
        except Exception as error:
            self._error = error
        return True

    def result(self) -> object:
        """As ``Work.result``."""
        if self._error is not None:
            raise self._error
        return self._result

    def cancel(self) -> None:
        """As ``Work.cancel``."""


@overload
def finish(value: Awaitable[T]) -> T: ...


@overload
def finish(value: T | Awaitable[T]) -> T: ...


def finish(value: T | Awaitable[T]) -> T:
    """The value, or what it gives when it is awaited. Raises WaitsForOthers where that waits for more than time."""
    if not isinstance(value, Awaitable):
        return value
    running = cast("Coroutine[object, None, T]", value)
    try:
        running.send(None)
    except StopIteration as done:
        return cast("T", done.value)
    running.close()
    raise WaitsForOthers("a plugin waits for something from outside, which there is not without a server")
