"""What plugins planned for one text and class of sessions, and how it runs.

A chain is a tuple of steps in the order of phases. Most of a run is plain calls. ``_course`` is a generator that yields
only what has to be waited for, so there is one description of a run for both: without a wait it ends at once, and with
one an awaitable goes on with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, cast

from interceptor.hooks.at_parse import MAX_ROUNDS, AtParse, decide_at_parse
from interceptor.hooks.audience import EMPTY_AUDIENCE, Audience
from interceptor.hooks.containment import Hook, HookFailure, discard, is_awaitable
from interceptor.hooks.decisions import (
    FORWARD,
    NO_LIMITS,
    Block,
    CopyRows,
    Decision,
    Delay,
    Forward,
    Limits,
    Replay,
    Respond,
    Retry,
    Rewrite,
    Route,
    Shape,
    Step,
)
from interceptor.hooks.observing import Failure
from interceptor.hooks.parameters import ParameterMap, Parameters, compose_maps
from interceptor.hooks.waits import Waits

if TYPE_CHECKING:
    from interceptor.hooks.statement import Execution, Session, SessionClass, Statement

__all__ = ["PHASES", "PHASE_DECISIONS", "AtParse", "Chain", "Outcome", "PlannedStep", "Planner"]

PHASES: Final = ("guard", "virtual", "rewrite", "cache", "route", "observe")

PHASE_DECISIONS: Final[dict[str, frozenset[type]]] = {
    "guard": frozenset([Forward, Block, Delay]),
    "virtual": frozenset([Forward, Block, Delay, Respond, Rewrite]),
    "rewrite": frozenset([Forward, Block, Rewrite]),
    "cache": frozenset([Forward, Block, Delay, Respond, Replay]),
    "route": frozenset([Forward, Block, Delay, Route]),
    "observe": frozenset(),
}
"""What each phase may decide."""

_ANSWERS: Final[frozenset[type]] = frozenset([Respond, Replay])

_NO_SETTINGS: Final[Mapping[str, str]] = MappingProxyType({})


class Planner(Protocol):
    """Where a chain finds the plans of a text that its statement was rewritten to."""

    @property
    def waits(self) -> Waits:
        """The event loop."""

    def plan(
        self, session: Session, sql: bytes
    ) -> tuple[Statement, Chain | None] | Awaitable[tuple[Statement, Chain | None]]:
        """The statement, and its chain if anybody planned anything."""


class PlannedStep:
    """A plugin's part of a chain: either a decision that is always the same, or a function to be called."""

    __slots__ = ("allowed", "call", "constant", "hook", "phase", "reason", "refused", "shape")

    def __init__(
        self,
        phase: str,
        hook: Hook,
        decide: Decision | Step | None,
        shape: Shape | Callable[[SessionClass], Shape | None] | None = None,
        refused: Callable[[Session], None] | None = None,
        reason: str = "",
    ) -> None:
        self.phase: Final = phase
        self.reason: Final = reason
        self.hook: Final = hook
        self.allowed: Final = PHASE_DECISIONS[phase]
        constant = type(decide) in self.allowed
        self.constant: Final = cast("Decision", decide) if constant else None
        self.call: Final = None if constant else cast("Step", decide)
        self.shape: Final = shape
        self.refused: Final = refused if isinstance(self.constant, Block) else None


_NAMES: Final[dict[type, str]] = {kind: kind.__name__.lower() for kind in (Forward, Block, Respond, Replay, Route)}


class Outcome:
    """What is to be done for one execution. The proxy carries it out."""

    # Defaults of the class, not of the instance: most executions change one or two of them.
    action: Forward | Block | Respond | Replay = FORWARD
    by: str = ""
    """The plugin that decided last; empty where none did."""
    hook: Hook | None = None
    """The hook that decided to respond: rows are pulled in its name."""
    reason: str = ""
    """Why it is blocked or answered here: that of the plan, or of a failure."""
    target: str | None = None
    retry: Retry | None = None
    mapping: ParameterMap | None = None
    """From the client's parameters to those of the statement, where it was rewritten; None for one to one."""
    before: tuple[str | CopyRows, ...] = ()
    before_hooks: tuple[Hook, ...] = ()
    """The hook that asked for each of them."""
    describe_original: bool = False
    limits: Limits = NO_LIMITS
    settings: Mapping[str, str] = _NO_SETTINGS
    observers: Audience = EMPTY_AUDIENCE

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        """As it is to run: its statement and parameters are those after all rewrites."""

    def __repr__(self) -> str:
        return f"<Outcome {self.action!r} by {self.by or 'nobody'}>"


