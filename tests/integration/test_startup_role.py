"""A role that comes with the startup parameters, and clients that set it aside."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import upstream
from tests.support.proxy import Proxy, Tables, run_proxy


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    postgres18.create_database("startup_role")
    postgres18.psql("create role startup_clerk", dbname="startup_role")
    tables: Tables = {"databases.startup_role": {"primary": upstream(postgres18, "startup_role"), "pool_size": 1}}
    with run_proxy(tables) as running:
        yield running
    postgres18.drop_database("startup_role")
    postgres18.psql("drop role startup_clerk")


def connect(proxy: Proxy) -> psycopg.Connection:
    return psycopg.connect(
        host=proxy.host,
        port=proxy.port,
        dbname="startup_role",
        user="postgres",
        autocommit=True,
        options="-c role=startup_clerk",
    )


def who(client: psycopg.Connection) -> tuple[object, ...]:
    row = client.execute("select current_user, current_setting('role')").fetchone()
    assert row is not None
    return row


def test_a_role_set_aside_by_one_client_stays_with_the_others(proxy: Proxy) -> None:
    with connect(proxy) as one, connect(proxy) as other:
        assert who(one) == who(other) == ("startup_clerk", "startup_clerk")
        one.execute("set role none")
        for _ in range(2):
            assert who(one) == ("postgres", "none")
            assert who(other) == ("startup_clerk", "startup_clerk")
        one.execute("reset role")
        assert who(one) == who(other) == ("startup_clerk", "startup_clerk")
