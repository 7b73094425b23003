"""From facts to a chain: every plugin is asked once, and its answers are checked before they are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from interceptor.hooks.audience import Audience
from interceptor.hooks.chain import PHASE_DECISIONS, Chain, PlannedStep, Planner
from interceptor.hooks.containment import Hook, HookFailure, discard
from interceptor.hooks.decisions import Block, Decision, Plan, Replay, Respond, Step
from interceptor.hooks.deeds import NO_DEEDS
from interceptor.hooks.observing import Observer
from interceptor.hooks.statement import SessionClass, Statement

__all__ = ["Explanation", "PlanHook", "explain", "make_chain"]

_DECISIONS: Final[frozenset[type]] = frozenset().union(*PHASE_DECISIONS.values())

PlanFunction = Callable[[Statement, SessionClass], object]


@dataclass(frozen=True, slots=True)
class PlanHook:
    """One plugin's implementation of the plan hook of a phase."""

    phase: str
    hook: Hook
    function: PlanFunction


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one plugin planned in one phase, in words."""

    plugin: str
    phase: str
    decision: str
    """``none``, the name of a decision in lower case, ``at execution``, ``observe``, or ``failed``."""
    reason: str = ""
    facts: tuple[str, ...] = ()
    value: Decision | None = None
    """The decision, where it is always the same."""


def make_chain(
    plan_hooks: Sequence[PlanHook],
    planner: Planner,
    statement: Statement,
    views: Mapping[str, SessionClass],
    *,
    tracks: bool = False,
) -> tuple[Chain | None, bool]:
    """The chain of a statement for a class, None if nobody planned anything; and whether it may be kept.

    ``tracks``: what a statement does to its transaction has to be known, so that some have a chain that nobody planned.

    One that was made with a failure may not: the plugin may answer the next time. ``plan_hooks`` are in the order of
    phases.
    """
    steps: list[PlannedStep] = []
    observers: list[tuple[Hook, Observer]] = []
    sound = True
    for one in plan_hooks:
        answer = _ask(one, statement, views)
        if answer is None:
            continue
        if isinstance(answer, HookFailure):
            sound = False
            if one.hook.closed:
                steps.append(PlannedStep("guard", one.hook, answer.as_block()))
            continue
        if answer.observer is not None:
            observers.append((one.hook.plugin.observing, answer.observer))
        if answer.decide is not None:
            step = one.hook.plugin.step_of(one.hook)
            steps.append(PlannedStep(one.phase, step, answer.decide, answer.shape, answer.refused, answer.reason))
    if not steps and not observers and not (tracks and statement.deeds is not NO_DEEDS):
        return None, sound
    return Chain(planner, statement, tuple(steps), Audience(tuple(observers))), sound


def explain(
    plan_hooks: Sequence[PlanHook], statement: Statement, views: Mapping[str, SessionClass]
) -> tuple[Explanation, ...]:
    """What each plugin plans for a statement, and why. Nothing is kept, and no step is called."""
    explanations = []
    for one in plan_hooks:
        answer = _ask(one, statement, views)
        name = one.hook.plugin.name
        if answer is None:
            explanations.append(Explanation(name, one.phase, "none"))
        elif isinstance(answer, HookFailure):
            explanations.append(Explanation(name, one.phase, "failed", answer.reason))
        else:
            explanations.append(_explained(one, answer))
    return tuple(explanations)


def _explained(one: PlanHook, plan: Plan) -> Explanation:
    decide = plan.decide
    value: Decision | None = None
    if type(decide) in _DECISIONS:
        value = cast("Decision", decide)
        said = type(decide).__name__.lower()
    elif decide is not None:
        said = "at execution"
    else:
        said = "observe" if plan.observer is not None else "none"
    reason = plan.reason
    if not reason and isinstance(value, Block):
        reason = value.message
    return Explanation(one.hook.plugin.name, one.phase, said, reason, plan.facts, value)


def _ask(one: PlanHook, statement: Statement, views: Mapping[str, SessionClass]) -> Plan | HookFailure | None:
    """A plan that can be carried out, a failure, or None."""
    hook = one.hook
    view = views[hook.plugin.name]
    if isinstance(view.label, HookFailure):
        # The session could not be classified, so it could be one that the plugin would refuse.
        return HookFailure(hook, view.label.reason)
    answer = hook.call(one.function, statement, view)
    if answer is None or isinstance(answer, HookFailure):
        return answer
    if isinstance(answer, Observer):
        return Plan(observer=answer)
    plan = answer if isinstance(answer, Plan) else Plan(cast("Decision | Step", answer))
    wrong = _what_is_wrong(one.phase, plan, statement)
    if wrong:
        discard(answer)
        return hook.failed(wrong)
    return plan


def _what_is_wrong(phase: str, plan: Plan, statement: Statement) -> str:
    """What follows the name of the hook in a sentence; nothing if the plan is sound."""
    decide = plan.decide
    observer: object = plan.observer
    if observer is not None and not isinstance(observer, Observer):
        return f"gave a {type(observer).__name__} as observer, which is none"
    if decide is None:
        return ""
    if type(decide) in _DECISIONS:
        if type(decide) not in PHASE_DECISIONS[phase]:
            return f"decided {type(decide).__name__}, which its phase may not"
    elif phase == "observe" or not callable(decide):
        return f"answered with a {type(decide).__name__}, which is no decision of its phase"
    if isinstance(decide, (Respond, Replay)) and len(statement.facts.statements) != 1:
        return "answered a text that has not exactly one statement"
    if isinstance(decide, Respond) and not isinstance(decide.rows, (tuple, list)):
        return "gave rows that can be read only once for all executions: give a list, or decide in a step"
    return ""