class _Pause:
    """What a course waits for: an answer of a hook, a plan, or time."""

    __slots__ = ("awaitable", "hook", "seconds")

    def __init__(self, awaitable: Awaitable[object] | None, hook: Hook | None = None, seconds: float = 0) -> None:
        self.awaitable = awaitable
        self.hook = hook
        self.seconds = seconds


_Course: TypeAlias = Generator[_Pause, object, Outcome]


class Chain:
    """The steps of one text and class, in order."""

    __slots__ = ("observers", "planner", "statement", "steps")

    def __init__(
        self, planner: Planner, statement: Statement, steps: tuple[PlannedStep, ...], observers: Audience
    ) -> None:
        self.planner: Final = planner
        self.statement: Final = statement
        self.steps: Final = steps
        self.observers: Final = observers

    @property
    def shared(self) -> bool:
        """It is the same for all texts that differ in the values of constants alone: see ``Observer.shared``."""
        return not self.steps and all([observer.shared for _, observer in self.observers.entries])

    def for_text(self, sql: bytes) -> Chain:
        """That of another text which differs in the values of constants alone."""
        return Chain(self.planner, self.statement.for_text(sql), self.steps, self.observers)

    def run(self, execution: Execution) -> Outcome | Awaitable[Outcome]:
        """Decide about one execution. What plugins do wrong is contained, so nothing is raised.

        An awaitable is to be awaited in a task that is canceled if the client leaves or asks for it.
        """
        if not self.steps:
            outcome = Outcome(execution)
            outcome.observers = self.observers
            return outcome
        course = _course(self, execution)
        try:
            pause = next(course)
        except StopIteration as done:
            return cast("Outcome", done.value)
        return _wait(course, pause, self.planner.waits)

    def at_parse(self, session: Session) -> AtParse | Awaitable[AtParse]:
        """What is certain before the execution. Only constant decisions count, and no function of a step is called.

        Call it once for each Parse: it counts refusals.
        """
        return decide_at_parse(self, session, AtParse(self.statement), 0, frozenset())


def _course(chain: Chain, execution: Execution) -> _Course:
    """The whole of a run. One function, for each call or generator more would cost every execution.

    If it is given up, those observers are told that have heard, or would have heard, of its beginning.
    """
    outcome = Outcome(execution)
    rounds = 0
    rewriters: frozenset[str] = frozenset()
    try:
        while True:
            rewrite: Rewrite | None = None
            for step in chain.steps:
                phase = step.phase
                if phase == "route" and (outcome.target is not None or execution.transaction.open):
                    continue
                hook = step.hook
                if rewriters and phase in ("virtual", "rewrite") and hook.plugin.name in rewriters:
                    continue
                decision: object = step.constant
                if decision is None:
                    decision = hook.call(cast("Callable[..., object]", step.call), outcome.execution)
                    if decision is not None and type(decision) not in step.allowed and is_awaitable(decision):
                        decision = yield _Pause(cast("Awaitable[object]", decision), hook)
                    if decision is None:
                        continue
                kind = type(decision)
                if kind not in step.allowed or kind in _ANSWERS:
                    failure = _what_is_wrong(step, decision, outcome)
                    if failure is not None:
                        if not hook.closed:
                            continue
                        decision, outcome.reason = failure.as_block(), failure.reason
                        kind = Block
                if kind is Delay:
                    hook.plugin.decisions["delay"] += 1
                    yield _Pause(None, seconds=cast("Delay", decision).seconds)
                elif kind is Rewrite:
                    hook.plugin.decisions["rewrite"] += 1
                    rewrite = cast("Rewrite", decision)
                    break
                elif _apply(cast("Decision", decision), step, outcome):
                    outcome.observers = outcome.observers.joined(chain.observers)
                    return outcome
            if rewrite is None:
                outcome.observers = outcome.observers.joined(chain.observers)
                return outcome
            rounds += 1
            rewriters |= {hook.plugin.name}
            if rounds > MAX_ROUNDS:
                _refuse(outcome, chain, hook.failed(f"rewrote what had been rewritten {MAX_ROUNDS} times"))
                return outcome
            found = chain.planner.plan(execution.session, rewrite.sql.encode("utf-8", "surrogateescape"))
            if not isinstance(found, tuple):
                found = cast("tuple[Statement, Chain | None]", (yield _Pause(found)))
            statement, following = found
            failure = _rewritten(rewrite, statement, hook, outcome)
            if failure is not None:
                # Open or closed, what was asked for can't be done, and the old text may be what nobody wants to run.
                _refuse(outcome, chain, failure)
                return outcome
            if following is None:
                return outcome
            chain = following
    except BaseException:
        audience = outcome.observers
        audience.started(execution)
        audience.failed(execution, Failure("57014", "the client left before its statement was run", 0.0, "proxy"))
        raise


