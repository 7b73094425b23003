"""Waiting where no event loop runs: in the testing kit, and in ``interceptor check``."""

from __future__ import annotations

import types
from collections.abc import Generator

import pytest

from interceptor.hooks.instant_waits import InstantWaits, WaitsForOthers, finish
from interceptor.hooks.waits import DeadlineExceeded


async def after(waits: InstantWaits, seconds: float) -> float:
    await waits.sleep(seconds)
    return waits.monotonic()


@types.coroutine
def turn() -> Generator[None, None, None]:
    yield


async def outside() -> None:
    """Waits for something that only a loop could see to."""
    await turn()


def test_time_passes_when_it_is_waited_for() -> None:
    waits = InstantWaits()
    assert finish(after(waits, 5.0)) == 5.0
    assert finish(waits.within(after(waits, 5.0), 10.0)) == 10.0
    assert finish("at once") == "at once"


def test_what_takes_too_long_is_late() -> None:
    waits = InstantWaits()
    with pytest.raises(DeadlineExceeded):
        finish(waits.within(after(waits, 5.0), 1.0))


def test_what_waits_for_something_else_is_refused() -> None:
    with pytest.raises(WaitsForOthers, match="waits for something from outside"):
        finish(outside())


def test_work_ends_when_it_is_waited_for() -> None:
    waits = InstantWaits()

    async def raises() -> None:
        raise KeyError("x")

    work = waits.start(after(waits, 3.0))
    work.report()
    assert finish(work.wait(1.0))
    assert work.result() == 3.0
    failing = waits.start(raises())
    assert finish(failing.wait(1.0))
    with pytest.raises(KeyError):
        failing.result()
    failing.cancel()
