"""Calls into plugins: timed, counted, and kept from doing harm.

A hook that fails gives a ``HookFailure`` in place of its answer; what that means is the caller's to say, by the hook's
policy.
"""

from __future__ import annotations

import logging
import signal
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Literal

from interceptor.errors import PLUGIN_FAILED
from interceptor.hooks.breaker import Breaker
from interceptor.hooks.decisions import Block, Blocked
from interceptor.hooks.waits import DeadlineExceeded, Waits

__all__ = [
    "CLOSED_BY_NATURE",
    "Hook",
    "HookFailure",
    "PluginRuntime",
    "Running",
    "call_back",
    "discard",
    "is_awaitable",
]

logger = logging.getLogger("interceptor.plugins")

CLOSED_BY_NATURE: Final = frozenset(["guard", "virtual", "admit"])
"""Hooks whose failure refuses, whatever their plugin declares."""

SLOW: Final = 1.0
"""Seconds that a plain function may hold up all clients of its process without a line in the log."""

_complained: Final[set[str]] = set()

_clock = time.perf_counter
_monotonic = time.monotonic


@dataclass(frozen=True, slots=True)
class HookFailure:
    """In place of an answer: the hook raised, took too long, answered with nonsense, or is left out for now."""

    hook: Hook
    reason: str
    error: BaseException | None = None

    def as_block(self) -> Block:
        """What a client gets where the policy is closed. It names the plugin, and nothing that may be a secret."""
        return Block(
            PLUGIN_FAILED.sqlstate,
            f"({PLUGIN_FAILED.code}) the plugin {self.hook.plugin.name} failed, and nothing may run without its answer",
            hint="The log of the proxy says what is wrong with the plugin.",
        )


class Running:
    """Which hook's plain function this process is in just now, for whoever finds that it holds up the loop."""

    __slots__ = ("hook", "since")

    def __init__(self) -> None:
        self.hook: Hook | None = None
        self.since = 0.0

    def describe(self) -> str:
        """``plugin.hook``, or nothing."""
        hook = self.hook
        return f"{hook.plugin.name}.{hook.name}" if hook is not None else ""


_MOST_SQLSTATES: Final = 100


class PluginRuntime:
    """A plugin as it runs: its hooks, and how they fare."""

    __slots__ = ("_logged", "closed", "deadline", "decisions", "hooks", "name", "refusals", "running")

    def __init__(self, name: str, *, closed: bool, deadline: float, running: Running) -> None:
        self.name: Final = name
        self.closed: Final = closed
        self.deadline: Final = deadline
        self.running: Final = running
        self.hooks: dict[str, Hook] = {}
        self.decisions: Counter[str] = Counter()
        """What was decided at executions and refused at Parse, by the decision's name in lower case."""
        self.refusals: Counter[str] = Counter()
        """What clients were refused by it, by SQLSTATE; of too many ``other``."""
        self._logged: set[tuple[str, str]] = set()

    def hook(self, name: str) -> Hook:
        """The hook of this name, made when first asked for."""
        found = self.hooks.get(name)
        if found is None:
            found = self.hooks[name] = Hook(self, name)
        return found

    def step_of(self, hook: Hook) -> Hook:
        """The hook's steps, which run at executions. They fail, trip and count apart from its planning: else a plan
        that goes well would close the breaker of a step that does not."""
        name = f"{hook.name} step"
        found = self.hooks.get(name)
        if found is None:
            found = self.hooks[name] = Hook(self, name, f"step of {hook.name}", hook.closed)
        return found

    @property
    def observing(self) -> Hook:
        """The plugin's observers, whatever gave them. Apart from the hooks: else one that miscounts would trip the
        guard that attached it, and everything would be refused."""
        found = self.hooks.get("observer")
        if found is None:
            found = self.hooks["observer"] = Hook(self, "observer", "observer", closed=False)
        return found

    def count_refusal(self, sqlstate: str) -> None:
        """A client is refused something."""
        known = sqlstate in self.refusals or len(self.refusals) < _MOST_SQLSTATES
        self.refusals[sqlstate if known else "other"] += 1

    def log_once(self, kind: tuple[str, str], message: str, level: int = logging.ERROR) -> None:
        """Log, if nothing of this kind was logged for this plugin before."""
        if kind not in self._logged:
            self._logged.add(kind)
            logger.log(level, "plugin %s: %s", self.name, message)

    @property
    def state(self) -> Literal["active", "tripped"]:
        """Whether any hook is left out for now."""
        return "tripped" if any(hook.breaker.tripped for hook in self.hooks.values()) else "active"


