"""Several workers under one set of limits: what holds for the node, and who loses what when a process is killed."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from interceptor.testing.postgres import PostgresServer, free_port
from tests.support import frontend as f
from tests.support.login import LoginFailed
from tests.support.processes import Family, connect_to, is_alive, one_of_each, peak
from tests.support.proxied import Clients, commit_and_leave, errors, pid_of, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import Activity, Gate, wait_for, wait_until
from tests.support.wire import WireClient

DATABASE = "processes"
WORKERS = 3


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    """Three workers; each database of the proxy has its name as its application_name."""
    postgres18.create_database(DATABASE)
    postgres18.psql("create role processes_bob login")

    def database(name: str) -> str:
        return upstream(postgres18, DATABASE, application_name=name)

    tables: Tables = {
        "server": {"catalogue": False, "workers": WORKERS, "max_client_conn": 400},
        "databases.storm": {"primary": database("storm"), "pool_size": 2},
        "databases.one": {"primary": database("one"), "pool_size": 1},
        "databases.dead": {"primary": database("dead"), "pool_size": 3},
        "databases.ruled": {"primary": database("ruled"), "pool_size": 3},
        "databases.minimum": {"primary": database("minimum"), "pool_size": 5, "min_pool_size": 4},
        "databases.capped": {
            "primary": upstream(postgres18, DATABASE, "", application_name="capped"),
            "max_db_connections": 2,
        },
        "databases.wide": {"primary": database("wide"), "pool_size": 20},
    }
    with run_proxy(tables) as running:
        yield running
    postgres18.drop_database(DATABASE)
    postgres18.psql("drop role processes_bob")


@pytest.fixture
def family(proxy: Proxy) -> Family:
    return Family(proxy)


def at_each_worker(clients: Clients, database: str) -> dict[int, WireClient]:
    """A client of each worker."""
    return one_of_each(WORKERS, lambda: clients.connect(database))


def test_never_more_than_pool_size_backends_over_all_workers(proxy: Proxy, postgres18: PostgresServer) -> None:
    rounds = 3
    with Clients(proxy) as clients, peak(postgres18, "storm") as seen:
        # How many come to each worker is the kernel's choice, so there are some of each whatever it does.
        members = [member for _ in range(15) for member in at_each_worker(clients, "storm").values()]
        members += [clients.connect("storm") for _ in range(45)]
        for member in members:
            for _ in range(rounds):
                member.send(f.query("select pg_sleep(0.001)"))
        for member in members:
            member.read_until_ready(1 + rounds)
            assert not errors(member)
    assert seen.most == 2


def test_a_pool_of_one_serves_the_clients_of_every_worker(clients: Clients, postgres18: PostgresServer) -> None:
    """A permit that rests where nobody needs it moves, and one that is in use moves in turn."""
    members = at_each_worker(clients, "one")
    with peak(postgres18, "one") as seen:
        for _ in range(2):
            for member in members.values():
                assert member.query("select 1") == [("1",)]
        for member in members.values():
            for _ in range(4):
                member.send(f.query("select pg_sleep(0.01)"))
        for member in members.values():
            member.read_until_ready(1 + 2 + 4)
            assert not errors(member)
    assert seen.most == 1


def test_permits_move_from_worker_to_worker_at_a_bounded_rate(postgres18: PostgresServer) -> None:
    """Each move is a login. Workers that all have waiters would do nothing else, some hundred times a second."""
    pool, port = 3, free_port()
    tables: Tables = {
        "server": {"workers": 4, "catalogue": False, "admin_listen": f"127.0.0.1:{port}"},
        "databases.app": {"primary": upstream(postgres18, "postgres"), "pool_size": pool},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        begun = time.monotonic()
        members = [member for _ in range(5) for member in one_of_each(4, lambda: clients.connect("app")).values()]
        for member in members:
            for _ in range(50):
                member.send(f.query("select 1"))
        for member in members:
            member.read_until_ready(1 + 50)
            assert not errors(member)
        seconds = time.monotonic() - begun
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
    logins = sum(float(one) for one in re.findall(r"^interceptor_backend_logins_total\{.*\} (\S+)$", metrics, re.M))
    print(f"{logins:.0f} logins in {seconds:.2f} s")
    # A permit that is in use stays for a quarter of a second, and one that rests for a tenth.
    assert 4 <= logins <= pool * (1 + seconds / 0.1)


def test_a_limit_that_pools_share_holds_over_all_workers(clients: Clients, postgres18: PostgresServer) -> None:
    """Each role has a pool of its own, and all of them have two connections together."""
    users = ("postgres", "processes_bob")
    with peak(postgres18, "capped") as seen:
        found = [one_of_each(WORKERS, lambda user=user: clients.connect("capped", user)) for user in users]  # type: ignore[misc]
        members = [member for each in found for member in each.values()]
        for member in members:
            for _ in range(3):
                member.send(f.query("select pg_sleep(0.001)"))
        for member in members:
            member.read_until_ready(1 + 3)
            assert not errors(member)
    assert seen.most <= 2


def test_a_client_is_canceled_through_any_worker(clients: Clients, postgres18: PostgresServer) -> None:
    members = at_each_worker(clients, "wide")
    with Activity(postgres18, application="wide") as activity:
        for number, member in members.items():
            asked = f"select pg_sleep(600), {number}"
            member.send(f.query(asked))
            activity.wait_for_query(asked)
            assert member.key is not None
            for _ in range(2 * WORKERS):
                # Each request goes to whichever worker accepts it.
                clients.cancel(member.key)
            member.read_until_ready(2)
            assert [error["C"] for error in errors(member)] == ["57014"]
            assert member.query("select 1") == [("1",)], "it is canceled once, and at work again"


def test_a_cancel_request_with_another_key_cancels_nothing(clients: Clients) -> None:
    members = at_each_worker(clients, "wide")
    for member in members.values():
        assert member.key is not None
        process_id, secret = member.key
        member.send(f.query("select pg_sleep(0.3)"))
        for _ in range(WORKERS):
            clients.cancel((process_id, bytes(byte ^ 1 for byte in secret)))
        member.read_until_ready(2)
        assert not errors(member)


def test_what_one_worker_learns_of_a_server_lets_in_those_who_wait_for_it_at_others(postgres18: PostgresServer) -> None:
    """All permits are in transactions whose clients may wait for these very logins, as ``pgbench -C`` does."""
    tables: Tables = {
        "server": {"workers": 2, "catalogue": False, "admin_users": ["postgres"]},
        "databases.app": {"primary": upstream(postgres18, "postgres"), "pool_size": 2},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        console = clients.connect("pgbouncer")
        holders = [clients.connect("app") for _ in range(2)]
        for holder in holders:
            holder.query("begin")
        newcomers = [clients.raw() for _ in range(20)]
        for newcomer in newcomers:
            newcomer.send(
                f.startup({"user": "postgres", "database": "app", "search_path": "pg_catalog"}), f.query("begin")
            )
        wait_until(lambda: _waiting(console) == len(newcomers), "all wait for a backend to tell what the server says")
        holders[0].query("commit")
        for newcomer in newcomers:
            newcomer.read_until_ready()
            assert not errors(newcomer)


def _waiting(console: WireClient) -> int:
    """Clients of ``app`` that wait, by SHOW POOLS."""
    return sum(int(row[3] or 0) for row in console.query("SHOW POOLS") if row[0] == "app")


def test_min_pool_size_holds_for_the_node(postgres18: PostgresServer, proxy: Proxy) -> None:
    with Activity(postgres18, application="minimum") as activity:
        wait_until(lambda: activity.count() == 4, "min_pool_size backends were logged in")


def test_a_killed_worker_takes_nobody_else_along_and_its_permits_return(
    clients: Clients, family: Family, postgres18: PostgresServer
) -> None:
    with Activity(postgres18, application="dead") as activity, peak(postgres18, "dead") as seen:
        members = at_each_worker(clients, "dead")
        victim = members.pop(1)
        victim.query("begin")
        victim.send(f.query("select pg_sleep(600)"))
        for member in members.values():
            member.query("begin")
        activity.wait_for_query("pg_sleep(600)")
        assert activity.count() == 3
        before = family.pid("worker 1")
        os.kill(before, signal.SIGKILL)
        victim.read_to_end()
        # All permits are out: this client gets the dead worker's, once its query has been canceled.
        late = clients.connect("dead")
        assert late.query("select 1") == [("1",)]
        assert not activity.pids("AND query LIKE '%pg_sleep(600)%'")
        for member in members.values():
            assert member.query("commit") == []
            assert not errors(member)
        family.replaced("worker 1", before)
        assert connect_to(1, lambda: clients.connect("dead")).query("select 1") == [("1",)]
    assert seen.most == 3


def test_a_killed_control_costs_nobody_a_query_and_the_next_one_knows_what_is_out(
    clients: Clients, family: Family, postgres18: PostgresServer
) -> None:
    with peak(postgres18, "ruled") as seen:
        members = at_each_worker(clients, "ruled")
        for member in members.values():
            member.query("begin")
        before = family.pid("control")
        os.kill(before, signal.SIGKILL)
        # With what is there already the workers go on, control or not.
        held = {worker: pid_of(member) for worker, member in members.items()}
        waiting = [clients.connect("ruled") for _ in range(6)]
        for one in waiting:
            one.send(f.query("select 1"))
        family.replaced("control", before)
        assert {worker: pid_of(member) for worker, member in members.items()} == held
        for member in members.values():
            assert member.query("commit") == []
        for one in waiting:
            one.read_until_ready(2)
            assert not errors(one)
    assert seen.most == 3
    # The new control passes on cancel requests too.
    sleeper = members[1]
    sleeper.send(f.query("select pg_sleep(600)"))
    with Activity(postgres18, application="ruled") as activity:
        activity.wait_for_query("pg_sleep(600)")
    key = sleeper.key
    assert key is not None

    def is_canceled() -> bool:
        clients.cancel(key)
        sleeper.read_available()
        return bool(errors(sleeper))

    wait_until(is_canceled)
    assert [error["C"] for error in errors(sleeper)] == ["57014"]


def test_a_killed_parent_ends_everybody_at_the_end_of_a_transaction(postgres18: PostgresServer) -> None:
    tables: Tables = {
        "server": {"workers": 2},
        "databases.app": {"primary": upstream(postgres18, "postgres", application_name="orphaned")},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        children = Family(proxy).pids()
        assert sorted(children) == ["control", "worker 1", "worker 2"]
        idle, working = clients.connect("app"), clients.connect("app")
        working.query("begin")
        os.kill(proxy.pid, signal.SIGKILL)
        idle.read_to_end()
        assert [error["C"] for error in errors(idle)] == ["57P01"]
        assert working.query("select 'still here'") == [("still here",)]
        commit_and_leave(working)
        wait_until(lambda: not any(map(is_alive, children.values())), "all processes have ended")
        with Activity(postgres18, application="orphaned") as activity:
            wait_until(lambda: activity.count() == 0, "no backend is left")


def test_max_client_conn_holds_over_all_workers(postgres18: PostgresServer) -> None:
    tables: Tables = {
        "server": {"workers": 2, "max_client_conn": 5},
        "databases.app": {"primary": upstream(postgres18, "postgres")},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as clients:

        def enter() -> WireClient:
            """As soon as there is a place: one is free a moment after its client has left."""
            return wait_for("a place is free", lambda: _if_let_in(clients))

        members = [*one_of_each(2, enter).values(), *(enter() for _ in range(3))]
        for _ in range(4):
            with pytest.raises(LoginFailed, match="max_client_conn is 5"):
                clients.connect("app")
        members.pop().send_goodbye()
        enter()


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_closes_each_client_at_the_end_of_its_transaction(postgres18: PostgresServer, workers: int) -> None:
    name = f"drained_by_{workers}"
    tables: Tables = {
        "server": {"workers": workers, "catalogue": False},
        "databases.app": {"primary": upstream(postgres18, "postgres", application_name=name)},
        "databases.session": {"primary": upstream(postgres18, "postgres"), "pool_mode": "session"},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        idle, working, resting = (clients.connect("app") for _ in range(3))
        session = clients.connect("session")
        session.query("select 1")
        with Gate(postgres18, "postgres") as gate:
            working.send(f.query(f"select {gate.sql}"))
            resting.query("begin")
            gate.wait_for()
            proxy.process.send_signal(signal.SIGTERM)
            idle.read_to_end()
            gate.open()
        for client in (idle, session, working):
            client.read_to_end()
            assert [(error["V"], error["C"]) for error in errors(client)] == [("FATAL", "57P01")]
        assert working.ready_count == 2, "the query that ran was answered before"
        with pytest.raises(ConnectionRefusedError):
            clients.connect("app")
        assert resting.query("select 'in time'") == [("in time",)]
        resting.send(f.query("commit"))
        resting.read_until_ready(4)
        resting.read_to_end()
        assert [error["C"] for error in errors(resting)] == ["57P01"]
        assert proxy.wait() == 0


def test_a_transaction_that_does_not_end_is_cut_at_the_deadline(postgres18: PostgresServer) -> None:
    tables: Tables = {
        "server": {"workers": 2, "shutdown_timeout": "200ms"},
        "databases.app": {"primary": upstream(postgres18, "postgres")},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        client = clients.connect("app")
        client.query("begin")
        proxy.process.send_signal(signal.SIGTERM)
        client.read_to_end()
        assert [error["C"] for error in errors(client)] == ["57P01"]
        assert proxy.wait() == 0


@pytest.mark.soak_processes
def test_a_second_sigterm_ends_it_at_once(postgres18: PostgresServer) -> None:
    tables: Tables = {
        "server": {"workers": 2, "shutdown_timeout": "10min"},
        "databases.app": {"primary": upstream(postgres18, "postgres")},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        idle, client = clients.connect("app"), clients.connect("app")
        client.query("begin")
        proxy.process.send_signal(signal.SIGTERM)
        idle.read_to_end()
        proxy.process.send_signal(signal.SIGTERM)
        client.read_to_end()
        assert [error["C"] for error in errors(client)] == ["57P01"]
        assert proxy.wait() == 0


def _if_let_in(clients: Clients) -> WireClient | None:
    try:
        return clients.connect("app")
    except LoginFailed as refused:
        if "max_client_conn" not in str(refused):
            raise
        return None
