"""Backends that die, servers that stop, refuse or hang: who is told what, and who feels nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer, Setting
from interceptor.testing.relay import CutRelay
from tests.support import frontend as f
from tests.support.frontend import Frontend
from tests.support.hostile import WELCOME, Connection, HostileServer
from tests.support.proxied import Clients, errors, pid_of, tags, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.recorder import message
from tests.support.watch import Activity, Gate, wait_for, wait_until

pytestmark = pytest.mark.usefixtures("empty_table")

DATABASE = "backend_death"


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    server = postgres18
    server.create_database(DATABASE)
    server.psql("create table t (i int)", dbname=DATABASE)
    tables: Tables = {
        # A backend that is asked what a statement did isn't idle when it dies.
        "server": {"server_login_retry": "100ms", "catalogue": False},
        "databases.app": {"primary": upstream(server, DATABASE), "pool_size": 2},
        "databases.single": {"primary": upstream(server, DATABASE), "pool_size": 1},
        "databases.session": {"primary": upstream(server, DATABASE), "pool_mode": "session", "pool_size": 2},
        "databases.nowhere": {"primary": upstream(server, "no_such_database")},
        "databases.nobody": {"primary": upstream(server, DATABASE, "no_such_role")},
    }
    with run_proxy(tables) as running:
        yield running
    server.drop_database(DATABASE)


def test_a_backend_that_is_terminated_while_idle_is_missed_by_nobody(clients: Clients, activity: Activity) -> None:
    """Trap 28: its FATAL error reaches no client."""
    client = clients.connect("single")
    for _ in range(3):
        pid = pid_of(client)
        activity.terminate(pid)
        replaced = wait_for("the next backend", lambda: pid_of(client))
        assert replaced != pid
    assert not errors(client)


@pytest.mark.parametrize("database", ["app", "session"])
@pytest.mark.parametrize(
    "work",
    [
        [f.query("insert into t select 1 from pg_sleep(600)")],
        [f.parse("insert into t select 1 from pg_sleep(600)"), f.bind(), f.execute(), f.sync()],
        [f.query("begin"), f.query("insert into t select 1 from pg_sleep(600)")],
    ],
    ids=["query", "batch", "transaction"],
)
def test_the_client_of_a_backend_that_dies_in_a_query_gets_the_server_s_words_and_no_other_feels_it(
    clients: Clients, activity: Activity, work: list[Frontend], database: str
) -> None:
    """Trap 16."""
    victim, bystander = clients.connect(database), clients.connect(database)
    bystander.query("begin")
    victim.send(*work)
    activity.terminate(activity.wait_for_query("pg_sleep(600)"))
    victim.read_to_end()
    (error,) = errors(victim)
    assert (error["V"], error["C"]) == ("FATAL", "57P01")
    assert bystander.query("select count(*) from t") == [("0",)]
    bystander.query("commit")
    assert clients.connect(database).query("select count(*) from t") == [("0",)]


@pytest.mark.parametrize("database", ["app", "session"])
def test_the_death_of_a_backend_in_an_open_transaction_ends_the_client_and_nothing_is_replayed(
    clients: Clients, activity: Activity, database: str
) -> None:
    """Trap 16: the next statement would otherwise run by itself, outside of the transaction."""
    victim = clients.connect(database)
    victim.query("begin")
    victim.query("insert into t values (1)")
    activity.terminate(pid_of(victim))
    victim.send(f.query("insert into t values (2)"), f.query("commit"))
    victim.read_to_end()
    assert [error["V"] for error in errors(victim)] == ["FATAL"]
    assert b"C" not in tags(victim)[-2:]
    assert clients.connect(database).query("select count(*) from t") == [("0",)]


def test_a_pinned_client_whose_backend_dies_while_it_is_idle_is_told(clients: Clients, activity: Activity) -> None:
    """What it had is gone, so it must not go on as if nothing had been."""
    client = clients.connect("app")
    client.query("create temporary table kept (i int)")
    activity.terminate(pid_of(client))
    client.read_to_end()
    (error,) = errors(client)
    assert (error["V"], error["C"]) == ("FATAL", "57P01")


@pytest.fixture
def relay(postgres18: PostgresServer) -> Iterator[CutRelay]:
    with CutRelay(postgres18.host, postgres18.port) as made:
        yield made


@pytest.fixture
def relayed(relay: CutRelay, proxy: Proxy) -> Iterator[Clients]:
    """Clients of a proxy whose connections to the server can be cut."""
    tables: Tables = {
        "server": {"server_login_retry": "100ms", "server_connect_timeout": "1s"},
        "databases.app": {"primary": f"postgresql://postgres@{relay.host}:{relay.port}/{DATABASE}", "pool_size": 2},
    }
    with run_proxy(tables) as running, Clients(running) as made:
        yield made


def test_a_connection_lost_after_commit_was_sent_is_reported_as_an_unknown_outcome_and_not_repeated(
    relayed: Clients, relay: CutRelay, postgres18: PostgresServer, activity: Activity
) -> None:
    """Trap 17: PostgreSQL has committed, and its answer never came."""
    # A deferred trigger makes COMMIT last until it is cut off.
    gate = Gate(postgres18, DATABASE)
    postgres18.psql(
        f"create function dally() returns trigger language plpgsql as $$begin perform {gate.sql}; return null; end$$;"
        "create table outcome (i int);"
        "create constraint trigger dally after insert on outcome deferrable initially deferred"
        " for each row execute function dally()",
        dbname=DATABASE,
    )
    client = relayed.connect("app")
    client.query("begin")
    client.query("insert into outcome values (1)")
    client.send(f.query("commit"))
    with gate:
        gate.wait_for()
        relay.cut()
        client.read_to_end()
        (error,) = errors(client)
        assert (error["V"], error["C"]) == ("FATAL", "08006")
        assert "may or may not have been done" in error["D"]
        gate.open()
    activity.wait_for_rest()
    assert relayed.connect("app").query("select count(*) from outcome") == [("1",)]


def test_servers_that_refuse_hang_and_come_back(
    relayed: Clients, relay: CutRelay, postgres18: PostgresServer, activity: Activity
) -> None:
    working, idle = relayed.connect("app"), relayed.connect("app")
    assert idle.query("select 1") == [("1",)]
    working.query("begin")
    relay.refuse()
    relay.cut()
    # In a transaction: told at once. Idle: feels nothing, and its next query waits for better days.
    working.read_to_end()
    (error,) = errors(working)
    assert (error["V"], error["C"]) == ("FATAL", "08006")
    assert DATABASE in error["M"] or '"app"' in error["M"]
    idle.send(f.query("select 'patient'"))
    refused = wait_for("a login that is told why", lambda: refusal(relayed))
    assert refused["C"] == "08001"
    assert f"{relay.host}:{relay.port}" in refused["M"]
    assert "refused" in refused["M"].lower()
    idle.read_available()
    assert not errors(idle)
    # Now it takes connections, and says nothing on them.
    relay.stall()
    relay.accept()
    refused = wait_for("a login that is told that", lambda: refusal(relayed, "no answer"))
    assert refused["C"] == "08001"
    relay.flow()
    idle.read_until_ready(3)
    assert not errors(idle)
    assert relayed.connect("app").query("select 1") == [("1",)]


def refusal(clients: Clients, text: str = "") -> dict[str, str] | None:
    """The error with which a login fails, if one does, and if it has this text."""
    client = clients.raw()
    client.send(f.startup({"user": "postgres", "database": "app"}))
    client.read_until(lambda: b"E" in tags(client) or b"Z" in tags(client))
    found = [error for error in errors(client) if text in error["M"]]
    client.close()
    return found[0] if found else None


@pytest.mark.parametrize(
    ("database", "sqlstate", "words"),
    [
        ("nowhere", "3D000", 'database "no_such_database" does not exist'),
        ("nobody", "28000", 'role "no_such_role" does not exist'),
    ],
)
def test_a_login_that_the_server_refuses_is_refused_with_its_words_and_sqlstate(
    clients: Clients, database: str, sqlstate: str, words: str
) -> None:
    client = clients.raw()
    client.send(f.startup({"user": "postgres", "database": database}))
    client.read_to_end()
    (error,) = errors(client)
    assert (error["V"], error["C"]) == ("FATAL", sqlstate)
    assert words in error["M"]


def test_a_server_that_goes_on_asking_after_it_let_us_in_is_not_understood() -> None:
    asked: list[int] = []

    def behave(connection: Connection) -> None:
        connection.read_packet()
        again = message("R", bytes(4)) + message("R", asked[-1].to_bytes(4, "big") + b"salt")
        connection.write(again + WELCOME)
        connection.hang()

    with HostileServer(behave) as server:
        primary = f"postgresql://app@{server.host}:{server.port}"
        with run_proxy({'databases."*"': {"primary": primary}}) as running, Clients(running) as clients:
            # For nothing, a password in clear text, by md5, by SASL.
            for code in (0, 3, 5, 10):
                asked.append(code)
                client = clients.raw()
                client.send(f.startup({"user": "app", "database": f"asks_for_{code}"}))
                client.read_to_end()
                assert [error["C"] for error in errors(client)] == ["08P01"]


@pytest.fixture(scope="module")
def small_server() -> Iterator[PostgresServer]:
    """A server of our own, with two connections for those who are no superusers."""
    settings: dict[str, Setting] = {"max_connections": 5, "superuser_reserved_connections": 3}
    with PostgresServer.start(18, settings=settings) as server:
        server.psql("create role app login")
        yield server


@pytest.fixture
def small(small_server: PostgresServer) -> Iterator[Proxy]:
    tables: Tables = {
        "server": {"server_login_retry": "100ms"},
        "databases.app": {"primary": upstream(small_server, "postgres", "app"), "pool_size": 4},
    }
    with run_proxy(tables) as running:
        yield running


def test_a_server_without_free_connections_makes_clients_wait_and_not_fail(small: Proxy) -> None:
    with Clients(small) as clients:
        members = [clients.connect("app") for _ in range(3)]
        for member in members[:2]:
            member.query("begin")
        members[2].send(f.query("select 'patient'"))
        wait_until(lambda: "login to app/app failed" in small.log, "the server has refused a third")
        members[2].read_available()
        assert members[2].ready_count == 1
        members[0].query("commit")
        members[2].read_until_ready(2)
        assert not any(errors(member) for member in members)


def test_a_server_that_is_stopped_and_started_again(small: Proxy, small_server: PostgresServer) -> None:
    with Clients(small) as clients:
        working, idle = clients.connect("app"), clients.connect("app")
        idle.query("select 1")
        working.send(f.query("select pg_sleep(600)"))
        with Activity(small_server, "postgres") as watch:
            watch.wait_for_query("pg_sleep(600)")
        small_server.restart("fast")
        working.read_to_end()
        assert [error["C"] for error in errors(working)] == ["57P01"]
        assert idle.query("select 2") == [("2",)]
        small_server.kill()
        idle.send(f.query("select 3"))
        small_server.restart()
        idle.read_until_ready(4)
        assert not errors(idle)