def _what_is_wrong(step: PlannedStep, decision: object, outcome: Outcome) -> HookFailure | None:
    """A failure, where the decision is none of its phase, or can't be carried out for this text."""
    if type(decision) is HookFailure:
        return decision
    if type(decision) not in step.allowed:
        if type(decision) is Block:  # raised, and a refusal is understood in any phase
            return None
        discard(decision)
        return step.hook.failed(f"answered with a {type(decision).__name__}, which is no decision of its phase")
    if len(outcome.execution.statement.facts.statements) != 1:
        return step.hook.failed("answered a text that has not exactly one statement")
    return None


def _apply(decision: Decision, step: PlannedStep, outcome: Outcome) -> bool:
    """Note a decision. Returns whether it is the last word."""
    step.hook.plugin.decisions[_NAMES[type(decision)]] += 1
    if isinstance(decision, Block):
        outcome.action, outcome.by, outcome.reason = decision, step.hook.plugin.name, outcome.reason or step.reason
        step.hook.plugin.count_refusal(decision.sqlstate)
        if step.refused is not None and decision is step.constant:
            step.hook.call(step.refused, outcome.execution.session)
        return True
    observer = getattr(decision, "observer", None)
    if observer is not None:
        outcome.observers = outcome.observers.with_observer(step.hook.plugin.observing, observer)
    if isinstance(decision, (Respond, Replay)):
        outcome.action, outcome.by, outcome.hook = decision, step.hook.plugin.name, step.hook
        outcome.reason = step.reason
        return True
    if isinstance(decision, Forward):
        if decision.limits is not None:
            outcome.limits = outcome.limits.tightened(decision.limits)
        if decision.settings:
            lowered = {name.lower(): value for name, value in decision.settings.items()}
            outcome.settings = lowered | dict(outcome.settings)
    elif isinstance(decision, Route):
        outcome.target, outcome.retry = decision.target, decision.retry
        outcome.by = step.hook.plugin.name
    return False


def _refuse(outcome: Outcome, chain: Chain, failure: HookFailure) -> None:
    block = failure.as_block()
    outcome.action, outcome.by, outcome.reason = block, failure.hook.plugin.name, failure.reason
    failure.hook.plugin.count_refusal(block.sqlstate)
    outcome.observers = outcome.observers.joined(chain.observers)


def _rewritten(rewrite: Rewrite, statement: Statement, hook: Hook, outcome: Outcome) -> HookFailure | None:
    """Put the new statement into the outcome; a failure if its parameters can't be had."""
    execution = outcome.execution
    try:
        mapping, parameters = _map_parameters(rewrite, execution.statement, statement, execution.parameters)
    except Exception as error:  # of a value of the plugin's, which may be of any class
        return hook.failed(error)
    outcome.mapping = compose_maps(outcome.mapping, mapping)
    outcome.execution = execution.with_statement(statement, parameters)
    outcome.before += rewrite.before
    outcome.before_hooks += (hook,) * len(rewrite.before)
    outcome.describe_original = outcome.describe_original or rewrite.describe == "original"
    outcome.by = hook.plugin.name
    if rewrite.observer is not None:
        outcome.observers = outcome.observers.with_observer(hook.plugin.observing, rewrite.observer)
    return None


def _map_parameters(
    rewrite: Rewrite, old: Statement, new: Statement, parameters: Parameters
) -> tuple[ParameterMap | None, Parameters]:
    """The parameters of a rewritten statement. Raises what ``Parameters.mapped`` raises."""
    highest = _highest(new)
    mapping = rewrite.parameters
    if mapping is not None:
        if highest > len(mapping):
            raise IndexError(f"the new text has a parameter ${highest}, and only {len(mapping)} are given")
    elif highest < len(parameters) <= _highest(old) and not new.facts.opaque:
        # PostgreSQL refuses a Bind with more parameters than the text has, and so it shall where the client's has less.
        mapping = tuple(range(1, highest + 1))
    return mapping, parameters.mapped(mapping)


def _highest(statement: Statement) -> int:
    return max((one.number for one in statement.facts.parameters), default=0)


async def _wait(course: _Course, pause: _Pause, waits: Waits) -> Outcome:
    """Go on with a course that has to wait."""
    try:
        while True:
            answer = await _answer(pause, waits)
            try:
                pause = course.send(answer)
            except StopIteration as done:
                return cast("Outcome", done.value)
    finally:
        course.close()


async def _answer(pause: _Pause, waits: Waits) -> object:
    """What a pause waited for. A hook's failure is contained; only cancellation, and our own bugs, get through."""
    if pause.awaitable is None:
        await waits.sleep(pause.seconds)
        return None
    if pause.hook is None:
        return await pause.awaitable
    return await pause.hook.wait(pause.awaitable, waits)
