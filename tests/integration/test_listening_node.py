"""LISTEN with several workers: one connection of the control's listens for the clients of all of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing

import pytest

from interceptor.testing.postgres import PostgresServer, free_port
from interceptor.testing.relay import CutRelay
from tests.integration.test_http import metrics_of
from tests.integration.test_listening import HUBS, hears, send
from tests.integration.test_listening_operated import shown
from tests.support import frontend as f
from tests.support.processes import Family, one_of_each
from tests.support.proxied import Clients, errors, tags, upstream, wait_for_arrival
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.sockets import SocketDiagnosis
from tests.support.watch import Activity, wait_until
from tests.support.wire import WireClient

DATABASE, FAR = "listening_node", "listening_node_far"
ROLE = "listening_node_role"
PASSWORD = "a secret of its own"
MISSED = b"\0C01000\0"


@pytest.fixture(scope="module")
def relay(postgres18: PostgresServer) -> Iterator[CutRelay]:
    with CutRelay(postgres18.host, postgres18.port) as made:
        yield made


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, relay: CutRelay) -> Iterator[Proxy]:
    for name in (DATABASE, FAR):
        postgres18.create_database(name)
    tables: Tables = {
        "server": {
            "workers": 2,
            "admin_users": ["postgres"],
            "catalogue": False,
            "admin_listen": f"127.0.0.1:{free_port()}",
        },
        "databases.app": {"primary": upstream(postgres18, DATABASE), "pool_size": 2},
        "databases.far": {"primary": f"postgresql://postgres@{relay.host}:{relay.port}/{FAR}", "pool_size": 2},
    }
    with run_proxy(tables) as running:
        yield running
    for name in (DATABASE, FAR):
        postgres18.drop_database(name)


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


@pytest.fixture
def activity(postgres18: PostgresServer) -> Iterator[Activity]:
    with Activity(postgres18, DATABASE) as watching:
        yield watching


@pytest.fixture
def family(proxy: Proxy) -> Family:
    return Family(proxy)


def one_listener_each(clients: Clients, sql: str, database: str = "app") -> dict[int, WireClient]:
    """A client of each worker that has been answered this."""
    found = one_of_each(2, lambda: clients.connect(database))
    for client in found.values():
        client.query(sql)
        assert tags(client).endswith(b"CZ")
    return found


def missed(client: WireClient) -> int:
    """How often it was told that it may have missed something."""
    return sum(reply.tag == b"N" and MISSED in reply.body for reply in client.replies)


def read_notice(client: WireClient) -> None:
    """Wait until it has been told, once."""
    client.read_until(lambda: missed(client) == 1)


def test_one_connection_listens_for_all_workers(clients: Clients, activity: Activity, proxy: Proxy) -> None:
    """And is counted once, as are the notifications that come; the clients are those of all workers."""
    before = metrics_of(proxy)
    listeners = one_listener_each(clients, "listen common; listen single")
    teller, console = clients.connect("app"), clients.connect("pgbouncer")
    teller.query("notify common, '1'; notify common, '2'; notify single, '3'")
    for client in listeners.values():
        hears(client, ("common", "1"), ("common", "2"), ("single", "3"))
    assert activity.count(HUBS) == 1
    assert shown(console) == {("app", "common"): ("2", "2", "0"), ("app", "single"): ("2", "2", "0")}
    metrics = metrics_of(proxy)
    assert metrics["interceptor_listening_clients", "app"] == 2
    assert metrics["interceptor_listening_connections", "app"] == 1
    came = "interceptor_notifications_total", "app"
    assert metrics[came] - before.get(came, 0) == 3
    listeners[1].query("unlisten *")
    wait_until(lambda: shown(console)["app", "single"] == ("1", "1", "0"), "one is left")
    teller.query("notify single, '4'")
    hears(listeners[2], ("common", "1"), ("common", "2"), ("single", "3"), ("single", "4"))
    assert activity.count(HUBS) == 1


def test_the_control_is_killed(clients: Clients, family: Family, activity: Activity) -> None:
    """Who listened is told that something may be missing, once; who has a transaction open hears at its end."""
    listeners = one_listener_each(clients, "listen a")
    working = clients.connect("app")
    working.query("listen a")
    working.query("begin")
    control = family.pid("control")
    os.kill(control, signal.SIGKILL)
    family.replaced("control", control)
    for client in listeners.values():
        read_notice(client)
    # The old connection has noticed that its process is gone, or will when it is next written to.
    teller = clients.connect("app")
    teller.query("notify a, 'again'")
    for client in listeners.values():
        hears(client, ("a", "again"))
    working.query("commit")
    hears(working, ("a", "again"))
    assert missed(working) == 1
    wait_until(lambda: activity.count(HUBS) == 1, "there is one connection again")


def test_a_worker_is_killed(clients: Clients, family: Family) -> None:
    """What its clients listened to is forgotten, and the other worker's do not notice."""
    listeners = one_listener_each(clients, "listen a")
    listeners[1].query("listen b")
    victim = family.pid("worker 1")
    os.kill(victim, signal.SIGKILL)
    family.replaced("worker 1", victim)
    teller = clients.connect("app")
    teller.query("notify a, '1'")
    hears(listeners[2], ("a", "1"))
    assert missed(listeners[2]) == 0
    again = one_listener_each(clients, "listen a")
    teller.query("notify a, '2'")
    for client in again.values():
        hears(client, ("a", "2"))
    hears(listeners[2], ("a", "1"), ("a", "2"))


