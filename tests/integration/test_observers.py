"""What observers hear of executions, over both protocols and a real server: each that began comes to one end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.observed import Log, observed_proxy
from tests.support.proxied import Clients
from tests.support.proxy import Proxy
from tests.support.saying import extended, say
from tests.support.watch import wait_until
from tests.support.wire import WireClient

DATABASE = "observed"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("observed")


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, folder: Path) -> Iterator[Proxy]:
    with observed_proxy(postgres18, DATABASE, folder / "told", query_wait_timeout="1s") as made:
        yield made


@pytest.fixture
def log(proxy: Proxy, folder: Path) -> Log:
    return Log(folder / "told")


pytestmark = pytest.mark.usefixtures("empty_table")


def test_a_query(client: WireClient, log: Log) -> None:
    assert say(client, f.query("select generate_series(1, 3)"))[-1] == "ReadyForQuery I"
    assert log.take() == [
        ("started", "select generate_series(1, 3)"),
        ("finished", "SELECT 3", 3, 36, "backend", "primary"),
    ]


def test_the_rows_of_a_query(client: WireClient, log: Log) -> None:
    say(client, f.query("select 'a', 'b' /* rows */"))
    assert log.take()[1:] == [
        ("described", 2),
        ("received", 1, 17),
        ("finished", "SELECT 1", 1, 17, "backend", "primary"),
    ]


def test_a_query_of_several_statements_is_one_execution(client: WireClient, log: Log) -> None:
    say(client, f.query("select 1; insert into t values (1), (2) returning i; select 5 /* rows */"))
    told = log.take()
    assert [one[0] for one in told] == ["started", *["described", "received"] * 3, "finished"]
    assert told[-1][:3] == ("finished", "SELECT 1", 4)


def test_an_empty_query(client: WireClient, log: Log) -> None:
    assert say(client, f.query("")) == ["EmptyQueryResponse", "ReadyForQuery I"]
    assert log.ends() == [("finished", "", 0, "backend", "primary")]


def test_a_query_that_fails(client: WireClient, log: Log) -> None:
    say(client, f.query("select 1; select 1/0; select 3"))
    assert log.take("finished", "failed") == [("failed", "22012", "division by zero", "backend", "primary")]


def test_what_can_not_be_parsed(client: WireClient, log: Log) -> None:
    say(client, f.query("selec 1"))
    assert log.ends() == [("failed", "42601", "backend", "primary")]


def test_an_execution_of_the_extended_protocol(client: WireClient, log: Log) -> None:
    say(client, f.parse("select 7 /* rows */"), f.bind(), f.describe_portal(), f.execute(), f.sync())
    assert [one[0] for one in log.take()] == ["started", "described", "received", "finished"]


def test_a_portal_is_one_execution_however_many_parts_are_taken(client: WireClient, log: Log) -> None:
    sql = "select generate_series(1, 5)"
    sent = [f.parse(sql), f.bind(), f.execute(rows=2), f.execute(rows=2), f.execute(rows=2), f.execute(), f.sync()]
    said = say(client, *sent)
    assert said.count("PortalSuspended") == 2
    assert said[-2:] == ["CommandComplete 'SELECT 0'", "ReadyForQuery I"]
    assert log.ends() == [("finished", "SELECT 1", 5, "backend", "primary")]


def test_a_portal_left_in_the_midst(client: WireClient, log: Log) -> None:
    say(client, *extended("select generate_series(1, 5)", rows=2), f.sync())
    assert log.ends() == [("finished", "PORTAL SUSPENDED", 2, "backend", "primary")]


def test_a_portal_is_over_when_it_is_closed_or_replaced(client: WireClient, log: Log) -> None:
    say(client, f.query("begin"))
    log.take()
    say(client, *extended("select generate_series(1, 5)", rows=2), f.sync())
    assert log.ends() == []
    say(client, f.close_portal(), f.sync())
    assert log.ends() == [("finished", "PORTAL SUSPENDED", 2, "backend", "primary")]
    say(client, *extended("select generate_series(1, 5)", rows=1), *extended("select 2"), f.sync())
    assert log.ends() == [
        ("finished", "PORTAL SUSPENDED", 1, "backend", "primary"),
        ("finished", "SELECT 1", 1, "backend", "primary"),
    ]
    say(client, f.query("rollback"))


def test_a_portal_that_is_never_executed(client: WireClient, log: Log) -> None:
    say(client, f.parse("select 1"), f.bind(), f.sync())
    assert log.ends() == [("failed", "57014", "proxy", "primary")]


def test_a_pipeline_with_an_error(client: WireClient, log: Log) -> None:
    say(
        client,
        *extended("select 1"),
        *extended("select 1/(i - i) from generate_series(1, 1) i"),
        *extended("select 3"),
        f.sync(),
    )
    assert log.ends() == [
        ("finished", "SELECT 1", 1, "backend", "primary"),
        ("failed", "22012", "backend", "primary"),
        ("failed", "57014", "proxy", "primary"),
    ]


def test_an_error_at_bind(client: WireClient, log: Log) -> None:
    sent = [f.parse("select $1::int"), f.bind(values=[b"x"]), f.execute(), f.sync()]
    say(client, *sent)
    assert log.ends() == [("failed", "22P02", "backend", "primary")]


def test_prepared_statements(client: WireClient, log: Log) -> None:
    say(client, f.parse("select $1::int + 1", "s"), f.sync())
    for number in (b"1", b"2"):
        say(client, f.bind(statement="s", values=[number]), f.execute(), f.sync())
    assert [one[0] for one in log.take()] == ["started", "finished"] * 2


def test_a_batch_that_is_sent_again_has_one_end(client: WireClient, log: Log, postgres18: PostgresServer) -> None:
    postgres18.psql("drop table if exists wide; create table wide (i int)", dbname=DATABASE)
    run = (f.bind(statement="s"), f.describe_portal(), f.execute(), f.sync())
    say(client, f.parse("select * from wide", "s"), f.sync())
    say(client, *run)
    postgres18.psql("alter table wide add j int; insert into wide values (1, 2)", dbname=DATABASE)
    log.take()
    assert "DataRow b'1' b'2'" in say(client, *run)
    assert log.take() == [("started", "select * from wide"), ("finished", "SELECT 1", 1, 17, "backend", "primary")]


def test_copy(client: WireClient, log: Log) -> None:
    assert (
        say(client, f.query("copy t from stdin"), f.copy_data(b"1\n2\n"), f.copy_done())[-2]
        == "CommandComplete 'COPY 2'"
    )
    assert log.ends() == [("finished", "COPY 2", 0, "backend", "primary")]
    say(client, f.query("copy t to stdout"))
    assert log.take()[1:] == [("finished", "COPY 2", 2, 14, "backend", "primary")]
    say(client, *extended("copy t to stdout"), f.sync())
    assert log.ends() == [("finished", "COPY 2", 2, "backend", "primary")]
    assert say(client, f.query("copy t from stdin"), f.copy_data(b"1\n"), f.copy_fail("no"))[-2] == "Error 57014"
    assert log.ends() == [("failed", "57014", "backend", "primary")]


def test_blocked_and_answered(client: WireClient, log: Log) -> None:
    say(client, f.query("select 1 /* block */"))
    assert log.ends() == [("failed", "42501", "plugin", "")]
    say(client, *extended("select 1 /* block */"), f.sync())
    assert log.ends() == [("failed", "42501", "plugin", "")]
    for sent in ([f.query("select 1 /* respond 5 */")], [*extended("select 1 /* respond 5 */"), f.sync()]):
        say(client, *sent)
        assert log.take()[-1] == ("finished", "SELECT 5", 5, 60, "plugin", "")
    say(client, *extended("select 1 /* respond 5 */", rows=2), f.sync())
    assert log.ends() == [("finished", "PORTAL SUSPENDED", 2, "plugin", "")]
    say(client, f.query("select 1 /* respond 2 */ /* rows */"))
    assert [one[0] for one in log.take()] == ["started", "described", "received", "finished"]


def test_an_answer_behind_an_error_is_not_given(client: WireClient, log: Log) -> None:
    say(client, *extended("select 1/0"), *extended("select 1 /* respond 5 */"), f.sync())
    assert log.ends() == [("failed", "22012", "backend", "primary"), ("failed", "57014", "proxy", "")]


def test_rows_longer_than_what_comes_at_once(client: WireClient, log: Log) -> None:
    say(client, f.query("select repeat('x', 300000) from generate_series(1, 3) /* rows */"))
    told = log.take()
    assert sum(one[1] for one in told if one[0] == "received" and isinstance(one[1], int)) == 3
    assert told[-1] == ("finished", "SELECT 3", 3, 3 * 300011, "backend", "primary")


def test_rows_too_long_to_be_shown(client: WireClient, log: Log) -> None:
    sql = "select repeat('x', n) from (values (1), (2000000), (2)) as v (n) /* rows */"
    say(client, f.query(sql))
    told = log.take()
    assert sum(one[1] for one in told if one[0] == "received" and isinstance(one[1], int)) == 2
    assert told[-1][:3] == ("finished", "SELECT 3", 3)


def test_a_client_that_waits_too_long(clients: Clients, log: Log) -> None:
    holders = [clients.connect(DATABASE) for _ in range(2)]
    for holder in holders:
        say(holder, f.query("begin"))
    late = clients.connect(DATABASE)
    log.take()
    late.send(f.query("select 1"))
    late.read_until(lambda: late.closed or any(one.tag == b"E" for one in late.replies))
    assert log.ends() == [("failed", "53300", "proxy", "")]


def test_a_client_that_leaves(clients: Clients, log: Log) -> None:
    client = clients.connect(DATABASE)
    client.send(f.query("select pg_sleep(60)"))
    wait_until(lambda: len(log.take("started")) == 1)
    client.close()
    wait_until(lambda: any(end[:3] == ("failed", "57014", "proxy") for end in log.ends()))


def test_a_backend_that_dies(clients: Clients, log: Log, postgres18: PostgresServer) -> None:
    client = clients.connect(DATABASE)
    client.send(f.query("select pg_sleep(60) /* dies */"))
    kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity where query like '%pg_sleep%/* dies */'"
    wait_until(lambda: postgres18.psql(kill, dbname=DATABASE) == "1")
    client.read_until(lambda: client.closed)
    assert log.ends() == [("failed", "57P01", "backend", "primary")]


def test_a_query_that_runs_as_a_batch_and_fails_at_its_commit(client: WireClient, log: Log) -> None:
    sql = "insert into t values (1) /* set work_mem=7MB */"
    assert say(client, f.query(sql)) == ["CommandComplete 'INSERT 0 1'", "ReadyForQuery I"]
    assert say(client, f.query(sql)) == ["Error 23505", "ReadyForQuery I"]
    ends = [("finished", "INSERT 0 1", 0, "backend", "primary"), ("failed", "23505", "backend", "primary")]
    assert log.ends() == ends


def test_a_canceled_query(clients: Clients, client: WireClient, log: Log, postgres18: PostgresServer) -> None:
    client.send(f.query("select pg_sleep(60) /* canceled */"))
    runs = "select count(*) from pg_stat_activity where query like '%pg_sleep%/* canceled */'"
    wait_until(lambda: postgres18.psql(runs, dbname=DATABASE) == "1")
    clients.cancel(client.key)
    client.read_until_ready(client.ready_count + 1)
    assert log.ends() == [("failed", "57014", "backend", "primary")]


# --- Limits ----------------------------------------------------------------------------------------------------------

ONE_TO_THREE = ["DataRow b'1'", "DataRow b'2'", "DataRow b'3'", "Error 54000"]
FLOOD = "select generate_series(1, 5) /* limit 3 rows */"


def test_a_result_beyond_its_rows(client: WireClient, log: Log) -> None:
    assert say(client, f.query(FLOOD)) == ["RowDescription", *ONE_TO_THREE, "ReadyForQuery I"]
    assert log.ends() == [("failed", "54000", "proxy", "primary")]
    assert say(client, f.query("select generate_series(1, 3) /* limit 3 rows */"))[-2:] == [
        "CommandComplete 'SELECT 3'",
        "ReadyForQuery I",
    ]


def test_a_result_beyond_its_rows_fails_its_transaction(client: WireClient) -> None:
    say(client, f.query("begin"))
    assert say(client, f.query(FLOOD))[-2:] == ["Error 54000", "ReadyForQuery E"]
    assert say(client, f.query("select 1")) == ["Error 25P02", "ReadyForQuery E"]
    say(client, f.query("rollback"))
    for _ in range(3):
        assert say(client, f.query("select 1"))[1] == "DataRow b'1'"


def test_a_result_beyond_its_rows_in_the_extended_protocol(client: WireClient, log: Log) -> None:
    sent = [*extended("insert into t values (1)"), *extended(FLOOD), *extended("insert into t values (2)"), f.sync()]
    assert say(client, *sent)[3:] == ["ParseComplete", "BindComplete", *ONE_TO_THREE, "ReadyForQuery I"]
    assert log.ends() == [
        ("finished", "INSERT 0 1", 0, "backend", "primary"),
        ("failed", "54000", "proxy", "primary"),
        ("failed", "57014", "proxy", ""),
    ]
    assert say(client, f.query("select count(*) from t"))[1] == "DataRow b'0'"


def test_limits_count_over_all_parts_of_a_portal(client: WireClient) -> None:
    sent = [f.parse(FLOOD), f.bind(), f.execute(rows=2), f.execute(rows=1), f.execute(rows=1), f.sync()]
    assert say(client, *sent) == [
        "ParseComplete",
        "BindComplete",
        "DataRow b'1'",
        "DataRow b'2'",
        "PortalSuspended",
        "DataRow b'3'",
        "PortalSuspended",
        "Error 54000",
        "ReadyForQuery I",
    ]


def test_what_writes_and_returns_too_much_is_undone(client: WireClient) -> None:
    sql = "insert into t select generate_series(1, 5) returning i /* limit 3 rows */"
    assert say(client, *extended(sql), f.sync())[-2:] == ["Error 54000", "ReadyForQuery I"]
    assert say(client, f.query("select count(*) from t"))[1] == "DataRow b'0'"
    say(client, f.query("begin"))
    assert say(client, f.query(sql))[-2:] == ["Error 54000", "ReadyForQuery E"]
    say(client, f.query("rollback"))


@pytest.mark.parametrize("simple", [True, False])
def test_a_huge_result_is_stopped(client: WireClient, simple: bool) -> None:
    sql = "select repeat('x', 1000000) from generate_series(1, 1000000) /* limit 5000000 bytes */"
    said = say(client, *([f.query(sql)] if simple else [*extended(sql), f.sync()]))
    assert sum(one.startswith("DataRow") for one in said) == 4
    assert said[-2:] == ["Error 54000", "ReadyForQuery I"]
    assert say(client, f.query("select 1"))[1] == "DataRow b'1'"


def test_a_row_longer_than_the_limit_is_not_begun(client: WireClient) -> None:
    said = say(client, f.query("select repeat('x', 10000000) /* limit 90 bytes */"))
    assert said == ["RowDescription", "Error 54000", "ReadyForQuery I"]


def test_limits_of_copy_and_of_what_is_fetched(client: WireClient) -> None:
    say(client, f.query("insert into t select generate_series(1, 5)"))
    said = say(client, f.query("copy t to stdout /* limit 3 rows */"))
    assert [one.split()[0] for one in said] == ["CopyOutResponse", *["CopyData"] * 3, "Error", "ReadyForQuery"]
    say(client, f.query("begin; declare c cursor for select i from t order by i"))
    assert say(client, f.query("fetch all from c /* limit 3 rows */"))[1:] == [*ONE_TO_THREE, "ReadyForQuery E"]
    say(client, f.query("rollback"))


def test_what_is_copied_in_has_no_end_by_limits(client: WireClient, log: Log) -> None:
    sql, rows = "copy t from stdin /* limit 3 rows */", [f.copy_data(b"%d\n" % i) for i in range(5)]
    said = say(client, f.query(sql), *rows, f.copy_done())
    assert said[1:] == ["CommandComplete 'COPY 5'", "ReadyForQuery I"]
    say(client, f.query("delete from t"))
    said = say(client, *extended(sql), *rows, f.copy_done(), *extended(FLOOD), f.sync())
    assert said[3:] == ["CommandComplete 'COPY 5'", "ParseComplete", "BindComplete", *ONE_TO_THREE, "ReadyForQuery I"]
    assert say(client, f.query("select count(*) from t"))[1] == "DataRow b'0'"
    assert log.ends()[0] == ("finished", "COPY 5", 0, "backend", "primary")


def test_limits_of_an_answer(client: WireClient, log: Log) -> None:
    said = say(client, f.query("select 1 /* respond 5 */ /* limit 3 rows */"))
    assert said[-2:] == ["Error 54000", "ReadyForQuery I"]
    assert log.ends() == [("failed", "54000", "plugin", "")]


def test_pipelined_queries_wait_for_a_result_with_limits(client: WireClient) -> None:
    sent = [f.query("begin"), f.query(FLOOD), f.query("select 7"), f.query("rollback"), f.query("select 8")]
    said = say(client, *sent, readies=5)
    assert said[2:] == [
        "RowDescription",
        *ONE_TO_THREE,
        "ReadyForQuery E",
        "Error 25P02",
        "ReadyForQuery E",
        "CommandComplete 'ROLLBACK'",
        "ReadyForQuery I",
        "RowDescription",
        "DataRow b'8'",
        "CommandComplete 'SELECT 1'",
        "ReadyForQuery I",
    ]
