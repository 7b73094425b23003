"""A plugin that does what no plugin should. Its file's name says which misdeed, and its policy: ``raises_closed``.

It acts on statements that name it, a phase and a moment: ``select 'raises_closed guard step'``.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, cast

from interceptor import (
    Block,
    Column,
    Delay,
    Execution,
    Observer,
    PluginContext,
    Respond,
    Rewrite,
    Route,
    SessionClass,
    Statement,
    hookimpl,
    plugin,
)
from interceptor.hooks import breaker

# More misdeeds are looked at than a plugin may commit before it is left out.
breaker.MOST_FAILURES = 1_000_000  # type: ignore[misc]

MISDEED, _, POLICY = Path(__file__).stem.rpartition("_")


class Odd(BaseException):
    """No Exception."""


def raise_(error: BaseException) -> object:
    raise error


def recurse(depth: int = 0) -> object:
    return recurse(depth + 1)


class Unfriendly:
    """Whatever is asked of it, it raises."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(f"secret {name}")


class Wrong(Observer):
    """Fails whatever it hears of."""

    def started(self, execution: Execution) -> None:
        raise RuntimeError("secret")

    finished = failed = received = described = started  # type: ignore[assignment]


MISDEEDS: dict[str, Callable[[], object]] = {
    "raises": lambda: raise_(RuntimeError("secret")),
    "odd": lambda: raise_(Odd("secret")),
    "exits": lambda: sys.exit("secret"),
    "interrupts": lambda: raise_(KeyboardInterrupt("secret")),
    "cancels": lambda: raise_(asyncio.CancelledError("secret")),
    "stops": lambda: raise_(StopIteration("secret")),
    "leaves": lambda: raise_(GeneratorExit("secret")),
    "recurses": recurse,
    "hungry": lambda: raise_(MemoryError("secret")),
    "wrong": lambda: 42,
    "decision": lambda: Block,
    "unfriendly": Unfriendly,
    "mute": lambda: Block("42501", cast("str", 5)),
    "mutates": lambda: None,
    "columns": lambda: Respond(cast("tuple[Column, ...]", ("a",)), [(1,)]),
    "sql": lambda: Rewrite(cast("str", b"select 1")),
    "nowhere": lambda: Route(cast("str", 5)),
    "nan": lambda: Delay(cast("float", "long")),
}


async def later(misdeed: Callable[[], object]) -> object:
    await asyncio.sleep(0)
    return misdeed()


async def never(stubborn: bool) -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if not stubborn:
                raise
            stubborn = False


policy: Literal["closed", "by phase"] = "closed" if POLICY == "closed" else "by phase"


@plugin(version="1.0", policy=policy, deadline=0.2)
class Ill:
    def __init__(self, context: PluginContext[None]) -> None:
        self.pattern = re.compile(rf"'{re.escape(context.name)} (\w+) (\w+)'")

    def plan(self, phase: str, statement: Statement) -> object:
        found = self.pattern.search(statement.text)
        if found is None or found[1] != phase:
            return None
        if found[2] == "never":
            return lambda execution: never(stubborn=MISDEED == "odd")
        misdeed = MISDEEDS[MISDEED]
        if MISDEED == "mutates":
            misdeed = lambda: setattr(statement, "text", "select 'another'")  # noqa: E731
        if found[2] == "plan":
            return misdeed()
        if found[2] == "step":
            return lambda execution: misdeed()
        return lambda execution: cast("Awaitable[object]", later(misdeed))

    @hookimpl
    def guard(self, statement: Statement, session: SessionClass) -> object:
        return self.plan("guard", statement)

    @hookimpl
    def virtual(self, statement: Statement, session: SessionClass) -> object:
        return self.plan("virtual", statement)

    @hookimpl
    def rewrite(self, statement: Statement, session: SessionClass) -> object:
        return self.plan("rewrite", statement)

    @hookimpl
    def cache(self, statement: Statement, session: SessionClass) -> object:
        return self.plan("cache", statement)

    @hookimpl
    def route(self, statement: Statement, session: SessionClass) -> object:
        return self.plan("route", statement)

    @hookimpl
    def observe(self, statement: Statement, session: SessionClass) -> object:
        found = self.pattern.search(statement.text)
        if found is None or found[1] != "observe":
            return None
        return MISDEEDS[MISDEED]() if found[2] == "plan" else Wrong()
