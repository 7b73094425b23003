"""What the names in a prepared text stand for is what they stand for when its client prepares it.

PostgreSQL does not look at a prepared statement again when a table appears earlier in its search_path. The proxy shares
such statements between clients, and must not hand one from before to a client that prepares the text now.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import row_values
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Tables, run_proxy
from tests.support.watch import wait_until
from tests.support.wire import WireClient

DATABASE = "meanings"
TEXT = "select origin from thing"
MAKE = "create table earlier.thing as select 'earlier' as origin"


@pytest.fixture(scope="module")
def everybody(postgres18: PostgresServer) -> Iterator[Clients]:
    server = postgres18
    server.create_database(DATABASE)
    server.psql("create schema earlier; create schema later", dbname=DATABASE)
    server.psql("create table later.thing as select 'later' as origin", dbname=DATABASE)
    tables: Tables = {f"databases.{DATABASE}": {"primary": upstream(server, DATABASE), "pool_size": 1}}
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        yield clients
    server.drop_database(DATABASE)


@pytest.fixture
def clients(everybody: Clients, postgres18: PostgresServer) -> Iterator[Clients]:
    yield everybody
    postgres18.psql("set lock_timeout = '9s'; drop table if exists earlier.thing", dbname=DATABASE)


def connect(clients: Clients) -> WireClient:
    made = clients.connect(DATABASE)
    say(made, f.query("set search_path = earlier, later"))
    return made


def prepare(client: WireClient, *before: Frontend) -> str:
    """What the text means, prepared now. ``before``: what comes first in the batch."""
    again = [f.close_statement("s"), f.parse(TEXT, "s"), f.bind(statement="s"), f.execute()]
    return say(client, *before, *again, f.sync())


def say(client: WireClient, *sent: Frontend) -> str:
    """The first value of the last row."""
    seen = len(client.replies)
    client.send(*sent)
    client.read_until_ready(client.ready_count + 1)
    rows = [row_values(one)[0] for one in client.replies[seen:] if one.tag == b"D"]
    assert not [one for one in client.replies[seen:] if one.tag == b"E"], client.replies[seen:]
    return (rows[-1] or b"").decode() if rows else ""


def test_who_prepares_behind_a_definition_means_what_is_defined_by_then(clients: Clients) -> None:
    one, other = connect(clients), connect(clients)
    assert prepare(one) == prepare(other) == "later"
    say(other, f.query(MAKE))
    assert prepare(other) == "earlier"
    assert prepare(one) == "earlier"


def test_so_does_who_prepares_in_the_batch_of_the_definition(clients: Clients) -> None:
    one = connect(clients)
    assert prepare(one) == "later"
    assert prepare(one, f.parse(MAKE), f.bind(), f.execute()) == "earlier"
    assert prepare(one) == "earlier"


def test_a_definition_elsewhere_counts_once_it_is_found(clients: Clients, postgres18: PostgresServer) -> None:
    one = connect(clients)
    assert prepare(one) == "later"
    postgres18.psql(MAKE, dbname=DATABASE)
    wait_until(lambda: prepare(one) == "earlier", "the definition is found", timeout=30)
