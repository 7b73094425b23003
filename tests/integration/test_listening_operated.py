"""Operating a proxy whose clients listen: what is shown, who is too slow, another server, another process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer, free_port
from tests.integration.test_listening import hears
from tests.support import frontend as f
from tests.support.listening import told
from tests.support.proxied import Clients, errors, tags, upstream
from tests.support.proxy import Proxy, Tables, run_proxy, to_toml
from tests.support.takeover import take_over
from tests.support.watch import wait_until
from tests.support.wire import WireClient

DATABASE = "listening_operated"
Shown = list[tuple[str | None, ...]]


@pytest.fixture(scope="module")
def databases(postgres18: PostgresServer, postgres16: PostgresServer) -> Iterator[None]:
    for server in (postgres18, postgres16):
        server.create_database(DATABASE)
    yield
    for server in (postgres18, postgres16):
        server.drop_database(DATABASE)


def tables(server: PostgresServer, run_dir: Path, port: int) -> Tables:
    run_dir.chmod(0o700)
    return {
        "server": {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "auth_type": "trust",
            "workers": 2,
            "max_unread_notifications": "512kB",
            "admin_users": ["postgres"],
            "catalogue": False,
            "run_dir": str(run_dir),
        },
        "databases.app": {"primary": upstream(server, DATABASE), "pool_size": 2},
    }


@pytest.fixture(scope="module")
def running(
    databases: None, postgres18: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Proxy, Tables]]:
    settings = tables(postgres18, tmp_path_factory.mktemp("run"), free_port())
    with run_proxy(settings) as made:
        yield made, settings


@pytest.fixture
def proxy(running: tuple[Proxy, Tables]) -> Proxy:
    return running[0]


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


def shown(console: WireClient) -> dict[tuple[str | None, ...], tuple[str | None, ...]]:
    """SHOW LISTENERS: clients, hearing and max_unread by database and channel."""
    return {row[:2]: row[2:] for row in console.query("show listeners")}


def test_listeners_are_shown_by_channel(clients: Clients) -> None:
    """Over both workers, however the clients are spread over them."""
    console, teller = clients.connect("pgbouncer"), clients.connect("app")
    several = [clients.connect("app") for _ in range(6)]
    for client in several:
        client.query("listen common")
    several[0].query('listen "Mine"')
    assert shown(console) == {("app", "common"): ("6", "6", "0"), ("app", "Mine"): ("1", "1", "0")}
    several[0].query("unlisten common")
    several[0].query("begin")
    teller.query("""notify "Mine", '0123456789'""")
    # Kind, length, process id, and two texts with their ends.
    wait_until(lambda: shown(console)["app", "Mine"] == ("1", "1", str(1 + 4 + 4 + 5 + 11)), "it waits for its client")
    assert shown(console)["app", "common"] == ("5", "5", "0")
    for client in several:
        client.close()
    wait_until(lambda: not shown(console), "nobody listens any more")


def test_a_client_whose_socket_is_full_is_cut(clients: Clients, proxy: Proxy) -> None:
    """Another hears all of it meanwhile, in order."""
    slow, other, teller = [clients.connect("app") for _ in range(3)]
    slow.limit_receive_buffer(32 << 10)
    for client in (slow, other):
        client.query("listen a")
    expected: list[tuple[str, str]] = []
    while "bytes of notifications wait for this client" not in proxy.log:
        # What the kernel takes for the client that does not read is some megabytes at most. What is told at a time is
        # less than may wait for the other.
        assert len(expected) < 4000
        first, last = len(expected), len(expected) + 39
        teller.query(f"select pg_notify('a', lpad(i::text, 7000, '0')) from generate_series({first}, {last}) i")
        expected.extend([("a", f"{number:07000}") for number in range(first, last + 1)])
        other.read_until(lambda: len(told(other)) >= len(expected))
    assert told(other) == expected
    slow.limit_receive_buffer(1 << 20)
    slow.read_to_end()
    assert [(error["C"], "(notifications_unread)" in error["M"]) for error in errors(slow)] == [("53400", True)]
    heard = told(slow)
    assert heard == expected[: len(heard)]


def test_a_reload_moves_the_database_to_another_server(
    clients: Clients, running: tuple[Proxy, Tables], postgres16: PostgresServer
) -> None:
    proxy, settings = running
    console, listener, teller = clients.connect("pgbouncer"), clients.connect("app"), clients.connect("app")
    listener.query("listen a")
    teller.query("notify a, 'here'")
    hears(listener, ("a", "here"))
    moved = {**settings, "databases.app": {**settings["databases.app"], "primary": upstream(postgres16, DATABASE)}}
    file = proxy.directory / "interceptor.toml"
    before = file.read_text()
    file.write_text(to_toml(moved))
    try:
        console.query("reload")
        listener.read_until(lambda: b"N" in tags(listener))
        postgres16.psql("notify a, 'there'", dbname=DATABASE)
        hears(listener, ("a", "here"), ("a", "there"))
    finally:
        file.write_text(before)
        console.query("reload")


def test_the_process_is_replaced_and_stopped(databases: None, postgres18: PostgresServer, tmp_path: Path) -> None:
    """Who listened to the old process hears until it is told to go, at the end of its transaction."""
    settings = tables(postgres18, tmp_path, free_port())
    with run_proxy(settings) as first, Clients(first) as clients:
        old, working = clients.connect("app"), clients.connect("app")
        for client in (old, working):
            client.query("listen a")
        working.query("begin")
        with take_over(first, 2) as second:
            new, teller = clients.connect("app"), clients.connect("app")
            new.query("listen a")
            teller.query("notify a, 'x'")
            hears(new, ("a", "x"))
            hears(old, ("a", "x"))
            first.process.send_signal(signal.SIGTERM)
            old.read_to_end()
            assert [error["C"] for error in errors(old)] == ["57P01"]
            teller.query("notify a, 'y'")
            hears(new, ("a", "x"), ("a", "y"))
            working.send(f.query("commit"))
            working.read_to_end()
            assert [error["C"] for error in errors(working)] == ["57P01"]
            assert first.wait() == 0
            second.process.send_signal(signal.SIGTERM)
            new.read_to_end()
            assert [error["C"] for error in errors(new)] == ["57P01"]
            assert second.wait() == 0
