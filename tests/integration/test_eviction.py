"""A backend that may have one shared statement at a time: what is used again later in a pipeline is there again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import row_values
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, errors, tags, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.wire import WireClient

DATABASE = "eviction"
MISSING = "26000"


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    postgres18.create_database(DATABASE)
    tables: Tables = {
        "server": {"max_prepared_statements": 1},
        "databases.app": {"primary": upstream(postgres18, DATABASE), "pool_size": 1},
    }
    with run_proxy(tables) as running:
        yield running
    postgres18.drop_database(DATABASE)


def run(client: WireClient, *messages: Frontend) -> tuple[bytes, list[bytes | None], list[str]]:
    """Send a batch in one piece, with its Sync: the types of the replies, the first columns of all rows, the errors."""
    seen, ready = len(client.replies), client.ready_count
    client.send(*messages, f.sync())
    client.read_until_ready(ready + 1)
    rows = [row_values(reply)[0] for reply in client.replies[seen:] if reply.tag == b"D"]
    return tags(client, seen), rows, [error["C"] for error in errors(client, seen)]


def use(name: str, portal: str = "") -> list[Frontend]:
    """Bind and Execute."""
    return [f.bind(statement=name, portal=portal), f.execute(portal)]


A = f.parse("select 'a'", "a")
B = f.parse("select 'b'", "b")


def test_a_statement_that_was_evicted_in_a_pipeline_is_there_again_later_in_it(clients: Clients) -> None:
    """Trap 5."""
    client = clients.connect("app")
    replies, rows, failed = run(client, A, B, *use("a"), *use("b"), *use("a"), f.describe_statement("b"), *use("b"))
    assert not failed
    assert rows == [b"a", b"b", b"a", b"b"]
    assert replies == b"11" + b"2DC" * 3 + b"tT" + b"2DC" + b"Z"


def test_batches_sent_at_once_evict_each_others_statements(clients: Clients) -> None:
    """Trap 5, over several Syncs whose answers nobody has waited for."""
    client = clients.connect("app")
    client.send(A, f.sync(), B, f.sync(), *use("a"), f.sync(), *use("b"), f.sync(), *use("a"), f.sync())
    client.read_until_ready(6)
    assert not errors(client)
    assert [row_values(reply)[0] for reply in client.replies if reply.tag == b"D"] == [b"a", b"b", b"a"]


def test_a_portal_outlives_the_eviction_of_its_statement(clients: Clients) -> None:
    """Trap 5."""
    client = clients.connect("app")
    assert not run(client, A)[2]
    bound = f.bind(statement="a", portal="p")
    _, rows, failed = run(client, bound, B, *use("b"), f.describe_portal("p"), f.execute("p"))
    assert (rows, failed) == ([b"b", b"a"], [])


def test_an_eviction_that_was_skipped_because_of_an_error_has_not_happened(clients: Clients) -> None:
    """Trap 5."""
    client = clients.connect("app")
    assert not run(client, A)[2]
    assert run(client, f.parse("select 1/0"), *use(""), B, *use("b"))[2] == ["22012"]
    assert run(client, *use("a"))[1] == [b"a"]
    assert run(client, *use("b"))[2] == [MISSING]
    assert run(client, B, *use("a"), *use("b"))[1] == [b"a", b"b"]


def test_a_statement_that_was_prepared_again_and_skipped_is_prepared_the_next_time(clients: Clients) -> None:
    """Trap 5: what the proxy put in front of a Bind is skipped like the Bind itself."""
    client = clients.connect("app")
    assert not run(client, A, B)[2]
    assert run(client, f.parse("select 1/0"), *use(""), *use("a"))[2] == ["22012"]
    assert run(client, *use("a"), *use("b"))[1] == [b"a", b"b"]


def test_clients_evict_each_others_statements_and_both_go_on(clients: Clients) -> None:
    """Trap 5, in the one backend that both have."""
    first, second = clients.connect("app"), clients.connect("app")
    assert not run(first, A)[2]
    assert not run(second, B)[2]
    for _ in range(3):
        assert run(first, *use("a"))[1] == [b"a"]
        assert run(second, *use("b"))[1] == [b"b"]
