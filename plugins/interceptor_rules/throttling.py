"""At most so many executions in a second, or at once, for a rule or for each user of it. In this process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from interceptor import Block, Completion, Delay, Execution, Failure, Forward, Observer
from interceptor_rules.model import Rule

__all__ = ["Throttle", "Throttles"]

_MOST_KEYS = 10_000


class _Running(Observer):
    """Gives a place back when its execution ends."""

    __slots__ = ("_throttle",)

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle

    def finished(self, execution: Execution, completion: Completion) -> None:
        self._throttle.leave()

    def failed(self, execution: Execution, failure: Failure) -> None:
        if not failure.retried:
            self._throttle.leave()


class Throttle:
    """One bucket: of a rule, or of a rule and a user."""

    __slots__ = ("_clock", "_observer", "_rule", "_running", "_tokens", "_updated", "_waiting")

    def __init__(self, rule: Rule, clock: Callable[[], float]) -> None:
        self._rule = rule
        self._clock = clock
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._tokens = self._most
        self._updated = clock()
        self._observer = _Running(self)

    @property
    def _most(self) -> float:
        return max(1.0, self._rule.per_second or 0.0)

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost if it were forgotten."""
        return not self._running and not self._waiting and self._refilled() >= self._most

    def _refilled(self) -> float:
        passed = self._clock() - self._updated
        return min(self._most, self._tokens + passed * (self._rule.per_second or 0.0))

    def enter(self) -> Forward | Block | Delay | Awaitable[Forward | Block | None]:
        """Take a place: go on, refuse, or wait."""
        rule = self._rule
        if rule.at_once is not None:
            if self._running >= rule.at_once:
                return self._wait() if rule.excess == "wait" else _refuse(rule, f"more than {rule.at_once} at once")
            self._running += 1
            return Forward(observer=self._observer)
        assert rule.per_second is not None
        now = self._clock()
        self._tokens, self._updated = self._refilled(), now
        if self._tokens >= 1:
            self._tokens -= 1
            return Forward()
        seconds = (1 - self._tokens) / rule.per_second
        if rule.excess == "refuse" or seconds > rule.wait_at_most:
            return _refuse(rule, f"more than {rule.per_second:g} in a second")
        self._tokens -= 1
        return Delay(seconds)

    async def _wait(self) -> Forward | Block | None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._rule.wait_at_most):
                await turn
        except TimeoutError:
            if not turn.done() or turn.cancelled():
                return _refuse(self._rule, f"more than {self._rule.at_once} at once, for too long")
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.leave()  # the place was given to somebody who is gone
            raise
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)
        return Forward(observer=self._observer)

    def leave(self) -> None:
        """Give a place back: to who waits longest, if anybody does."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1


def _refuse(rule: Rule, what: str) -> Block:
    return Block(
        rule.sqlstate or "53400",
        rule.message or f'the rule "{rule.name}" does not allow {what}',
        hint=rule.hint or "try again later",
    )


class Throttles:
    """All buckets, kept through reloads as long as their rule is the same."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str, float | None, int | None], Throttle] = {}

    def of(self, rule: Rule, user: str) -> Throttle:
        """The bucket of a rule for a user."""
        key = (rule.name, user if rule.per == "user" else "", rule.per_second, rule.at_once)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_KEYS:
                self._known = {one: throttle for one, throttle in self._known.items() if not throttle.idle}
            found = self._known[key] = Throttle(rule, self._clock)
        return found
