"""Clients whose statements go to a replica: they wait, cancel and vanish there as they do at the primary."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.proxied import upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import wait_until
from tests.support.wire import Endpoint, WireClient

READS = """
from __future__ import annotations
from interceptor import *

@hookimpl
def route(statement, session):
    if "elsewhere" in statement.text:
        return Route("replica1")
    if "nowhere" in statement.text:
        return Route("replica7")

@hookimpl
def guard(statement, session):
    if "secret" in statement.text:
        return Block("42501", "secrets stay secret")
"""


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    for name in ("routed", "routed_replica"):
        postgres18.create_database(name)
    tables: Tables = {
        "server": {"admin_users": ["postgres"]},
        "databases.app": {
            "primary": upstream(postgres18, "routed"),
            "replicas": [upstream(postgres18, "routed_replica")],
            "pool_size": 1,
        },
        "plugins": {"modules": ["reads.py"]},
    }
    with run_proxy(tables, {"reads.py": READS}) as running:
        yield running
    for name in ("routed", "routed_replica"):
        postgres18.drop_database(name)


def connect(proxy: Proxy) -> psycopg.Connection:
    return psycopg.connect(host=proxy.host, port=proxy.port, dbname="app", user="postgres", autocommit=True)


def where(client: psycopg.Connection) -> str:
    row = client.execute("select current_database() /* elsewhere */").fetchone()
    assert row is not None
    return str(row[0])


def sleeper(client: psycopg.Connection, errors: list[str]) -> threading.Thread:
    """Runs a long statement at the replica."""

    def run() -> None:
        try:
            client.execute("select pg_sleep(60) /* elsewhere */")
        except psycopg.Error as error:
            errors.append(error.sqlstate or "gone")

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def is_busy(postgres: PostgresServer) -> bool:
    query = "select count(*) from pg_stat_activity where datname = 'routed_replica' and query like '%pg_sleep(60)%' "
    return postgres.psql(query + "and state = 'active'").strip() == "1"


def is_waiting(proxy: Proxy) -> bool:
    """Whether a client of any pool waits for a backend."""
    with psycopg.connect(proxy.dsn("pgbouncer"), autocommit=True, cursor_factory=psycopg.ClientCursor) as console:
        cursor = console.execute("SHOW POOLS")
        assert cursor.description is not None
        place = [column.name for column in cursor.description].index("cl_waiting")
        return any(int(row[place]) for row in cursor.fetchall())


def test_statements_go_where_a_plugin_sends_them_and_others_to_the_primary(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert client.execute("select current_database()").fetchone() == ("routed",)
    with connect(proxy) as client:
        assert where(client) == "routed_replica"


def test_a_target_that_does_not_exist_fails_the_statement_alone(proxy: Proxy) -> None:
    with connect(proxy) as client:
        for _ in range(2):
            with pytest.raises(psycopg.Error, match='no target "replica7"'):
                client.execute("select 1 /* nowhere */")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                client.execute("select 'secret'")
        assert where(client) == "routed_replica"
    assert proxy.log.count("a plugin routes to where nothing can be sent") == 1


def test_a_statement_at_a_replica_can_be_canceled(proxy: Proxy, postgres18: PostgresServer) -> None:
    with connect(proxy) as client:
        errors: list[str] = []
        thread = sleeper(client, errors)
        wait_until(lambda: is_busy(postgres18), "the statement runs")
        client.cancel_safe()
        thread.join(20)
        assert errors == ["57014"]
        assert where(client) == "routed_replica"


def test_one_that_waits_for_a_replica_can_be_canceled(proxy: Proxy, postgres18: PostgresServer) -> None:
    with connect(proxy) as first, connect(proxy) as second:
        errors: list[str] = []
        thread = sleeper(first, errors)
        wait_until(lambda: is_busy(postgres18), "the statement runs")
        waiting: list[str] = []
        waiter = sleeper(second, waiting)
        wait_until(lambda: is_waiting(proxy), "the second waits")
        second.cancel_safe()
        waiter.join(20)
        assert waiting == ["57014"]
        assert errors == []
        first.cancel_safe()
        thread.join(20)
        assert errors == ["57014"]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):  # what comes next is looked at as ever
            second.execute("select 'secret'")
        assert where(second) == where(first) == "routed_replica"


def holder(proxy: Proxy) -> WireClient:
    """A client that has the one backend at the replica: a batch that has not ended is a transaction."""
    client = WireClient.connect(Endpoint(proxy.host, proxy.port, "app", "postgres"))
    known = len(client.replies)
    client.send(f.parse("select 1 /* elsewhere */"), f.bind(), f.execute(), f.flush())
    client.read_count(known + 4)
    return client


def test_a_client_that_vanishes_in_a_transaction_leaves_the_replica_to_others(proxy: Proxy) -> None:
    holder(proxy).close()
    with connect(proxy) as other:
        assert where(other) == "routed_replica"


def test_a_client_that_vanishes_while_it_waits_is_forgotten(proxy: Proxy) -> None:
    first = holder(proxy)
    waiter = WireClient.connect(Endpoint(proxy.host, proxy.port, "app", "postgres"))
    waiter.send(f.query("select 1 /* elsewhere */"))
    waiter.close()
    first.send(f.sync())
    first.read_until_ready(first.ready_count + 1)
    first.close()
    with connect(proxy) as other:
        assert where(other) == "routed_replica"
