"""Plugins at work between real clients and a real server: what they decide, in both protocols and in transactions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import decode_error
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Tables, run_proxy
from tests.support.saying import extended, say
from tests.support.wire import WireClient

EXAMPLES = Path(__file__).parents[2] / "examples"
HELLO = ["DataRow b'Hello, postgres' b'1'", "DataRow b'Hallo, postgres' b'2'", "DataRow b'Bonjour, postgres' b'3'"]


@pytest.fixture(scope="module")
def clients(postgres18: PostgresServer) -> Iterator[Clients]:
    server = postgres18
    for name in ("plugged", "elsewhere"):
        server.create_database(name)
    server.psql("create table t (i int)", dbname="plugged")
    modules = [str(EXAMPLES / name) for name in ("block_word.py", "hello.py", "read_elsewhere.py")]
    tables: Tables = {
        "databases.plugged": {
            "primary": upstream(server, "plugged"),
            "replicas": [upstream(server, "elsewhere")],
            "pool_size": 2,
        },
        "plugins": {"modules": modules},
        "plugins.block_word": {"words": ["pg_read_file"]},
        "plugins.read_elsewhere": {"target": "replica1", "functions": ["current_database"]},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as made:
        yield made
    for name in ("plugged", "elsewhere"):
        server.drop_database(name)


@pytest.fixture
def client(clients: Clients, postgres18: PostgresServer) -> Iterator[WireClient]:
    made = clients.connect("plugged")
    yield made
    made.send_goodbye()
    postgres18.psql("set lock_timeout = '9s'; truncate t", dbname="plugged")


BLOCKED = "select pg_read_file('x')"


def test_a_blocked_query_is_an_error(client: WireClient) -> None:
    assert say(client, f.query(BLOCKED)) == ["Error 42501", "ReadyForQuery I"]
    assert say(client, f.query("select 1"))[1] == "DataRow b'1'"


def test_a_blocked_statement_of_the_extended_protocol_skips_to_sync(client: WireClient) -> None:
    assert say(client, *extended(BLOCKED), *extended("select 1"), f.sync()) == ["Error 42501", "ReadyForQuery I"]


def test_a_block_in_a_transaction_fails_it(client: WireClient, postgres18: PostgresServer) -> None:
    say(client, f.query("begin"))
    say(client, f.query("insert into t values (1)"))
    assert say(client, f.query(BLOCKED)) == ["Error 42501", "ReadyForQuery E"]
    assert say(client, f.query("select 1")) == ["Error 25P02", "ReadyForQuery E"]
    assert say(client, f.query("commit")) == ["CommandComplete 'ROLLBACK'", "ReadyForQuery I"]
    assert postgres18.psql("select count(*) from t", dbname="plugged") == "0"


def test_a_block_in_a_batch_undoes_what_came_before_it(client: WireClient, postgres18: PostgresServer) -> None:
    replies = say(client, *extended("insert into t values (1)"), *extended(BLOCKED), f.sync())
    assert replies[-2:] == ["Error 42501", "ReadyForQuery I"]
    assert postgres18.psql("select count(*) from t", dbname="plugged") == "0"


def test_a_block_anywhere_in_a_query_of_several_statements_runs_none(
    client: WireClient, postgres18: PostgresServer
) -> None:
    assert say(client, f.query(f"insert into t values (1); {BLOCKED}")) == ["Error 42501", "ReadyForQuery I"]
    assert postgres18.psql("select count(*) from t", dbname="plugged") == "0"


def test_an_answer_of_a_plugin(client: WireClient) -> None:
    whole = ["RowDescription", *HELLO, "CommandComplete 'SELECT 3'", "ReadyForQuery I"]
    assert say(client, f.query("select hello()")) == whole
    assert say(client, *extended("select hello()"), f.sync()) == [
        "ParseComplete",
        "BindComplete",
        *HELLO,
        "CommandComplete 'SELECT 3'",
        "ReadyForQuery I",
    ]


def test_an_answer_takes_its_turn_in_a_pipeline_and_in_a_transaction(client: WireClient) -> None:
    replies = say(client, f.query("begin"), f.query("select hello()"), f.query("commit"), readies=3)
    assert replies == [
        "CommandComplete 'BEGIN'",
        "ReadyForQuery T",
        "RowDescription",
        *HELLO,
        "CommandComplete 'SELECT 3'",
        "ReadyForQuery T",
        "CommandComplete 'COMMIT'",
        "ReadyForQuery I",
    ]


def test_an_answer_between_forwarded_statements_of_one_batch(client: WireClient, postgres18: PostgresServer) -> None:
    batch = [*extended("insert into t values (3)"), *extended("select hello()"), *extended("select 5"), f.sync()]
    assert say(client, *batch) == [
        "ParseComplete",
        "BindComplete",
        "CommandComplete 'INSERT 0 1'",
        "ParseComplete",
        "BindComplete",
        *HELLO,
        "CommandComplete 'SELECT 3'",
        "ParseComplete",
        "BindComplete",
        "DataRow b'5'",
        "CommandComplete 'SELECT 1'",
        "ReadyForQuery I",
    ]
    assert postgres18.psql("select count(*) from t", dbname="plugged") == "1"


def test_an_answer_in_a_failed_transaction_is_the_servers_refusal(client: WireClient) -> None:
    say(client, f.query("begin"))
    say(client, f.query("select 1/0"))
    assert say(client, f.query("select hello()")) == ["Error 25P02", "ReadyForQuery E"]


def test_a_statement_answered_by_a_plugin_is_prepared_once_and_run_later(client: WireClient) -> None:
    assert say(client, f.parse("select hello()", "h"), f.sync()) == ["ParseComplete", "ReadyForQuery I"]
    for _ in range(2):
        replies = say(client, f.bind(statement="h"), f.execute(), f.sync())
        assert replies == ["BindComplete", *HELLO, "CommandComplete 'SELECT 3'", "ReadyForQuery I"]


@pytest.mark.parametrize("simple", [True, False])
def test_a_read_is_sent_elsewhere(client: WireClient, simple: bool) -> None:
    sql = "select current_database()"
    sent = [f.query(sql)] if simple else [*extended(sql), f.sync()]
    assert "DataRow b'elsewhere'" in say(client, *sent)


def test_within_a_transaction_nothing_is_sent_elsewhere(client: WireClient) -> None:
    say(client, f.query("begin"))
    assert "DataRow b'plugged'" in say(client, f.query("select current_database()"))
    say(client, f.query("rollback"))


@pytest.mark.parametrize("sql", ["fetch x", "move all in x"])
def test_sql_takes_no_rows_from_a_portal_that_a_plugin_answers(client: WireClient, sql: str) -> None:
    say(client, f.query("begin"))
    say(client, f.parse("select hello()"), f.bind(portal="x"), f.sync())
    assert say(client, f.query(sql)) == ["Error 42704", "ReadyForQuery E"]
    fields = decode_error(client.replies[-2].body)
    assert "a plugin answers this portal" in fields["M"]
    say(client, f.query("rollback"))
