"""From what the rules say of a message to a plan for its executions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from interceptor import (
    BackendError,
    Block,
    Completion,
    Decision,
    Delay,
    Execution,
    Failure,
    Forward,
    Limits,
    Observer,
    Plan,
    Planned,
    Session,
)
from interceptor_rules.counting import Notes
from interceptor_rules.estimates import Estimate, Estimates, plannable
from interceptor_rules.judging import DEFAULT, ON_OPAQUE, ON_UNPARSABLE, Course, Judgement, Step
from interceptor_rules.learning import Learner
from interceptor_rules.making import Made, made_in, remember_made
from interceptor_rules.model import Mode
from interceptor_rules.prepared import RememberPrepared, prepared_text
from interceptor_rules.throttling import Throttle, Throttles
from interceptor_rules.timeouts import RememberTimeout, timeout_of, timeout_set_by
from interceptor_rules.when import Moment

__all__ = ["Actor", "Ruling", "block_of", "rule_on", "shown"]

_LEFT_ALONE_WHILE_LEARNING: Final = frozenset([DEFAULT, ON_OPAQUE, ON_UNPARSABLE])
JudgeText = Callable[[bytes], Judgement]
JudgeMade = Callable[[Made], Judgement]

_UNKNOWN: Final[Estimate] = (float("inf"), float("inf"))


@dataclass(slots=True)
class Ruling:
    """What the rules say of one execution."""

    blocked: Step | None = None
    noted: list[Step] = field(default_factory=list)
    """What would have acted: rules in shadow, and all that blocks in mode shadow."""
    allowed: list[Step] = field(default_factory=list)
    effects: list[Step] = field(default_factory=list)
    """Once for each rule."""


def rule_on(
    judgement: Judgement,
    mode: Mode,
    moment: Moment,
    *,
    in_transaction: bool,
    lock_timeout: str | None,
    limit: Callable[[int], int | None],
    estimate: Estimate | None,
) -> Ruling:
    """Decide about one execution. ``limit`` gives the value of a parameter that is a LIMIT; None: not known."""
    ruling = Ruling()
    seen: set[str] = set()
    for course in judgement.courses:
        for step in course:
            rule = step.rule
            if rule is not None and not step.certain:
                count = None if step.limit_parameter is None else limit(step.limit_parameter)
                timeout = "set" if judgement.sets_lock_timeout else lock_timeout
                if not rule.when.match(moment, in_transaction=in_transaction, lock_timeout=timeout, limit=count):
                    continue
                if rule.when.estimates and not _is_above(step, estimate):
                    continue
            if step.outcome == "block":
                if step.shadow or mode == "shadow" or (mode == "learn" and step.name in _LEFT_ALONE_WHILE_LEARNING):
                    ruling.noted.append(step)
                    if step.shadow:
                        continue
                    break
                ruling.blocked = step
                return ruling
            if step.outcome == "allow":
                if rule is not None and step.name not in seen:
                    ruling.allowed.append(step)
                    seen.add(step.name)
                break
            if step.name not in seen:
                seen.add(step.name)
                (ruling.noted if step.shadow or mode == "shadow" else ruling.effects).append(step)
    return ruling


def _is_above(step: Step, estimate: Estimate | None) -> bool:
    if estimate is None or step.rule is None:
        return False
    source = step.rule.source
    cost, rows = estimate
    return (source.cost_over is not None and cost > source.cost_over) or (
        source.rows_over is not None and rows > source.rows_over
    )


def block_of(step: Step) -> Block:
    """The error that a client gets."""
    rule = step.rule.source if step.rule is not None else None
    because = "; ".join(step.found.because)
    where = f" in {step.origin}" if step.origin else ""
    detail = f"{because[:1].upper()}{because[1:]}{where}." if because else ""
    hint = (rule.hint or "") if rule is not None else ""
    if step.name == ON_UNPARSABLE:
        message = "the rules do not allow a statement that can't be analysed"
        hint = ""
    elif step.name == ON_OPAQUE:
        message = "the rules do not allow a statement that may do more than can be seen"
        hint = "whoever runs the proxy can allow it by a rule, or list what it calls in trusted_functions"
    elif step.name == DEFAULT:
        message = "the rules allow no such statement"
    else:
        message = (rule.message if rule is not None else "") or f'the rule "{step.name}" does not allow this statement'
    named = step.name not in _LEFT_ALONE_WHILE_LEARNING and rule is not None
    sqlstate = rule.sqlstate if named and rule is not None and rule.sqlstate else "42501"
    if named:
        detail = f'Rule "{step.name}": {because}{where}.' if because else f'Rule "{step.name}".'
    return Block(sqlstate, message, detail, hint)


def shown(judgement: Judgement) -> tuple[str, ...]:
    """The rules that match and what they matched on, for ``interceptor explain``."""
    lines = []
    for course in judgement.courses:
        for step in course:
            action = step.rule.source.action if step.rule is not None and step.outcome == "effect" else step.outcome
            when = "" if step.certain else ", if its conditions hold at execution"
            shadow = ", in shadow" if step.shadow else ""
            where = f" in {step.origin}" if step.origin else ""
            because = "; ".join(step.found.because) or "it matches"
            lines.append(f"{action} by {step.name}{shadow}{when}: {because}{where}")
    return tuple(dict.fromkeys(lines))


class Actor:
    """Makes plans, and carries them out."""

    def __init__(
        self,
        notes: Notes,
        throttles: Throttles,
        estimates: Estimates,
        learner: Learner,
        now: Callable[[], datetime],
    ) -> None:
        self._notes = notes
        self._throttles = throttles
        self._estimates = estimates
        self._learner = learner
        self._now = now

    def plan(
        self, judgement: Judgement, mode: Mode, judge_text: JudgeText, judge_made: JudgeMade | None = None
    ) -> Planned:
        """The plan for a message. ``judge_text`` tries the rules on another, for sessions of the same class;
        ``judge_made`` on this one, knowing some functions more."""
        facts = shown(judgement)
        remember: Observer | None = RememberPrepared(judgement.prepares) if judgement.prepares else None
        if judgement.watches_timeout and judgement.statement is not None:
            timeout = timeout_set_by(judgement.statement.exact())
            remember = remember if timeout is None else RememberTimeout(timeout)
        if mode == "enforce":
            step = judgement.surely_blocked()
            if step is not None and not (step.name == ON_OPAQUE and judgement.needs_made):
                return Plan(
                    block_of(step),
                    f"blocked by {step.name}",
                    facts,
                    refused=lambda session: self._refused(judgement, mode, session),
                )
        elif mode == "learn":
            if not (
                judgement.courses or judgement.texts or judgement.fetches or judgement.makes
                or judgement.needs_made or remember is not None
            ):  # fmt: skip
                return None
        act: Callable[[Execution], Decision | Awaitable[Decision | None] | None] | None = None
        if judgement.needs_made and judge_made is not None:
            act = partial(self._act_with_made, judgement, mode, judge_made)
        elif judgement.executes or judgement.fetches:
            act = partial(self._execute, judgement, mode, judge_text)
        elif judgement.courses or judgement.makes or mode == "learn":
            act = partial(self._act, judgement, mode)
        elif remember is None:
            return None
        return Plan(act, _reason(judgement), facts, observer=remember)

    # --- What happens at an execution ------------------------------------------------------------------------------

    def _refused(self, judgement: Judgement, mode: Mode, session: Session) -> None:
        """A constant block refused a Parse or an execution: count what was on the way to it."""
        moment = Moment(self._now(), "", None, copies=judgement.copies)
        ruling = rule_on(
            judgement, mode, moment, in_transaction=session.transaction.open, lock_timeout=None,
            limit=lambda number: None, estimate=None,
        )  # fmt: skip
        self._note(ruling, judgement, session)

    def _execute(
        self, judgement: Judgement, mode: Mode, judge_text: JudgeText, execution: Execution
    ) -> Decision | Awaitable[Decision | None] | None:
        """EXECUTE and FETCH: what was prepared or opened is tried by the rules, and under the names, of now."""
        courses = list(judgement.courses)
        if not any(_allows_all(course) for course in courses):
            for name in judgement.executes:
                text = prepared_text(execution.session, f"prepare {name}")
                courses += judge_text(text).courses if text is not None else judgement.if_unknown
            for name in judgement.fetches:
                text = prepared_text(execution.session, f"declare {name}")
                if text is not None:
                    courses += [tuple(filter(_holds_for_fetch, course)) for course in judge_text(text).courses]
        together = replace(judgement, courses=tuple(courses), parameters_known=False)
        return self._act(together, mode, execution)

    def _act_with_made(
        self, judgement: Judgement, mode: Mode, judge_made: JudgeMade, execution: Execution
    ) -> Decision | Awaitable[Decision | None] | None:
        """A function is called that the catalogue doesn't have: the transaction may have made it."""
        made = made_in(execution.session)
        return self._act(judge_made(made) if made else judgement, mode, execution)

    def _act(
        self, judgement: Judgement, mode: Mode, execution: Execution
    ) -> Decision | Awaitable[Decision | None] | None:
        if _wants_estimate(judgement) and len(judgement.texts) == 1 and plannable(execution):
            (canonical,) = judgement.texts
            known, estimate = self._estimates.known(execution, canonical)
            if not known:
                return self._act_later(judgement, mode, execution, canonical)
            return self._decide(judgement, mode, execution, estimate)
        return self._decide(judgement, mode, execution, None)

    async def _act_later(
        self, judgement: Judgement, mode: Mode, execution: Execution, canonical: str
    ) -> Decision | None:
        try:
            estimate = await self._estimates.ask(execution, canonical)
        except BackendError:
            estimate = _UNKNOWN  # whoever wants a limit wants it also when nobody can say
        decision = self._decide(judgement, mode, execution, estimate)
        return decision if decision is None or not isinstance(decision, Awaitable) else await decision

    def _decide(
        self, judgement: Judgement, mode: Mode, execution: Execution, estimate: Estimate | None
    ) -> Decision | Awaitable[Decision | None] | None:
        session = execution.session
        moment = Moment(self._now(), execution.protocol, execution, copies=judgement.copies)
        ruling = rule_on(
            judgement, mode, moment, in_transaction=execution.transaction.open,
            lock_timeout=timeout_of(session),
            limit=lambda number: _limit_of(execution, number) if judgement.parameters_known else None,
            estimate=estimate,
        )  # fmt: skip
        self._note(ruling, judgement, session)
        if ruling.blocked is not None:
            return block_of(ruling.blocked)
        if judgement.makes:
            remember_made(execution, judgement.makes)
        if mode == "learn":
            for text in judgement.texts:
                self._learner.note(session.user, session.database, text, execution.statement.text)
        return self._effects([*ruling.effects, *ruling.allowed], session)

    def _note(self, ruling: Ruling, judgement: Judgement, session: Session) -> None:
        for step in ruling.noted:
            action = step.rule.source.action if step.rule is not None else "block"
            self._notes.count(step, action, shadow=True)
            self._notes.log(step, action, session, judgement.text, shadow=True)
        for step in ruling.allowed:
            self._notes.count(step, "allow", shadow=False)
        for step in ruling.effects:
            assert step.rule is not None
            action = step.rule.source.action
            self._notes.count(step, action, shadow=False)
            if action == "log":
                self._notes.log(step, action, session, judgement.text, shadow=False)
        if ruling.blocked is not None:
            self._notes.count(ruling.blocked, "block", shadow=False)
            self._notes.log(ruling.blocked, "block", session, judgement.text, shadow=False)

    def _effects(self, steps: Sequence[Step], session: Session) -> Decision | Awaitable[Decision | None] | None:
        limits = Limits()
        settings: dict[str, str] = {}
        throttles = []
        for step in steps:
            assert step.rule is not None
            source = step.rule.source
            if source.action == "throttle":
                throttles.append(self._throttles.of(source, session.user))
            limits = limits.tightened(Limits(source.limit_rows or 0, source.limit_bytes or 0))
            for name, value in source.set.items():
                settings.setdefault(name, value)
        passed = Forward(limits if limits != Limits() else None, settings)
        if not throttles:
            return passed if limits != Limits() or settings else None
        if len(throttles) == 1 and limits == Limits() and not settings:
            return throttles[0].enter()
        return self._enter_all(throttles, passed)

    async def _enter_all(self, throttles: Sequence[Throttle], passed: Forward) -> Decision | None:
        entered: list[Throttle] = []
        try:
            for throttle in throttles:
                found = throttle.enter()
                decision = await found if isinstance(found, Awaitable) else found
                if isinstance(decision, Block):
                    for one in entered:
                        one.leave()
                    return decision
                if isinstance(decision, Delay):
                    await asyncio.sleep(decision.seconds)
                elif decision is not None and decision.observer is not None:
                    entered.append(throttle)
        except BaseException:
            for one in entered:
                one.leave()
            raise
        return Forward(passed.limits, passed.settings, _Several(entered) if entered else None)


