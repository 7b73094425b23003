"""Rules tried on the statements of a message: which of them match, and what that comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from interceptor import MessageFacts, Statement
from interceptor.sql.canonical import canonical_text
from interceptor_rules.conditions import MATCH, NO_MATCH, NOTHING, Found, Message
from interceptor_rules.making import Made, functions_of
from interceptor_rules.prepared import Prepared
from interceptor_rules.reading import MessageReader
from interceptor_rules.ruleset import CompiledRule, RuleSet, Subset
from interceptor_rules.subjects import Subject
from interceptor_rules.world import World

__all__ = ["DEFAULT", "ON_OPAQUE", "ON_UNPARSABLE", "Course", "Judgement", "Step", "judge"]

DEFAULT: Final = "default"
_LONGEST_TEXT: Final = 16 * 1024  # bytes, of which a canonical text is made: some 5 ms
ON_OPAQUE: Final = "on_opaque"
ON_UNPARSABLE: Final = "on_unparsable"

Outcome = Literal["allow", "block", "effect"]


@dataclass(frozen=True, slots=True)
class Step:
    """A rule that matches a statement, and what comes of it; or, with ``rule`` None, what holds where none decides."""

    outcome: Outcome
    name: str
    """Of the rule, or default, on_opaque, on_unparsable."""
    rule: CompiledRule | None
    found: Found = NOTHING
    origin: str = ""
    """What holds the statement, if the text doesn't."""
    limit_parameter: int | None = None
    """The parameter that is its LIMIT."""

    @property
    def certain(self) -> bool:
        """Whether it is the same at every execution."""
        return self.rule is None or self.rule.when.always or (
            self.rule.source.limit_over is not None and self.limit_parameter is None and self._only_limit
        )  # fmt: skip

    @property
    def _only_limit(self) -> bool:
        rule = self.rule
        assert rule is not None
        source = rule.source
        return not (
            source.hours or source.weekdays or source.protocols or source.in_transaction is not None
            or source.lock_timeout or rule.when.estimates
        )  # fmt: skip

    @property
    def shadow(self) -> bool:
        """It is only noted."""
        return self.rule is not None and self.rule.source.shadow


Course = tuple[Step, ...]
"""Steps in the order of the rules, the last of which decides at every execution, if there is such a one."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rules say of one message, for sessions of one class."""

    courses: tuple[Course, ...] = ()
    """One for each statement that any rule is about."""
    texts: tuple[str, ...] = ()
    """The canonical text of each statement of the message, where any rule needs them."""
    statement: Statement | None = field(default=None, repr=False)
    subjects: Sequence[Subject] = field(default=(), repr=False)
    copies: bool = False
    sets_lock_timeout: bool = False
    """The message sets one itself, before anything else."""
    executes: tuple[str, ...] = ()
    """The prepared statements that it runs."""
    fetches: tuple[str, ...] = ()
    """The cursors whose rows it asks for."""
    prepares: tuple[Prepared, ...] = ()
    if_unknown: tuple[Course, ...] = ()
    """What holds for a prepared statement of which nothing is known."""
    watches_timeout: bool = False
    """Some rule asks for the lock_timeout."""
    parameters_known: bool = True
    """The parameters of the execution are those of the statements."""

    makes: Made = ()
    """The functions that it makes."""
    needs_made: bool = False
    """It calls what only its own transaction may know."""

    def text(self) -> str:
        """The canonical text of the message, for people; empty if there is none."""
        if self.texts or self.statement is None:
            return "; ".join(self.texts)
        if len(self.statement.sql) > _LONGEST_TEXT:
            return ""
        return canonical_text(self.statement.sql, self.statement.exact()) or ""

    def surely_blocked(self) -> Step | None:
        """The first step that blocks at every execution, with nothing before it that may allow the statement."""
        for course in self.courses:
            for step in course:
                if step.shadow or step.outcome == "effect":
                    continue
                if step.outcome == "allow":
                    break
                if step.certain:
                    return step
        return None


def judge(
    subset: Subset, world: World, statement: Statement, *, user: str, database: str, made: Made = ()
) -> Judgement:
    """Try the rules on a message. ``made``: functions that its transaction made."""
    rules = subset.owner
    makes = functions_of(statement)
    reader = MessageReader(world, names_columns=rules.names_columns, made=(*made, *makes))
    if statement.function:
        subjects = [reader.read_function(statement.function)]
        message = Message(0, 0, several=False)
    else:
        facts = statement.exact() if rules.needs_text else statement.facts
        subjects = reader.read(facts)
        message = Message(facts.size, facts.depth, several=len(facts.statements) > 1)
        if rules.needs_text:
            _find_texts(message, statement.sql, facts)
    court = _Court(rules, subset, message, user, database)
    courses: dict[Course, None] = {}
    for subject in subjects:
        for course in court.try_statement(subject):
            if course:
                courses[course] = None
    copies = any(
        one.facts is not None and one.facts.copy is not None and not (one.facts.copy.file or one.facts.copy.program)
        for one in subjects
    )
    texts = tuple([text for text in message.canonical.values() if text])
    return Judgement(
        tuple(courses), texts, statement, subjects, copies, _sets_lock_timeout(subjects), tuple(reader.executes),
        _fetches(statement), _prepares(statement), court.try_unknown() if reader.executes else (),
        rules.asks_timeout, makes=makes, needs_made=reader.needs_made,
    )  # fmt: skip


