"""Another configuration for a proxy that runs: RELOAD, and SIGHUP."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.integration.test_console import ask, row_of, show
from tests.support import frontend
from tests.support.login import LoginFailed
from tests.support.proxied import Clients, errors, pid_of, tags, upstream
from tests.support.proxy import Proxy, Value, run_proxy, to_toml
from tests.support.watch import wait_until
from tests.support.wire import WireClient

DATABASE = "reload"
OTHER = "reload_other"

Tables = dict[str, dict[str, Value]]


@pytest.fixture(scope="module")
def databases(postgres18: PostgresServer) -> Iterator[None]:
    for name in (DATABASE, OTHER):
        postgres18.create_database(name)
    postgres18.psql("create role reloader login")
    postgres18.psql(f"alter database {OTHER} set timezone = 'Asia/Tokyo'")
    yield
    for name in (DATABASE, OTHER):
        postgres18.drop_database(name)
    postgres18.psql("drop role reloader")


def first_tables(server: PostgresServer) -> Tables:
    return {
        "server": {"admin_users": ["postgres"], "default_pool_size": 2, "catalogue": False},
        "databases.app": {"primary": upstream(server, DATABASE)},
        "databases.stays": {"primary": upstream(server, DATABASE)},
    }


@pytest.fixture(scope="module")
def proxy(databases: None, postgres18: PostgresServer) -> Iterator[Proxy]:
    with run_proxy(first_tables(postgres18), {"rules.toml": "", "users.txt": '"postgres" "one"\n'}) as made:
        yield made


@pytest.fixture
def console(clients: Clients) -> WireClient:
    return clients.connect("pgbouncer")


@pytest.fixture
def tables(proxy: Proxy, postgres18: PostgresServer, console: WireClient, clients: Clients) -> Iterator[Tables]:
    """What the proxy is configured with, and is again after the test."""
    yield first_tables(postgres18)
    write(proxy, first_tables(postgres18))
    console.query("RELOAD")


@pytest.fixture
def mortal(databases: None, postgres18: PostgresServer) -> Iterator[Proxy]:
    """A proxy for one test."""
    with run_proxy(first_tables(postgres18)) as made:
        yield made


def write(proxy: Proxy, tables: Mapping[str, Mapping[str, Value]]) -> None:
    """Another configuration file, with the proxy's own address."""
    server: dict[str, Value] = {"listen_addr": "127.0.0.1", "listen_port": 0, "auth_type": "trust"}
    merged = {**tables, "server": {**server, **tables["server"]}}
    (proxy.directory / "interceptor.toml").write_text(to_toml(merged))


def refusal(console: WireClient) -> dict[str, str]:
    ask(console, frontend.query("RELOAD"))
    return errors(console)[-1]


def test_a_changed_database_drains_its_old_backends(
    proxy: Proxy, clients: Clients, console: WireClient, tables: Tables, postgres18: PostgresServer
) -> None:
    busy, idle = clients.connect("app"), clients.connect("app")
    busy.query("begin")
    pid = pid_of(busy)
    assert idle.query("select current_database()") == [(DATABASE,)]
    tables["databases.app"]["primary"] = upstream(postgres18, OTHER)
    write(proxy, tables)
    console.query("RELOAD")
    newcomer = clients.connect("app")
    assert b"TimeZone\0Asia/Tokyo\0" in {reply.body for reply in newcomer.replies if reply.tag == b"S"}
    assert idle.query("select current_database()") == [(OTHER,)]
    assert busy.query("select current_database(), pg_backend_pid()") == [(DATABASE, str(pid))]
    assert row_of(show(console, "SERVERS"), remote_pid=str(pid))["close_needed"] == "1"
    busy.query("commit")
    console.query("WAIT_CLOSE app")
    assert busy.query("select current_database()") == [(OTHER,)]
    assert row_of(show(console, "DATABASES"), name="app")["database"] == OTHER


