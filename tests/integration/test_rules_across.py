"""What a client of one worker defines, and what a client of another is told right behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import Reply, decode_error
from tests.support.frontend import Frontend
from tests.support.processes import connect_to
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, run_proxy
from tests.support.wire import WireClient

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
    with run_proxy(
        {
            "server": {"workers": 2, "admin_users": ["postgres"]},
            "databases.app": {"primary": primary},
            "databases.session": {"primary": primary, "pool_mode": "session"},
            "plugins.rules": {"file": "rules.toml"},
        },
        {"rules.toml": RULES},
    ) as running:
        yield running


@pytest.fixture(scope="module")
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


@pytest.fixture(params=["app", "session"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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


def say(client: WireClient, *messages: Frontend) -> list[Reply]:
    seen, ready = len(client.replies), client.ready_count
    client.send(*messages)
    client.read_until_ready(ready + 1)
    return client.replies[seen:]


def is_told(replies: list[Reply]) -> bool:
    return any(CANARY in one.body for one in replies if one.tag == b"D")


def is_refused(replies: list[Reply]) -> bool:
    return any(decode_error(one.body)["C"] == "42501" for one in replies if one.tag == b"E")


@pytest.mark.parametrize(
    ("makes", "reads"),
    [
        ("create view public.seen as select * from vault.secret", "select value from public.seen"),
        ("create or replace view public.old as select * from vault.secret", "select value from public.old"),
        (
            "create function public.tells() returns setof text language sql as 'select value from vault.secret'",
            "select public.tells()",
        ),
        ("alter table vault.secret inherit public.plain", "select value from public.plain"),
    ],
)
def test_what_was_made_is_known_to_all(
    world: None, maker: WireClient, reader: WireClient, makes: str, reads: str
) -> None:
    say(reader, f.query(reads))
    assert not is_refused(say(reader, f.query("select value from public.old")))
    assert not is_refused(say(maker, f.query(makes)))
    found = say(reader, f.query(reads))
    assert not is_told(found)
    assert is_refused(found)


@pytest.mark.parametrize("drops", ["drop table hides.secret", "alter table hides.secret rename to other"])
def test_what_is_uncovered_is_known_to_all_before_it_is(
    world: None, maker: WireClient, reader: WireClient, drops: str
) -> None:
    reader.query(PATH)
    assert not is_refused(say(reader, f.query(READ)))
    maker.query("begin")
    maker.query(drops)
    assert is_refused(say(reader, f.query(READ))), "it may be committed at any moment"
    assert not is_refused(say(reader, f.query("select value from public.plain")))
    maker.query("rollback")
    assert not is_refused(say(reader, f.query(READ))), "it was not, after all"
    maker.query(drops)
    found = say(reader, f.query(READ))
    assert not is_told(found)
    assert is_refused(found)