class _Several(Observer):
    """Gives the places of several throttles back."""

    __slots__ = ("_throttles",)

    def __init__(self, throttles: Sequence[Throttle]) -> None:
        self._throttles = tuple(throttles)

    def finished(self, execution: Execution, completion: Completion) -> None:
        for one in self._throttles:
            one.leave()

    def failed(self, execution: Execution, failure: Failure) -> None:
        if not failure.retried:
            self.finished(execution, Completion("", 0, 0, 0.0, 0.0, "plugin"))


def _wants_estimate(judgement: Judgement) -> bool:
    return any(step.rule is not None and step.rule.when.estimates for course in judgement.courses for step in course)


def _allows_all(course: Course) -> bool:
    last = course[-1] if course else None
    return last is not None and last.outcome == "allow" and (last.rule is None or last.rule.covers_effects)


def _holds_for_fetch(step: Step) -> bool:
    """What counts again for each FETCH, and not only once for its cursor."""
    rule = step.rule.source if step.rule is not None else None
    return step.outcome != "effect" or (rule is not None and bool(rule.limit_rows or rule.limit_bytes))


def _reason(judgement: Judgement) -> str:
    names = dict.fromkeys(step.name for course in judgement.courses for step in course)
    return f"matched by {', '.join(names)}" if names else "learned"


def _limit_of(execution: Execution, number: int) -> int | None:
    """The value of a parameter that is a LIMIT; NULL is no limit. None: it can't be told."""
    try:
        value = execution.parameters.value(number)
    except (IndexError, ValueError, LookupError):
        return None
    if value is None:
        return 1 << 63
    try:
        return int(str(value))
    except ValueError:
        return None