def test_the_connection_is_lost(clients: Clients, activity: Activity) -> None:
    """All who listen are told, in both workers."""
    listeners = one_listener_each(clients, "listen a")
    for pid in activity.pids(HUBS):
        activity.terminate(pid)
    for client in listeners.values():
        read_notice(client)
    clients.connect("app").query("notify a, 'again'")
    for client in listeners.values():
        hears(client, ("a", "again"))


@pytest.mark.parametrize("commands", [("reconnect app",), ("pause app", "resume app")])
def test_commands_of_the_console(clients: Clients, activity: Activity, commands: tuple[str, ...]) -> None:
    listeners, console = one_listener_each(clients, "listen a"), clients.connect("pgbouncer")
    (before,) = activity.pids(HUBS)
    for command in commands:
        console.query(command)
        if command.startswith("pause"):
            wait_until(lambda: not activity.count(HUBS), "the server is let go")
    for client in listeners.values():
        read_notice(client)
    (after,) = activity.pids(HUBS)
    assert after != before
    clients.connect("app").query("notify a, 'again'")
    for client in listeners.values():
        hears(client, ("a", "again"))


def test_a_listen_that_finds_no_server_fails(clients: Clients, relay: CutRelay, postgres18: PostgresServer) -> None:
    """In both workers. Who listened already waits for the server, and is told when it is back."""
    listeners = one_listener_each(clients, "listen a", "far")
    others = one_of_each(2, lambda: clients.connect("far"))
    for client in others.values():
        client.query("begin")
    relay.refuse()
    try:
        with Activity(postgres18, FAR) as activity:
            for pid in activity.pids(HUBS):
                activity.terminate(pid)
        for client in others.values():
            send(client, f.query("listen b"))
            assert [(error["C"], "(listen_failed)" in error["M"]) for error in errors(client)] == [("58000", True)]
    finally:
        relay.accept()
    for client in listeners.values():
        read_notice(client)
    others[1].query("rollback")
    others[1].query("notify a, 'again'")
    for client in listeners.values():
        hears(client, ("a", "again"))


def test_a_listen_that_waits_is_canceled(clients: Clients, activity: Activity) -> None:
    """As a statement that runs is. Others who wait for the same go on waiting."""
    clients.connect("app").query("listen known")
    first, second = one_of_each(2, lambda: clients.connect("app")).values()
    (hub,) = activity.pids(HUBS)
    os.kill(hub, signal.SIGSTOP)
    try:
        with closing(SocketDiagnosis()) as diagnosis:
            for client in (first, second):
                client.send(f.query("listen a"))
                wait_for_arrival(client, diagnosis)
        assert first.key is not None
        clients.cancel(first.key)
        first.read_until_ready(2)
        assert [error["C"] for error in errors(first)] == ["57014"]
        assert not tags(second).endswith(b"CZ")
    finally:
        os.kill(hub, signal.SIGCONT)
    second.read_until_ready(2)
    first.query("notify a, 'x'")
    hears(second, ("a", "x"))
    first.query("listen a")
    first.query("notify a, 'y'")
    hears(first, ("a", "y"))
    hears(second, ("a", "x"), ("a", "y"))


def test_a_login_of_the_clients_own() -> None:
    """It is lent to the control, where the connection string names nobody: another where the server takes one no more.
    What ends idle sessions of the role does not end the one that listens."""
    hba = [f"host all {ROLE} 127.0.0.1/32 scram-sha-256"]
    with PostgresServer.start(18, hba=hba) as server:
        server.psql(f"create role {ROLE} login password '{PASSWORD}'; create role other login")
        server.psql(f"alter role {ROLE} set idle_session_timeout = 300")
        verifier = server.psql(f"select rolpassword from pg_authid where rolname = '{ROLE}'").strip()
        tables: Tables = {
            "server": {
                "workers": 2,
                "auth_type": "scram-sha-256",
                "auth_file": "users.txt",
                "admin_users": ["other"],
                "catalogue": False,
            },
            "databases.app": {"primary": upstream(server, "postgres", user="")},
        }
        files = {"users.txt": f'"{ROLE}" "{verifier}"\n"other" "its own"\n'}
        with (
            run_proxy(tables, files=files) as proxy,
            Clients(proxy) as clients,
            Activity(server, "postgres") as activity,
        ):
            client = clients.connect("app", ROLE, PASSWORD)
            other, console = [clients.connect(name, "other", "its own") for name in ("app", "pgbouncer")]
            client.query("listen a")
            (hub,) = activity.pids(HUBS)
            own = f"AND usename = '{ROLE}'"
            wait_until(lambda: activity.pids(own) == [hub], "the session that has been idle for less long is ended")
            client.query("notify a, 'x'")
            hears(client, ("a", "x"))
            other.query("listen a")
            # The control looks where its connections should be. Another lender is no reason to make one anew.
            console.query("disable app")
            console.query("enable app")
            server.psql("alter role other nologin")
            assert activity.pids(HUBS) == [hub]
            activity.terminate(hub)
            for one in (client, other):
                read_notice(one)
            client.query("notify a, 'y'")
            hears(client, ("a", "x"), ("a", "y"))
            hears(other, ("a", "y"))
            assert (missed(client), missed(other)) == (1, 1)
            for secret in (PASSWORD, verifier):
                assert secret not in proxy.log
