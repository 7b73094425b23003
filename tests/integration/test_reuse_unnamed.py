"""reuse_unnamed_statements: an unnamed statement whose text is known runs as one that its backend has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import decode_error
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Tables, run_proxy
from tests.support.wire import WireClient

DATABASE = "reuse"
LOOK = "select count(*) from pg_prepared_statements where not from_sql"


@pytest.fixture(scope="module")
def clients(postgres18: PostgresServer) -> Iterator[Clients]:
    postgres18.create_database(DATABASE)
    tables: Tables = {
        f"databases.{DATABASE}": {
            "primary": upstream(postgres18, DATABASE),
            "pool_size": 1,
            "reuse_unnamed_statements": True,
            "catalogue": False,
        }
    }
    with run_proxy(tables) as proxy, Clients(proxy) as made:
        yield made
    postgres18.drop_database(DATABASE)


@pytest.fixture
def table(postgres18: PostgresServer) -> Iterator[None]:
    postgres18.psql("create table t (i int); insert into t values (1)", dbname=DATABASE)
    yield
    postgres18.psql("set lock_timeout = '9s'; drop table if exists t", dbname=DATABASE)


def say(client: WireClient, *sent: Frontend) -> list[str]:
    seen = len(client.replies)
    client.send(*sent, f.sync())
    client.read_until_ready(client.ready_count + 1)
    return [
        f"Error {decode_error(reply.body)['C']}" if reply.tag == b"E" else str(reply) for reply in client.replies[seen:]
    ]


def run(client: WireClient, sql: str, values: list[bytes | None] | None = None) -> list[str]:
    return say(client, f.parse(sql), f.bind(values or []), f.execute())


def prepared(postgres18: PostgresServer, client: WireClient) -> int:
    """How many statements the one backend has, seen by a client that does not look at them by SQL for itself."""
    rows = [line for line in run(client, f"do $$ begin raise notice '%', ({LOOK}); end $$") if "Notice" in line]
    return int(rows[0].split("M='")[1].split("'")[0])


def test_the_answers_are_those_of_an_unnamed_statement(clients: Clients, table: None) -> None:
    client = clients.connect(DATABASE)
    for _ in range(4):
        assert run(client, "select * from t") == [
            "ParseComplete",
            "BindComplete",
            "DataRow b'1'",
            "CommandComplete 'SELECT 1'",
            "ReadyForQuery I",
        ]


def test_a_known_text_is_prepared_once_for_all_clients(
    clients: Clients, postgres18: PostgresServer, table: None
) -> None:
    one, other = clients.connect(DATABASE), clients.connect(DATABASE)
    before = prepared(postgres18, one)
    for client in (one, other, one, other):
        run(client, "select i + 40 from t")
    assert prepared(postgres18, one) == before + 1


@pytest.mark.parametrize(
    "sql",
    [
        "select timestamptz 'now'",
        "select date 'Tomorrow'",
        r"select e'\x41'",
        "set work_mem = '5MB'",
        "select 1, " + "1 + " * 2500 + "1",
    ],
    ids=["now", "tomorrow", "escape", "set", "long"],
)
def test_what_must_not_be_kept_is_not_kept(clients: Clients, postgres18: PostgresServer, sql: str) -> None:
    client = clients.connect(DATABASE)
    before = prepared(postgres18, client)
    for _ in range(3):
        run(client, sql)
    assert prepared(postgres18, client) == before
    run(client, "reset all")


def test_nothing_is_kept_within_a_transaction(clients: Clients, postgres18: PostgresServer, table: None) -> None:
    client = clients.connect(DATABASE)
    before = prepared(postgres18, client)
    client.query("begin")
    for _ in range(3):
        run(client, "select i + 41 from t")
    client.query("commit")
    assert prepared(postgres18, client) == before


def test_a_changed_table_is_noticed(clients: Clients, postgres18: PostgresServer, table: None) -> None:
    client = clients.connect(DATABASE)
    for _ in range(3):
        run(client, "select * from t")
    postgres18.psql("alter table t add k int", dbname=DATABASE)
    described = say(client, f.parse("select * from t"), f.bind(), f.describe_portal(), f.execute())
    assert "DataRow b'1' NULL" in described
    postgres18.psql("drop table t", dbname=DATABASE)
    assert run(client, "select * from t") == ["Error 42P01", "ReadyForQuery I"]


def test_a_wrong_value_is_refused_behind_parse_complete(clients: Clients) -> None:
    client = clients.connect(DATABASE)
    for _ in range(3):
        run(client, "select $1::int", [b"1"])
    assert run(client, "select $1::int", [b"x"]) == ["ParseComplete", "Error 22P02", "ReadyForQuery I"]


def test_the_statement_is_there_in_the_next_batch(clients: Clients, table: None) -> None:
    client, other = clients.connect(DATABASE), clients.connect(DATABASE)
    for _ in range(3):
        run(client, "select i + 42 from t")
    other.query("select 1")
    assert "DataRow b'43'" in say(client, f.bind(), f.execute())
