"""A LIMIT for queries that have none."""

from __future__ import annotations

from interceptor import Block, Plan, Planned, Rewrite, Statement
from interceptor.sql.statements import analyse_facts
from interceptor_rules.judging import Judgement
from interceptor_rules.model import Mode

__all__ = ["limited", "with_limit"]


def limited(judgement: Judgement, statement: Statement, mode: Mode) -> Planned:
    """The plan of the rewrite phase for a message, if a rule wants a LIMIT added."""
    if mode == "shadow":
        return None
    for course in judgement.courses:
        for step in course:
            if step.rule is None or step.rule.source.add_limit is None or step.shadow or step.outcome != "effect":
                continue
            count = step.rule.source.add_limit
            facts = statement.facts.statements
            if len(facts) != 1 or facts[0].kind != "select" or facts[0].limit is not None or facts[0].into is not None:
                continue
            text = with_limit(statement, count)
            if text is None:
                return Block("42501", f'the rule "{step.name}" could not add its LIMIT to this statement',
                             hint=f"Write LIMIT {count}")  # fmt: skip
            return Plan(Rewrite(text), f"LIMIT {count} added by {step.name}", step.found.because)
    return None


def with_limit(statement: Statement, count: int) -> str | None:
    """The text with a LIMIT at its end, or None if it doesn't take one there."""
    facts = statement.exact().statements[0]
    sql = statement.sql
    # On a line of its own, for the statement may end with a comment.
    text = sql[: facts.end] + b"\nLIMIT %d" % count + sql[facts.end :]
    after = analyse_facts(text).statements
    if len(after) != 1 or after[0].limit is None or after[0].limit.count != count or after[0].opaque:
        return None
    return text.decode("utf-8", "surrogateescape")
