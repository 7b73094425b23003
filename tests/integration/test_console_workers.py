"""The console of a proxy with several processes: it speaks of all, and to all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.integration.test_console import row_of, show
from tests.support import frontend
from tests.support.login import LoginFailed
from tests.support.proxied import Clients, errors, upstream
from tests.support.proxy import Proxy, Value, run_proxy, to_toml
from tests.support.watch import wait_until
from tests.support.wire import WireClient

DATABASE = "workers_console"
WORKERS = 2
CLIENTS = 8


@pytest.fixture(scope="module")
def tables(postgres18: PostgresServer) -> dict[str, dict[str, Value]]:
    return {
        "server": {
            "listen_addr": "127.0.0.1",
            "listen_port": 0,
            "auth_type": "trust",
            "workers": WORKERS,
            "admin_users": ["postgres"],
            "default_pool_size": 3,
            "query_statistics": 100,
            "catalogue": False,
        },
        "databases.app": {"primary": upstream(postgres18, DATABASE)},
    }


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, tables: dict[str, dict[str, Value]]) -> Iterator[Proxy]:
    postgres18.create_database(DATABASE)
    with run_proxy(tables) as made:
        yield made
    postgres18.drop_database(DATABASE)


@pytest.fixture
def console(clients: Clients) -> WireClient:
    return clients.connect("pgbouncer")


def crowd_of(clients: Clients, console: WireClient) -> list[WireClient]:
    """As soon as those of other tests have gone."""
    wait_until(lambda: len(show(console, "CLIENTS")) == 1, "this console is alone")
    return [clients.connect("app") for _ in range(CLIENTS)]


def test_figures_are_of_all_processes(clients: Clients, console: WireClient) -> None:
    members = crowd_of(clients, console)
    before = int(row_of(show(console, "STATS"), database="app")["total_query_count"] or 0)
    for member in members:
        member.query("select 1 as shared")
    row = row_of(show(console, "POOLS"), database="app")
    assert int(row["cl_active"] or 0) == CLIENTS
    assert int(row["sv_idle"] or 0) <= 3
    assert int(row_of(show(console, "STATS"), database="app")["total_query_count"] or 0) == before + CLIENTS
    numbers = [one["id"] for one in show(console, "CLIENTS")]
    assert len(numbers) == len(set(numbers)) == CLIENTS + 1
    assert row_of(show(console, "QUERIES"), query="select $1 as shared")["calls"] == str(CLIENTS)
    assert {one["items"] for one in show(console, "LISTS") if one["list"] == "used_clients"} == {str(CLIENTS + 1)}


def test_names_that_are_no_text_break_nothing(proxy: Proxy, clients: Clients, console: WireClient) -> None:
    """Half of the clients are another process's, and what goes from process to process is text."""
    wait_until(lambda: len(show(console, "CLIENTS")) == 1, "this console is alone")
    odd = "caf\udce9"  # a byte of another encoding than UTF-8
    for member in [clients.connect("app", application_name=odd) for _ in range(CLIENTS)]:
        assert member.query("select 1") == [("1",)]
    clients.connect("pgbouncer", application_name=odd).query("SHOW VERSION")
    assert len(show(console, "CLIENTS")) == CLIENTS + 2
    assert "Traceback" not in proxy.log


def test_commands_act_in_all_processes(clients: Clients, console: WireClient) -> None:
    members = crowd_of(clients, console)
    console.query("PAUSE app")
    assert not show(console, "SERVERS")
    for member in members:
        member.send(frontend.query("select 2"))
    wait_until(
        lambda: row_of(show(console, "POOLS"), database="app")["cl_waiting"] == str(CLIENTS), "all wait, wherever"
    )
    console.query("RESUME app")
    for member in members:
        member.read_until_ready(2)
    console.query("DISABLE app")
    for _ in range(2 * WORKERS):
        with pytest.raises(LoginFailed, match="database_disabled"):
            clients.connect("app")
    console.query("ENABLE app")
    for row in show(console, "CLIENTS"):
        if row["database"] == "app":
            console.query(f"KILL_CLIENT {row['id']}")
    for member in members:
        member.read_to_end()
        assert errors(member)[-1]["C"] == "57P01"


def test_a_reload_is_of_all_processes(
    proxy: Proxy, clients: Clients, console: WireClient, tables: dict[str, dict[str, Value]], postgres18: PostgresServer
) -> None:
    members = crowd_of(clients, console)
    changed: dict[str, dict[str, Value]] = {**tables, "databases.app": {"primary": upstream(postgres18, "postgres")}}
    (proxy.directory / "interceptor.toml").write_text(to_toml(changed))
    console.query("RELOAD")
    assert {member.query("select current_database()")[0][0] for member in members} == {"postgres"}
