"""What ends because time has passed. Each time-out is shown by what happens, and that it did not happen too early."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, errors, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.sockets import SocketDiagnosis
from tests.support.watch import Activity, wait_until
from tests.support.wire import WireClient

DATABASE = "pool_timeouts"
# One role for each time-out of a user, so that one proxy serves all of them.
USERS = {
    "to_query": {"query_timeout": "500ms"},
    "to_idle_transaction": {"idle_transaction_timeout": "500ms"},
    "to_batch": {"idle_transaction_timeout": "1500ms"},
    "to_transaction": {"transaction_timeout": "1s"},
    "to_client_idle": {"client_idle_timeout": "1s"},
    "to_wait": {"query_wait_timeout": "500ms"},
}


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    server = postgres18
    server.create_database(DATABASE)
    for user in USERS:
        server.psql(f"create role {user} login")

    def database(name: str, user: str = "") -> str:
        return upstream(server, DATABASE, user, application_name=name)

    tables: Tables = {
        # Backends are counted and watched here: one that is asked what a statement did is not free yet.
        "server": {"catalogue": False, "server_idle_timeout": "1s"},
        "databases.own": {"primary": database("own")},
        "databases.waited": {"primary": database("waited", "postgres"), "pool_size": 1},
        "databases.shared": {"primary": database("shared", "postgres"), "pool_size": 1, "query_wait_timeout": 0},
        "databases.short_lived": {"primary": database("short_lived", "postgres"), "server_lifetime": "1s"},
        "databases.once": {"primary": database("once", "postgres"), "server_lifetime": 0},
        "databases.kept": {"primary": database("kept", "postgres"), "min_pool_size": 1},
        **{f"users.{user}": settings for user, settings in USERS.items()},
    }
    with run_proxy(tables) as running:
        yield running
    server.drop_database(DATABASE)
    for user in USERS:
        server.psql(f"drop role {user}")


@pytest.fixture(scope="module", autouse=True)
def deaf(proxy: Proxy) -> Iterator[WireClient]:
    """A client that reads nothing. It is cut off while the other tests run, and not waited for alone."""
    with Clients(proxy) as clients:
        client = clients.connect("own", "to_query")
        client.send(f.query("select repeat('x', 1000) from generate_series(1, 100000)"))
        yield client


def end_of(client: WireClient, *messages: Frontend) -> tuple[float, str]:
    """Send, read to the end, and return how long that took, and the SQLSTATE of the only error."""
    start, seen = time.monotonic(), len(client.replies)
    client.send(*messages)
    client.read_to_end()
    (error,) = errors(client, seen)
    assert error["V"] == "FATAL"
    return time.monotonic() - start, error["C"]


def test_query_timeout_ends_the_client_and_cancels_its_query(clients: Clients, postgres18: PostgresServer) -> None:
    client = clients.connect("own", "to_query")
    elapsed, sqlstate = end_of(client, f.query("select pg_sleep(60)"))
    assert elapsed >= 0.5
    assert sqlstate == "57014"
    with Activity(postgres18, DATABASE) as activity:
        wait_until(lambda: not activity.count("AND usename = 'to_query'"), "the backend is gone")


def test_idle_transaction_timeout_ends_the_client_and_rolls_back(clients: Clients, postgres18: PostgresServer) -> None:
    client = clients.connect("own", "to_idle_transaction")
    # A query may take longer than it, and so may a client between its transactions.
    client.query("select pg_sleep(0.8)")
    elapsed, sqlstate = end_of(client, f.query("begin"))
    assert elapsed >= 0.4, "within a tick of what was asked for"
    assert sqlstate == "25P03"
    with Activity(postgres18, DATABASE) as activity:
        wait_until(lambda: not activity.count("AND usename = 'to_idle_transaction'"), "the backend is gone")


def test_a_batch_that_goes_on_without_a_sync_is_not_idle(clients: Clients, postgres18: PostgresServer) -> None:
    """No ReadyForQuery comes for longer than idle_transaction_timeout, but each piece is answered at once."""
    client = clients.connect("own", "to_batch")
    client.send(f.parse("select 1"), f.flush())
    with Activity(postgres18, DATABASE) as activity:
        for _ in range(20):
            client.send(f.bind(), f.execute(), f.flush())
            client.read_count(len(client.replies) + 3)
            activity.control.query("select pg_sleep(0.1)")
    client.send(f.sync())
    client.read_until_ready(2)
    assert not errors(client)


def test_transaction_timeout_ends_a_client_that_is_busy_in_its_transaction(clients: Clients) -> None:
    client = clients.connect("own", "to_transaction")
    for _ in range(3):
        client.query("select pg_sleep(0.4)")
    elapsed, sqlstate = end_of(client, f.query("begin"), *[f.query("select pg_sleep(0.1)")] * 600)
    assert elapsed >= 0.9
    assert sqlstate == "25P04"


def test_client_idle_timeout_counts_from_the_last_answer(clients: Clients) -> None:
    client = clients.connect("own", "to_client_idle")
    elapsed, sqlstate = end_of(client, f.query("select pg_sleep(1.5)"))
    assert elapsed >= 1.5 + 0.9
    assert sqlstate == "57P05"


def test_query_wait_timeout_ends_the_client_that_waits_and_the_queue_goes_on(clients: Clients) -> None:
    """Trap 29."""
    holder, waiter, patient = (clients.connect("waited", user) for user in ("postgres", "to_wait", "postgres"))
    holder.query("begin")
    elapsed, sqlstate = end_of(waiter, f.query("select 1"))
    assert elapsed >= 0.5
    assert sqlstate == "53300"
    patient.send(f.query("select 1"))
    holder.query("commit")
    patient.read_until_ready(2)
    assert not errors(patient)


def test_without_query_wait_timeout_a_client_waits_on(clients: Clients) -> None:
    """The database says 0, which lifts the 120 s of the server's default; told from outside by the order alone."""
    holder, waiter = clients.connect("shared"), clients.connect("shared")
    holder.query("begin")
    waiter.send(f.query("select 'late'"))
    holder.query("select pg_sleep(0.3)")
    waiter.read_available()
    assert waiter.ready_count == 1
    holder.query("commit")
    waiter.read_until_ready(2)
    assert not errors(waiter)