class Hook:
    """One hook of one plugin: policy, breaker, and figures since it was loaded."""

    __slots__ = ("breaker", "calls", "closed", "failures", "name", "plugin", "seconds", "slowest", "title", "waited")

    def __init__(self, plugin: PluginRuntime, name: str, title: str = "", closed: bool | None = None) -> None:
        self.plugin: Final = plugin
        self.name: Final = name
        self.title: Final = title or f"hook {name}"
        """For sentences."""
        self.closed: Final = (plugin.closed or name in CLOSED_BY_NATURE) if closed is None else closed
        self.breaker: Final = Breaker()
        self.calls = 0
        self.failures = 0
        self.seconds = 0.0
        """In its plain functions, during which nothing else runs."""
        self.slowest = 0.0
        self.waited = 0.0
        """Seconds that clients waited for its awaitables."""

    def call(self, function: Callable[..., object], *args: object) -> object:
        """Call it. Returns its answer, a Block that it raised, or a HookFailure. An awaitable is not awaited here."""
        breaker = self.breaker
        if breaker.tripped and not breaker.may_try(_monotonic()):
            return HookFailure(self, "it failed too often")
        running = self.plugin.running
        outer, since = running.hook, running.since
        running.hook = self
        running.since = start = _clock()
        try:
            answer = function(*args)
        except Blocked as blocked:
            answer = blocked.block
        except BaseException as error:  # SystemExit and a stray CancelledError too are the plugin's mistakes here
            if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                # Of a person before a test or a command. A server handles the signal, and never gets one by it.
                raise
            answer = self.failed(error)
        finally:
            spent = _clock() - start
            running.hook, running.since = outer, since
            self.calls += 1
            self.seconds += spent
            if spent > self.slowest:
                self.slowest = spent
        if spent > SLOW:
            self._log_slow(spent)
        if breaker.tripped and type(answer) is not HookFailure and not is_awaitable(answer):
            breaker.on_success()
        return answer

    def call_always(self, function: Callable[..., object], *args: object) -> object:
        """As ``call``, also where the hook is left out: for what it has begun, and for what has to be given back."""
        breaker = self.breaker
        tripped, breaker.tripped = breaker.tripped, False
        try:
            return self.call(function, *args)
        finally:
            breaker.tripped = breaker.tripped or tripped

    async def wait(self, awaitable: Awaitable[object], waits: Waits) -> object:
        """Await what ``call`` returned. Returns as ``call`` does; only a cancellation of the caller gets through."""
        start = waits.monotonic()
        try:
            answer = await waits.within(awaitable, self.plugin.deadline)
        except Blocked as blocked:
            answer = blocked.block
        except DeadlineExceeded as late:
            return self.failed(f"did not answer within {late.seconds:g} s")
        except Exception as error:
            return self.failed(error)
        except BaseException:
            self.breaker.on_undecided()
            raise
        finally:
            self.waited += waits.monotonic() - start
        if self.breaker.tripped:
            self.breaker.on_success()
        return answer

    def failed(self, error: BaseException | str) -> HookFailure:
        """Count and log a failure. A text says what is wrong with an answer."""
        self.failures += 1
        self.breaker.on_failure(_monotonic())
        if isinstance(error, str):
            reason = error
            self.plugin.log_once((self.name, reason), f"its {self.title} {reason}")
        else:
            reason = f"raised {type(error).__name__}"
            self.plugin.log_once((self.name, reason), f"its {self.title} {reason}\n{_own_traceback(error)}")
        if self.breaker.tripped:
            what = "what it is asked about is refused" if self.closed else "it is left out"
            self.plugin.log_once(
                (self.name, "tripped"),
                f"its {self.title} failed too often: for a while {what}, and then tried again",
            )
        return HookFailure(self, reason, None if isinstance(error, str) else error)

    def _log_slow(self, spent: float) -> None:
        self.plugin.log_once(
            (self.name, "slow"),
            f"its {self.title} held up all clients of this process for {spent:.1f} s: "
            "what takes time belongs into an async function",
            # It has answered. That it was slow may be the machine's doing, so no test of a plugin fails for it.
            logging.WARNING,
        )


def call_back(function: Callable[..., object], *args: object) -> None:
    """Call a function that some plugin left to be called. What it raises is logged, once for each function."""
    try:
        discard(function(*args))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            raise
        name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__name__)}"
        if name not in _complained:
            _complained.add(name)
            logger.error("plugin function %s raised %s\n%s", name, type(error).__name__, _own_traceback(error))


def is_awaitable(answer: object) -> bool:
    """Whether it can be awaited. The class is asked, as by ``await`` itself: an object may answer with an exception."""
    return hasattr(type(answer), "__await__")


def discard(answer: object) -> None:
    """Nobody will await this answer; Python warns of a coroutine that is not closed then."""
    if isinstance(answer, Coroutine):
        answer.close()


def _own_traceback(error: BaseException) -> str:
    """The traceback from the plugin's first frame on: what stands above it is always the same."""
    frames = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames or error.__traceback__)).rstrip()


def _is_ours(frame: TracebackType) -> bool:
    module = frame.tb_frame.f_globals.get("__name__", "")
    return isinstance(module, str) and module.startswith("interceptor.hooks.")