def test_a_wrong_configuration_changes_nothing_and_says_why(
    proxy: Proxy, clients: Clients, console: WireClient, tables: Tables, postgres18: PostgresServer
) -> None:
    client = clients.connect("app")
    pid = pid_of(client)
    tables["databases.app"] = {"primary": upstream(postgres18, OTHER), "pool_sizes": 3}
    tables["databases.wrong"] = {"primary": "nonsense"}
    write(proxy, tables)
    error = refusal(console)
    assert error["C"] == "F0000"
    assert "nothing has changed" in error["M"]
    told = error["M"] + error["D"]
    lines = (proxy.directory / "interceptor.toml").read_text().splitlines()
    number = next(number for number, line in enumerate(lines, 1) if line.startswith("pool_sizes"))
    assert f"interceptor.toml:{number}: databases.app.pool_sizes" in told
    assert "databases.wrong.primary" in told
    assert pid_of(client) == pid
    assert "wrong" not in {row["name"] for row in show(console, "DATABASES")}
    assert "pool_sizes" in proxy.log
    tables["databases.app"].pop("pool_sizes")
    del tables["databases.wrong"]
    write(proxy, tables)
    console.query("RELOAD")
    assert client.query("select current_database()") == [(OTHER,)]


def test_new_databases_are_there_and_removed_ones_are_drained(
    proxy: Proxy, clients: Clients, console: WireClient, tables: Tables
) -> None:
    busy, idle, other = clients.connect("app"), clients.connect("app"), clients.connect("stays")
    busy.query("begin")
    idle.query("select 1")
    tables["databases.new"] = tables.pop("databases.app")
    write(proxy, tables)
    console.query("RELOAD")
    assert clients.connect("new").query("select 1") == [("1",)]
    with pytest.raises(LoginFailed, match="unknown_database"):
        clients.connect("app")
    idle.read_to_end()
    assert errors(idle)[-1]["C"] == "57P01"
    assert busy.query("select 1") == [("1",)]
    busy.query("commit")
    busy.read_to_end()
    assert "(configuration_changed)" in errors(busy)[-1]["M"]
    assert other.query("select 1") == [("1",)]
    wait_until(lambda: "app" not in {row["database"] for row in show(console, "SERVERS")}, "no old backend is left")


def test_a_database_that_comes_back_is_served_again(
    proxy: Proxy, clients: Clients, console: WireClient, tables: Tables
) -> None:
    busy = clients.connect("app")
    busy.query("begin")
    removed = tables.pop("databases.app")
    write(proxy, tables)
    console.query("RELOAD")
    tables["databases.app"] = removed
    write(proxy, tables)
    console.query("RELOAD")
    busy.query("commit")
    assert busy.query("select 1") == [("1",)]
    assert clients.connect("app").query("select 2") == [("2",)]


def test_another_login_of_the_connection_string(
    proxy: Proxy, clients: Clients, console: WireClient, tables: Tables, postgres18: PostgresServer
) -> None:
    busy, idle, first = (clients.connect("app") for _ in range(3))
    busy.query("begin")
    first.query("begin")
    waiting = clients.connect("app")
    waiting.send(frontend.query("select current_user"))
    wait_until(lambda: row_of(show(console, "POOLS"), database="app")["cl_waiting"] == "1", "one waits")
    tables["databases.app"]["primary"] = upstream(postgres18, DATABASE, user="reloader")
    write(proxy, tables)
    console.query("RELOAD")
    waiting.read_until_ready(2)
    assert b"reloader" in next(reply.body for reply in waiting.replies if reply.tag == b"D")
    assert idle.query("select current_user") == [("reloader",)]
    assert busy.query("select current_user") == [("postgres",)]
    busy.query("commit")
    assert busy.query("select current_user") == [("reloader",)]
    assert {row["user"] for row in show(console, "POOLS") if row["database"] == "app" and row["cl_active"] != "0"} == {
        "postgres",
        "reloader",
    }