def test_server_lifetime_replaces_a_backend_between_transactions(clients: Clients, postgres18: PostgresServer) -> None:
    client = clients.connect("short_lived")
    client.query("begin")
    (first,) = client.query("select pg_backend_pid(), pg_sleep(1.2)")
    (second,) = client.query("select pg_backend_pid()")
    assert first[0] == second[0], "an open transaction keeps its backend, however old that is"
    client.query("commit")
    (third,) = client.query("select pg_backend_pid()")
    assert third != second
    with Activity(postgres18, application="short_lived") as activity:
        wait_until(lambda: not activity.count(), "the idle backend is closed when its time is over")


def test_a_server_lifetime_of_0_uses_each_backend_once(clients: Clients) -> None:
    client = clients.connect("once")
    pids = [client.query("select pg_backend_pid()")[0][0] for _ in range(3)]
    assert len(set(pids)) == 3


def test_server_idle_timeout_closes_all_but_min_pool_size(clients: Clients, postgres18: PostgresServer) -> None:
    members = [clients.connect("kept") for _ in range(3)]
    for member in members:
        member.query("begin")
    with Activity(postgres18, application="kept") as activity:
        three = activity.pids()
        assert len(three) == 3
        for member in members:
            member.query("commit")
        wait_until(lambda: activity.count() == 1, "what was idle for too long is closed")
        (left,) = activity.pids()
        assert left in three, "one was kept, and not all closed and one opened"
    assert members[0].query("select pg_backend_pid()") == [(str(left),)]


def test_a_client_that_never_reads_is_cut_off_some_seconds_after_its_end(
    deaf: WireClient, diagnosis: SocketDiagnosis, postgres18: PostgresServer
) -> None:
    """Trap 27: what it was sent can't be delivered, so the end of its connection can't wait for that."""
    wait_until(lambda: diagnosis.state(deaf.peer, deaf.address) is None, "the proxy has let go of it")
    with Activity(postgres18, DATABASE) as activity:
        assert not activity.count("AND usename = 'to_query'")
