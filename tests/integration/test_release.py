"""When a backend goes back to its pool: at ReadyForQuery I with nothing outstanding, and at no other point.

A pool of one tells it from outside. While the first client holds the backend, a second one asks. Had the backend been
released, the second's answer would come before the next answer to the first, since one backend gives both.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, errors, tags, upstream, wait_for_arrival
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.sockets import SocketDiagnosis
from tests.support.watch import Gate
from tests.support.wire import WireClient

DATABASE = "release"


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    server = postgres18
    server.create_database(DATABASE)
    server.psql("create table t (i int); create table journal (at serial, who text)", dbname=DATABASE)
    tables: Tables = {
        f"databases.{mode}": {
            "primary": upstream(server, DATABASE, application_name=mode),
            "pool_mode": mode,
            "pool_size": 1,
        }
        for mode in ("transaction", "statement", "session")
    }
    with run_proxy(tables) as running:
        yield running
    server.drop_database(DATABASE)


Part = tuple[list[Frontend], bytes]
"""Messages in one write, and the type of the reply to wait for."""

BEGIN: Part = ([f.query("begin")], b"Z")
COMMIT: Part = ([f.query("commit")], b"Z")
SELECT: Part = ([f.query("select 1")], b"Z")
SYNC: Part = ([f.sync()], b"Z")

# With the first part a backend is taken; after each part but the last it is still held.
HOLDS: dict[str, list[Part]] = {
    "transaction": [BEGIN, SELECT, COMMIT],
    "rolled_back_transaction": [BEGIN, SELECT, ([f.query("rollback")], b"Z")],
    "failed_transaction": [BEGIN, ([f.query("select 1/0")], b"Z"), SELECT, ([f.query("rollback")], b"Z")],
    "failed_transaction_ended_by_commit": [BEGIN, ([f.query("select 1/0")], b"Z"), SELECT, COMMIT],
    "failed_transaction_of_the_extended_protocol": [
        ([f.parse("begin"), f.bind(), f.execute(), f.sync()], b"Z"),
        ([f.parse("select nonsense"), f.bind(), f.execute(), f.sync()], b"Z"),
        ([f.parse("select 1"), f.sync()], b"Z"),
        ([f.parse("rollback"), f.bind(), f.execute(), f.sync()], b"Z"),
    ],
    "transaction_opened_inside_a_query": [([f.query("select 1; begin; select 2")], b"Z"), SELECT, COMMIT],
    "transaction_reopened_inside_a_query": [([f.query("begin; commit; begin")], b"Z"), SELECT, COMMIT],
    "chain_of_transactions": [BEGIN, ([f.query("commit and chain")], b"Z"), SELECT, COMMIT],
    "savepoint": [BEGIN, ([f.query("savepoint a; select 1/0")], b"Z"), ([f.query("rollback to a")], b"Z"), COMMIT],
    "batch_without_sync": [
        ([f.parse("select 1"), f.bind(), f.execute(), f.flush()], b"C"),
        ([f.bind(), f.execute(), f.flush()], b"C"),
        SYNC,
    ],
    "failed_batch_without_sync": [([f.parse("select nonsense"), f.flush()], b"E"), SYNC],
    "suspended_portal": [
        BEGIN,
        ([f.parse("select generate_series(1, 3)"), f.bind(), f.execute(rows=1), f.sync()], b"Z"),
        ([f.parse("select generate_series(1, 3)"), f.bind(portal="p"), f.execute("p", 1), f.sync()], b"Z"),
        ([f.execute("p", 1), f.sync()], b"Z"),
        COMMIT,
    ],
    "suspended_portal_of_a_batch": [
        ([f.parse("select generate_series(1, 3)"), f.bind(), f.execute(rows=1), f.flush()], b"s"),
        ([f.execute(rows=1), f.flush()], b"s"),
        SYNC,
    ],
    "copy_in": [([f.query("copy t from stdin")], b"G"), ([f.copy_data(b"1\n"), f.copy_done()], b"Z")],
}


@pytest.mark.parametrize("name", HOLDS)
def test_the_backend_is_kept_until_ready_for_query_idle(
    clients: Clients, diagnosis: SocketDiagnosis, name: str
) -> None:
    """Traps 12, 13 and 14."""
    holder, waiter = clients.connect("transaction"), clients.connect("transaction")
    first, *middle, last = HOLDS[name]
    ask(holder, *first)
    waiter.send(f.query("select 'mine'"))
    wait_for_arrival(waiter, diagnosis)
    for part in middle:
        ask(holder, *part)
        waiter.read_available()
        assert waiter.ready_count == 1, part
    ask(holder, *last)
    assert holder.last_status == "I"
    waiter.read_until_ready(2)
    assert waiter.ready_count == 2
    assert not errors(waiter)


def ask(client: WireClient, messages: list[Frontend], awaited: bytes) -> None:
    """Send, and wait for a reply of this type."""
    seen = len(client.replies)
    client.send(*messages)
    client.read_until(lambda: awaited in tags(client, seen))


def test_a_backend_with_batches_outstanding_is_not_released_between_them(
    clients: Clients, postgres18: PostgresServer, diagnosis: SocketDiagnosis
) -> None:
    """Trap 10: several Syncs in one packet. The first ReadyForQuery says I, and more is on its way already."""
    holder, waiter = clients.connect("transaction"), clients.connect("transaction")
    insert = "insert into journal (who) values ('holder')"
    batch = [f.parse(insert), f.bind(), f.execute(), f.sync()]
    with Gate(postgres18, DATABASE) as gate:
        holder.send(f.query(f"select {gate.sql}"), *batch * 3, f.query(insert), f.query(insert))
        gate.wait_for()
        waiter.send(f.query("insert into journal (who) values ('waiter')"))
        wait_for_arrival(waiter, diagnosis)
        gate.open()
        waiter.read_until_ready(2)
    assert waiter.query("select string_agg(who, ' ' order by at) from journal") == [("holder " * 5 + "waiter",)]


def test_a_query_inside_a_batch_is_a_part_of_it_and_its_backend_stays_with_the_client(
    clients: Clients, diagnosis: SocketDiagnosis
) -> None:
    """Trap 12. PostgreSQL may go astray at the end of such a batch, which must meet nobody else."""
    holder, waiter = clients.connect("transaction"), clients.connect("transaction")
    ask(holder, [f.parse("select 1"), f.bind(), f.execute(), f.flush()], b"C")
    waiter.send(f.query("select 'mine'"))
    wait_for_arrival(waiter, diagnosis)
    ask(holder, [f.parse("begin"), f.bind(), f.execute(), f.query("select 2")], b"Z")
    for part in (SELECT, COMMIT, SELECT):
        ask(holder, *part)
        waiter.read_available()
        assert waiter.ready_count == 1
    assert not errors(holder)
    holder.send_goodbye()
    waiter.read_until_ready(2)


@pytest.mark.parametrize(
    "messages",
    [
        [f.query("")],
        [f.query("select 1")],
        [f.query("select 1/0")],
        [f.query("begin; insert into t values (1); commit")],
        [f.query("begin; select 1/0; commit"), f.query("rollback")],
        [f.parse("select 1"), f.bind(), f.describe_portal(), f.execute(), f.sync()],
        [f.parse("select generate_series(1, 3)"), f.bind(), f.execute(rows=1), f.sync()],
        [f.parse("select nonsense"), f.bind(), f.execute(), f.sync()],
        [f.parse("", ""), f.bind(), f.execute(), f.sync()],
        [f.sync(), f.sync()],
        [f.query("copy t to stdout")],
        [f.query("set local work_mem = '5MB'")],
    ],
    ids=str,
)
def test_after_the_last_answer_the_backend_is_free(clients: Clients, messages: list[Frontend]) -> None:
    """The other half: nothing of this is a reason to keep it."""
    first, second = clients.connect("transaction"), clients.connect("transaction")
    first.send(*messages)
    first.read_until_ready(1 + sum(message.name in ("Query", "Sync") for message in messages))
    assert second.query("select 1") == [("1",)]


def test_in_session_mode_the_backend_is_kept_until_the_client_goes(
    clients: Clients, diagnosis: SocketDiagnosis
) -> None:
    holder, waiter = clients.connect("session"), clients.connect("session")
    holder.query("select 1")
    waiter.send(f.query("select 'mine'"))
    wait_for_arrival(waiter, diagnosis)
    holder.query("select 1")
    waiter.read_available()
    assert waiter.ready_count == 1
    holder.send_goodbye()
    waiter.read_until_ready(2)


@pytest.mark.parametrize(
    "opening",
    [
        [f.query("begin")],
        [f.query("insert into t values (99); begin")],
        [f.parse("begin"), f.bind(), f.execute(), f.sync()],
    ],
    ids=str,
)
def test_statement_mode_refuses_a_transaction_block_and_rolls_it_back(
    clients: Clients, opening: list[Frontend]
) -> None:
    client, other = clients.connect("statement"), clients.connect("statement")
    client.send(*opening)
    client.read_to_end()
    (error,) = errors(client)
    assert (error["V"], error["C"]) == ("FATAL", "0A000")
    assert "statement pooling" in error["M"]
    assert other.query("select count(*) from t where i = 99") == [("0",)]


def test_statement_mode_lets_a_transaction_pass_that_ends_with_its_query(clients: Clients) -> None:
    client = clients.connect("statement")
    assert client.query("begin; select 1; commit") == [("1",)]
    client.send(f.parse("select 2"), f.bind(), f.execute(), f.sync())
    client.read_until_ready(3)
    assert not errors(client)
