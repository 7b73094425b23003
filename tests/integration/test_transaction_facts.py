"""What plugins are told of transactions and of settings, by what clients say in both protocols."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.frontend import Frontend
from tests.support.observed import Log, Told, observed_proxy
from tests.support.proxied import Clients
from tests.support.proxy import Proxy
from tests.support.saying import extended, say
from tests.support.wire import WireClient

DATABASE = "transactions"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transactions")


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, folder: Path) -> Iterator[Proxy]:
    with observed_proxy(postgres18, DATABASE, folder / "told") as made:
        yield made


@pytest.fixture
def log(proxy: Proxy, folder: Path) -> Log:
    return Log(folder / "told")


pytestmark = pytest.mark.usefixtures("empty_table")


def ended(log: Log) -> Told:
    """Committed, statements, wrote, locked, changed the schema, read only, isolation: of each transaction."""
    return [one[1:] for one in log.take("ended")]


def simple(*texts: str) -> list[list[Frontend]]:
    return [[f.query(text)] for text in texts]


def run(client: WireClient, *texts: str, protocol: str = "simple") -> None:
    for text in texts:
        say(client, *([f.query(text)] if protocol == "simple" else [*extended(text), f.sync()]))


READ = (True, 1, False, False, False, None, None)
WROTE = (True, 1, True, True, False, None, None)


@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("select count(*) from t", READ),
        ("select i from t for update", (True, 1, False, True, False, None, None)),
        ("insert into t values (1)", WROTE),
        ("with w as (insert into t values (2) returning i) select * from w", WROTE),
        ("explain analyze insert into t values (3)", WROTE),
        ("create table made (i int); drop table made", (True, 1, True, True, True, None, None)),
        ("do $$ begin perform 1; end $$", READ),
        ("do $$ declare s text := 'select ' || 1; begin execute s; end $$", (True, 1, True, True, True, None, None)),
        ("select 1/0", (False, 1, False, False, False, None, None)),
        ("insert into t values (4), (4)", (False, 1, True, True, False, None, None)),  # fails when it is committed
    ],
)
def test_an_implicit_transaction(
    client: WireClient, log: Log, protocol: str, text: str, told: tuple[object, ...]
) -> None:
    if protocol == "extended" and ";" in text and "do" not in text:
        text = text.split(";", 1)[0]
    run(client, text, protocol=protocol)
    if text == "create table made (i int)":
        say(client, f.query("drop table made"))
    assert ended(log)[0] == told


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_an_explicit_transaction(client: WireClient, log: Log, protocol: str) -> None:
    run(client, "begin", "insert into t values (1)", "select 1", protocol=protocol)
    assert ended(log) == []
    run(client, "commit", protocol=protocol)
    assert ended(log) == [(True, 4, True, True, False, None, None)]
    run(client, "begin read only", "select 1", "rollback", protocol=protocol)
    assert ended(log) == [(False, 3, False, False, False, True, None)]
    run(client, "begin", "set transaction isolation level serializable", "select 1", "end", protocol=protocol)
    assert ended(log) == [(True, 4, False, False, False, None, "serializable")]


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_a_commit_that_rolls_back(client: WireClient, log: Log, protocol: str) -> None:
    run(client, "begin", "select 1/0", "commit", protocol=protocol)
    assert [one[0] for one in ended(log)] == [False]
    run(client, "begin", "savepoint a", "select 1/0", "rollback to a", "commit", protocol=protocol)
    assert [one[0] for one in ended(log)] == [True]
    run(client, "begin", "insert into t values (1), (1)", "commit", protocol=protocol)
    assert [one[0] for one in ended(log)] == [False]


@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_a_chain_of_transactions(client: WireClient, log: Log, protocol: str) -> None:
    run(
        client,
        "begin",
        "insert into t values (1)",
        "commit and chain",
        "select 1",
        "rollback and chain",
        protocol=protocol,
    )
    assert [(one[0], one[2]) for one in ended(log)] == [(True, True), (False, False)]
    run(client, "commit", protocol=protocol)
    assert [one[0] for one in ended(log)] == [True]


def test_a_pipeline(client: WireClient, log: Log) -> None:
    say(client, *extended("insert into t values (1)"), *extended("select 1/0"), *extended("select 2"), f.sync())
    assert ended(log) == [(False, 3, True, True, False, None, None)]
    say(client, *extended("begin"), *extended("insert into t values (1)"), f.sync())
    assert ended(log) == []
    say(client, *extended("commit"), f.sync(), *extended("select 1"), f.sync(), readies=2)
    assert [(one[0], one[1]) for one in ended(log)] == [(True, 3), (True, 1)]
    say(client, f.query("select 1"), f.query("insert into t values (2)"), f.query("select 2"), readies=3)
    assert [(one[0], one[2]) for one in ended(log)] == [(True, False), (True, True), (True, False)]


def test_a_sync_alone_is_no_transaction(client: WireClient, log: Log) -> None:
    say(client, f.sync())
    say(client, f.parse("select 1"), f.sync())
    assert ended(log) == []


def test_answered_and_refused(client: WireClient, log: Log) -> None:
    run(client, "select 1 /* respond 5 */", "select 1 /* block */")
    assert [(one[0], one[1]) for one in ended(log)] == [(True, 1)]
    run(client, "begin", "select 1 /* block */", "commit")
    assert [one[0] for one in ended(log)] == [False]


def test_a_client_that_leaves_commits_nothing(clients: Clients, log: Log) -> None:
    client = clients.connect(DATABASE)
    run(client, "begin", "insert into t values (1)")
    client.send_goodbye()
    assert ended(log) == [(False, 2, True, True, False, None, None)]


def test_a_session_changes(client: WireClient, log: Log) -> None:
    run(client, "set work_mem = '7MB'", "select 1")
    assert log.take("changed")[-1] == ("changed", "7MB", "postgres", False)
    run(client, "begin", "set work_mem = '8MB'")
    assert log.take("changed")[-1][3] is True
    run(client, "rollback", "select 1")
    assert log.take("changed")[-1] == ("changed", "7168", "postgres", False)  # as pg_settings shows it
    run(client, "select 1")
    assert log.take("changed") == []
