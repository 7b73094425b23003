"""The quick look never says quiet of what a rule is about, and says it of what is."""

from __future__ import annotations

import pytest

from interceptor import Statement, StatementFacts
from interceptor.catalogue import Closures, Scope
from interceptor.sql.statements import analyse_facts
from interceptor_rules.glancing import PARTS, SILENT, UNSAID, is_quiet
from interceptor_rules.loading import read_rules
from interceptor_rules.who import Whom
from interceptor_rules.world import Worlds
from tests.unit.plugins.interceptor_rules.conftest import SMALL

RULES = """
[[rule]]
name = "secrets"
tables = ["vault.*"]
functions = ["pg_read_file"]
columns = ["hr.employees.salary"]
action = "block"

[[rule]]
name = "no deletes"
statements = ["delete"]
action = "block"

[[rule]]
name = "paid orders"
statements = ["update"]
columns = ["public.orders.paid"]
action = "block"
"""
ANYBODY = Whom("app", "app", "app", "app", "", "127.0.0.1", False, "")


def quiet(*texts: str, path: tuple[str, ...] | None = ("public",), rules: str = RULES) -> list[bool]:
    """Whether each of the texts is, asked about one after the other."""
    ruleset = read_rules(rules)
    world = Worlds(ruleset.trusts_function, ruleset.trusts_table, ruleset.guards_columns).of(
        Closures(SMALL), Scope(path, "app")
    )
    subset = ruleset.for_session(ANYBODY)
    return [is_quiet(subset, world, Statement(one.encode(), analyse_facts(one))) for one in texts]


def test_every_fact_of_a_statement_is_in_one_of_the_lists() -> None:
    parts = [PARTS, SILENT, UNSAID, frozenset(["kind", "group", "words"])]
    assert sum(map(len, parts)) == len(StatementFacts.__struct_fields__)
    assert frozenset().union(*parts) == frozenset(StatementFacts.__struct_fields__)


@pytest.mark.parametrize(
    "text",
    [
        "select id, name from t where id = $1",
        "select t.id from t, u where t.id = u.id and lower(t.name) = 'x'",
        "insert into t (id, name) values (1, 'a') returning id",
        "update t set name = name || 'x' where id = 5",
        "select count(*)::text from public.customers",
    ],
)
def test_what_no_rule_is_about_is_quiet(text: str) -> None:
    assert quiet(text, text) == [True, True]


@pytest.mark.parametrize(
    "text",
    [
        "select value from vault.secret",
        "select id from t where id in (select id from vault.t)",
        "select id, pg_read_file('x') from t",
        "select salary from hr.employees",
        "select e.* from hr.employees e",
        "select e from hr.employees e",
        "delete from t where id = 5",
        "update orders set paid = true where id = 5",
        "select unknown(id) from t",
        "select id from t; select id from t",
        "with a as (select value from vault.secret) select id from t",
        "select id into x from t",
        "select id from t for update",
        "select set_config('a.b', 'c', false) from t",
        "explain select id from t",
        "drop table t",
        "selec",
        "",
    ],
)
def test_what_a_rule_may_be_about_is_not(text: str) -> None:
    assert quiet("select id from t", text, text, "select id from t") == [True, False, False, True]


def test_names_mean_what_the_search_path_says() -> None:
    text = "select id from t"
    assert quiet(text) == [True]
    assert quiet(text, path=("vault", "public")) == [False]
    assert quiet(text, path=None) == [False]


def test_what_is_written_is_another_part_than_what_is_read() -> None:
    assert quiet("select paid from orders", "update orders set paid = true", "select paid from orders") == [
        False,
        False,
        False,
    ]
    rules = RULES.replace('columns = ["public.orders.paid"]', 'columns = ["public.x.nothing"]')
    assert quiet("select paid from orders", "update orders set paid = true", rules=rules) == [True, True]


@pytest.mark.parametrize(
    "rules",
    [
        'default = "block"\n' + RULES,
        'mode = "learn"\n' + RULES,
        RULES + '[[rule]]\nname = "regex"\nregex = "x"\naction = "block"\n',
        RULES + '[[rule]]\nname = "size"\nsize_over = 1\naction = "block"\n',
        RULES + '[[rule]]\nname = "all"\naction = "log"\n',
        RULES + '[[rule]]\nname = "star"\nselect_star = true\naction = "block"\n',
    ],
)
def test_rules_that_look_at_every_statement_leave_none_quiet(rules: str) -> None:
    assert quiet("select id from t where id = $1", rules=rules) == [False]


def test_what_is_remembered_is_bounded() -> None:
    texts = [f"select id as a, t{number}.id from t as t{number}, x{number}" for number in range(3000)]
    assert quiet(*texts, "select value from vault.secret", "select id from t")[-2:] == [False, True]
