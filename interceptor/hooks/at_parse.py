"""What a chain decides before there are parameters."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from interceptor.hooks.audience import EMPTY_AUDIENCE, Audience
from interceptor.hooks.containment import HookFailure
from interceptor.hooks.decisions import Block, Respond, Rewrite, Shape
from interceptor.hooks.parameters import ParameterMap, compose_maps

if TYPE_CHECKING:
    from interceptor.hooks.chain import Chain, PlannedStep
    from interceptor.hooks.statement import Session, Statement

__all__ = ["MAX_ROUNDS", "AtParse", "decide_at_parse"]

MAX_ROUNDS: Final = 3
"""Rewrites of one execution, each of which starts again with the guards."""


class AtParse:
    """What is certain of a text before there are parameters: at Parse, and at Describe of a statement."""

    __slots__ = ("block", "by", "observers", "parameters", "reason", "shape", "statement")

    def __init__(self, statement: Statement) -> None:
        self.block: Block | None = None
        """It is refused already."""
        self.by = self.reason = ""
        """By which plugin, and why."""
        self.observers: Audience = EMPTY_AUDIENCE
        """Who hears of that."""
        self.statement = statement
        """What is to be parsed in its place."""
        self.parameters: ParameterMap | None = None
        """As ``Rewrite.parameters``, from the client's text to ``statement``."""
        self.shape: Shape | None = None
        """Parse and Describe are answered here: no backend is asked."""


def decide_at_parse(
    chain: Chain | None, session: Session, found: AtParse, rounds: int, rewriters: frozenset[str]
) -> AtParse | Awaitable[AtParse]:
    """Add to what is found of a text what its chain decides without parameters; a rewritten text has another chain.

    ``rewriters``: plugins that have rewritten it already, after ``rounds`` rewrites.
    """
    certain = True
    for step in chain.steps if chain is not None else ():
        if step.phase in ("virtual", "rewrite") and step.hook.plugin.name in rewriters:
            continue
        if step.shape is not None and certain and found.shape is None:
            found.shape = _shape(step, session)
        decision = step.constant
        if isinstance(decision, Block):
            found.block, found.by, found.reason = decision, step.hook.plugin.name, step.reason
            assert chain is not None
            found.observers = chain.observers
            step.hook.plugin.decisions["block"] += 1
            step.hook.plugin.count_refusal(decision.sqlstate)
            if step.refused is not None:
                step.hook.call(step.refused, session)
            return found
        if isinstance(decision, Respond) and certain:
            if found.shape is None:
                found.shape = Shape(decision.columns)
            return found
        if isinstance(decision, Rewrite) and certain and rounds < MAX_ROUNDS and _is_parsed(decision):
            return _parse_rewritten(chain, decision, session, found, rounds, rewriters | {step.hook.plugin.name})
        if step.phase in ("virtual", "rewrite") and (decision is None or isinstance(decision, Rewrite)):
            # Which text will run is known at execution only: until then it is the one that there is.
            certain = False
    return found


def _is_parsed(rewrite: Rewrite) -> bool:
    """Whether it takes the place of the client's text at Parse already: nothing that it needs is made later."""
    if rewrite.parameters is not None and rewrite.parameters != tuple(range(1, len(rewrite.parameters) + 1)):
        # The client is told of the parameters of its own text, in their order.
        return False
    return rewrite.describe == "rewritten" and not rewrite.before


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
        found.parameters = compose_maps(found.parameters, rewrite.parameters)
        return decide_at_parse(following, session, found, rounds + 1, rewriters)

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
