"""What plugins planned for one text and class of sessions, and how it runs.

A chain is a tuple of steps in the order of phases. Most of a run is plain calls. ``_course`` is a generator that yields
only what has to be waited for, so there is one description of a run for both: without a wait it ends at once, and with
one an awaitable goes on with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, cast

from interceptor.hooks.audience import EMPTY_AUDIENCE, Audience
from interceptor.hooks.containment import Hook, HookFailure
from interceptor.hooks.decisions import (
    FORWARD,
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
    Value,
)
from interceptor.hooks.observing import Failure
from interceptor.hooks.parameters import Parameters
from interceptor.hooks.waits import Waits

if TYPE_CHECKING:
    from interceptor.hooks.statement import Execution, Session, SessionClass, Statement

__all__ = ["MAX_ROUNDS", "PHASES", "PHASE_DECISIONS", "AtParse", "Chain", "Outcome", "PlannedStep", "Planner"]

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

MAX_ROUNDS: Final = 3
"""Rewrites of one execution, each of which starts again with the guards."""

ParameterMap: TypeAlias = tuple[int | Value, ...]


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

    __slots__ = ("allowed", "call", "constant", "hook", "phase", "shape")

    def __init__(
        self,
        phase: str,
        hook: Hook,
        decide: Decision | Step | None,
        shape: Shape | Callable[[SessionClass], Shape | None] | None = None,
    ) -> None:
        self.phase: Final = phase
        self.hook: Final = hook
        self.allowed: Final = PHASE_DECISIONS[phase]
        constant = type(decide) in self.allowed
        self.constant: Final = cast("Decision", decide) if constant else None
        self.call: Final = None if constant else cast("Step", decide)
        self.shape: Final = shape


class AtParse:
    """What is certain of a text before there are parameters: at Parse, and at Describe of a statement."""

    __slots__ = ("block", "parameters", "shape", "statement")

    def __init__(self, statement: Statement) -> None:
        self.block: Block | None = None
        """It is refused already."""
        self.statement = statement
        """What is to be parsed in its place."""
        self.parameters: ParameterMap | None = None
        """As ``Rewrite.parameters``, from the client's text to ``statement``."""
        self.shape: Shape | None = None
        """Parse and Describe are answered here: no backend is asked."""


class Outcome:
    """What is to be done for one execution. The proxy carries it out."""

    __slots__ = (
        "action",
        "before",
        "by",
        "describe_original",
        "execution",
        "limits",
        "mapping",
        "observers",
        "reason",
        "retry",
        "settings",
        "target",
    )

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        """As it is to run: its statement and parameters are those after all rewrites."""
        self.action: Forward | Block | Respond | Replay = FORWARD
        self.by = ""
        """The plugin that decided ``action``; empty where none did."""
        self.reason = ""
        self.target: str | None = None
        self.retry: Retry | None = None
        self.mapping: ParameterMap | None = None
        """From the client's parameters to those of the statement, where it was rewritten; None for one to one."""
        self.before: tuple[str | CopyRows, ...] = ()
        self.describe_original = False
        self.limits = Limits()
        self.settings: dict[str, str] = {}
        self.observers: Audience = EMPTY_AUDIENCE

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

    def run(self, execution: Execution) -> Outcome | Awaitable[Outcome]:
        """Decide about one execution. What plugins do wrong is contained, so nothing is raised.

        An awaitable is to be awaited in a task that is canceled if the client leaves or asks for it.
        """
        course = _run(self, execution)
        try:
            pause = next(course)
        except StopIteration as done:
            return cast("Outcome", done.value)
        return _wait(course, pause, self.planner.waits)

    def at_parse(self, session: Session) -> AtParse | Awaitable[AtParse]:
        """What is certain before the execution. Only constant decisions count, and no function of a step is called."""
        return _at_parse(self, session, AtParse(self.statement), 0, frozenset())


def _run(chain: Chain, execution: Execution) -> _Course:
    """The whole of a run: the course, and what those observers are told that it leaves behind if it is given up."""
    outcome = Outcome(execution)
    try:
        yield from _course(chain, outcome)
    except BaseException:
        audience = outcome.observers
        audience.started(execution)
        audience.failed(execution, Failure("57014", "the client left before its statement was run", 0.0, "proxy"))
        raise
    return outcome


