"""Settings that a plugin makes hold for one statement alone, over both protocols, in and outside of transactions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import decode_error
from tests.support.observed import PLUGIN
from tests.support.proxied import upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.saying import extended, say
from tests.support.wire import WireClient

DATABASE = "conditions"

MINE = "select current_setting('work_mem') /* set work_mem=7MB */"
PLAIN = "select current_setting('work_mem')"
FAST = "select pg_sleep(30) /* set statement_timeout=50 */"


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    postgres18.create_database(DATABASE)
    postgres18.psql("create table t (i int)", dbname=DATABASE)
    tables: Tables = {
        f"databases.{DATABASE}": {"primary": upstream(postgres18, DATABASE), "pool_size": 1},
        "plugins": {"modules": [str(PLUGIN)]},
        "plugins.observing": {"file": str(tmp_path_factory.mktemp("conditions") / "told")},
    }
    with run_proxy(tables) as made:
        yield made
    postgres18.drop_database(DATABASE)


pytestmark = pytest.mark.usefixtures("empty_table")


def values(client: WireClient, *texts: str, protocol: str) -> list[str]:
    """What each says: its row, or its error's SQLSTATE."""
    said = []
    for text in texts:
        replies = say(client, *([f.query(text)] if protocol == "simple" else [*extended(text), f.sync()]))
        found = [one for one in replies if one.startswith(("DataRow", "Error"))]
        said += [one.removeprefix("Error ").removeprefix("DataRow b'").rstrip("'") for one in found]
    return said


both = pytest.mark.parametrize("protocol", ["simple", "extended"])


@both
def test_they_hold_for_the_statement_alone(client: WireClient, protocol: str) -> None:
    assert values(client, PLAIN, MINE, PLAIN, protocol=protocol) == ["4MB", "7MB", "4MB"]


@both
def test_they_hold_in_a_transaction(client: WireClient, protocol: str) -> None:
    said = values(
        client, "begin", "savepoint a", MINE, PLAIN, "rollback to a", PLAIN, "commit", PLAIN, protocol=protocol
    )
    assert said == ["7MB", "4MB", "4MB", "4MB"]


@both
def test_what_the_client_has_set_counts_again(client: WireClient, protocol: str) -> None:
    said = values(client, "begin", "set local work_mem = '5MB'", MINE, PLAIN, "commit", PLAIN, protocol=protocol)
    assert said == ["7MB", "5MB", "4MB"]
    said = values(client, "begin", "set work_mem = '6MB'", MINE, PLAIN, "commit", PLAIN, MINE, PLAIN, protocol=protocol)
    assert said == ["7MB", "6MB", "6MB", "7MB", "6MB"]
    assert values(client, "begin", "set work_mem = '9MB'", MINE, "rollback", PLAIN, protocol=protocol) == ["7MB", "6MB"]


@both
def test_what_the_statement_sets_stays(client: WireClient, protocol: str) -> None:
    sets = "select set_config('work_mem', '8MB', false) /* set work_mem=7MB */"
    assert values(client, sets, PLAIN, protocol=protocol) == ["8MB", "8MB"]
    assert values(client, "begin", sets, PLAIN, "commit", PLAIN, protocol=protocol) == ["8MB", "8MB", "8MB"]


@both
def test_when_the_statement_fails(client: WireClient, protocol: str) -> None:
    assert values(client, FAST, "show statement_timeout", protocol=protocol) == ["57014", "0"]
    said = values(
        client, "begin", "savepoint a", FAST, "rollback to a", "show statement_timeout", "commit", protocol=protocol
    )
    assert said == ["57014", "0"]


@both
def test_a_setting_that_can_not_be_set(client: WireClient, protocol: str) -> None:
    said = values(client, "select 1 /* set statement_timeout=soon */", "begin", "select 1", "commit", protocol=protocol)
    assert said == ["22023", "1"]
    assert "soon" in decode_error(next(one.body for one in client.replies if one.tag == b"E"))["M"]


