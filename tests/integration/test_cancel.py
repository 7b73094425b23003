"""Cancel requests: they reach the query of their client, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import asyncpg
import psutil
import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer
from interceptor.testing.relay import CutRelay
from tests.support import frontend as f
from tests.support.proxied import Clients, errors, upstream, wait_for_arrival
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.sockets import SocketDiagnosis
from tests.support.watch import Activity, Gate, wait_until
from tests.support.wire import WireClient

DATABASE = "cancel"
MODES = ("transaction", "session", "statement")
WrongKey = Callable[[int, bytes], tuple[int, bytes]]


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, relay: CutRelay) -> Iterator[Proxy]:
    server = postgres18
    server.create_database(DATABASE)
    server.psql("create table t (i int)", dbname=DATABASE)
    through_relay = f"postgresql://postgres@{relay.host}:{relay.port}/{DATABASE}?application_name=relayed"
    tables: Tables = {
        "server": {"cancel_wait_timeout": "300ms"},
        "databases.single": {"primary": upstream(server, DATABASE), "pool_size": 1},
        "databases.relayed": {"primary": through_relay, "pool_size": 1},
        **{f"databases.{mode}": {"primary": upstream(server, DATABASE), "pool_mode": mode} for mode in MODES},
    }
    with run_proxy(tables) as running:
        yield running
    server.drop_database(DATABASE)


@pytest.fixture
def gate(postgres18: PostgresServer) -> Iterator[Gate]:
    with Gate(postgres18, DATABASE) as gate:
        yield gate


def assert_canceled(client: WireClient, ready: int) -> None:
    """Its request ended with 57014, and it can go on."""
    client.read_until_ready(ready)
    (error,) = errors(client)
    assert (error["V"], error["C"]) == ("ERROR", "57014")
    assert client.query("select 1") == [("1",)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("version", [f.PROTOCOL_3_0, f.PROTOCOL_3_2], ids=["3.0", "3.2"])
def test_a_cancel_request_reaches_the_query_of_its_client(
    clients: Clients, activity: Activity, gate: Gate, mode: str, version: int
) -> None:
    """Traps 25 and 26: keys of protocol 3.2 are longer."""
    client, bystander = clients.connect(mode, version=version), clients.connect(mode, version=version)
    assert len(client.key[1]) == (32 if version == f.PROTOCOL_3_2 else 4)
    client.send(f.query("select 'client', pg_sleep(600)"))
    activity.wait_for_query("'client'")
    bystander.send(f.query(f"select {gate.sql}"))
    gate.wait_for()
    clients.cancel(client.key)
    assert_canceled(client, 2)
    gate.open()
    bystander.read_until_ready(2)
    assert not errors(bystander)


def test_a_canceled_batch_is_skipped_up_to_its_sync(clients: Clients, activity: Activity) -> None:
    client = clients.connect("transaction")
    client.send(f.parse("select pg_sleep(600)"), f.bind(), f.execute(), f.parse("select 2"), f.bind(), f.execute())
    client.send(f.sync())
    activity.wait_for_query("pg_sleep(600)")
    clients.cancel(client.key)
    assert_canceled(client, 2)


def test_a_canceled_transaction_stays_with_its_client(clients: Clients, activity: Activity) -> None:
    client = clients.connect("transaction")
    client.query("begin")
    client.send(f.query("select pg_sleep(600)"))
    activity.wait_for_query("pg_sleep(600)")
    clients.cancel(client.key)
    client.read_until_ready(3)
    assert client.last_status == "E"
    client.query("rollback")
    assert client.last_status == "I"


@pytest.mark.parametrize(
    "key",
    [
        lambda pid, secret: (pid, bytes(len(secret))),
        lambda pid, secret: (pid, secret + b"\0"),
        lambda pid, secret: (pid, secret[:-1]),
        lambda pid, secret: (pid ^ 1, secret),
        lambda pid, secret: (0, secret),
        lambda pid, secret: (-1, bytes(256)),
    ],
    ids=["secret", "longer", "shorter", "pid", "zero", "longest"],
)
def test_a_wrong_key_is_ignored_without_a_word(clients: Clients, gate: Gate, key: WrongKey) -> None:
    """Trap 25."""
    client = clients.connect("transaction")
    client.send(f.query(f"select {gate.sql}"))
    gate.wait_for()
    asking = clients.raw()
    asking.send(f.cancel_request(*key(*client.key)))
    asking.read_to_end()
    assert not asking.replies
    gate.open()
    client.read_until_ready(2)
    assert not errors(client)


def test_a_client_that_waits_is_taken_from_the_queue_and_stays_usable(
    clients: Clients, postgres18: PostgresServer, diagnosis: SocketDiagnosis
) -> None:
    """Trap 25."""
    holder, waiter, next_waiter = (clients.connect("single") for _ in range(3))
    holder.query("begin")
    waiter.send(f.query("insert into t values (1)"))
    wait_for_arrival(waiter, diagnosis)
    next_waiter.send(f.query("select 'mine'"))
    wait_for_arrival(next_waiter, diagnosis)
    clients.cancel(waiter.key)
    waiter.read_until_ready(2)
    (error,) = errors(waiter)
    assert (error["V"], error["C"]) == ("ERROR", "57014")
    holder.query("commit")
    next_waiter.read_until_ready(2)
    assert waiter.query("select count(*) from t") == [("0",)]


def test_a_batch_that_waits_is_refused_up_to_its_sync(clients: Clients, diagnosis: SocketDiagnosis) -> None:
    holder, waiter = clients.connect("single"), clients.connect("single")
    holder.query("begin")
    waiter.send(f.parse("insert into t values (1)"), f.bind(), f.execute(), f.sync(), f.query("select 'after'"))
    wait_for_arrival(waiter, diagnosis)
    clients.cancel(waiter.key)
    waiter.read_until_ready(2)
    assert [error["C"] for error in errors(waiter)] == ["57014"]
    holder.query("commit")
    waiter.read_until_ready(3)
    assert len(errors(waiter)) == 1
    assert waiter.query("select count(*) from t") == [("0",)]


def test_hundreds_of_late_cancels_never_hit_the_next_user_of_the_backend(clients: Clients, activity: Activity) -> None:
    """Trap 25: two clients share one backend, and the first one's cancel requests come as its query ends."""
    guilty, innocent = clients.connect("single"), clients.connect("single")
    hits = 0
    for number in range(300):
        asking = clients.raw()
        seen = len(guilty.replies)
        certain_hit, certain_miss = number % 20 == 0, number % 20 == 1
        # Between the two, the answer and the request cross.
        work = f"pg_sleep(60 + {number})" if certain_hit else f"generate_series(1, {number % 20 * 500})"
        guilty.send(f.query(f"select count(*) from {work}"))
        if certain_hit:
            activity.wait_for_query(work)
        innocent.send(f.query("select count(*) from generate_series(1, 2000)"))
        if certain_miss:
            guilty.read_until_ready(number + 2)
        asking.send(f.cancel_request(*guilty.key))
        guilty.read_until_ready(number + 2)
        innocent.read_until_ready(number + 2)
        asking.close()
        hits += bool(errors(guilty, seen))
    assert not errors(innocent)
    assert 0 < hits < 300


