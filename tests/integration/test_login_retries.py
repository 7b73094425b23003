"""Logins to a server that fails: how often they are tried again, and who hears of it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import partial

import httpx
import pytest

from interceptor.testing.postgres import PostgresServer
from interceptor.testing.relay import CutRelay
from tests.support import frontend as f
from tests.support.hostile import WELCOME, Connection, HostileServer
from tests.support.login import LoginFailed
from tests.support.proxied import Clients
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.recorder import message
from tests.support.watch import wait_until

REFUSAL = message("E", b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0")


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileServer]:
    with HostileServer(Connection.hang) as server:
        yield server


@pytest.fixture(scope="module")
def relay(postgres18: PostgresServer) -> Iterator[CutRelay]:
    with CutRelay(postgres18.host, postgres18.port) as made:
        yield made


@pytest.fixture(scope="module")
def proxy(hostile: HostileServer, relay: CutRelay) -> Iterator[Proxy]:
    tables: Tables = {
        "server": {
            "admin_users": "admin",
            "admin_listen": "127.0.0.1:0",
            "catalogue": False,
            "server_connect_timeout": "1h",
            "server_login_retry": "500ms",
        },
        "databases.refusing": {"primary": f"host={hostile.host} port={hostile.port} user=app", "required": False},
        "databases.hanging": {"primary": f"host={hostile.host} port={hostile.port} user=b", "required": False},
        "databases.postgres": {"primary": f"postgresql://postgres@{relay.host}:{relay.port}/postgres"},
    }
    with run_proxy(tables) as running:
        yield running


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


def test_a_refused_role_is_not_tried_again_by_each_client(clients: Clients, hostile: HostileServer) -> None:
    def refuse(connection: Connection) -> None:
        connection.read_packet()
        connection.write(REFUSAL)

    hostile.behaviour, before = refuse, hostile.connections
    for _ in range(40):
        with pytest.raises(LoginFailed, match="password authentication failed"):
            clients.connect("refusing")
    # Waits of at least 0.05, 0.1, 0.2 and then 0.25 seconds: so many attempts take five seconds.
    assert hostile.connections - before < 20


def test_one_login_at_a_time_finds_out_whether_a_server_is_back(clients: Clients, hostile: HostileServer) -> None:
    def hang_up(connection: Connection) -> None:
        connection.read_packet()

    def welcome(connection: Connection) -> None:
        connection.read_packet()
        connection.write(WELCOME)
        connection.hang()

    hostile.behaviour = hang_up
    with pytest.raises(LoginFailed):
        clients.connect("hanging")
    released = threading.Event()

    def hang(connection: Connection) -> None:
        released.wait(60)

    hostile.behaviour = hang
    console = clients.connect("pgbouncer", "admin")

    def waiting_and_logins() -> tuple[str | None, str | None]:
        rows = [row for row in console.query("show pools") if row[0] == "hanging"]
        return (rows[0][3], rows[0][12]) if rows else ("0", "0")

    def begins_to_wait(number: int) -> bool:
        before = waiting_and_logins()
        client = clients.raw()
        client.send(f.startup({"user": "u", "database": "hanging", "application_name": str(number)}))

        def is_settled() -> bool:
            client.read_available()
            return any(reply.tag == b"E" for reply in client.replies) or waiting_and_logins() != before

        wait_until(is_settled)
        # One that comes before the next attempt hears at once.
        return not any(reply.tag == b"E" for reply in client.replies)

    for number in range(5):
        wait_until(partial(begins_to_wait, number))
    assert waiting_and_logins() == ("5", "1")
    hostile.behaviour = welcome
    released.set()


def test_a_node_is_ready_again_though_nobody_asks_for_a_backend(
    clients: Clients, proxy: Proxy, relay: CutRelay
) -> None:
    found = re.search(r"HTTP at 127\.0\.0\.1 port (\d+)", proxy.log)
    assert found is not None
    url = f"http://127.0.0.1:{found[1]}/readyz"

    def ready() -> bool:
        return httpx.get(url).status_code == 200

    idle, asking = clients.connect("postgres"), clients.connect("postgres")
    relay.refuse()
    relay.cut()
    asking.send(f.query("select 1"))
    wait_until(lambda: not ready())
    asking.close()
    relay.accept()
    wait_until(ready)
    assert idle.query("select 1") == [("1",)]