def test_sizes_and_timeouts_hold_for_those_who_are_there(
    proxy: Proxy, clients: Clients, console: WireClient, tables: Tables
) -> None:
    working = [clients.connect("app") for _ in range(3)]
    for client in working[:2]:
        client.query("begin")
    working[2].send(frontend.query("select 1"))
    wait_until(
        lambda: row_of(show(console, "POOLS"), database="app", user="postgres")["cl_waiting"] == "1",
        "the pool is full",
    )
    tables["databases.app"]["pool_size"] = 3
    write(proxy, tables)
    console.query("RELOAD")
    working[2].read_until_ready(2)
    tables["databases.app"]["pool_size"] = 1
    tables["server"]["idle_transaction_timeout"] = "10ms"
    write(proxy, tables)
    console.query("RELOAD")
    for client in working[:2]:
        client.read_to_end()
        assert errors(client)[-1]["C"] == "25P03"
    wait_until(lambda: len(show(console, "SERVERS")) <= 1, "the pool has shrunk")


def test_startup_options_of_the_connection_string(
    proxy: Proxy, clients: Clients, console: WireClient, tables: Tables, postgres18: PostgresServer
) -> None:
    client = clients.connect("app", application_name="mine")
    assert client.query("show timezone") != [("Asia/Tokyo",)]
    tables["databases.app"]["primary"] = upstream(postgres18, DATABASE, timezone="Asia/Tokyo")
    write(proxy, tables)
    console.query("RELOAD")
    assert client.query("show timezone") == [("Asia/Tokyo",)]
    assert client.query("show application_name") == [("mine",)]


def test_users_and_the_way_to_log_in(proxy: Proxy, clients: Clients, console: WireClient, tables: Tables) -> None:
    tables["server"]["auth_type"] = "scram-sha-256"
    tables["server"]["auth_file"] = "users.txt"
    write(proxy, tables)
    console.query("RELOAD")
    with pytest.raises(LoginFailed, match="password"):
        clients.connect("app", password="two")
    assert clients.connect("app", password="one").query("select 1") == [("1",)]
    (proxy.directory / "users.txt").write_text('"postgres" "two"\n')
    console.query("RELOAD")
    assert clients.connect("app", password="two").query("select 1") == [("1",)]
    (proxy.directory / "users.txt").write_text('"postgres "two"\n')
    assert "users.txt:1" in refusal(console)["M"]
    assert clients.connect("app", password="two").query("select 1") == [("1",)]


def test_bans_are_listed_and_lifted(proxy: Proxy, clients: Clients, console: WireClient, tables: Tables) -> None:
    tables["server"].update(auth_type="scram-sha-256", auth_file="users.txt", ban_failures=2)
    tables["databases.fort"] = tables["databases.app"]
    (proxy.directory / "users.txt").write_text('"postgres" "one"\n')
    write(proxy, tables)
    console.query("RELOAD")
    for _ in range(2):
        with pytest.raises(LoginFailed, match="password authentication failed"):
            clients.connect("fort", password="wrong")
    with pytest.raises(LoginFailed, match="banned"):
        clients.connect("fort", password="one")
    row = row_of(show(console, "BANS"), database="fort")
    assert row["address"] == "127.0.0.1"
    assert 0 < int(row["seconds_left"] or 0) <= 120
    ask(console, frontend.query("UNBAN 127.0.0.1 stays"))
    assert "is not banned" in errors(console)[-1]["M"]
    console.query("UNBAN 127.0.0.1")
    assert not show(console, "BANS")
    assert clients.connect("fort", password="one").query("select 1") == [("1",)]


def test_what_needs_a_restart_is_named(proxy: Proxy, clients: Clients, console: WireClient, tables: Tables) -> None:
    tables["server"]["listen_backlog"] = 77
    tables["server"]["default_pool_size"] = 7
    write(proxy, tables)
    start = len(console.replies)
    console.query("RELOAD")
    assert tags(console, start) == b"NCZ"
    assert b"listen_backlog has changed in the file, and stays as it is until a restart" in console.replies[start].body
    values = {row["key"]: row["value"] for row in show(console, "CONFIG")}
    assert (values["listen_backlog"], values["default_pool_size"]) == ("4096", "7")
    assert "listen_backlog has changed" in proxy.log


