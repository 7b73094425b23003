"""The log of queries, before a real PostgreSQL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import upstream
from tests.support.proxy import Proxy, Tables, run_proxy

DATABASE = "query_log"

GUARD = """
from interceptor import Block, Column, Plan, Respond, hookimpl

@hookimpl
def guard(statement, session):
    if "forbidden" in statement.text:
        return Plan(Block("42501", "no"), reason="matched by no_such_word")

@hookimpl
def virtual(statement, session):
    if "kept" in statement.text:
        return Plan(Respond((Column("a", "int4"),), [[1]]), reason="it was kept")
"""


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    postgres18.create_database(DATABASE)
    postgres18.psql("create table t (a int); insert into t select generate_series(1, 10)", dbname=DATABASE)
    tables: Tables = {
        "server": {"log_format": "json", "log_rate_limit": 1},
        "databases.app": {"primary": upstream(postgres18, DATABASE)},
        "plugins": {"modules": ["./guarding.py"]},
        "plugins.query_log": {"log": "all"},
    }
    with run_proxy(tables, {"guarding.py": GUARD}) as made:
        yield made
    postgres18.drop_database(DATABASE)


def written(proxy: Proxy) -> dict[str, dict[str, object]]:
    """The lines of the log of queries, by their texts."""
    lines = [json.loads(line) for line in proxy.log.splitlines() if line.startswith("{")]
    return {line["query"]: line for line in lines if "duration_ms" in line}


def run(proxy: Proxy, *statements: str, prepare: bool | None = None) -> None:
    with psycopg.connect(proxy.dsn(), autocommit=True) as connection:
        for one in statements:
            try:
                connection.execute(one.encode(), prepare=prepare).fetchall()
            except psycopg.Error:
                continue


def test_what_is_written_has_no_values(proxy: Proxy) -> None:
    run(proxy, "SELECT a, 'a secret' FROM t WHERE a = 1 -- a secret", "select 'a secret', 1 / 0")
    lines = written(proxy)
    well = lines["select a, $1 from t where a = $2"]
    assert (well["rows"], well["by"], well["target"], well["database"]) == (1, "backend", "primary", "app")
    assert lines["select $1, $2 / $3"]["sqlstate"] == "22012"
    assert "a secret" not in proxy.log


def test_refusals_are_written_in_both_protocols(proxy: Proxy) -> None:
    run(proxy, "select 'forbidden' as simple")
    run(proxy, "select 'forbidden' as extended", prepare=True)
    for name in ("simple", "extended"):
        line = written(proxy)[f"select $1 as {name}"]
        assert (line["by"], line["sqlstate"]) == ("plugin", "42501")
        assert (line["plugin"], line["reason"]) == ("guarding", "matched by no_such_word")


def test_what_a_plugin_answers_is_written_with_its_name(proxy: Proxy) -> None:
    run(proxy, "select a as kept from t")
    line = written(proxy)["select a as kept from t"]
    assert (line["by"], line["rows"], line["plugin"], line["reason"]) == ("plugin", 1, "guarding", "it was kept")
    assert isinstance(line["client"], int)
    assert isinstance(line["duration_ms"], float)


def test_what_the_server_refuses_at_parse_is_written(proxy: Proxy) -> None:
    run(proxy, "select a from nowhere", prepare=True)
    line = written(proxy)["select a from nowhere"]
    assert (line["by"], line["sqlstate"], line["target"]) == ("backend", "42P01", "primary")


def test_slow_ones_alone_and_with_their_values(postgres18: PostgresServer) -> None:
    tables: Tables = {
        "databases.postgres": {"primary": upstream(postgres18, "postgres")},
        "plugins.query_log": {"slow": "50ms", "values": True},
    }
    with run_proxy(tables) as proxy:
        with psycopg.connect(proxy.dsn("postgres"), autocommit=True) as connection:
            connection.execute("select 'quick'")
            connection.execute("select pg_sleep(0.06), %s::text", ["bound"])
        lines = [line for line in proxy.log.splitlines() if "interceptor.plugins.query_log" in line]
        assert "select pg_sleep(0.06), $1::text" in lines[-1]
        # Where the machine is busy the quick one may be slow too.
        assert all(float(duration[1]) >= 50 for line in lines if (duration := re.search(r": ([\d.]+) ms, ", line)))


def test_parameters_are_written_if_asked_for(postgres18: PostgresServer) -> None:
    tables: Tables = {
        "server": {"log_format": "json"},
        "databases.postgres": {"primary": upstream(postgres18, "postgres")},
        "plugins.query_log": {"log": "all", "values": True},
    }
    with run_proxy(tables) as proxy:
        with psycopg.connect(proxy.dsn("postgres"), autocommit=True) as connection:
            connection.execute("select %s::text, %s::text", ["bound", None])
        assert written(proxy)["select $1::text, $2::text"]["parameters"] == "$1 = 'bound', $2 = NULL"
