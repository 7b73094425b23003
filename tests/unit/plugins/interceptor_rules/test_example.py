"""The rules file of the examples, with its tests, and through the plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from interceptor import Block
from interceptor.testing.harness import PluginHarness
from interceptor_rules.checking import run_tests
from interceptor_rules.loading import load_rules
from tests.unit.plugins.interceptor_rules.conftest import MakeRules

EXAMPLES = Path(__file__).parents[4] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("rules*.toml")), ids=lambda path: path.name)
def test_the_tests_of_an_example_hold(path: Path) -> None:
    rules, _ = load_rules(path)
    assert rules.tests
    assert list(run_tests(rules)) == []


@pytest.fixture
def harness(make_rules: MakeRules) -> PluginHarness:
    return make_rules((EXAMPLES / "rules.toml").read_text())


@pytest.mark.parametrize(
    ("user", "sql", "because"),
    [
        ("app", "DELETE FROM orders", "it has no WHERE"),
        ("app", "UPDATE orders SET a = 1 WHERE id = id", "its WHERE is always true"),
        ("analyst_jo", "TRUNCATE public.orders", ""),
        ("analyst_jo", "CREATE TABLE public.t ()", ""),
        ("app", "SELECT * FROM vault.secret", "it touches the table vault.secret"),
        ("app", 'SELECT 1 FROM AUDIT."log"', "it touches the table audit.log"),
        ("app", "SELECT pg_read_file('/etc/passwd')", "it calls the function pg_catalog.pg_read_file"),
        ("app", "SELECT anything.dblink_exec('x')", "it calls the function anything.dblink_exec"),
        ("app", "SELECT 1 FROM hr.employees ORDER BY salary", "it touches the column hr.employees.salary"),
    ],
)
def test_what_the_example_blocks(harness: PluginHarness, user: str, sql: str, because: str) -> None:
    session = harness.session(user=user, search_path="public")
    block = harness.decide(sql, session=session).action
    assert isinstance(block, Block), block
    assert block.sqlstate == "42501"
    assert because in block.detail
    at_parse = harness.at_parse(sql, session=session)
    assert at_parse is not None
    assert at_parse.block == block


@pytest.mark.parametrize(
    ("user", "sql"),
    [
        ("app", "SELECT 1"),
        ("app", "SELECT count(*) FROM public.orders"),
        ("app", "DELETE FROM public.orders WHERE id = 1"),
        ("analyst_jo", "SELECT * FROM public.orders"),
        ("payroll", "SELECT salary FROM hr.employees"),
        ("app", "BEGIN"),
    ],
)
def test_what_the_example_lets_pass(harness: PluginHarness, user: str, sql: str) -> None:
    session = harness.session(user=user, search_path="public")
    assert not isinstance(harness.decide(sql, session=session).action, Block)


def test_the_client_is_told_what_to_do(harness: PluginHarness) -> None:
    block = harness.decide("DELETE FROM t").action
    assert isinstance(block, Block)
    assert block.message == "UPDATE and DELETE need a WHERE clause"
    assert block.hint == "Add one, or use TRUNCATE"


def test_a_statement_that_no_rule_is_about_is_of_no_interest(harness: PluginHarness) -> None:
    session = harness.session(search_path="public")
    assert harness.tables.lookup(session, b"SELECT 1 FROM public.t") is False


def test_explain_names_the_rule_and_what_it_matched_on(harness: PluginHarness) -> None:
    guard, _ = harness.explain("SELECT * FROM vault.secret", session=harness.session(search_path="public"))
    assert guard.reason == "blocked by secrets"
    assert guard.facts == ("block by secrets: it touches the table vault.secret",)