def _course(chain: Chain, outcome: Outcome) -> Generator[_Pause, object, None]:
    rounds = 0
    rewriters: frozenset[str] = frozenset()
    while True:
        rewrite: Rewrite | None = None
        for step in chain.steps:
            phase = step.phase
            if phase == "route" and (outcome.target is not None or outcome.execution.transaction.open):
                continue
            if rewriters and phase in ("virtual", "rewrite") and step.hook.plugin.name in rewriters:
                continue
            decision: object = step.constant
            if decision is None:
                decision = yield from _ask(step, outcome.execution)
                if decision is None:
                    continue
            failure = decision if type(decision) is HookFailure else _unfit(step, decision, outcome)
            if failure is not None:
                if not step.hook.closed:
                    continue
                decision = failure.as_block()
                outcome.reason = failure.reason
            kind = type(decision)
            if kind is Delay:
                yield _Pause(None, seconds=cast("Delay", decision).seconds)
            elif kind is Rewrite:
                rewrite = cast("Rewrite", decision)
                rewriters |= {step.hook.plugin.name}
                rewriter = step.hook
                break
            elif _apply(cast("Decision", decision), step, outcome):
                if phase != "guard":
                    outcome.observers = outcome.observers.joined(chain.observers)
                return
        if rewrite is None:
            outcome.observers = outcome.observers.joined(chain.observers)
            return
        rounds += 1
        if rounds > MAX_ROUNDS:
            _refuse(outcome, chain, rewriter.failed(f"rewrote what had been rewritten {MAX_ROUNDS} times"))
            return
        found = chain.planner.plan(outcome.execution.session, rewrite.sql.encode("utf-8", "surrogateescape"))
        if not isinstance(found, tuple):
            found = cast("tuple[Statement, Chain | None]", (yield _Pause(found)))
        statement, following = found
        failure = _rewritten(rewrite, statement, rewriter, outcome)
        if failure is not None:
            # Open or closed, what was asked for can't be done, and the old text may be what nobody wants to run.
            _refuse(outcome, chain, failure)
            return
        if following is None:
            return
        chain = following


def _ask(step: PlannedStep, execution: Execution) -> Generator[_Pause, object, object]:
    """The answer of a step: a decision, None, or a HookFailure."""
    hook = step.hook
    answer = hook.call(cast("Callable[..., object]", step.call), execution)
    if answer is None or type(answer) in step.allowed or type(answer) is HookFailure:
        return answer
    if not hasattr(answer, "__await__"):
        return hook.failed(f"answered with a {type(answer).__name__}, which is no decision of its phase")
    answer = yield _Pause(cast("Awaitable[object]", answer), hook)
    if answer is None or type(answer) in step.allowed or type(answer) is HookFailure:
        return answer
    return hook.failed(f"answered with a {type(answer).__name__}, which is no decision of its phase")


def _unfit(step: PlannedStep, decision: object, outcome: Outcome) -> HookFailure | None:
    """A failure, where a decision is one of its phase and can't be carried out for this text."""
    if type(decision) in (Respond, Replay) and len(outcome.execution.statement.facts.statements) != 1:
        return step.hook.failed("answered a text that has not exactly one statement")
    return None


def _apply(decision: Decision, step: PlannedStep, outcome: Outcome) -> bool:
    """Note a decision. Returns whether it is the last word."""
    if isinstance(decision, Block):
        outcome.action, outcome.by = decision, step.hook.plugin.name
        return True
    observer = getattr(decision, "observer", None)
    if observer is not None:
        outcome.observers = outcome.observers.with_observer(step.hook, observer)
    if isinstance(decision, (Respond, Replay)):
        outcome.action, outcome.by = decision, step.hook.plugin.name
        return True
    if isinstance(decision, Forward):
        if decision.limits is not None:
            outcome.limits = outcome.limits.tightened(decision.limits)
        for name, value in decision.settings.items():
            outcome.settings.setdefault(name.lower(), value)
    elif isinstance(decision, Route):
        outcome.target, outcome.retry = decision.target, decision.retry
        outcome.by = step.hook.plugin.name
    return False


def _refuse(outcome: Outcome, chain: Chain, failure: HookFailure) -> None:
    outcome.action, outcome.by, outcome.reason = failure.as_block(), failure.hook.plugin.name, failure.reason
    outcome.observers = outcome.observers.joined(chain.observers)