def test_a_cancel_request_on_its_way_keeps_the_backend_from_the_next_client(
    clients: Clients, relay: CutRelay, gate: Gate, diagnosis: SocketDiagnosis
) -> None:
    """Trap 25, with the late request held fast: no luck needed."""
    guilty, innocent = clients.connect("relayed"), clients.connect("relayed")
    seen = relay.cancels_seen
    relay.hold_cancels()
    guilty.send(f.query(f"select {gate.sql}"))
    gate.wait_for()
    clients.raw().send(f.cancel_request(*guilty.key))
    wait_until(lambda: relay.cancels_seen > seen, "the request is on its way")
    gate.open()
    guilty.read_until_ready(2)
    innocent.send(f.query("select 'innocent', pg_sleep(0.3)"))
    wait_for_arrival(innocent, diagnosis)
    relay.release_cancels()
    innocent.read_until_ready(2)
    assert not errors(innocent)
    assert not errors(guilty)


@pytest.mark.parametrize("ends", ["before", "after"])
def test_a_cancel_request_that_outlives_cancel_wait_timeout_hits_nobody_else(
    clients: Clients, relay: CutRelay, gate: Gate, postgres18: PostgresServer, ends: str
) -> None:
    """Trap 25: it was given up and may still arrive, so the backend it names is closed and not used again."""
    guilty, innocent = clients.connect("relayed"), clients.connect("relayed")
    seen = relay.cancels_seen
    with Gate(postgres18, DATABASE) as other_gate:
        relay.hold_cancels()
        guilty.send(f.query(f"select {gate.sql}"))
        (pid,) = gate.wait_for()
        asking = clients.raw()
        asking.send(f.cancel_request(*guilty.key))
        wait_until(lambda: relay.cancels_seen > seen, "the request is on its way")
        # The query ends before the request is given up, or after that.
        if ends == "after":
            asking.read_to_end()
        gate.open()
        guilty.read_until_ready(2)
        innocent.send(f.query(f"select {other_gate.sql}"))
        assert other_gate.wait_for() != [pid]
        relay.release_cancels()
        innocent.send(f.query("select pg_sleep(0.2)"))
        other_gate.open()
        innocent.read_until_ready(3)
    assert not errors(innocent)
    assert not errors(guilty)


