"""Clients that go away with work under way: what becomes of the work, and of the backend."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, errors, pid_of, tags, upstream, wait_for_arrival, wait_for_departure
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.sockets import SocketDiagnosis
from tests.support.watch import Activity, wait_until

pytestmark = pytest.mark.usefixtures("empty_table")

DATABASE = "abandoned"
MODES = ("transaction", "session", "statement")


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    server = postgres18
    server.create_database(DATABASE)
    server.psql("create table t (i int)", dbname=DATABASE)
    tables: Tables = {
        f"databases.{mode}": {"primary": upstream(server, DATABASE), "pool_mode": mode, "pool_size": 1}
        for mode in MODES
    }
    with run_proxy(tables) as running:
        yield running
    server.drop_database(DATABASE)


def assert_next_client_is_served(clients: Clients, mode: str) -> None:
    """By a backend with nothing of the last one in it."""
    client = clients.connect(mode)
    look = "select current_setting('work_mem'), (select count(*) from t), (select count(*) from pg_cursors)"
    assert client.query(look) == [("4MB", "0", "0")]
    client.send_goodbye()


@pytest.mark.parametrize("mode", MODES)
def test_the_query_of_a_client_that_vanished_is_canceled(
    clients: Clients, activity: Activity, diagnosis: SocketDiagnosis, mode: str
) -> None:
    """Trap 15."""
    client = clients.connect(mode)
    client.send(f.query("insert into t select 1 from pg_sleep(600)"))
    pid = activity.wait_for_query("pg_sleep(600)")
    wait_for_departure(client, diagnosis)
    wait_until(lambda: pid not in activity.pids(), "the backend of the canceled query is gone")
    assert_next_client_is_served(clients, mode)


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize(
    "work",
    [
        [f.query("begin; set work_mem = '5MB'; insert into t values (1); declare c cursor for select 1")],
        [f.query("begin"), f.query("insert into t values (1)"), f.query("select 1/0")],
        [f.query("begin"), f.parse("insert into t values (1)"), f.bind(), f.execute(), f.sync()],
    ],
    ids=["open", "failed", "extended"],
)
@pytest.mark.parametrize("goodbye", [True, False], ids=["terminate", "vanish"])
def test_the_transaction_of_a_client_that_left_is_rolled_back(
    clients: Clients, activity: Activity, work: list[Frontend], mode: str, goodbye: bool
) -> None:
    """Trap 15."""
    client = clients.connect(mode)
    pid = pid_of(client)
    client.send(*work)
    client.read_until_ready(2 + sum(message.name in ("Query", "Sync") for message in work))
    if goodbye:
        client.send_goodbye()
    else:
        client.close()
    wait_until(lambda: pid not in activity.pids(), "the backend of the transaction is gone")
    assert_next_client_is_served(clients, mode)


def test_an_unfinished_batch_of_a_client_that_vanished_is_rolled_back(clients: Clients, activity: Activity) -> None:
    """Trap 15. PostgreSQL's implicit transaction ends with Sync, which never comes."""
    client = clients.connect("transaction")
    client.send(f.parse("insert into t values (1)"), f.bind(), f.execute(), f.flush())
    client.read_until(lambda: b"C" in tags(client))
    client.close()
    assert_next_client_is_served(clients, "transaction")


@pytest.mark.parametrize("mode", MODES)
def test_the_copy_in_of_a_client_that_vanished_copies_nothing(clients: Clients, activity: Activity, mode: str) -> None:
    """Trap 15."""
    client = clients.connect(mode)
    pid = pid_of(client)
    client.send(f.query("copy t from stdin"))
    client.read_until(lambda: b"G" in tags(client))
    client.send(f.copy_data(b"1\n2\n"))
    client.close()
    wait_until(lambda: pid not in activity.pids(), "the backend of the COPY is gone")
    assert_next_client_is_served(clients, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "sql",
    [
        "copy (select repeat('x', 1000), generate_series(1, 10000000)) to stdout",
        "select repeat('x', 1000), generate_series(1, 10000000)",
    ],
    ids=["copy_out", "rows"],
)
def test_the_result_of_a_client_that_vanished_in_the_midst_of_it_is_canceled(
    clients: Clients, activity: Activity, mode: str, sql: str
) -> None:
    """Trap 15."""
    client = clients.connect(mode)
    pid = pid_of(client)
    client.send(f.query(sql))
    client.read_until(lambda: client.bytes_received > 1_000_000)
    client.close()
    wait_until(lambda: pid not in activity.pids(), "the backend of the result is gone")
    assert_next_client_is_served(clients, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [60, 70_000, 300_000])
