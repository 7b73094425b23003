"""The admin console of several processes: it tells of all of them and speaks to all of them."""

from __future__ import annotations

import itertools
import os
import signal
import socket
from collections.abc import Iterator

import httpx
import pytest

from interceptor.testing.postgres import PostgresServer, free_port
from pooler.numbering import CONNECTION_NUMBERS
from tests.support import frontend as f
from tests.support.login import LoginFailed
from tests.support.processes import Family, connect_to, worker_of
from tests.support.proxied import Clients, errors, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import Activity, wait_until
from tests.support.wire import WireClient, WireError

DATABASE = "processes_console"
WORKERS = 2
NUMBERS = itertools.count()
ADMIN_PORT = free_port()


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    postgres18.create_database(DATABASE)
    tables: Tables = {
        "server": {
            "workers": WORKERS,
            "admin_users": ["postgres"],
            "catalogue": False,
            "admin_listen": f"127.0.0.1:{ADMIN_PORT}",
        },
        "databases.app": {"primary": upstream(postgres18, DATABASE, application_name="app"), "pool_size": 4},
        "databases.other": {"primary": upstream(postgres18, DATABASE)},
    }
    with run_proxy(tables) as running:
        yield running
    postgres18.drop_database(DATABASE)


def shown(console: WireClient, what: str) -> list[dict[str, str | None]]:
    start = len(console.replies)
    rows = console.query(f"SHOW {what}")
    (description,) = [reply.body for reply in console.replies[start:] if reply.tag == b"T"]
    names, position = [], 2
    for _ in range(int.from_bytes(description[:2], "big")):
        end = description.index(0, position)
        names.append(description[position:end].decode())
        position = end + 19
    return [dict(zip(names, row, strict=True)) for row in rows]


def answers(console: WireClient) -> bool:
    """False while the control is being replaced."""
    try:
        console.query("SHOW DATABASES")
    except WireError:
        return False
    return True


def pool(console: WireClient) -> dict[str, int]:
    """The numbers of the pool of ``app``."""
    (found,) = [row for row in shown(console, "POOLS") if row["database"] == "app"]
    return {name: int(value) for name, value in found.items() if value is not None and value.isdigit()}


def at(clients: Clients, worker: int, database: str = "app") -> WireClient:
    return connect_to(worker, lambda: clients.connect(database))


def test_show_pools_is_the_sum_over_the_workers(clients: Clients) -> None:
    members = [at(clients, 1), at(clients, 2)]
    for member in members:
        member.query("begin")
    console = clients.connect("pgbouncer")
    everybody = shown(console, "CLIENTS")
    assert len({row["id"] for row in everybody}) == len(everybody), "each has a number of its own"
    here = [row for row in everybody if row["database"] == "app"]
    assert {int(row["id"] or 0) % CONNECTION_NUMBERS for row in here} == {1, 2}
    assert len([row for row in here if row["link"]]) == 2
    seen = pool(console)
    assert (seen["cl_active"], seen["cl_waiting"], seen["sv_active"]) == (len(here), 0, 2)
    for member in members:
        member.query("commit")


def test_metrics_are_the_sum_over_all_processes(clients: Clients) -> None:
    before = served()
    for worker in range(1, WORKERS + 1):
        at(clients, worker).query("select 1")
    assert served() == before + WORKERS
    assert metric("interceptor_processes") == WORKERS + 1, "the control tells of itself"


def metric(name: str) -> float:
    """The sum of a metric over all labels."""
    text = httpx.get(f"http://127.0.0.1:{ADMIN_PORT}/metrics", timeout=10).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name)


def served() -> float:
    return metric("interceptor_queries_total")


def test_any_client_can_be_killed_from_any_console(clients: Clients) -> None:
    for worker in range(1, WORKERS + 1):
        member = connect_to(worker, lambda: clients.connect("other", application_name="victim"))
        console = clients.connect("pgbouncer")
        victims = [row for row in shown(console, "CLIENTS") if row["application_name"] == "victim"]
        for row in victims:
            console.query(f"KILL_CLIENT {row['id']}")
        member.read_to_end()
        assert [error["C"] for error in errors(member)] == ["57P01"]
    console.send(f.query("KILL_CLIENT 987654321"))
    console.read_until_ready(console.ready_count + 1)
    assert "client not found" in errors(console)[-1]["M"]


def test_a_worker_that_is_replaced_holds_up_what_the_others_hold_up(
    proxy: Proxy, clients: Clients, postgres18: PostgresServer
) -> None:
    family = Family(proxy)
    console = at_console(clients, 2)
    at(clients, 1).query("select 1")
    console.query("PAUSE app")
    console.query("DISABLE other")
    with Activity(postgres18, application="app") as activity:
        assert activity.count() == 0, "PAUSE waits for the backends of all workers"
        before, counted = family.pid("worker 1"), served()
        os.kill(before, signal.SIGKILL)
        family.replaced("worker 1", before)
        assert served() == counted > 0, "what the killed one had counted stays counted"
        wait_until(lambda: _refused(clients, "other"), "the database is disabled")
        waiting = [clients.raw() for _ in range(6)]
        for client in waiting:
            client.send(f.startup({"user": "postgres", "database": "app"}))
        for _ in range(6):
            with pytest.raises(LoginFailed, match="disabled"):
                clients.connect("other")
        console.query("SHOW POOLS")
        assert activity.count() == 0
        console.query("RESUME app")
        console.query("ENABLE other")
        for client in waiting:
            client.read_until_ready()
            client.send(f.query("select 1"))
            client.read_until_ready(2)
            assert not errors(client)