def _fetches(statement: Statement) -> tuple[str, ...]:
    return tuple([one.subject for one in statement.facts.all if one.kind in ("fetch", "move") and one.subject])


def _prepares(statement: Statement) -> tuple[Prepared, ...]:
    if not any([one.kind in ("prepare", "declare") for one in statement.facts.statements]):
        # A text that nothing is taken from shares its plan with those that differ in the values of literals.
        return ()
    return tuple(
        [
            (f"{one.kind} {one.subject}", statement.sql[one.start : one.end])
            for one in statement.exact().statements
            if one.kind in ("prepare", "declare") and one.nested and one.subject is not None
        ]
    )


def _sets_lock_timeout(subjects: Sequence[Subject]) -> bool:
    first = subjects[0].facts if subjects else None
    return (
        first is not None
        and first.kind == "set"
        and any(one.name == "lock_timeout" and one.values not in (None, ("0",)) for one in first.settings)
    )


def _find_texts(message: Message, sql: bytes, facts: MessageFacts) -> None:
    if len(sql) > _LONGEST_TEXT:
        message.canonical = dict.fromkeys([one.start for one in facts.statements])
    elif len(facts.statements) == 1:
        message.canonical[facts.statements[0].start] = canonical_text(sql, facts)
    else:
        for one in facts.statements:
            message.canonical[one.start] = canonical_text(sql[one.start : one.end])


class _Court:
    """Tries the rules on one statement after the other."""

    def __init__(self, rules: RuleSet, subset: Subset, message: Message, user: str, database: str) -> None:
        self._rules = rules
        self._subset = subset
        self._message = message
        self._user = user
        self._database = database

    def try_statement(self, subject: Subject) -> list[Course]:
        """The courses of a statement of the text, and of those that it reaches."""
        course = self._course(subject)
        courses = [course]
        last = course[-1] if course else None
        if last is not None and last.outcome == "allow" and last.rule is not None:
            if last.rule.covers_effects or last.rule.what.exactly_named(subject):
                return courses
        learned = last is not None and last.outcome == "allow" and last.rule is None
        inners = [inner for inner in subject.indirect if not inner.harmless]
        return courses + [self._course(inner, falls_through=learned) for inner in inners]

    def try_unknown(self) -> tuple[Course, ...]:
        """The courses of something of which nothing is known."""
        subject = Subject(frozenset(), "", opaque=["it runs a statement that was prepared by another text"])
        course = self._course(subject)
        return (course,) if course else ()

    def _course(self, subject: Subject, *, falls_through: bool = False) -> Course:
        steps: list[Step] = []
        parameter = None
        if subject.facts is not None and subject.facts.limit is not None:
            parameter = subject.facts.limit.parameter
        texts = self._message.canonical
        canonical = texts.get(subject.start)
        unknown = canonical is None and subject.start in texts
        doubt: Step | None = None
        for rule in self._subset.candidates(subject, canonical, any_text=unknown):
            step = self._try(rule, subject, parameter)
            if step is None:
                continue
            decides = step.outcome != "effect" and step.certain and not step.shadow
            if decides and step.rule is not None and step.name != step.rule.name:
                # It may match. A rule behind it that surely does says more to people, if it comes to the same.
                doubt = doubt or step
                continue
            if decides:
                steps.append(doubt if doubt is not None and step.outcome == "allow" else step)
                return tuple(steps)
            if doubt is None or step.outcome != "allow":
                steps.append(step)
        if doubt is not None:
            steps.append(doubt)
            return tuple(steps)
        end = self._end(subject, canonical, falls_through)
        if end is not None:
            steps.append(end)
        return tuple(steps)

    def _try(self, rule: CompiledRule, subject: Subject, parameter: int | None) -> Step | None:
        if rule.allows:
            covered, found = rule.what.covers(subject, self._message)
            return Step("allow", rule.name, rule, found, subject.origin, parameter) if covered else None
        match, found = rule.what.match(subject, self._message)
        if match == NO_MATCH:
            return None
        if match == MATCH:
            outcome: Outcome = "block" if rule.blocks else "effect"
            return Step(outcome, rule.name, rule, found, subject.origin, parameter)
        if not rule.blocks:
            return None
        if subject.unread:
            if not self._rules.unparsable_blocks:
                return None
            return Step("block", ON_UNPARSABLE, rule, Found((*found.because, subject.unread)), subject.origin)
        if not self._rules.opaque_blocks and not subject.everything:
            return None
        because = (*found.because, *subject.opaque[:3]) or (subject.everything,)
        return Step("block", ON_OPAQUE, rule, Found(because), subject.origin)

    def _end(self, subject: Subject, canonical: str | None, falls_through: bool) -> Step | None:
        rules = self._rules
        if canonical is not None and rules.learned and rules.is_learned(canonical, self._user, self._database):
            return Step("allow", "allow-list", None, Found(("its canonical text is in the allow-list",)))
        if subject.unread and rules.unparsable_blocks:
            return Step("block", ON_UNPARSABLE, None, Found((subject.unread,)), subject.origin)
        if subject.opaque and rules.opaque_blocks and not falls_through:
            return Step("block", ON_OPAQUE, None, Found(tuple(subject.opaque[:3])), subject.origin)
        if rules.default_blocks and not falls_through:
            return Step("block", DEFAULT, None, Found(("no rule allows it",)), subject.origin)
        return None
