"""LISTEN in transaction mode: one connection of the proxy's own hears for all, and no backend is kept for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from interceptor.testing.postgres import PostgresServer
from interceptor.testing.relay import CutRelay
from tests.support import frontend as f
from tests.support.listening import told
from tests.support.proxied import Clients, errors, pid_of, tags, upstream, wait_for_arrival
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.sockets import SocketDiagnosis
from tests.support.watch import Activity, wait_until
from tests.support.wire import WireClient

DATABASE = "listening"


@pytest.fixture(scope="module")
def relay(postgres18: PostgresServer) -> Iterator[CutRelay]:
    with CutRelay(postgres18.host, postgres18.port) as made:
        yield made


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, postgres16: PostgresServer, relay: CutRelay) -> Iterator[Proxy]:
    for server in (postgres18, postgres16):
        server.create_database(DATABASE)
    primary = upstream(postgres18, DATABASE)
    tables: Tables = {
        "server": {"max_unread_notifications": "64kB", "admin_users": ["postgres"], "catalogue": False},
        "databases.one": {"primary": primary, "pool_size": 1, "query_wait_timeout": 5},
        "databases.two": {"primary": primary, "pool_size": 2},
        "databases.pinning": {"primary": primary, "pool_size": 2, "listen": "pin"},
        "databases.older": {"primary": upstream(postgres16, DATABASE), "pool_size": 1},
        "databases.far": {"primary": f"postgresql://{relay.host}:{relay.port}/{DATABASE}", "pool_size": 2},
    }
    with run_proxy(tables) as running:
        yield running
    for server in (postgres18, postgres16):
        server.drop_database(DATABASE)


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


@pytest.fixture
def activity(postgres18: PostgresServer) -> Iterator[Activity]:
    with Activity(postgres18, DATABASE) as watching:
        yield watching


def hears(client: WireClient, *expected: tuple[str, str]) -> None:
    """Wait for the next notifications; that there are no others is known when these have come in this order."""
    client.read_until(lambda: len(told(client)) >= len(expected))
    assert told(client) == list(expected)


HUBS = "AND application_name = 'interceptor listen'"

versions = pytest.mark.parametrize("database", [pytest.param("one", id="pg18"), pytest.param("older", id="pg16")])


@versions
@pytest.mark.parametrize("channel", ["gossip", '"Gossip of ""mine"" alone"', "straße"])
def test_a_listener_hears_without_a_backend(clients: Clients, database: str, channel: str) -> None:
    """In a pool of one both get their turn, and each that listens hears once, in order."""
    one, two, teller = [clients.connect(database) for _ in range(3)]
    one.query(f"listen {channel}")
    two.query(f"listen {channel}")
    assert tags(one)[-2:] == b"CZ"
    teller.query(f"notify {channel}, 'first'")
    teller.query(f"notify {channel}, 'second'")
    name = channel.removeprefix('"').removesuffix('"').replace('""', '"')
    hears(one, (name, "first"), (name, "second"))
    hears(two, (name, "first"), (name, "second"))
    assert not told(teller)


def test_one_connection_listens_for_all(clients: Clients, activity: Activity) -> None:
    several = [clients.connect("two") for _ in range(5)]
    for number, client in enumerate(several):
        client.query(f"listen channel{number}; listen common")
    wait_until(lambda: activity.count(HUBS) >= 1)
    pids = {pid_of(client) for client in several}
    assert len(pids) <= 2
    assert pids.isdisjoint(activity.pids(HUBS))


def send(client: WireClient, *messages: f.Frontend) -> None:
    """Send these, and wait for what ends them."""
    ends = client.ready_count + sum(message.name in ("Query", "Sync") for message in messages)
    client.send(*messages)
    client.read_until_ready(ends)


def extended(client: WireClient, sql: str) -> None:
    send(client, f.parse(sql), f.bind(), f.execute(), f.sync())


def named(client: WireClient, sql: str) -> None:
    """As asyncpg: prepared by one batch, run by the next."""
    send(client, f.parse(sql, name="s"), f.describe_statement("s"), f.sync())
    send(client, f.bind(statement="s"), f.execute(), f.sync(), f.close_statement("s"), f.sync())


def simple(client: WireClient, sql: str) -> None:
    client.query(sql)


Run = Callable[[WireClient, str], None]
ways = pytest.mark.parametrize("run", [simple, extended, named])


@versions
@ways
def test_what_ends_listening(clients: Clients, database: str, run: Run) -> None:
    listener, teller = clients.connect(database), clients.connect(database)
    for ending, remaining in (
        ("unlisten a", {"b", "c"}),
        ("unlisten *", set[str]()),
        ("discard all", set[str]()),
        ("do $$ begin unlisten b; end $$", {"a", "c"}),
    ):
        for channel in "abc":
            run(listener, f"listen {channel}")
        run(listener, ending)
        listener.replies.clear()
        for channel in "abc":
            teller.query(f"notify {channel}, 'x'")
        run(listener, "listen z")
        teller.query("notify z, 'end'")
        listener.read_until(lambda: ("z", "end") in told(listener))
        assert {channel for channel, _ in told(listener)} == remaining | {"z"}, ending
        run(listener, "unlisten *")


@ways
@pytest.mark.parametrize(
    ("statements", "remaining"),
    [
        (("begin", "listen b", "commit"), "ab"),
        (("begin", "listen b", "rollback"), "a"),
        (("begin", "savepoint s", "listen b", "rollback to s", "commit"), "a"),
        (("begin", "savepoint s", "listen b", "release s", "commit"), "ab"),
        (("begin", "unlisten a", "rollback"), "a"),
        (("begin", "unlisten a", "commit"), ""),
        (("begin", "listen b", "unlisten a", "commit"), "b"),
        (("begin", "savepoint s", "unlisten a", "rollback to s", "commit"), "a"),
        (("begin", "savepoint s", "unlisten *", "rollback to s", "listen b", "commit"), "ab"),
        (("begin", "unlisten a", "savepoint s", "listen b", "rollback to s", "commit"), ""),
        (("begin", "unlisten *", "listen a", "listen b", "commit"), "ab"),
    ],
)
def test_transactions(clients: Clients, run: Run, statements: tuple[str, ...], remaining: str) -> None:
    """What PostgreSQL makes of it counts, for that is who is asked."""
    listener, teller = clients.connect("one"), clients.connect("one")
    run(listener, "listen a")
    for statement in statements:
        run(listener, statement)
    assert not errors(listener)
    for channel in "ab":
        teller.query(f"notify {channel}, 'x'")
    run(listener, "listen z")
    teller.query("notify z, 'end'")
    hears(listener, *((channel, "x") for channel in remaining), ("z", "end"))


@versions
def test_a_pipeline(clients: Clients, database: str) -> None:
    listener, teller = clients.connect(database), clients.connect(database)
    send(
        listener,
        *(f.query(sql) for sql in ("listen a", "begin", "listen b", "rollback", "begin", "unlisten a", "listen c")),
        *(f.query("commit"), f.parse("listen d"), f.bind(), f.execute(), f.parse("unlisten c"), f.bind(), f.execute()),
        f.sync(),
    )
    for channel in "abcd":
        teller.query(f"notify {channel}, 'x'")
    hears(listener, ("d", "x"))


@pytest.mark.parametrize(
    ("statements", "heard"),
    [
        (("begin", "unlisten a", "rollback", "unlisten b", "notify a, '1'", "notify b, '2'"), "1"),
        (("unlisten a", "notify a, '1'", "listen a", "notify a, '2'"), "2"),
        (("notify c, '1'", "listen c", "notify c, '2'"), "2"),
        (("unlisten a", "reset all", "notify a, '1'"), ""),
    ],
)
def test_transactions_sent_at_once(clients: Clients, statements: tuple[str, ...], heard: str) -> None:
    """What one makes of its LISTEN and UNLISTEN is known before the next begins."""
    client = clients.connect("one")
    client.query("listen a; listen b")
    send(client, *map(f.query, statements))
    assert not errors(client)
    client.query("listen z")
    client.query("notify z, 'end'")
    client.read_until(lambda: ("z", "end") in told(client))
    assert [payload for _, payload in told(client)] == [*heard, "end"]


def test_a_listen_that_was_not_run_leaves_nothing(clients: Clients) -> None:
    """Or the next one would not be asked for anew, and the client would hear what was sent before it."""
    clients.connect("one").query("listen known")
    for channel in "abcdefghij":
        client = clients.connect("one")
        prepare = f.parse(f"commit; listen {channel}", name="s"), f.describe_statement("s"), f.sync()
        send(client, *prepare, f.bind(statement="s"), f.execute(), f.sync(), f.close_statement("s"), f.sync())
        assert [error["C"] for error in errors(client)] == ["42601", "26000"]
        send(client, *map(f.query, (f"notify {channel}, '1'", f"listen {channel}", f"notify {channel}, '2'")))
        hears(client, (channel, "2"))


def test_what_keeps_a_backend_for_good_does_not_keep_channels(clients: Clients) -> None:
    client, teller = clients.connect("two"), clients.connect("two")
    client.query("listen a; listen b; listen c")
    client.query("load 'plpgsql'")
    client.query("unlisten a")
    teller.query("notify a, 'no'; notify b, 'yes'")
    hears(client, ("b", "yes"))
    send(client, *map(f.query, ("begin", "unlisten b", "rollback", "unlisten c", "listen d")))
    teller.query("notify c, 'no'; notify b, 'still'")
    hears(client, ("b", "yes"), ("b", "still"))
    teller.query("notify d, 'too'")
    client.read_until(lambda: ("d", "too") in told(client))
    client.query("unlisten *")
    teller.query("notify b, 'no'; notify d, 'no'")
    client.query("listen z")
    teller.query("notify z, 'end'")
    hears(client, ("b", "yes"), ("b", "still"), ("d", "too"), ("z", "end"))


def test_errors_are_the_servers(clients: Clients) -> None:
    client = clients.connect("one")
    send(client, *(f.query(sql) for sql in ("begin", "select 1/0", "listen a", "rollback", "listen")))
    assert [error["C"] for error in errors(client)] == ["22012", "25P02", "42601"]


def test_notifications_wait_for_the_end_of_a_transaction(clients: Clients) -> None:
    listener, teller = clients.connect("two"), clients.connect("two")
    listener.query("listen a")
    listener.query("begin")
    teller.query("notify a, 'x'")
    teller.query("listen a")
    teller.query("notify a, 'y'")
    hears(teller, ("a", "y"))
    listener.query("select 1")
    assert not told(listener)
    listener.query("commit")
    hears(listener, ("a", "x"), ("a", "y"))


def test_what_comes_before_a_listen_is_committed_is_not_heard(clients: Clients) -> None:
    listener, other, teller = clients.connect("two"), clients.connect("two"), clients.connect("two")
    other.query("listen a")
    listener.query("begin")
    listener.query("listen a")
    teller.query("notify a, 'before'")
    hears(other, ("a", "before"))
    listener.query("select 1")
    listener.query("commit")
    teller.query("notify a, 'after'")
    hears(listener, ("a", "after"))


def test_what_is_not_seen_pins(clients: Clients) -> None:
    """LISTEN in a DO: the backend itself tells, and what is heard otherwise is told once."""
    listener, teller = clients.connect("two"), clients.connect("two")
    listener.query("listen a")
    listener.query("do $$ begin listen b; end $$")
    assert pid_of(listener) == pid_of(listener)
    teller.query("begin; notify a, 'x'; notify b, 'y'; commit")
    listener.read_until(lambda: len(told(listener)) >= 2)
    assert sorted(told(listener)) == [("a", "x"), ("b", "y")]
    listener.query("unlisten b")
    teller.query("notify a, 'z'")
    listener.read_until(lambda: len(told(listener)) >= 3)
    assert told(listener)[2:] == [("a", "z")]


def test_a_lost_connection_is_made_again(clients: Clients, activity: Activity) -> None:
    listener, teller = clients.connect("one"), clients.connect("one")
    listener.query("listen a")
    before = activity.pids(HUBS)
    for pid in before:
        activity.terminate(pid)
    listener.read_until(lambda: b"N" in tags(listener))
    assert b"\0C01000\0" in next(reply.body for reply in listener.replies if reply.tag == b"N")
    teller.query("notify a, 'again'")
    hears(listener, ("a", "again"))


def test_a_listen_that_finds_no_server_fails(clients: Clients, relay: CutRelay) -> None:
    """As a statement that fails: alone, in a transaction, in a batch. Then all goes on, and so it does once the server
    is back."""
    client, teller = clients.connect("far"), clients.connect("far")
    client.query("begin")
    teller.query("select 1")
    relay.refuse()
    try:
        send(client, f.query("listen a"))
        assert client.last_status == "E"
        assert [(error["C"], "(listen_failed)" in error["M"]) for error in errors(client)] == [("58000", True)]
        client.query("rollback")
        send(client, f.parse("listen b"), f.bind(), f.execute(), f.sync(), f.query("select 1"))
        assert [error["C"] for error in errors(client)] == ["58000"] * 2
        assert tags(client)[-3:] == b"DCZ"
    finally:
        relay.accept()
    client.query("listen b")
    teller.query("notify a, 'x'")
    teller.query("notify b, 'y'")
    hears(client, ("b", "y"))


def test_the_connection_is_lost_while_a_listen_waits(clients: Clients, activity: Activity) -> None:
    """The client doesn't notice: it has its answer as soon as the next connection listens."""
    listener, other, teller = [clients.connect("two") for _ in range(3)]
    other.query("listen known_by_this")
    teller.query("select 1")
    (hub,) = activity.pids(HUBS + " AND query LIKE '%known_by_this%'")
    os.kill(hub, signal.SIGSTOP)
    try:
        listener.send(f.query("listen b"))
        with closing(SocketDiagnosis()) as diagnosis:
            wait_for_arrival(listener, diagnosis)
        teller.query("select 1")
        assert not tags(listener).endswith(b"CZ")
        os.kill(hub, signal.SIGTERM)
    finally:
        os.kill(hub, signal.SIGCONT)
    listener.read_until_ready(2)
    assert tags(listener)[-2:] == b"CZ"
    teller.query("notify b, 'x'")
    hears(listener, ("b", "x"))
    other.read_until(lambda: b"N" in tags(other))
    teller.query("notify known_by_this, 'y'")
    hears(other, ("known_by_this", "y"))


