"""How many backends there are, and who gets the next one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.login import LoginFailed
from tests.support.proxied import Clients, crowd, errors, upstream, wait_for_arrival, wait_for_departure
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.sockets import SocketDiagnosis
from tests.support.watch import Activity, wait_for, wait_until
from tests.support.wire import WireClient

DATABASE = "pool_limits"
ROLES = ("lim_alice", "lim_bob", "lim_carol")


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    """Several databases of the proxy over one of the server; their names are also their application_name."""
    server = postgres18
    for role in ROLES:
        server.psql(f"create role {role} login")
    server.create_database(DATABASE)
    server.psql(
        "create table served (at serial, who int); grant all on served to public;"
        "grant all on sequence served_at_seq to public",
        dbname=DATABASE,
    )

    def database(name: str, user: str = "postgres") -> str:
        return upstream(server, DATABASE, user, application_name=name)

    tables: Tables = {
        # Backends are counted and watched here: one that is asked what a statement did is not free yet.
        "server": {"catalogue": False, "reserve_pool_timeout": "300ms"},
        "databases.storm": {"primary": database("storm"), "pool_size": 5},
        "databases.one": {"primary": database("one"), "pool_size": 1},
        "databases.reserve": {"primary": database("reserve"), "pool_size": 1, "reserve_pool_size": 1},
        "databases.minimum": {"primary": database("minimum"), "pool_size": 4, "min_pool_size": 3},
        "databases.capped": {"primary": database("capped", ""), "pool_size": 2, "max_db_connections": 2},
        "databases.shared": {"primary": database("shared", ""), "max_db_connections": 2},
        "databases.east": {"primary": database("east", "")},
        "databases.west": {"primary": database("west", "")},
        "users.lim_carol": {"max_user_connections": 2, "pool_size": 2},
    }
    with run_proxy(tables) as running:
        yield running
    server.drop_database(DATABASE)
    for role in ROLES:
        server.psql(f"drop role {role}")


def test_never_more_than_pool_size_backends_under_a_storm_of_200_clients(
    clients: Clients, postgres18: PostgresServer
) -> None:
    """Trap 29."""
    rounds = 4
    members = [clients.connect("storm") for _ in range(200)]
    most = 0
    with Activity(postgres18, application="storm") as activity:
        for client in members:
            # A prepared statement, a transaction and single queries: all ways to take a backend.
            client.send(f.query("begin"), f.query("select pg_sleep(0.001)"), f.query("commit"))
            client.send(f.parse("select 1"), f.bind(), f.execute(), f.sync())
        while any(client.ready_count < 1 + rounds for client in members):
            most = max(most, activity.count())
            for client in members:
                client.read_available()
                assert not errors(client)
        most = max(most, activity.count())
    assert most == 5


def test_waiters_are_served_in_the_order_in_which_they_asked(
    clients: Clients, postgres18: PostgresServer, diagnosis: SocketDiagnosis
) -> None:
    """Trap 29."""
    holder = clients.connect("one")
    waiters = [clients.connect("one") for _ in range(12)]
    holder.query("begin")
    for number, waiter in enumerate(waiters):
        waiter.send(f.query(f"insert into served (who) values ({number})"))
        wait_for_arrival(waiter, diagnosis)
    holder.query("commit")
    assert holder.query("select who from served order by at") == [(str(number),) for number in range(12)]
    postgres18.psql("truncate served", dbname=DATABASE)


def test_a_waiter_that_disconnects_is_forgotten(
    clients: Clients, postgres18: PostgresServer, diagnosis: SocketDiagnosis
) -> None:
    """Trap 29."""
    holder, leaver, waiter = (clients.connect("one") for _ in range(3))
    holder.query("begin")
    leaver.send(f.query("insert into served (who) values (1)"))
    wait_for_arrival(leaver, diagnosis)
    waiter.send(f.query("insert into served (who) values (2)"))
    wait_for_arrival(waiter, diagnosis)
    wait_for_departure(leaver, diagnosis)
    holder.query("commit")
    waiter.read_until_ready(2)
    assert waiter.query("select who from served") == [("2",)]
    postgres18.psql("truncate served", dbname=DATABASE)


def test_the_reserve_is_opened_for_who_waited_reserve_pool_timeout_and_is_bounded(
    clients: Clients, postgres18: PostgresServer
) -> None:
    members = [clients.connect("reserve") for _ in range(4)]
    with Activity(postgres18, application="reserve") as activity:
        members[0].query("begin")
        assert activity.count() == 1
        members[1].query("begin")
        assert activity.count() == 2
        members[2].send(f.query("select 'waited'"))
        members[3].send(f.query("select 'waited'"))
        # Both wait for longer than the timeout: as long as it takes to sleep for twice that.
        members[1].query("select pg_sleep(0.7)")
        assert activity.count() == 2
        assert [client.ready_count for client in members[2:]] == [1, 1]
        members[0].query("commit")
        for client in members[2:]:
            client.read_until_ready(2)


def test_min_pool_size_is_kept_ready_before_anybody_came_and_after_a_backend_died(
    clients: Clients, postgres18: PostgresServer
) -> None:
    with Activity(postgres18, application="minimum") as activity:
        wait_until(lambda: activity.count() == 3, "min_pool_size backends were logged in")
        victim = activity.pids()[0]
        activity.terminate(victim)
        wait_until(lambda: activity.count() == 3 and victim not in activity.pids(), "the lost backend was replaced")


def test_max_db_connections_holds_over_all_roles_and_idle_backends_make_room(
    clients: Clients, postgres18: PostgresServer
) -> None:
    """Trap 29."""
    alice = [clients.connect("capped", "lim_alice") for _ in range(2)]
    for client in alice:
        client.query("begin")
    with Activity(postgres18, application="capped") as activity:
        bob = clients.raw()
        bob.send(f.startup({"user": "lim_bob", "database": "capped"}))
        # What bob waits for can be had only where alice has one no more.
        alice[0].query("select pg_sleep(0.4)")
        bob.read_available()
        assert activity.count() == 2
        assert not bob.ready_count
        alice[0].query("commit")
        bob.read_until_ready()
        bob.send(f.query("select current_user"))
        bob.read_until_ready(2)
        assert activity.count() <= 2
        alice[1].query("commit")
        assert alice[0].query("select current_user") == [("lim_alice",)]
        assert activity.count() <= 2


def test_a_pool_gets_in_beside_others_that_never_rest(proxy: Proxy, clients: Clients) -> None:
    """They share max_db_connections, and whoever gives a backend back has somebody who waits for it."""
    work = "select pg_sleep(0.01)"
    with crowd(proxy, "shared", 8, work), crowd(proxy, "shared", 8, work, "lim_alice"):
        other = clients.connect("shared", "lim_bob")
        for _ in range(5):
            assert other.query("select current_user") == [("lim_bob",)]


def test_max_user_connections_holds_over_all_databases(clients: Clients, postgres18: PostgresServer) -> None:
    east = clients.connect("east", "lim_carol")
    west = clients.connect("west", "lim_carol")
    east.query("begin")
    west.query("begin")
    other = clients.connect("east", "lim_carol")
    other.send(f.query("select 'done'"))
    west.query("select pg_sleep(0.4)")
    with Activity(postgres18, DATABASE) as activity:
        assert activity.count("AND usename = 'lim_carol'") == 2
        other.read_available()
        assert other.ready_count == 1
        west.query("commit")
        other.read_until_ready(2)
        assert not errors(other)
        assert activity.count("AND usename = 'lim_carol'") == 2


def test_a_login_with_startup_parameters_of_its_own_gets_in_while_the_pool_is_busy(
    proxy: Proxy, clients: Clients, postgres18: PostgresServer
) -> None:
    """Backends are shared by clients of the same startup parameters, so this login needs a backend to be given up."""
    with crowd(proxy, "one", 4, "select pg_sleep(0.01)"), Activity(postgres18, application="newcomer") as activity:
        newcomer = clients.connect("one", application_name="newcomer")
        assert newcomer.query("show application_name") == [("newcomer",)]
        assert activity.count() <= 1


def test_max_client_conn_refuses_one_more_and_a_cancel_request_still_gets_in(postgres18: PostgresServer) -> None:
    tables: Tables = {"server": {"max_client_conn": 2}, "databases.app": {"primary": upstream(postgres18, "postgres")}}
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        first, second = clients.connect("app"), clients.connect("app")
        refused = clients.raw()
        refused.send(f.startup({"user": "postgres", "database": "app"}))
        refused.read_to_end()
        assert [error["C"] for error in errors(refused)] == ["53300"]
        first.send(f.query("select pg_sleep(60)"))
        with Activity(postgres18, "postgres") as activity:
            activity.wait_for_query("pg_sleep(60)")
        clients.cancel(first.key)
        first.read_until_ready(2)
        assert [error["C"] for error in errors(first)] == ["57014"]
        second.send_goodbye()
        third = wait_for("a place became free", lambda: _try_to_connect(clients))
        assert third.query("select 1") == [("1",)]


def _try_to_connect(clients: Clients) -> WireClient | None:
    try:
        return clients.connect("app")
    except LoginFailed:
        return None
