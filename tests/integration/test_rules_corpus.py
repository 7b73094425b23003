"""The corpus: what must never pass the rules of the example does not, and what looks like it does."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pglast import parser

from interceptor import Block, Statement
from interceptor.catalogue import Closures, Scope
from interceptor.sql.statements import analyse_facts
from interceptor.testing.postgres import PostgresServer
from interceptor_rules.glancing import is_quiet
from interceptor_rules.judging import judge
from interceptor_rules.loading import read_rules
from interceptor_rules.who import Whom
from interceptor_rules.world import Worlds
from tests.integration.rules_world import CORPUS, Case, RulesWorld, read_cases

EVASIONS = read_cases("evasions_*.sql")
INNOCENTS = read_cases("innocents*.sql")
RULES = (CORPUS / "rules.toml").read_text()


@pytest.fixture(scope="module")
def world(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RulesWorld]:
    made = RulesWorld(postgres, tmp_path_factory.mktemp("rules"), RULES)
    yield made
    made.drop()


def by_name(case: Case) -> str:
    return case.name


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len(EVASIONS) >= 300
    assert len(INNOCENTS) >= 300


@pytest.mark.parametrize("case", EVASIONS, ids=by_name)
def test_an_evasion_is_blocked_and_would_have_worked(world: RulesWorld, case: Case) -> None:
    blocks = []
    with world.attack(case) as attack:
        for message in case.messages:
            blocks += attack.try_rules(message)
            attack.run(message)
        said = [str(one) for one in attack.replies if one.tag in b"EN"]
        assert attack.deed_is_done(case.deed), f"PostgreSQL would not have done it: {said}"
    assert blocks, "it slipped past"


@pytest.mark.parametrize("case", INNOCENTS, ids=by_name)
def test_an_innocent_passes_and_works(world: RulesWorld, case: Case) -> None:
    with world.attack(case) as attack:
        for message in case.messages:
            assert attack.try_rules(message) == []
            attack.run(message)
        assert [str(one) for one in attack.replies if one.tag == b"E"] == []


def test_what_is_quiet_at_a_glance_is_what_no_rule_matches(world: RulesWorld) -> None:
    rules = read_rules(RULES)
    subset = rules.for_session(Whom("world", "app", "app", "postgres", "", "127.0.0.1", False, ""))
    closures = Closures(world.snapshot)
    quiet = 0
    for path in (("$user", "public"), ("vault", "public"), None):
        names = Worlds(rules.trusts_function, rules.trusts_table, rules.guards_columns)
        for case in EVASIONS + INNOCENTS:
            for message in case.messages:
                statement = Statement(message.encode(), analyse_facts(message))
                meaning = names.of(closures, Scope(path, "postgres"))
                if is_quiet(subset, meaning, statement):
                    judgement = judge(subset, meaning, statement, user="app", database="world")
                    assert judgement.courses == (), message
                    assert (judgement.executes, judgement.fetches, judgement.prepares) == ((), (), ()), message
                    quiet += 1
    assert quiet > 200


@pytest.mark.parametrize("profile", ["safe-writes", "read-only", "no-dangerous-functions", "safe-migrations"])
def test_what_tools_send_is_refused_by_profiles_for_the_reason_that_they_have(world: RulesWorld, profile: str) -> None:
    harness = world.make(f'include = ["{profile}"]\non_opaque = "block"\n')
    wrong = []
    for case in read_cases("innocents_tools.sql"):
        session = harness.session(database="world", user="app", role="postgres", search_path='"$user", public')
        session.transaction.status = "open"
        blocks = []
        for message in case.messages:
            outcome = harness.decide(message, session=session)
            if isinstance(outcome.action, Block):
                blocks.append(outcome.action.message)
            else:
                harness.finish(outcome)
        if bool(blocks) is not (profile in case.refused_by):
            wrong.append(f"{case.name}: {blocks}")
    assert not wrong, "\n".join(wrong)


def shape_of(node: object) -> object:
    """A parse tree without names, constants and places."""
    if isinstance(node, dict):
        inner = [(key, shape_of(value)) for key, value in sorted(node.items())]
        return tuple((key, value) for key, value in inner if key[0].isupper() or value)
    if isinstance(node, list):
        return tuple(sorted({repr(shape_of(item)) for item in node}))
    return ()


def test_the_evasions_are_of_many_shapes_and_not_merely_spellings() -> None:
    shapes = set()
    for case in EVASIONS:
        trees = [parser.parse_sql_json(message) for message in case.messages]
        shapes.add(repr([shape_of(json.loads(tree)["stmts"]) for tree in trees]))
    assert len(shapes) >= 200
