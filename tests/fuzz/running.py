"""How long to search: some seconds in the suite, FUZZ_SECONDS by ``make fuzz``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

__all__ = ["attempt", "fuzz"]

T = TypeVar("T")
E = TypeVar("E", bound=Exception)

EXAMPLES = 100
"""For one test of the suite, which takes the same ones each time."""


def fuzz(*strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Run a function with values of these strategies, and show the smallest that fails.

    With FUZZ_SECONDS in the environment: with other values each time, for as long as that.
    """

    def decorate(function: Callable[..., None]) -> Callable[[], None]:
        seconds = float(os.environ.get("FUZZ_SECONDS", "0"))
        search = settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=not seconds,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(given(*strategies)(function))

        def run() -> None:
            search()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                search()

        return run

    return decorate


def attempt(function: Callable[[], T], *errors: type[E]) -> T | E:
    """What the function returns, or which of these errors it raises. Others pass."""
    try:
        return function()
    except errors as error:
        return error