def _rewritten(rewrite: Rewrite, statement: Statement, hook: Hook, outcome: Outcome) -> HookFailure | None:
    """Put the new statement into the outcome; a failure if its parameters can't be had."""
    execution = outcome.execution
    try:
        mapping, parameters = _map_parameters(rewrite, statement, execution.parameters)
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        return hook.failed(error)
    outcome.mapping = _compose(outcome.mapping, mapping)
    outcome.execution = execution.with_statement(statement, parameters)
    outcome.before += rewrite.before
    outcome.describe_original = outcome.describe_original or rewrite.describe == "original"
    outcome.by = hook.plugin.name
    if rewrite.observer is not None:
        outcome.observers = outcome.observers.with_observer(hook, rewrite.observer)
    return None


def _map_parameters(
    rewrite: Rewrite, statement: Statement, parameters: Parameters
) -> tuple[ParameterMap | None, Parameters]:
    """The parameters of a rewritten statement. Raises what ``Parameters.mapped`` raises."""
    highest = max((one.number for one in statement.facts.parameters), default=0)
    mapping = rewrite.parameters
    if mapping is not None:
        if highest > len(mapping):
            raise IndexError(f"the new text has a parameter ${highest}, and only {len(mapping)} are given")
    elif len(parameters) > highest and not statement.facts.opaque:
        # PostgreSQL refuses a Bind with more parameters than the text has.
        mapping = tuple(range(1, highest + 1))
    return mapping, parameters.mapped(mapping)


def _compose(first: ParameterMap | None, then: ParameterMap | None) -> ParameterMap | None:
    """The map that does what two do one after the other."""
    if first is None or then is None:
        return then if first is None else first
    return tuple(first[one - 1] if isinstance(one, int) else one for one in then)


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


def _at_parse(
    chain: Chain | None, session: Session, found: AtParse, rounds: int, rewriters: frozenset[str]
) -> AtParse | Awaitable[AtParse]:
    certain = True
    for step in chain.steps if chain is not None else ():
        if step.phase in ("virtual", "rewrite") and step.hook.plugin.name in rewriters:
            continue
        if step.shape is not None and certain and found.shape is None:
            found.shape = _shape(step, session)
        decision = step.constant
        if isinstance(decision, Block):
            found.block = decision
            return found
        if isinstance(decision, Respond) and certain:
            if found.shape is None:
                found.shape = Shape(decision.columns)
            return found
        if isinstance(decision, Rewrite) and certain and decision.describe == "rewritten" and rounds < MAX_ROUNDS:
            return _parse_rewritten(chain, decision, session, found, rounds, rewriters | {step.hook.plugin.name})
        if decision is None and step.phase in ("virtual", "rewrite"):
            # Which text will run is known at execution only: until then it is the one that there is.
            certain = False
    return found


def _parse_rewritten(
    chain: Chain | None,
    rewrite: Rewrite,
    session: Session,
    found: AtParse,
    rounds: int,
    rewriters: frozenset[str],
) -> AtParse | Awaitable[AtParse]:
    assert chain is not None
    planned = chain.planner.plan(session, rewrite.sql.encode("utf-8", "surrogateescape"))

    def go_on(statement: Statement, following: Chain | None) -> AtParse | Awaitable[AtParse]:
        found.statement = statement
        found.parameters = _compose(found.parameters, rewrite.parameters)
        return _at_parse(following, session, found, rounds + 1, rewriters)

    async def later(pending: Awaitable[tuple[Statement, Chain | None]]) -> AtParse:
        going = go_on(*await pending)
        return going if isinstance(going, AtParse) else await going

    if isinstance(planned, tuple):
        return go_on(*planned)
    return later(planned)


def _shape(step: PlannedStep, session: Session) -> Shape | None:
    shape = step.shape
    if shape is None or isinstance(shape, Shape):
        return shape
    assert session.table is not None
    answer = step.hook.call(shape, session.table.view_of(step.hook.plugin.name))
    if answer is None or isinstance(answer, Shape):
        return answer
    if type(answer) is not HookFailure:
        step.hook.failed(f"answered with a {type(answer).__name__} where its shape was asked for")
    return None