def test_a_backend_that_dies_while_its_cancel_request_is_on_its_way_is_used_by_nobody(
    clients: Clients, proxy: Proxy, relay: CutRelay, gate: Gate
) -> None:
    client = clients.connect("relayed")
    seen = relay.cancels_seen
    relay.hold_cancels()
    client.send(f.query(f"select {gate.sql}"))
    gate.wait_for()
    clients.raw().send(f.cancel_request(*client.key))
    wait_until(lambda: relay.cancels_seen > seen, "the request is on its way")
    gate.open()
    client.read_until_ready(2)
    relay.cut_others()
    relay.release_cancels()
    wait_until(lambda: not connections(proxy, relay.port), "the proxy has noticed")
    assert client.query("select 1") == [("1",)]


def connections(proxy: Proxy, port: int) -> int:
    """How many connections the proxy has to this port."""
    found = psutil.Process(proxy.pid).net_connections("tcp")
    return sum(bool(each.raddr) and each.raddr.port == port for each in found)


def test_the_connection_of_a_cancel_request_is_closed_when_the_server_has_dealt_with_it(
    clients: Clients, relay: CutRelay, postgres18: PostgresServer
) -> None:
    """Clients wait for that before they send their next query, which the request would hit otherwise."""
    client = clients.connect("relayed")
    seen = relay.cancels_seen
    with Activity(postgres18, application="relayed") as activity:
        client.send(f.query("select 'long', pg_sleep(600)"))
        activity.wait_for_query("'long'")
        relay.hold_cancels()
        asking = clients.raw()
        asking.send(f.cancel_request(*client.key))
        wait_until(lambda: relay.cancels_seen > seen, "the request is on its way")
        # Whatever the proxy meant to do at once, it has done when it answers somebody else.
        clients.connect("transaction").query("select 1")
        asking.read_available()
        assert not asking.closed
        relay.release_cancels()
        asking.read_to_end()
    assert_canceled(client, 2)


def test_words_behind_a_cancel_request_do_no_harm(clients: Clients, activity: Activity, proxy: Proxy) -> None:
    """Trap 25: some clients say Terminate on the connection of the request."""
    client = clients.connect("transaction")
    client.send(f.query("select pg_sleep(600)"))
    activity.wait_for_query("pg_sleep(600)")
    asking = clients.raw()
    asking.send(f.cancel_request(*client.key), f.terminate())
    asking.read_to_end()
    assert_canceled(client, 2)


def test_a_cancel_request_after_the_client_has_gone_is_ignored(clients: Clients) -> None:
    gone = clients.connect("transaction")
    gone.send_goodbye()
    clients.cancel(gone.key)
    assert clients.connect("transaction").query("select 1") == [("1",)]


def test_psycopg_cancels(proxy: Proxy, activity: Activity) -> None:
    with psycopg.connect(proxy.dsn("transaction"), autocommit=True) as connection:
        cursor = connection.cursor()
        pgconn = connection.pgconn
        pgconn.send_query(b"select pg_sleep(600)")
        activity.wait_for_query("pg_sleep(600)")
        connection.cancel_safe(timeout=10)
        while (result := pgconn.get_result()) is not None:
            assert result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"57014"
        assert cursor.execute("select 1").fetchone() == (1,)


async def test_asyncpg_cancels_what_takes_too_long(proxy: Proxy, activity: Activity) -> None:
    connection = await asyncpg.connect(proxy.dsn("transaction"))
    try:
        with pytest.raises(asyncio.TimeoutError):
            await connection.execute("select pg_sleep(600)", timeout=0.2)
        assert await connection.fetchval("select 1") == 1
    finally:
        await connection.close()
    await asyncio.to_thread(wait_until, lambda: "active" not in activity.states(), "the query is canceled")
