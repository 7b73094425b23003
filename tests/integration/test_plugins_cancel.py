"""What a client cancels, or leaves, while a plugin takes its time: a decision, or the rows of an answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, errors, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import wait_until

PLUGIN = """
import asyncio
import itertools
from interceptor import Column, Delay, Execution, Plan, PluginInfo, Respond, SessionClass, Statement, hookimpl

plugin_info = PluginInfo(deadline=3600)

@hookimpl
def virtual(statement: Statement, session: SessionClass) -> Plan | None:
    if "slowly" in statement.text:
        return Plan(Delay(1000))
    if "rows" in statement.text:
        return Plan(answer)
    return None

def answer(execution: Execution) -> Respond:
    rows = ((number,) for number in itertools.count()) if "many" in execution.statement.text else some_rows()
    return Respond((Column("i", "int8"),), rows)

async def some_rows():
    try:
        yield (1,)
        await asyncio.sleep(1000)
    finally:
        print("the rows are closed", flush=True)
"""


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    file = tmp_path_factory.mktemp("slow") / "slow.py"
    file.write_text(PLUGIN)
    tables: Tables = {
        "databases.app": {"primary": upstream(postgres18, "postgres"), "pool_size": 1},
        "plugins": {"modules": [str(file)]},
    }
    with run_proxy(tables) as made:
        yield made


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


def sent(sql: str, *, simple: bool) -> list[Frontend]:
    return [f.query(sql)] if simple else [f.parse(sql), f.bind(), f.execute(), f.sync()]


@pytest.mark.parametrize("simple", [True, False])
@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize("sql", ["select 'slowly'", "select 'rows'", "select 'many rows'"])
def test_a_cancel_ends_the_statement_and_no_more(
    clients: Clients, sql: str, in_transaction: bool, simple: bool
) -> None:
    client = clients.connect("app")
    if in_transaction:
        client.query("begin")
    start, ready = len(client.replies), client.ready_count
    client.send(*sent(sql, simple=simple))
    if "rows" in sql:
        client.read_until(lambda: any(reply.tag in b"T2" for reply in client.replies[start:]))
    while not errors(client, start):
        clients.cancel(client.key)
        client.read_available()
    client.read_until_ready(ready + 1)
    assert [error["C"] for error in errors(client, start)] == ["57014"]
    assert client.last_status == ("E" if in_transaction else "I")
    if in_transaction:
        client.query("rollback")
    assert client.query("select 'next'") == [("next",)]


def test_the_rows_of_a_client_that_is_gone_are_closed(proxy: Proxy, clients: Clients) -> None:
    closed = proxy.log.count("the rows are closed")
    client = clients.connect("app")
    client.send(f.query("select 'rows'"))
    client.read_until(lambda: client.replies[-1].tag == b"T")
    client.close()
    wait_until(lambda: proxy.log.count("the rows are closed") > closed, "the rows are closed")
    assert clients.connect("app").query("select 'next'") == [("next",)]


def test_endless_rows_hold_up_nobody(clients: Clients) -> None:
    greedy = clients.connect("app")
    greedy.send(f.query("select 'many rows'"))
    greedy.read_until(lambda: len(greedy.replies) > 1000)
    assert clients.connect("app").query("select 'next'") == [("next",)]