@pytest.mark.parametrize("commands", [("reconnect two",), ("pause two", "resume two")])
def test_commands_of_the_console(clients: Clients, activity: Activity, commands: tuple[str, ...]) -> None:
    listener, teller, console = clients.connect("two"), clients.connect("two"), clients.connect("pgbouncer")
    listener.query("listen commanded")
    hub = HUBS + " AND query LIKE '%commanded%'"
    for command in commands:
        console.query(command)
        if command.startswith("pause"):
            wait_until(lambda: not activity.count(hub), "the server is let go")
    listener.read_until(lambda: b"N" in tags(listener))
    teller.query("notify commanded, 'again'")
    hears(listener, ("commanded", "again"))


def test_pause_waits_for_a_transaction_that_listens(clients: Clients, activity: Activity) -> None:
    """And the transaction does not wait for RESUME."""
    other, listener, console = clients.connect("two"), clients.connect("two"), clients.connect("pgbouncer")
    other.query("listen a")
    listener.query("begin")
    console.send(f.query("pause two"))
    wait_until(lambda: not activity.count(HUBS), "the server is let go")
    listener.query("listen b")
    listener.query("commit")
    console.read_until_ready(2)
    assert tags(console)[-2:] == b"CZ"
    console.query("resume two")


def test_a_client_that_does_not_read_is_cut(clients: Clients) -> None:
    """Not before the bytes that may wait have come, which are few here."""
    listener, teller = clients.connect("two"), clients.connect("two")
    listener.query("listen a")
    listener.query("begin")
    for number in range(12):
        teller.query(f"notify a, '{number:07000}'")
    listener.read_to_end()
    assert [(error["C"], "(notifications_unread)" in error["M"]) for error in errors(listener)] == [("53400", True)]


def test_pinned_where_that_is_asked_for(clients: Clients) -> None:
    listener, other = clients.connect("pinning"), clients.connect("pinning")
    listener.query("listen a")
    pid = pid_of(listener)
    other.query("notify a, 'x'")
    assert {pid_of(other) for _ in range(3)} == {pid_of(other)} != {pid}
    hears(listener, ("a", "x"))
