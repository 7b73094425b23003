"""SHOW QUERIES and the log of queries, before a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import dict_row

from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import upstream
from tests.support.proxy import Proxy, Tables, run_proxy

DATABASE = "queries"

GUARD = """
from interceptor import Block, hookimpl

@hookimpl
def guard(statement, session):
    return Block("42501", "no") if "forbidden" in statement.text else None
"""


@pytest.fixture(scope="module", params=[1, 2], ids=["alone", "workers"])
def proxy(postgres18: PostgresServer, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    postgres18.create_database(DATABASE)
    postgres18.psql("create table t (a int); insert into t select generate_series(1, 10)", dbname=DATABASE)
    tables: Tables = {
        "server": {"log_format": "json", "admin_users": ["postgres"], "workers": request.param},
        "databases.app": {"primary": upstream(postgres18, DATABASE)},
        "plugins": {"modules": ["./guarding.py"]},
        "plugins.queries": {"log": "all", "values": False},
    }
    with run_proxy(tables, {"guarding.py": GUARD}) as made:
        yield made
    postgres18.drop_database(DATABASE)


Shown = dict[str, dict[str, object]]


def shown(proxy: Proxy) -> Shown:
    """SHOW QUERIES by the text."""
    with psycopg.connect(proxy.dsn("interceptor"), autocommit=True, row_factory=dict_row) as console:
        return {str(row["query"]): row for row in console.execute("show queries").fetchall()}


def run(proxy: Proxy, *statements: str, prepare: bool | None = None) -> None:
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        for one in statements:
            try:
                connection.execute(one.encode(), prepare=prepare).fetchall()
            except psycopg.Error:
                continue


def test_statements_are_counted_whatever_their_values(proxy: Proxy) -> None:
    before = shown(proxy).get("select a from t where a > $1", {})
    for _ in range(4):
        # Each on a connection of its own: whichever worker takes it.
        run(proxy, "select a from t where a > 3", "SELECT a FROM t WHERE a > 8 -- other")
    found = shown(proxy)["select a from t where a > $1"]
    assert int(str(found["calls"])) - int(str(before.get("calls", 0))) == 8
    assert int(str(found["rows"])) - int(str(before.get("rows", 0))) == 4 * (7 + 2)
    assert found["errors"] == 0
    times = [float(str(found[name])) for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")]
    assert times == sorted(times)
    assert 0 < times[0]
    assert (found["database"], found["user"]) == ("app", "postgres")


def test_errors_and_refusals_are_told_apart(proxy: Proxy) -> None:
    for prepare in (None, True):
        run(proxy, "select 1 / 0", "select 'forbidden' as x", prepare=prepare)
    found = shown(proxy)
    assert (found["select $1 / $2"]["errors"], found["select $1 / $2"]["blocked"]) == (2, 0)
    assert (found["select $1 as x"]["errors"], found["select $1 as x"]["blocked"]) == (0, 2)


def test_what_is_written_has_no_values(proxy: Proxy) -> None:
    run(proxy, "select a, 'a secret' from t where a = 1", "select nothing_of_the_kind('a secret')")
    lines = [json.loads(line) for line in proxy.log.splitlines() if line.startswith("{")]
    written = [line for line in lines if "duration_ms" in line]
    (well,) = [line for line in written if line["query"] == "select a, $1 from t where a = $2"]
    assert (well["rows"], well["by"], well["target"], well["database"]) == (1, "backend", "primary", "app")
    (failed,) = [line for line in written if line["query"] == "select nothing_of_the_kind($1)"]
    assert failed["sqlstate"] == "42883"
    assert "a secret" not in proxy.log


def test_it_begins_again_when_an_admin_says_so(proxy: Proxy) -> None:
    run(proxy, "select 'to be forgotten' as forgotten")
    assert "select $1 as forgotten" in shown(proxy)
    with psycopg.connect(proxy.dsn("interceptor"), autocommit=True) as console:
        console.execute("reset queries")
    assert "select $1 as forgotten" not in shown(proxy)


def test_slow_ones_alone_and_with_their_values(postgres18: PostgresServer) -> None:
    tables: Tables = {
        "databases.postgres": {"primary": upstream(postgres18, "postgres")},
        "plugins.queries": {"log": "slow", "slow": "50ms", "values": True, "statistics": False},
    }
    with run_proxy(tables) as proxy:
        with psycopg.connect(proxy.dsn("postgres"), autocommit=True) as connection:
            connection.execute("select 'quick'")
            connection.execute("select pg_sleep(0.06), %s::text", ["bound"])
        (line,) = [line for line in proxy.log.splitlines() if "interceptor.plugins.queries" in line]
        assert "select pg_sleep(0.06), $1::text" in line
