"""What the console's commands do to clients and servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.integration.test_console import Shown, ask, row_of, show
from tests.support import frontend
from tests.support.login import LoginFailed
from tests.support.proxied import Clients, errors, pid_of, upstream
from tests.support.proxy import Proxy, Value, run_proxy
from tests.support.watch import Activity, Gate, wait_until
from tests.support.wire import WireClient

DATABASE = "commands"


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    postgres18.create_database(DATABASE)
    tables: dict[str, dict[str, Value]] = {
        "server": {"admin_users": ["postgres"], "default_pool_size": 3, "catalogue": False},
        "databases.app": {"primary": upstream(postgres18, DATABASE)},
        "databases.other": {"primary": upstream(postgres18, DATABASE)},
        "users.sitter": {"pool_mode": "session"},
    }
    with run_proxy(tables) as made:
        yield made
    postgres18.drop_database(DATABASE)


@pytest.fixture
def console(clients: Clients) -> WireClient:
    return clients.connect("pgbouncer")


def say(console: WireClient, command: str) -> None:
    """Send a command whose answer comes later."""
    console.send(frontend.query(command))


def refusal(console: WireClient, command: str) -> str:
    """What a command is refused with."""
    seen = len(errors(console))
    ask(console, frontend.query(command))
    return errors(console)[seen]["M"]


def paused(console: WireClient, database: str) -> bool:
    return row_of(show(console, "DATABASES"), name=database)["paused"] == "1"


def servers(console: WireClient, database: str) -> Shown:
    return [row for row in show(console, "SERVERS") if row["database"] == database]


# --- PAUSE and RESUME --------------------------------------------------------------------------------------------


def test_pause_waits_for_transactions_and_holds_new_ones(clients: Clients, console: WireClient) -> None:
    busy, idle, watcher = clients.connect("app"), clients.connect("app"), clients.connect("pgbouncer")
    assert pid_of(idle)
    busy.query("begin")
    ready = console.ready_count
    say(console, "PAUSE app")
    wait_until(lambda: paused(watcher, "app"), "the command has begun")
    assert busy.query("select 1") == [("1",)]
    assert len(servers(watcher, "app")) == 1
    idle.send(frontend.query("select 2"))
    wait_until(lambda: row_of(show(watcher, "POOLS"), database="app")["cl_waiting"] == "1", "the idle client waits")
    console.read_available()
    assert console.ready_count == ready
    busy.query("commit")
    console.read_until_ready(ready + 1)
    assert not servers(watcher, "app")
    other = clients.connect("other")
    assert other.query("select 3") == [("3",)]
    newcomer = clients.connect("app")
    newcomer.send(frontend.query("select 4"))
    wait_until(lambda: row_of(show(watcher, "POOLS"), database="app")["cl_waiting"] == "2", "the new client waits")
    console.query("RESUME app")
    for client in (idle, newcomer):
        client.read_until_ready(client.ready_count + 1)
        assert not errors(client)
    assert not paused(watcher, "app")


def test_pause_without_a_name_is_of_all(clients: Clients, console: WireClient) -> None:
    one, two = clients.connect("app"), clients.connect("other")
    one.query("select 1")
    two.query("select 1")
    console.query("PAUSE")
    assert not show(console, "SERVERS")
    assert row_of(show(console, "STATE"), key="paused")["value"] == "yes"
    assert refusal(console, "PAUSE") == "(console_failed) already paused"
    for client in (one, two):
        client.send(frontend.query("select 2"))
    wait_until(lambda: sum(int(row["cl_waiting"] or 0) for row in show(console, "POOLS")) == 2, "both wait")
    console.query("RESUME")
    for client in (one, two):
        client.read_until_ready(3)
    assert row_of(show(console, "STATE"), key="active")["value"] == "yes"
    assert "is not paused" in refusal(console, "RESUME")
    assert "can't be resumed" in refusal(console, "RESUME app")


def test_a_database_may_be_paused_twice_and_stays_so_if_the_second_is_canceled(
    proxy: Proxy, clients: Clients, console: WireClient
) -> None:
    busy, first, second = clients.connect("app"), clients.connect("pgbouncer"), clients.connect("pgbouncer")
    busy.query("begin")
    for one in (first, second):
        begun = proxy.log.count("PAUSE app\n") + 1
        say(one, "PAUSE app")
        wait_until(lambda: proxy.log.count("PAUSE app\n") == begun, "the command has begun")  # noqa: B023
    ready = second.ready_count
    clients.cancel(second.key)
    second.read_until_ready(ready + 1)
    assert errors(second)[-1]["C"] == "57014"
    assert paused(console, "app")
    ready = first.ready_count
    busy.query("commit")
    first.read_until_ready(ready + 1)
    assert not errors(first)
    console.query("PAUSE app")  # a script may say it again
    console.query("RESUME app")
    assert busy.query("select 1") == [("1",)]


def test_a_canceled_pause_lets_all_go_on(clients: Clients, console: WireClient) -> None:
    busy, watcher = clients.connect("app"), clients.connect("pgbouncer")
    busy.query("begin")
    ready = console.ready_count
    say(console, "PAUSE app")
    wait_until(lambda: paused(watcher, "app"), "the command has begun")
    clients.cancel(console.key)
    console.read_until_ready(ready + 1)
    assert errors(console)[-1]["C"] == "57014"
    wait_until(lambda: not paused(watcher, "app"), "all goes on")
    busy.query("commit")
    assert busy.query("select 1") == [("1",)]


def test_pause_waits_for_a_session(clients: Clients, console: WireClient) -> None:
    sitter, watcher = clients.connect("app", "sitter"), clients.connect("pgbouncer")
    sitter.query("select 1")
    ready = console.ready_count
    say(console, "PAUSE app")
    wait_until(lambda: paused(watcher, "app"), "the command has begun")
    assert sitter.query("select 1") == [("1",)]
    sitter.close()
    console.read_until_ready(ready + 1)
    console.query("RESUME app")


# --- KILL --------------------------------------------------------------------------------------------------------


def test_kill_ends_clients_and_servers_until_resume(clients: Clients, console: WireClient, activity: Activity) -> None:
    busy, idle, other = clients.connect("app"), clients.connect("app"), clients.connect("other")
    busy.send(frontend.query("select pg_sleep(600)"))
    idle.query("select 1")
    other.query("select 1")
    pid = activity.wait_for_query("pg_sleep(600)")
    console.query("KILL app")
    for client in (busy, idle):
        client.read_to_end()
        assert errors(client)[-1]["C"] == "57P01"
    wait_until(lambda: pid not in activity.pids(), "the server has ended the query")
    assert other.query("select 2") == [("2",)]
    late = clients.connect("app")
    late.send(frontend.query("select 3"))
    wait_until(lambda: row_of(show(console, "POOLS"), database="app")["cl_waiting"] == "1", "the new client waits")
    console.query("RESUME app")
    late.read_until_ready(2)
    assert not errors(late)


def test_kill_client(clients: Clients, console: WireClient) -> None:
    victim, other = clients.connect("app", application_name="victim"), clients.connect("app")
    victim.query("begin")
    number = row_of(show(console, "CLIENTS"), application_name="victim")["id"]
    console.query(f"KILL_CLIENT {number}")
    victim.read_to_end()
    assert "(killed)" in errors(victim)[-1]["M"]
    assert "client not found" in refusal(console, f"KILL_CLIENT {number}")
    assert other.query("select 1") == [("1",)]


# --- RECONNECT, WAIT_CLOSE ---------------------------------------------------------------------------------------


def test_reconnect_closes_each_server_at_its_release(clients: Clients, console: WireClient) -> None:
    busy, watcher = clients.connect("app"), clients.connect("pgbouncer")
    busy.query("begin")
    pid = pid_of(busy)
    console.query("RECONNECT app")
    assert row_of(servers(watcher, "app"), remote_pid=str(pid))["close_needed"] == "1"
    other = clients.connect("app")
    assert pid_of(other) != pid
    ready = console.ready_count
    say(console, "WAIT_CLOSE app")
    assert pid_of(busy) == pid
    console.read_available()
    assert console.ready_count == ready
    busy.query("commit")
    console.read_until_ready(ready + 1)
    assert all(row["close_needed"] == "0" for row in servers(watcher, "app"))
    assert pid_of(busy) != pid


def test_reconnect_closes_idle_servers_at_once(clients: Clients, console: WireClient) -> None:
    client = clients.connect("app")
    pid = pid_of(client)
    console.query("RECONNECT; WAIT_CLOSE")
    wait_until(lambda: str(pid) not in {row["remote_pid"] for row in servers(console, "app")}, "the old one is gone")
    assert pid_of(client) != pid


# --- DISABLE -----------------------------------------------------------------------------------------------------


def test_disable_refuses_new_clients_alone(clients: Clients, console: WireClient) -> None:
    inside = clients.connect("app")
    console.query("DISABLE app")
    with pytest.raises(LoginFailed, match=r'database_disabled.*"app" is disabled'):
        clients.connect("app")
    assert inside.query("select 1") == [("1",)]
    assert clients.connect("other").query("select 1") == [("1",)]
    assert row_of(show(console, "DATABASES"), name="app")["disabled"] == "1"
    console.query("ENABLE app")
    assert clients.connect("app").query("select 1") == [("1",)]


# --- What is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("PAUSE nowhere", "no such database: nowhere"),
        ("PAUSE pgbouncer", "pgbouncer is the admin console"),
        ("KILL interceptor", "interceptor is the admin console"),
        ("DISABLE", "a database is required: DISABLE <db>"),
        ("SUSPEND", "SUSPEND does not exist here"),
        ("SHUTDOWN NOW", 'exist, but not "NOW"'),
        ("SET nothing = 1", "SET failed: nothing: there is no such setting"),
        ("SET admin_listen = '127.0.0.1:1'", "needs a restart"),
        ("SET default_pool_siz = 1", 'did you mean "default_pool_size"'),
        ("SET default_pool_size = many", "expected a whole number"),
        ("SET min_pool_size = 5", "must not be above default_pool_size"),
        ("SET listen_port = 1", "needs a restart"),
        ("SET default_pool_size", "expected SET key = value"),
        ("KILL_CLIENT 999999", "client not found"),
    ],
)
def test_what_can_not_be_is_refused_with_a_reason(console: WireClient, command: str, why: str) -> None:
    assert why in refusal(console, command)
    assert console.query("SHOW VERSION")


# --- SET ---------------------------------------------------------------------------------------------------------


def test_set_changes_a_setting_at_once(clients: Clients, console: WireClient, postgres18: PostgresServer) -> None:
    working = [clients.connect("app") for _ in range(4)]
    with Gate(postgres18, DATABASE) as gate:
        for client in working:
            client.send(frontend.query(f"select {gate.sql}"))
        wait_until(lambda: row_of(show(console, "POOLS"), database="app")["sv_active"] == "3", "the pool is full")
        assert row_of(show(console, "CONFIG"), key="default_pool_size") == {
            "key": "default_pool_size",
            "value": "3",
            "default": "20",
            "changeable": "yes",
        }
        console.query("SET default_pool_size = 4")
        wait_until(lambda: row_of(show(console, "POOLS"), database="app")["sv_active"] == "4", "the pool has grown")
        gate.open()
    for client in working:
        client.read_until_ready(2)
    console.query("SET default_pool_size='3'")
    wait_until(lambda: len(servers(console, "app")) <= 3, "the pool has shrunk")
    assert row_of(show(console, "CONFIG"), key="default_pool_size")["value"] == "3"
    assert row_of(show(console, "CONFIG"), key="listen_port")["changeable"] == "no"


# --- Plugins -----------------------------------------------------------------------------------------------------

MOTTO = """
from __future__ import annotations
from datetime import UTC, datetime
from interceptor import ConsoleCommand, hookimpl, plugin

