"""The tests in a rules file, tried without a server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from interceptor import Statement
from interceptor.catalogue import Scope, parse_search_path
from interceptor.sql.statements import analyse_facts
from interceptor_rules.acting import rule_on
from interceptor_rules.judging import judge
from interceptor_rules.model import RulesTest
from interceptor_rules.ruleset import RuleSet
from interceptor_rules.when import Moment
from interceptor_rules.who import Whom
from interceptor_rules.world import Worlds

__all__ = ["outcome_of", "run_tests"]


def run_tests(rules: RuleSet) -> Iterable[str]:
    """A line for each test that fails."""
    for test, file, index in rules.tests:
        try:
            outcomes = outcome_of(rules, test)
        except ValueError as error:
            yield str(file.problem(("test", index), str(error)))
            continue
        if test.expect not in outcomes:
            said = f"expected {test.expect}, found {outcomes[-1]}: {' '.join(test.sql.split())[:200]}"
            yield str(file.problem(("test", index), said))


def outcome_of(rules: RuleSet, test: RulesTest) -> list[str]:
    """What becomes of the statement of a test, in all ways in which ``expect`` may name it.

    There is no catalogue: names mean what they say, unqualified ones are in the first schema of ``search_path``, and
    functions that PostgreSQL does not bring can't be read. Raises ValueError.
    """
    role = test.role if test.role is not None else test.user
    whom = Whom(
        test.database,
        test.user,
        test.backend_user if test.backend_user is not None else test.user,
        role,
        test.application_name,
        "" if test.address == "local" else test.address,
        test.tls,
        test.certificate,
    )
    worlds = Worlds(
        rules.trusts_function,
        rules.trusts_table,
        rules.guards_columns,
        trusted_extension=rules.trusts_extension,
        trusts_any=bool(rules.trusted_functions),
        assumes=True,
    )
    world = worlds.of(None, Scope(parse_search_path(test.search_path), role))
    text = test.sql.encode()
    statement = Statement(text, analyse_facts(text))
    judgement = judge(rules.for_session(whom), world, statement, user=test.user, database=test.database)
    judgement = replace(judgement, courses=(*judgement.courses, *judgement.if_unknown))
    try:
        now = datetime(2026, 1, 5, 12) if test.at is None else datetime.fromisoformat(test.at)
    except ValueError:
        raise ValueError(f'at: expected a moment such as "2026-01-05 22:30", found {test.at!r}') from None
    moment = Moment(now, test.protocol, None, copies=judgement.copies or test.protocol == "copy")
    # A test says what the rules say, whether they are enforced already or not.
    ruling = rule_on(
        judgement, "enforce", moment, in_transaction=test.in_transaction, lock_timeout=None,
        limit=lambda number: None, estimate=None,
    )  # fmt: skip
    if ruling.blocked is not None:
        return ["block", f"block:{ruling.blocked.name}"]
    found = ["allow"]
    for step in (*ruling.allowed, *ruling.effects):
        action = step.rule.source.action if step.rule is not None else "allow"
        found += [action, f"{action}:{step.name}"]
    return found
