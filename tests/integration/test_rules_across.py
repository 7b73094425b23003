"""What a client of one worker defines, and what a client of another is told right behind it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.integration.rules_world import is_refused, is_told
from tests.support import frontend as f
from tests.support.processes import Family, connect_to
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.saying import replies_to
from tests.support.takeover import take_over
from tests.support.watch import wait_until
from tests.support.wire import Endpoint, WireClient

DATABASE = "across"
CANARY = b"sesame"
RULES = """
[[rule]]
name = "secrets"
tables = ["vault.secret"]
except_users = ["keeper"]
action = "block"
"""
WORLD = """
drop schema if exists vault, hides cascade; drop schema public cascade; create schema public;
create schema vault; create table vault.secret (id int, value text); insert into vault.secret values (1, 'sesame');
create schema hides; create table hides.secret (id int, value text);
create table public.plain (id int, value text); create view public.old as select * from public.plain;
"""
PATH = "set search_path = hides, vault, public"
READ = "select value from secret"


@pytest.fixture(scope="module")
def server(postgres18: PostgresServer) -> Iterator[PostgresServer]:
    postgres18.create_database(DATABASE)
    yield postgres18
    postgres18.drop_database(DATABASE)


@pytest.fixture(scope="module")
def proxy(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    primary = upstream(server, DATABASE)
    directory = tmp_path_factory.mktemp("across")
    with run_proxy(
        {
            "server": {
                "workers": 2,
                "admin_users": ["postgres"],
                "run_dir": str(directory),
                "worker_stall_timeout": 0,
            },
            "databases.app": {"primary": primary},
            "databases.session": {"primary": primary, "pool_mode": "session"},
            "databases.narrow": {"primary": primary, "pool_size": 1},
            "plugins.rules": {"file": "rules.toml"},
        },
        {"rules.toml": RULES},
    ) as running:
        yield running


@pytest.fixture(scope="module")
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """Its name, by which one of the pool modes is chosen."""
    return str(getattr(request, "param", "app"))


@pytest.fixture
def maker(clients: Clients, database: str) -> WireClient:
    """Somebody whom no rule concerns, at the first worker."""
    return connect_to(1, lambda: clients.connect(database, "keeper"))


@pytest.fixture
def reader(clients: Clients, database: str) -> WireClient:
    """At the second one."""
    return connect_to(2, lambda: clients.connect(database))


@pytest.fixture
def world(server: PostgresServer, maker: WireClient) -> None:
    """As it is in the beginning, and known to all."""
    server.psql(WORLD, dbname=DATABASE)
    maker.query("create table public.news ()")


@pytest.mark.parametrize(
    ("database", "makes", "reads"),
    [
        ("app", "create view public.seen as select * from vault.secret", "select value from public.seen"),
        ("session", "create or replace view public.old as select * from vault.secret", "select value from public.old"),
        (
            "app",
            "create function public.tells() returns setof text language sql as 'select value from vault.secret'",
            "select public.tells()",
        ),
        ("session", "alter table vault.secret inherit public.plain", "select value from public.plain"),
    ],
    indirect=["database"],
)
def test_what_was_made_is_known_to_all(
    world: None, maker: WireClient, reader: WireClient, makes: str, reads: str
) -> None:
    replies_to(reader, f.query(reads))
    assert not is_refused(replies_to(reader, f.query("select value from public.old")))
    assert not is_refused(replies_to(maker, f.query(makes)))
    found = replies_to(reader, f.query(reads))
    assert not is_told(found, CANARY)
    assert is_refused(found)


@pytest.mark.parametrize(
    ("database", "drops"),
    [("app", "drop table hides.secret"), ("session", "alter table hides.secret rename to other")],
    indirect=["database"],
)
def test_what_is_uncovered_is_known_to_all_before_it_is(
    world: None, maker: WireClient, reader: WireClient, drops: str
) -> None:
    reader.query(PATH)
    assert not is_refused(replies_to(reader, f.query(READ)))
    maker.query("begin")
    maker.query(drops)
    assert is_refused(replies_to(reader, f.query(READ))), "it may be committed at any moment"
    assert not is_refused(replies_to(reader, f.query("select value from public.plain")))
    maker.query("rollback")
    assert not is_refused(replies_to(reader, f.query(READ))), "it was not, after all"
    maker.query(drops)
    found = replies_to(reader, f.query(READ))
    assert not is_told(found, CANARY)
    assert is_refused(found)


def is_waited_for(clients: Clients) -> bool:
    return any(row[0] == "narrow" and row[3] == "1" for row in clients.connect("pgbouncer").query("SHOW POOLS"))


@pytest.mark.parametrize("database", ["narrow"], indirect=True)
@pytest.mark.parametrize("worker", [1, 2])
def test_what_waits_for_a_backend_is_judged_by_what_is_there_when_it_runs(
    world: None, clients: Clients, maker: WireClient, worker: int
) -> None:
    reader = connect_to(worker, lambda: clients.connect("narrow"))
    reader.query(PATH)
    prepared = [f.bind(statement="prepared"), f.execute(), f.sync()]
    assert not is_refused(replies_to(reader, f.parse(READ, "prepared"), *prepared))
    unseen = [f.query(f"{READ} where id > -9")], [f.parse(f"{READ} where id > -8"), f.bind(), f.execute(), f.sync()]
    for messages in (*unseen, prepared):
        maker.query("begin")
        maker.query("select 1")
        seen, ready = len(reader.replies), reader.ready_count
        # What nobody has been asked about yet is looked at before there is a backend.
        reader.send(*messages)
        wait_until(lambda: is_waited_for(clients), "the reader waits")
        maker.query("drop table hides.secret")
        maker.query("commit")
        reader.read_until_ready(ready + 1)
        assert not is_told(reader.replies[seen:], CANARY)
        assert is_refused(reader.replies[seen:])
        assert not is_refused(replies_to(reader, f.query("select value from public.plain")))
        maker.query("create table hides.secret (id int, value text)")
        assert not is_refused(replies_to(reader, f.query(READ)))


def test_a_drop_that_was_prepared_before_is_no_secret(
    world: None, server: PostgresServer, maker: WireClient, reader: WireClient
) -> None:
    reader.query(PATH)
    reader.query("set lock_timeout = '100ms'")
    replies_to(maker, f.parse("drop table hides.secret", "drops"), f.sync())
    assert not is_refused(replies_to(reader, f.query(READ)))
    ready = maker.ready_count
    with WireClient.connect(Endpoint(server.host, server.port, DATABASE, "postgres")) as direct:
        direct.query("begin")
        direct.query("lock table hides.secret in access share mode")
        maker.send(f.bind(statement="drops"), f.execute(), f.sync())
        wait_until(lambda: direct.query("select count(*) from pg_locks where not granted") == [("1",)], "it waits")
        # It may be committed at any moment, and nobody would hear of it before its client.
        assert is_refused(replies_to(reader, f.query(READ)))
    maker.read_until_ready(ready + 1)
    found = replies_to(reader, f.query(READ))
    assert is_refused(found)
    assert not is_told(found, CANARY)


def test_nothing_is_taken_away_before_others_have_looked(
    world: None, server: PostgresServer, proxy: Proxy, clients: Clients, maker: WireClient, reader: WireClient
) -> None:
    """What a worker has judged when it is stopped runs when it goes on."""
    reader.query(PATH)
    assert not is_refused(replies_to(reader, f.query(READ)))
    neighbour = connect_to(1, lambda: clients.connect("app", "keeper"))
    ready, stopped = maker.ready_count, Family(proxy).pid("worker 2")
    os.kill(stopped, signal.SIGSTOP)
    try:
        maker.send(f.query("drop table hides.secret"))
        for _ in range(20):
            neighbour.query("select 1")
        assert server.psql("select to_regclass('hides.secret')", dbname=DATABASE).strip() == "hides.secret"
        assert maker.ready_count == ready
    finally:
        os.kill(stopped, signal.SIGCONT)
    maker.read_until_ready(ready + 1)
    found = replies_to(reader, f.query(READ))
    assert is_refused(found)
    assert not is_told(found, CANARY)


def test_who_has_lost_the_control_waits_for_the_next(
    world: None, proxy: Proxy, maker: WireClient, reader: WireClient
) -> None:
    reader.query(PATH)
    assert not is_refused(replies_to(reader, f.query(READ)))
    before = Family(proxy).pid("control")
    os.kill(before, signal.SIGKILL)
    maker.query("drop table hides.secret")
    found = replies_to(reader, f.query(READ))
    assert is_refused(found)
    assert not is_told(found, CANARY)
    Family(proxy).replaced("control", before)
    maker.query("create view public.seen as select * from vault.secret")
    assert is_refused(replies_to(reader, f.query("select value from public.seen")))


# The last one of this proxy: its database stays in flux for a minute.
def test_what_a_worker_was_about_that_died_counts_for_a_while(
    world: None, proxy: Proxy, clients: Clients, reader: WireClient
) -> None:
    reader.query(PATH)
    assert not is_refused(replies_to(reader, f.query(READ)))
    maker = connect_to(1, lambda: clients.connect("app", "keeper"))
    maker.query("begin")
    maker.query("drop table hides.secret")
    before = Family(proxy).pid("worker 1")
    os.kill(before, signal.SIGKILL)
    Family(proxy).replaced("worker 1", before)
    again = connect_to(1, lambda: clients.connect("app"))
    again.query(PATH)
    for client in (reader, again):
        assert is_refused(replies_to(client, f.query(READ)))
        assert not is_refused(replies_to(client, f.query("select value from public.plain")))


@pytest.mark.soak_processes
def test_two_nodes_know_of_each_other(server: PostgresServer, tmp_path: Path) -> None:
    name = "across_nodes"
    server.create_database(name)
    server.psql(WORLD, dbname=name)
    tables: Tables = {
        "server": {"workers": 1, "run_dir": str(tmp_path)},
        "databases.app": {"primary": upstream(server, name)},
        "plugins.rules": {"file": "rules.toml"},
    }
    with run_proxy(tables, {"rules.toml": RULES}) as first, Clients(first) as clients:
        maker = clients.connect("app", "keeper")
        maker.query("begin")
        with take_over(first, 2):
            reader = clients.connect("app")
            reader.query(PATH)
            assert not is_refused(replies_to(reader, f.query(READ)))
            maker.query("drop table hides.secret")
            assert is_refused(replies_to(reader, f.query(READ)))
            maker.query("rollback")
            assert not is_refused(replies_to(reader, f.query(READ)))
            reader.close()
            maker.close()
    server.drop_database(name)