@plugin(version="1")
class Motto:
    def __init__(self, context):
        self.motto = "festina lente"

    @hookimpl
    def console_commands(self):
        yield ConsoleCommand("SHOW MOTTO", (("motto", "text"), ("since", "timestamptz")), self.show)
        yield ConsoleCommand("SHOW MOTTO LENGTH", (("length", "int4"),), self.length)
        yield ConsoleCommand("SET MOTTO", (("was", "text"),), self.change, changes=True)
        yield ConsoleCommand("SHOW FAILURE", (("never", "text"),), lambda words: 1 / 0)
        yield ConsoleCommand("SHOW NONSENSE", (("number", "int4"),), lambda words: [["a secret"]])
        yield ConsoleCommand("SHOW POOLS", (("mine", "text"),), lambda words: [["stolen"]])
        yield ConsoleCommand("PAUSE", (), lambda words: [], changes=True)

    def show(self, words):
        return [(self.motto + "".join(words), datetime(2026, 1, 1, tzinfo=UTC))]

    async def length(self, words):
        return [(len(self.motto),)]

    def change(self, words):
        was, self.motto = self.motto, " ".join(words)
        return [(was,)]
"""


@pytest.fixture(scope="module")
def with_plugin(postgres18: PostgresServer) -> Iterator[Proxy]:
    tables: dict[str, dict[str, Value]] = {
        "server": {"admin_users": ["postgres"], "stats_users": ["viewer"]},
        "databases.app": {"primary": upstream(postgres18, "postgres")},
        "plugins": {"modules": ["motto.py"]},
    }
    with run_proxy(tables, {"motto.py": MOTTO}) as made:
        yield made
        # What a command raises is logged with its trace, which is no fault of the proxy's.
        log = made.directory / "log"
        made.stop()
        log.write_text(log.read_text().replace("Traceback", "Trace"))


@pytest.fixture
def plugin_clients(with_plugin: Proxy) -> Iterator[Clients]:
    with Clients(with_plugin) as made:
        yield made


def test_plugins_add_commands(plugin_clients: Clients) -> None:
    console = plugin_clients.connect("pgbouncer")
    row = {"motto": "festina lente", "since": "2026-01-01 00:00:00+00"}
    assert show(console, "MOTTO") == [row]
    assert show(console, "MOTTO now") == [{**row, "motto": "festina lentenow"}]
    assert show(console, "motto length") == [{"length": "13"}]
    start = len(console.replies)
    console.query("SHOW HELP")
    assert b"SHOW MOTTO LENGTH" in console.replies[start].body


def test_what_changes_something_is_for_admins(plugin_clients: Clients) -> None:
    viewer = plugin_clients.connect("pgbouncer", "viewer")
    assert "admin access needed" in refusal(viewer, "SET MOTTO carpe diem")
    assert show(viewer, "MOTTO")[0]["motto"] == "festina lente"
    console = plugin_clients.connect("pgbouncer")
    assert console.query("SET MOTTO carpe diem") == [("festina lente",)]
    assert show(viewer, "MOTTO")[0]["motto"] == "carpe diem"
    console.query("SET MOTTO 'festina lente'")


def test_what_fails_in_a_plugin_stays_there(with_plugin: Proxy, plugin_clients: Clients) -> None:
    console = plugin_clients.connect("pgbouncer")
    assert "the command SHOW FAILURE failed in its plugin" in refusal(console, "SHOW FAILURE")
    assert "ZeroDivisionError" in with_plugin.log
    assert "does not fit the columns" in refusal(console, "SHOW NONSENSE")
    assert show(console, "MOTTO")


def test_no_plugin_takes_a_command_away(plugin_clients: Clients) -> None:
    console = plugin_clients.connect("pgbouncer")
    assert "cl_active" in show(console, "POOLS")[0]
    assert "no such database" in refusal(console, "PAUSE nowhere")