def test_a_pipeline(client: WireClient) -> None:
    other = PLAIN + " /* set work_mem=8MB */"
    sent = [*extended(PLAIN), *extended(MINE), *extended(MINE), *extended(other), *extended(PLAIN), f.sync()]
    rows = [one for one in say(client, *sent) if one.startswith("DataRow")]
    assert rows == [f"DataRow b'{size}MB'" for size in (4, 7, 7, 8, 4)]


def test_portals_that_are_interleaved(client: WireClient) -> None:
    sent = [
        f.parse(MINE, "a"),
        f.parse(PLAIN, "b"),
        f.bind(statement="a", portal="a"),
        f.bind(statement="b", portal="b"),
        f.execute("b"),
        f.execute("a"),
        f.sync(),
    ]
    rows = [one for one in say(client, *sent) if one.startswith("DataRow")]
    assert rows == ["DataRow b'4MB'", "DataRow b'7MB'"]


def test_a_statement_prepared_in_a_batch_that_goes_on(client: WireClient) -> None:
    client.send(f.parse(MINE, "s"), f.describe_statement("s"), f.flush())
    client.read_until(lambda: client.replies[-1].tag == b"T")
    for _ in range(2):
        assert say(client, f.bind(statement="s"), f.execute(), f.sync())[1] == "DataRow b'7MB'"
    assert values(client, PLAIN, protocol="simple") == ["4MB"]


def test_in_the_midst_of_a_portal(client: WireClient) -> None:
    sql = "select current_setting('work_mem') from generate_series(1, 2) /* set work_mem=7MB */"
    say(client, f.query("begin"))
    sent = [f.parse(sql), f.bind(portal="p"), f.execute("p", 1), *extended(PLAIN), f.execute("p", 1), f.sync()]
    rows = [one for one in say(client, *sent) if one.startswith("DataRow")]
    assert rows == ["DataRow b'7MB'", "DataRow b'4MB'", "DataRow b'7MB'"]
    say(client, f.query("rollback"))


@both
def test_what_controls_the_session_runs_as_it_is(client: WireClient, protocol: str) -> None:
    said = values(
        client,
        "begin /* set work_mem=7MB */",
        "set transaction isolation level serializable /* set work_mem=7MB */",
        "show transaction_isolation /* set work_mem=7MB */",
        "commit /* set work_mem=7MB */",
        protocol=protocol,
    )
    assert said == ["serializable"]


def test_what_is_refused(client: WireClient) -> None:
    refused = ["Error 0A000", "ReadyForQuery I"]
    assert say(client, f.query(f"select 1; {MINE}")) == refused
    copy = "copy t from stdin /* set work_mem=7MB */"
    assert say(client, f.query(copy)) == refused
    assert say(client, *extended(copy), f.sync()) == ["ParseComplete", *refused]


def test_a_query_looks_like_one(client: WireClient) -> None:
    assert say(client, f.query(MINE)) == [
        "RowDescription",
        "DataRow b'7MB'",
        "CommandComplete 'SELECT 1'",
        "ReadyForQuery I",
    ]
    assert say(client, f.query("insert into t values (1) /* set work_mem=7MB */")) == [
        "CommandComplete 'INSERT 0 1'",
        "ReadyForQuery I",
    ]


@both
def test_with_limits(client: WireClient, protocol: str) -> None:
    flood = "insert into t select generate_series(1, 5) returning i /* set work_mem=7MB */ /* limit 3 rows */"
    for around in ([], ["begin"]):
        said = values(client, *around, flood, "rollback", "select count(*) from t", PLAIN, protocol=protocol)
        if protocol == "extended" or around:
            assert said == ["1", "2", "3", "54000", "0", "4MB"]
        else:
            assert said[:4] == ["1", "2", "3", "54000"]
            say(client, f.query("truncate t"))
