"""Extensions whose operators and aggregates have the names of PostgreSQL's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interceptor import Block
from interceptor.testing.harness import PluginHarness
from interceptor.testing.postgres import PostgresServer
from tests.integration.catalogue_world import snapshot_of
from tests.integration.rules_world import CORPUS

RULES = (CORPUS / "rules.toml").read_text()
WORLD = """
create extension vector;
create schema vault; create table vault.secret (id int, value text);
create table orders (id int primary key, amount numeric, name varchar, at timestamptz);
create function plain_c(text) returns text language internal as 'upper';
create table items (id int, embedding vector(3));
create function same(a int, b int) returns bool language plpgsql as $$ begin return a = b and a + 1 < b; end $$;
"""
USUAL = (
    "select count(*) from orders where amount = 100",
    "select id + 1, name || 'x' from orders where id < 3 and id in (1, 2)",
    "update orders set amount = amount - 1 where id = 1",
    "select avg(amount), sum(amount), now() - interval '1 day' from orders",
    "select a.id from orders a join orders b using (id) order by a.at",
    "select same(1, 2)",
)
OF_THE_EXTENSION = (
    "select id from items order by embedding <-> '[1,2,3]' limit 5",
    "select avg(embedding), l2_distance(embedding, '[1,1,1]') from items group by embedding",
    "select embedding + embedding from items where embedding = '[1,2,3]'",
)

Blocked = Callable[[str], str]
Make = Callable[[str], Blocked]


@pytest.fixture(scope="module")
def make(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    folder = tmp_path_factory.mktemp("extensions")
    postgres.create_database("extended")
    postgres.psql(WORLD, dbname="extended")
    snapshot = snapshot_of(postgres, "extended")
    module = folder / "rules.py"
    module.write_text("from interceptor_rules import Rules\n\n__all__ = ['Rules']\n")

    def made(rules: str) -> Blocked:
        file = Path(folder / "rules.toml")
        file.write_text(rules)
        harness = PluginHarness(module, config={"file": str(file)}, catalogue=snapshot)

        def blocked(sql: str) -> str:
            session = harness.session(database="extended", user="app", role="postgres")
            action = harness.decide(sql, session=session).action
            return f"{action.message}: {action.detail}" if isinstance(action, Block) else ""

        return blocked

    yield made
    postgres.drop_database("extended")


@pytest.mark.parametrize("sql", [*USUAL, *OF_THE_EXTENSION])
def test_an_extension_that_only_computes_is_trusted(make: Make, sql: str) -> None:
    assert make(RULES)(sql) == ""


@pytest.mark.parametrize("sql", OF_THE_EXTENSION)
def test_nothing_in_c_is_believed_where_no_extension_is_trusted(make: Make, sql: str) -> None:
    assert "in the language c, which can't be read" in make("trusted_extensions = []\n" + RULES)(sql)
    assert make('trusted_extensions = ["vec*"]\n' + RULES)(sql) == ""


def test_a_function_in_c_of_no_extension_is_never_believed(make: Make) -> None:
    assert "can't be read" in make(RULES)("select public.plain_c('x')")
