"""Answers of plugins whose rows are wrong, never come, or never end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, errors, tags, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.vitals import MEGABYTE, Neighbour, Vitals, neighbour, peak_memory
from tests.support.watch import wait_for, wait_until
from tests.support.wire import Endpoint, WireClient

PLUGIN = Path(__file__).parent / "plugins" / "sources.py"
WRONG_ROWS = "too few,too many,no row,a text,unfit,too large,a NUL,infinite,not text,an object".split(",")
FAILING = ("failing", "exiting", "interrupted")
NUMBERS = count()
"""A name for each source, by which the log says that it was closed."""


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    tables: Tables = {
        "databases.app": {"primary": upstream(postgres18, "postgres"), "pool_size": 3},
        "plugins": {"modules": [str(PLUGIN)]},
    }
    with run_proxy(tables, plugins_fail=True) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def other(proxy: Proxy) -> Iterator[Neighbour]:
    """Another client, who gets answers all the time."""
    with neighbour(Endpoint(proxy.host, proxy.port, "app"), pause=0.01) as working:
        yield working
        working.wait_for_progress()


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


@pytest.fixture
def client(clients: Clients) -> WireClient:
    return clients.connect("app")


def sent(sql: str, *, simple: bool) -> list[Frontend]:
    return [f.query(sql)] if simple else [f.parse(sql), f.bind(), f.execute(), f.sync()]


def ask(client: WireClient, sql: str, *, simple: bool) -> tuple[bytes, list[dict[str, str]]]:
    """The kinds of the replies, and the errors among them."""
    seen, ready = len(client.replies), client.ready_count
    client.send(*sent(sql, simple=simple))
    client.read_until_ready(ready + 1)
    return tags(client, seen), errors(client, seen)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize("kind", [*WRONG_ROWS, *FAILING, "blocked"])
def test_rows_that_are_wrong_end_the_answer_with_an_error(
    proxy: Proxy, client: WireClient, kind: str, asynchronous: bool
) -> None:
    sql = f"select '{'async ' if asynchronous else ''}source {kind}'"
    for simple, begins in ((True, b"TD"), (False, b"12D")):
        kinds, (error,) = ask(client, sql, simple=simple)
        assert kinds == begins + b"EZ"
        assert error["C"] == ("HV000" if kind == "blocked" else "58000")
        assert "secret" not in error["M"]
        if kind != "blocked":
            assert "sources" in error["M"], "the plugin is named"
        client.query("begin")
        assert ask(client, sql, simple=simple)[0] == begins + b"EZ"
        assert client.last_status == "E"
        client.query("rollback")
        assert client.query("select 'next'") == [("next",)]


def test_what_is_sent_behind_an_answer_that_fails(client: WireClient) -> None:
    batch = [f.parse("select 'source failing'"), f.bind(), f.execute(), *sent("select 5", simple=False)[:-1], f.sync()]
    seen = len(client.replies)
    client.send(*batch, f.query("select 'source too few'"), f.query("select 6"))
    client.read_until_ready(client.ready_count + 3)
    assert tags(client, seen) == b"12DEZ" + b"TDEZ" + b"TDCZ"
    assert [error["C"] for error in errors(client, seen)] == ["58000", "58000"]


@pytest.mark.parametrize("simple", [True, False])
@pytest.mark.parametrize("kind", ["stuck", "stubborn"])
def test_rows_that_stop_coming_end_the_answer_at_the_deadline(client: WireClient, kind: str, simple: bool) -> None:
    kinds, (error,) = ask(client, f"select 'source {kind}'", simple=simple)
    assert kinds == (b"TDEZ" if simple else b"12DEZ")
    assert error["C"] == "58000"
    assert client.query("select 'next'") == [("next",)]


def test_the_log_names_the_plugin_once_for_each_thing(proxy: Proxy, client: WireClient) -> None:
    for _ in range(3):
        ask(client, "select 'source failing'", simple=True)
    lines = re.findall(r"plugin sources: (its .*)", proxy.log)
    assert lines
    assert len(lines) == len(set(lines))


# --- Rows without end -------------------------------------------------------------------------------------------


def begin(client: WireClient, sql: str, *, simple: bool = True) -> None:
    """Ask, and read the first row."""
    seen = len(client.replies)
    client.send(*sent(sql, simple=simple))
    client.read_until(lambda: b"D" in tags(client, seen))


def is_closed(proxy: Proxy, name: str) -> None:
    wait_until(lambda: f"closed {name}\n" in proxy.log, f"the source is closed: {name}")


ENDLESS = ["endless", "closing", "held", "async endless", "async closing"]


@pytest.mark.parametrize("simple", [True, False])
@pytest.mark.parametrize("kind", ENDLESS)
def test_a_client_that_leaves_ends_its_source(proxy: Proxy, client: WireClient, kind: str, simple: bool) -> None:
    name = f"{kind} {next(NUMBERS)}"
    sql = f"select 'async source {name[6:]}'" if kind.startswith("async") else f"select 'source {name}'"
    begin(client, sql, simple=simple)
    client.close()
    is_closed(proxy, name)


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize("kind", ENDLESS)
def test_a_client_that_cancels_ends_its_source(
    proxy: Proxy, clients: Clients, client: WireClient, kind: str, in_transaction: bool
) -> None:
    name = f"{kind} {next(NUMBERS)}"
    sql = f"select 'async source {name[6:]}'" if kind.startswith("async") else f"select 'source {name}'"
    if in_transaction:
        client.query("begin")
    ready = client.ready_count
    begin(client, sql)
    while not errors(client):
        clients.cancel(client.key)
        client.read_available()
    client.read_until_ready(ready + 1)
    assert [error["C"] for error in errors(client)] == ["57014"]
    assert client.last_status == ("E" if in_transaction else "I")
    is_closed(proxy, name)
    if in_transaction:
        client.query("rollback")
    assert client.query("select 'next'") == [("next",)]


@pytest.mark.parametrize("sql", ["select 'source endless'", "select 'async source endless'", "replayed"])
def test_a_client_that_does_not_read_costs_a_buffer(proxy: Proxy, clients: Clients, other: Neighbour, sql: str) -> None:
    sql = "select 'replayed without end'" if sql == "replayed" else sql
    warm = clients.connect("app")
    begin(warm, sql)
    warm.close()
    before = Vitals.of(proxy.pid)
    idle = [clients.connect("app") for _ in range(5)]
    with peak_memory(proxy.pid) as peak:
        for one in idle:
            one.send(f.query(sql))
        other.wait_for_progress(50)
        for one in idle:
            one.close()
    assert peak[0] - before.memory < 16 * MEGABYTE
    wait_for("the clients are gone", lambda: Vitals.of(proxy.pid).descriptors <= before.descriptors)


def test_rows_in_hand_are_shown_while_the_next_is_waited_for(client: WireClient) -> None:
    client.send(f.query("select 'source held'"))
    client.read_until(lambda: tags(client).count(b"D") >= 3)
    client.close()


# --- Portals that are not read to their end ---------------------------------------------------------------------


def suspend(client: WireClient, sql: str, portal: str) -> None:
    seen = len(client.replies)
    client.send(f.parse(sql), f.bind(portal=portal), f.execute(portal, 2), f.flush())
    client.read_until(lambda: b"s" in tags(client, seen) or b"E" in tags(client, seen))
    assert tags(client, seen) == b"12DDs"


@pytest.mark.parametrize("kind", ["endless", "closing", "held"])
@pytest.mark.parametrize("how", ["sync", "commit", "rollback", "close", "again", "hang up", "error", "terminate"])
def test_a_source_that_is_not_read_to_its_end_is_closed(proxy: Proxy, client: WireClient, kind: str, how: str) -> None:
    name = f"{kind} {next(NUMBERS)}"
    if how in ("commit", "rollback", "close"):
        client.query("begin")
    portal = "" if how == "again" else "p"
    suspend(client, f"select 'source {name}'", portal)
    if how == "hang up":
        client.close()
    elif how == "terminate":
        client.send_goodbye()
    else:
        sql = {"commit": "commit", "rollback": "rollback", "error": "select 1/0"}.get(how, "select 1")
        closing = [f.close_portal(portal)] if how == "close" else []
        ready = client.ready_count
        client.send(*closing, f.parse(sql), f.bind(), f.execute(), f.sync())
        client.read_until_ready(ready + 1)
    is_closed(proxy, name)


def test_a_source_that_was_bound_and_never_read_is_closed(proxy: Proxy, client: WireClient) -> None:
    name = f"closing {next(NUMBERS)}"
    client.send(f.parse(f"select 'source {name}'"), f.bind(), f.sync())
    client.read_until_ready(client.ready_count + 1)
    is_closed(proxy, name)


def test_a_suspended_portal_goes_on_in_its_transaction(proxy: Proxy, client: WireClient) -> None:
    client.query("begin")
    name = f"endless {next(NUMBERS)}"
    suspend(client, f"select 'source {name}'", "p")
    for _ in range(2):
        client.send(f.sync())
        client.read_until_ready(client.ready_count + 1)
        seen = len(client.replies)
        client.send(f.execute("p", 3), f.sync())
        client.read_until_ready(client.ready_count + 1)
        assert tags(client, seen) == b"DDDsZ"
    assert f"closed {name}\n" not in proxy.log
