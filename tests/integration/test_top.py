"""``interceptor top`` before a proxy that is at work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import upstream
from tests.support.proxy import Proxy, Tables, run_proxy

DATABASE = "postgres"


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    tables: Tables = {
        "server": {"admin_users": ["postgres"], "query_statistics": 100},
        "databases.postgres": {"primary": upstream(postgres18, "postgres")},
        "plugins.query_log": {"log": "slow"},
    }
    with run_proxy(tables) as made:
        yield made


def top(proxy: Proxy, *options: str, database: str = "interceptor") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pooler", "top", proxy.dsn(database), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_pools_statements_and_plugins_are_shown(proxy: Proxy) -> None:
    with psycopg.connect(proxy.dsn("postgres"), autocommit=True) as connection:
        for number in range(5):
            connection.execute(f"select {number} as shown_on_top")
        connection.execute("begin")
        done = top(proxy, "--count", "2", "--interval", "0.2")
    assert done.returncode == 0, done.stderr
    for expected in ("Pools", "transaction", "select $1 as shown_on_top", "query_log", "active", "queries/s"):
        assert expected in done.stdout
    assert done.stdout.count("Statements that took") == 2


def test_who_is_not_let_in_is_told_why(proxy: Proxy) -> None:
    done = top(proxy, "--count", "1", database="nothing_of_the_kind")
    assert done.returncode == 2
    assert "nothing_of_the_kind" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_connection_string_that_is_none_is_named() -> None:
    command = [sys.executable, "-m", "pooler", "top", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "expected a connection string" in done.stderr
