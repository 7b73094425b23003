"""Who hears of one execution: observers, sorted by what they want to hear."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from interceptor.hooks.containment import Hook, discard, is_awaitable
from interceptor.hooks.observing import Completion, Failure, Observer

if TYPE_CHECKING:
    from interceptor.hooks.statement import Execution

__all__ = ["EMPTY_AUDIENCE", "Audience"]

_Listeners = tuple[tuple[Hook, Callable[..., object]], ...]


def _hears(observer: Observer, method: str) -> bool:
    return getattr(type(observer), method) is not getattr(Observer, method)


class Audience:
    """The observers of one execution. Falsy, and free of cost, if there are none.

    The proxy calls ``started`` when the decision is made, and then exactly one of ``finished`` and ``failed`` last.
    """

    __slots__ = ("_described", "_failed", "_finished", "_received", "_started", "entries")

    def __init__(self, entries: tuple[tuple[Hook, Observer], ...] = ()) -> None:
        self.entries: Final = entries
        self._started = self._who("started")
        self._described = self._who("described")
        self._received = self._who("received")
        self._finished = self._who("finished")
        self._failed = self._who("failed")

    def _who(self, method: str) -> _Listeners:
        return tuple((hook, getattr(observer, method)) for hook, observer in self.entries if _hears(observer, method))

    def __len__(self) -> int:
        return len(self.entries)

    def with_observer(self, hook: Hook, observer: object) -> Audience:
        """These and one more."""
        if not isinstance(observer, Observer):
            hook.failed(f"gave a {type(observer).__name__} as observer, which is none")
            return self
        return Audience((*self.entries, (hook, observer)))

    def joined(self, other: Audience) -> Audience:
        """These and those."""
        if not other.entries:
            return self
        return Audience(self.entries + other.entries) if self.entries else other

    @property
    def wants_description(self) -> bool:
        """Whether ``described`` has to be called."""
        return bool(self._described)

    @property
    def wants_rows(self) -> bool:
        """Whether ``received`` has to be called. Else rows need not be looked at."""
        return bool(self._received)

    @property
    def hears_ends_only(self) -> bool:
        """Whether nothing but ``finished`` and ``failed`` has to be called."""
        return not (self._started or self._described or self._received)

    def started(self, execution: Execution) -> None:
        """Tell them."""
        for hook, method in self._started:
            _tell(hook, method, execution)

    def described(self, execution: Execution, description: bytes) -> None:
        """Tell those that want to know."""
        for hook, method in self._described:
            _tell(hook, method, execution, description)

    def received(self, execution: Execution, rows: bytes) -> None:
        """Tell those that want to know."""
        for hook, method in self._received:
            _tell(hook, method, execution, rows)

    def finished(self, execution: Execution, completion: Completion) -> None:
        """Tell them."""
        for hook, method in self._finished:
            _tell(hook, method, execution, completion)

    def failed(self, execution: Execution, failure: Failure) -> None:
        """Tell them."""
        for hook, method in self._failed:
            _tell(hook, method, execution, failure)


def _tell(hook: Hook, method: Callable[..., object], *args: object) -> None:
    answer = hook.call(method, *args)
    if is_awaitable(answer):
        hook.failed("has an observer with an async method, which nobody awaits")
        discard(answer)


EMPTY_AUDIENCE: Final = Audience()
