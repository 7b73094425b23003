"""What the proxy does with a backend between two clients: reset, test, order of use, a query after login."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.conftest import FreshDatabase
from tests.support import frontend as f
from tests.support.login import LoginFailed
from tests.support.proxied import Clients, errors, pid_of, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import Activity

DATABASE = "housekeeping"
DIRT = "set work_mem = '77MB'; create temp table leftover (i int); select pg_advisory_lock(77); listen gossip"
LOOK = (
    "select current_setting('work_mem'), to_regclass('leftover')::text,"
    " (select count(*) from pg_locks where locktype = 'advisory'), (select count(*) from pg_listening_channels())"
)
CLEAN = [("4MB", None, "0", "0")]


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    server = postgres18
    server.create_database(DATABASE)
    server.psql("create table journal (at serial, what text)", dbname=DATABASE)

    def database(name: str) -> str:
        return upstream(server, DATABASE, application_name=name)

    tables: Tables = {
        # Backends are counted and watched here: one that is asked what a statement did is not free yet.
        "server": {"catalogue": False},
        "databases.session": {"primary": database("session"), "pool_mode": "session", "pool_size": 1},
        "databases.lifo": {"primary": database("lifo"), "pool_size": 3},
        "databases.connect_query": {
            "primary": database("connect_query"),
            "connect_query": "insert into journal (what) values (current_setting('application_name'))",
            "pool_size": 1,
        },
        "databases.bad_connect_query": {
            "primary": database("bad_connect_query"),
            "connect_query": "select 1/0",
            "pool_size": 1,
        },
    }
    with run_proxy(tables) as running:
        yield running
    server.drop_database(DATABASE)


@pytest.mark.parametrize("goodbye", [True, False], ids=["terminate", "vanish"])
def test_server_reset_query_cleans_a_session_s_backend_for_the_next_one(clients: Clients, goodbye: bool) -> None:
    """Trap 22."""
    first, second = clients.connect("session"), clients.connect("session")
    first.query(DIRT)
    pid = pid_of(first)
    assert first.query(LOOK) != CLEAN
    if goodbye:
        first.send_goodbye()
    else:
        first.close()
    assert second.query(LOOK) == CLEAN
    assert pid_of(second) == pid, "the backend was clean, so it was kept"
    second.send_goodbye()


def test_a_user_in_session_mode_and_one_in_transaction_mode_share_a_pool(postgres18: PostgresServer) -> None:
    tables: Tables = {
        "databases.app": {"primary": upstream(postgres18, "postgres"), "pool_size": 1},
        "users.keeper": {"pool_mode": "session"},
    }
    with run_proxy(tables) as other, Clients(other) as clients:
        for _ in range(2):
            keeper, guest = clients.connect("app", "keeper"), clients.connect("app", "guest")
            keeper.query(DIRT)
            guest.send(f.query(LOOK))
            assert keeper.query(LOOK) != CLEAN
            guest.read_available()
            assert guest.ready_count == 1
            keeper.send_goodbye()
            guest.read_until_ready(2)
            assert guest.query(LOOK) == CLEAN
            assert guest.query(LOOK) == CLEAN


@pytest.mark.parametrize("always", [False, True], ids=["session_only", "always"])
def test_another_server_reset_query_is_sent_in_its_place_and_in_transaction_mode_only_if_always(
    postgres18: PostgresServer, fresh_database: FreshDatabase, always: bool
) -> None:
    database = fresh_database(postgres18)
    postgres18.psql("create table resets (at serial)", dbname=database)
    tables: Tables = {
        "server": {
            "catalogue": False,
            "server_reset_query": "insert into resets default values",
            "server_reset_query_always": always,
        },
        "databases.app": {"primary": upstream(postgres18, database), "pool_size": 1},
    }
    with run_proxy(tables) as other, Clients(other) as clients:
        client = clients.connect("app")
        client.query("select 1")
        client.query("select 1")
        # The reset after a query comes before the next query.
        assert client.query("select count(*) from resets") == [("2" if always else "0",)]


def test_a_reset_query_that_fails_costs_the_backend_and_nobody_else(postgres18: PostgresServer) -> None:
    tables: Tables = {
        "server": {"server_reset_query": "select 1/0", "pool_mode": "session"},
        "databases.app": {"primary": upstream(postgres18, "postgres"), "pool_size": 1},
    }
    with run_proxy(tables) as other, Clients(other) as clients:
        first, second = clients.connect("app"), clients.connect("app")
        first.query("set work_mem = '77MB'")
        pid = pid_of(first)
        first.send_goodbye()
        assert second.query("show work_mem") == [("4MB",)]
        assert pid_of(second) != pid


@pytest.mark.parametrize(("delay", "checked"), [("1h", False), ("200ms", True)])
def test_server_check_query_runs_before_a_use_after_server_check_delay(
    postgres18: PostgresServer, fresh_database: FreshDatabase, delay: str, checked: bool
) -> None:
    database = fresh_database(postgres18)
    postgres18.psql("create table health (); create sequence checks", dbname=database)
    tables: Tables = {
        "server": {
            # Fails as soon as the table is gone.
            "server_check_query": "select nextval('checks'), count(*) from health",
            "server_check_delay": delay,
        },
        "databases.app": {"primary": upstream(postgres18, database), "pool_size": 1},
    }
    with run_proxy(tables) as other, Clients(other) as clients, Activity(postgres18, database) as activity:
        client = clients.connect("app")
        first = pid_of(client)
        activity.control.query("select pg_sleep(0.5)")
        assert pid_of(client) == first
        assert postgres18.psql("select is_called from checks", dbname=database) == ("t" if checked else "f")
        postgres18.psql("drop table health", dbname=database)
        activity.control.query("select pg_sleep(0.5)")
        # The backend that failed its test was replaced, and the client felt nothing.
        assert (pid_of(client) != first) == checked


def test_the_backend_used_last_is_used_first(clients: Clients) -> None:
    assert order_of_use(clients, "lifo") == [2, 2, 2, 2]


def test_with_server_round_robin_the_backend_idle_longest_is_used_first(postgres18: PostgresServer) -> None:
    tables: Tables = {
        "server": {"catalogue": False, "server_round_robin": True},
        "databases.app": {"primary": upstream(postgres18, "postgres"), "pool_size": 3},
    }
    with run_proxy(tables) as other, Clients(other) as clients:
        assert order_of_use(clients, "app") == [0, 1, 2, 0]


def order_of_use(clients: Clients, database: str) -> list[int]:
    """Which of three backends, numbered in the order of their release, serves each of the next four queries."""
    members = [clients.connect(database) for _ in range(3)]
    for member in members:
        member.query("begin")
    pids = [pid_of(member) for member in members]
    for member in members:
        member.query("commit")
    return [pids.index(pid_of(members[0])) for _ in range(4)]


def test_connect_query_runs_once_after_each_login_and_before_any_client(
    clients: Clients, postgres18: PostgresServer
) -> None:
    client = clients.connect("connect_query")
    for _ in range(3):
        assert client.query("select what from journal") == [("connect_query",)]


def test_a_connect_query_that_fails_is_logged_and_the_backend_is_used(proxy: Proxy, clients: Clients) -> None:
    client = clients.connect("bad_connect_query")
    first = pid_of(client)
    assert pid_of(client) == first
    assert "division by zero" in proxy.log


def test_a_startup_parameter_that_the_server_refuses_is_refused_unless_it_is_to_be_ignored(
    clients: Clients, postgres18: PostgresServer
) -> None:
    with pytest.raises(LoginFailed, match='unrecognized configuration parameter "no_such_setting"'):
        clients.connect("lifo", no_such_setting="1")
    tables: Tables = {
        "server": {"ignore_startup_parameters": ["no_such_setting", "work_mem"]},
        "databases.app": {"primary": upstream(postgres18, "postgres")},
    }
    with run_proxy(tables) as other, Clients(other) as members:
        client = members.connect("app", no_such_setting="1", work_mem="77MB", application_name="kept")
        assert client.query("show work_mem") == [("4MB",)]
        assert client.query("show application_name") == [("kept",)]


@pytest.mark.parametrize("query", ["discard all", "deallocate all", "deallocate all; select 1", "reset all"])
def test_prepared_statements_go_on_when_a_reset_query_runs_after_each_transaction(
    postgres18: PostgresServer, query: str
) -> None:
    """Whether it takes the statements from the backend, or leaves them there."""
    tables: Tables = {
        "server": {"server_reset_query": query, "server_reset_query_always": True},
        "databases.app": {"primary": upstream(postgres18, "postgres"), "pool_size": 1},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        first, second = clients.connect("app"), clients.connect("app")
        for client in (first, second):
            client.send(f.parse("select 7", "s"), f.sync())
            client.read_until_ready(2)
        for ready in (3, 4):
            for client in (first, second):
                client.send(f.bind(statement="s"), f.execute(), f.sync())
                client.read_until_ready(ready)
                assert not errors(client)