@pytest.mark.parametrize("wrap", [f.query, f.parse], ids=["query", "parse"])
def test_a_message_that_breaks_off_is_never_run_and_spoils_no_backend(
    clients: Clients,
    activity: Activity,
    diagnosis: SocketDiagnosis,
    size: int,
    mode: str,
    wrap: Callable[[str], Frontend],
) -> None:
    """Traps 11 and 15: some of these are longer than what is collected before it is forwarded."""
    client = clients.connect(mode)
    message = wrap("insert into t values (1) --" + "x" * size)
    client.write(message.data[:-2])
    wait_for_arrival(client, diagnosis)
    client.close()
    assert_next_client_is_served(clients, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "work",
    [
        [f.query("insert into t select 1 from pg_sleep(0.3)")],
        [f.query("select pg_sleep(0.3)"), f.query("insert into t values (1)")],
        [f.parse("insert into t select 1 from pg_sleep(0.3)"), f.bind(), f.execute(), f.sync()],
        [f.query("select pg_sleep(0.2)"), f.parse("insert into t values (1)"), f.bind(), f.execute(), f.sync()],
    ],
    ids=["query", "two_queries", "batch", "query_and_batch"],
)
def test_what_was_asked_before_terminate_is_done_though_nobody_waits(
    clients: Clients, activity: Activity, postgres18: PostgresServer, mode: str, work: list[Frontend]
) -> None:
    """As with PostgreSQL itself, which reads Terminate after it has done what came before."""
    client = clients.connect(mode)
    client.send(*work, f.terminate())
    client.close()
    count = "select count(*) from t"
    wait_until(lambda: postgres18.psql(count, dbname=DATABASE) == "1", "the work is committed")
    activity.wait_for_rest()
    postgres18.psql("set lock_timeout = '9s'; truncate t", dbname=DATABASE)
    assert_next_client_is_served(clients, mode)


def test_a_client_that_waits_and_says_terminate_is_still_served(clients: Clients, activity: Activity) -> None:
    """PostgreSQL would do the work too, as soon as it can."""
    holder, leaver = clients.connect("transaction"), clients.connect("transaction")
    holder.query("begin")
    leaver.send(f.query("insert into t values (1)"), f.terminate())
    holder.query("select pg_sleep(0.1)")
    holder.query("commit")
    leaver.read_to_end()
    assert holder.query("select count(*) from t") == [("1",)]


@pytest.mark.parametrize("mode", MODES)
def test_who_says_terminate_behind_a_failed_copy_with_a_sync_in_it_hears_what_postgresql_says_alone(
    clients: Clients, activity: Activity, mode: str
) -> None:
    """The server is sent that Terminate, and that it hangs up then is no failure."""
    client = clients.connect(mode)
    client.send(f.query("copy t from stdin"), f.sync(), f.copy_fail("why"), f.terminate())
    client.read_to_end()
    assert [error["C"] for error in errors(client)] == ["57014"]
    activity.wait_for_rest()
    assert_next_client_is_served(clients, mode)


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack("!cI", b"!", 4),
        struct.pack("!cI", b"Q", 3),
        struct.pack("!cI", b"Q", 0xFFFFFFFF),
        struct.pack("!cI", b"S", 40_000) + bytes(40_000),
        f.password("out of place").data,
        f.startup({"user": "postgres"}).data,
    ],
    ids=["type", "too_short", "too_long", "long_sync", "password", "startup"],
)
@pytest.mark.parametrize("opening", ["select 1", "begin; insert into t values (1)"])
def test_garbage_ends_its_client_alone(clients: Clients, activity: Activity, garbage: bytes, opening: str) -> None:
    client = clients.connect("transaction")
    client.query(opening)
    client.write(garbage)
    client.read_to_end()
    (error,) = errors(client)
    assert (error["V"], error["C"]) == ("FATAL", "08P01")
    assert_next_client_is_served(clients, "transaction")


def test_garbage_behind_a_query_ends_the_client_without_harm(clients: Clients) -> None:
    client = clients.connect("transaction")
    client.write(f.query("insert into t select 1 from pg_sleep(600)").data + b"!garbage")
    client.read_to_end()
    assert [error["C"] for error in errors(client)] == ["08P01"]
    assert_next_client_is_served(clients, "transaction")