def test_a_hangup_signal_does_the_same(proxy: Proxy, clients: Clients, console: WireClient, tables: Tables) -> None:
    def sizes() -> str | None:
        return row_of(show(console, "CONFIG"), key="default_pool_size")["value"]

    tables["server"]["default_pool_size"] = 5
    write(proxy, tables)
    os.kill(proxy.pid, signal.SIGHUP)
    wait_until(lambda: sizes() == "5", "the configuration was read")
    tables["server"]["default_pool_size"] = 0
    write(proxy, tables)
    os.kill(proxy.pid, signal.SIGHUP)
    wait_until(lambda: "was not reloaded, and nothing has changed" in proxy.log, "the log says why not")
    assert sizes() == "5"


def test_rules_are_read_again(proxy: Proxy, clients: Clients, console: WireClient, tables: Tables) -> None:
    rules = proxy.directory / "rules.toml"
    client = clients.connect("app")
    assert client.query("select 1 as hot") == [("1",)]
    rules.write_text('[[rule]]\nname = "no vault"\ntables = ["vault"]\naction = "block"\n')
    tables["plugins.rules"] = {"file": "rules.toml"}
    write(proxy, tables)
    console.query("RELOAD")
    assert next(row["name"] for row in show(console, "RULES")) == "no vault"
    late = clients.connect("app")
    ask(late, frontend.query("create table vault (id int)"))
    assert "no vault" in str(errors(late)[-1])
    rules.write_text("[[rule]]\nname = 7\n")
    assert "rules.toml" in refusal(console)["M"]
    ask(late, frontend.query("create table vault (id int)"))
    assert len(errors(late)) == 2


# --- The end -----------------------------------------------------------------------------------------------------


@contextmanager
def ended(proxy: Proxy) -> Iterator[None]:
    yield
    assert proxy.wait() == 0


def test_shutdown(mortal: Proxy) -> None:
    with Clients(mortal) as clients, ended(mortal):
        client, console = clients.connect("app"), clients.connect("pgbouncer")
        client.query("begin")
        console.send(frontend.query("SHUTDOWN"))
        client.read_to_end()
        assert errors(client)[-1]["C"] == "57P01"
        console.read_to_end()


def test_shutdown_when_clients_have_gone(mortal: Proxy) -> None:
    with Clients(mortal) as clients, ended(mortal):
        client, console = clients.connect("app"), clients.connect("pgbouncer")
        console.query("SHUTDOWN WAIT_FOR_CLIENTS")
        wait_until(lambda: not listens(mortal), "nobody gets in any more")
        assert client.query("select 1") == [("1",)]
        assert show(console, "CLIENTS")
        client.close()


def test_shutdown_when_servers_are_free(mortal: Proxy) -> None:
    with Clients(mortal) as clients, ended(mortal):
        busy, waiting, idle = (clients.connect("app") for _ in range(3))
        console = clients.connect("pgbouncer")
        busy.query("begin")
        console.query("SHUTDOWN WAIT_FOR_SERVERS")
        waiting.send(frontend.query("select 1"))
        waiting.read_to_end()
        assert errors(waiting)[-1]["C"] == "57P01"
        assert busy.query("select 1") == [("1",)]
        ask(console, frontend.query("RESUME"))
        assert "shutting down" in errors(console)[-1]["M"]
        commit(busy)
        idle.read_to_end()


def commit(client: WireClient) -> None:
    """End the transaction, whereupon the proxy hangs up: maybe so soon that its farewell comes with the answer."""
    start = len(client.replies)
    client.send(frontend.query("commit"))
    client.read_to_end()
    assert tags(client, start).startswith(b"CZ")


def listens(proxy: Proxy) -> bool:
    try:
        WireClient(proxy.host, proxy.port).close()
    except ConnectionRefusedError:
        return False
    return True
