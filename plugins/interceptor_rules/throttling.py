"""At most so many executions in a second, or at once, for a rule or for each user of it, in all processes together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from interceptor import Block, Completion, Delay, Execution, Failure, Forward, Observer
from interceptor.services import Shared, SharedCounters
from interceptor_rules.buckets import CELLS, Cells, LocalCounters
from interceptor_rules.model import Rule

__all__ = ["Throttle", "Throttles"]

_MOST_KEYS = 10_000
_SECOND = 1_000_000_000  # ns
_LOOK = 0.01
"""Seconds after which who waits looks whether a place of another process is free."""


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
    """One bucket: of a rule, or of a rule and a user. Its number is the same in all processes of the node.

    By the second it is the moment at which it would be full again if nobody took anything (the generic cell rate
    algorithm): nothing has to be filled, and nobody waits for another process to know it. Two that ask in the same
    instant may both be let in; what was too much is taken from those that come next.
    """

    __slots__ = ("_cells", "_clock", "_looking", "_observer", "_rule", "_running", "_waiting")

    def __init__(self, rule: Rule, cells: Cells, clock: Callable[[], float]) -> None:
        self._rule = rule
        self._cells = cells
        self._clock = clock
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._looking: asyncio.TimerHandle | None = None
        self._observer = _Running(self)

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost if it were forgotten."""
        return not self._running and not self._waiting

    def enter(self) -> Forward | Block | Delay | Awaitable[Forward | Block | None]:
        """Take a place: go on, refuse, or wait."""
        rule = self._rule
        if rule.at_once is not None:
            if self._waiting or not self._take_place(rule.at_once):
                return self._wait() if rule.excess == "wait" else _refuse(rule, f"more than {rule.at_once} at once")
            return Forward(observer=self._observer)
        assert rule.per_second is not None
        now = int(self._clock() * _SECOND)
        step = int(_SECOND / rule.per_second)
        early = int((max(1.0, rule.per_second) - 1) * step)
        late = max(self._cells.read(), now) - early - now
        if late > 0 and (rule.excess == "refuse" or late > rule.wait_at_most * _SECOND):
            return _refuse(rule, f"more than {rule.per_second:g} in a second")
        self._cells.advance(now, step)
        return Delay(late / _SECOND) if late > 0 else Forward()

    def _take_place(self, most: int) -> bool:
        # First it is taken, and then looked whether there was one: or two processes could take the last.
        self._cells.add(1)
        if self._cells.read() > most:
            self._cells.add(-1)
            return False
        self._running += 1
        return True

    def _look(self) -> None:
        """Places that other processes gave back go to those who wait here."""
        self._looking = None
        assert self._rule.at_once is not None
        while self._waiting and self._take_place(self._rule.at_once):
            self.leave()  # to the first of them
        self._look_later()

    def _look_later(self) -> None:
        if self._waiting and self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_LOOK, self._look)

    async def _wait(self) -> Forward | Block | None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._look_later()
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
        self._cells.add(-1)


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
        self._places: SharedCounters = LocalCounters()
        self._moments: SharedCounters = LocalCounters()
        self._known: dict[tuple[str, str, float | None, int | None], Throttle] = {}

    def share(self, shared: Shared) -> None:
        """Count together with the other processes. Before anything is counted."""
        self._places = shared.levels("throttled places", CELLS)
        self._moments = shared.counters("throttled moments", CELLS)

    def of(self, rule: Rule, user: str) -> Throttle:
        """The bucket of a rule for a user."""
        key = (rule.name, user if rule.per == "user" else "", rule.per_second, rule.at_once)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_KEYS:
                self._known = {one: throttle for one, throttle in self._known.items() if not throttle.idle}
            counters = self._moments if rule.at_once is None else self._places
            found = self._known[key] = Throttle(rule, Cells(counters, repr(key)), self._clock)
        return found