def test_a_reload_holds_for_the_limits_and_for_those_who_are_replaced(
    proxy: Proxy, clients: Clients, postgres18: PostgresServer
) -> None:
    family = Family(proxy)
    file = proxy.directory / "interceptor.toml"
    before = file.read_text()
    member = at(clients, 1)
    with Activity(postgres18, application="app") as activity:
        file.write_text(before.replace("pool_size = 4", "pool_size = 1"))
        proxy.process.send_signal(signal.SIGHUP)
        wait_until(lambda: activity.count() <= 1, "the smaller pool is that of all workers")
        assert member.query("select 1") == [("1",)]
        console = clients.connect("pgbouncer")
        console.query("SET query_wait_timeout = 41")
        file.write_text("nonsense")
        for name in ("worker 1", "worker 2", "control"):
            victim = family.pid(name)
            os.kill(victim, signal.SIGKILL)
            family.replaced(name, victim)
            # One that serves has been told all there is: what nobody alive knows would be lost.
            members = [connect_to(worker, lambda: clients.connect("app")) for worker in (1, 2)]
        console = clients.connect("pgbouncer")
        wait_until(lambda: answers(console), "the control answers")
        shown_sizes = {row["pool_size"] for row in shown(console, "DATABASES") if row["name"] == "app"}
        assert shown_sizes == {"1"}, "they begin with what was reloaded, whatever the file is by now"
        for worker in (1, 2):
            settings = {row["key"]: row["value"] for row in shown(at_console(clients, worker), "CONFIG")}
            assert settings["query_wait_timeout"] == "41"
        for one in members:
            one.send(f.query("select pg_sleep(0.05)"))
        for one in members:
            one.read_until_ready(2)
            assert activity.count() <= 1
    file.write_text(before)
    proxy.process.send_signal(signal.SIGHUP)
    wait_until(lambda: pool_size(clients) == "4", "and the pool is as before")


def pool_size(clients: Clients) -> str | None:
    (row,) = [row for row in shown(clients.connect("pgbouncer"), "DATABASES") if row["name"] == "app"]
    return row["pool_size"]


def test_shutdown_ends_all_processes(postgres18: PostgresServer) -> None:
    tables: Tables = {
        "server": {"workers": WORKERS, "admin_users": ["postgres"]},
        "databases.app": {"primary": upstream(postgres18, "postgres")},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        members = [at(clients, 1), at(clients, 2)]
        clients.connect("pgbouncer").send(f.query("SHUTDOWN"))
        for member in members:
            member.read_to_end()
        assert proxy.wait() == 0


@pytest.mark.parametrize(
    "mode", ["WAIT_FOR_CLIENTS", pytest.param("WAIT_FOR_SERVERS", marks=pytest.mark.soak_processes)]
)
def test_a_node_that_waits_for_its_end_takes_nobody_in(
    postgres18: PostgresServer, tmp_path_factory: pytest.TempPathFactory, mode: str
) -> None:
    folder = tmp_path_factory.mktemp("s")
    tables: Tables = {
        "server": {"workers": WORKERS, "admin_users": ["postgres"], "unix_socket_dir": str(folder)},
        "databases.app": {"primary": upstream(postgres18, "postgres")},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        members = [clients.connect("app") for _ in range(4)]
        for member in members:
            member.query("begin")
        console = clients.connect("pgbouncer")
        assert list(folder.iterdir())
        console.query(f"SHUTDOWN {mode}")
        wait_until(lambda: not _listens(proxy), "nobody gets in any more")
        assert not list(folder.iterdir())
        for member in members:
            assert member.query("select 1") == [("1",)]
            member.query("commit")
            member.close()
        assert proxy.wait() == 0


@pytest.mark.parametrize("victim", ["worker 1", pytest.param("control", marks=pytest.mark.soak_processes)])
def test_a_node_that_waits_for_its_end_ends_though_who_said_so_is_dead(postgres18: PostgresServer, victim: str) -> None:
    tables: Tables = {
        "server": {"workers": WORKERS, "admin_users": ["postgres"], "catalogue": False},
        "databases.app": {"primary": upstream(postgres18, "postgres")},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        member = at(clients, 2)
        console = at_console(clients, 1)
        family = Family(proxy)
        before = family.pid(victim)
        if victim == "control":
            os.kill(before, signal.SIGKILL)
        console.send(f.query("SHUTDOWN WAIT_FOR_CLIENTS"))
        wait_until(lambda: not _listens(proxy), "nobody gets in any more")
        if victim != "control":
            os.kill(before, signal.SIGKILL)
            wait_until(lambda: victim not in family.pids(), "it is not replaced")
        assert member.query("select 'still here'") == [("still here",)]
        for one in clients.made:
            one.close()
        assert proxy.wait() == 0


def _listens(proxy: Proxy) -> bool:
    try:
        socket.create_connection((proxy.host, proxy.port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


def at_console(clients: Clients, worker: int) -> WireClient:
    """A console at this worker, told by its number in SHOW CLIENTS: its process id names no worker."""
    for number in itertools.islice(NUMBERS, 50):
        console = clients.connect("pgbouncer", application_name=f"console {number}")
        (own,) = [row for row in shown(console, "CLIENTS") if row["application_name"] == f"console {number}"]
        if int(own["id"] or 0) % CONNECTION_NUMBERS == worker:
            return console
    raise AssertionError("no console came to the worker")


def _refused(clients: Clients, database: str) -> bool:
    try:
        return worker_of(clients.connect(database)) < 0
    except LoginFailed:
        return True
