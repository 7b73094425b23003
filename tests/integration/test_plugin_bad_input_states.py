"""Clients that do something odd while a plugin decides about them, or has just decided."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, errors, pid_of, tags, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import wait_until
from tests.support.wire import WireClient

PLUGIN = """
import asyncio
from interceptor import Block, Delay, Plan, Rewrite, Value, hookimpl, plugin

@plugin(version="1.0", depends_on=("role", "search_path"), deadline=3600)
class States:
    def __init__(self, context):
        pass

    @hookimpl
    def guard(self, statement, session):
        if statement.function == 1598:
            return Block("42501", "not this function")
        if "after the end" in statement.text:
            return self.leave_callback
        if "delayed" in statement.text:
            return Plan(Delay(0.05))
        if "never" in statement.text:
            return lambda execution: self.never()
        if "'role'" in statement.text and session.role in ("pg_monitor", None):
            return Block("42501", "not as this role")
        if "'path'" in statement.text and session.search_path in ("nowhere", None):
            return Block("42501", "not with this path")
        return None

    @hookimpl
    def rewrite(self, statement, session):
        if statement.text == "select 'constant', $1::int":
            return Rewrite("select 'mapped', $1::int, $2::text", parameters=(1, Value("text", "added")))
        return None

    def leave_callback(self, execution):
        execution.transaction.after_end(self.fail)
        execution.transaction.after_end(lambda committed: print("told:", committed, flush=True))

    def fail(self, committed):
        raise RuntimeError("secret")

    async def never(self):
        try:
            print("asked", flush=True)
            await asyncio.sleep(3600)
        finally:
            print("broken off", flush=True)
"""


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    postgres18.create_database("states")
    postgres18.psql("create table t (i int)", dbname="states")
    tables: Tables = {
        "databases.states": {"primary": upstream(postgres18, "states"), "pool_size": 1},
        "plugins": {"modules": ["states.py"]},
    }
    with run_proxy(tables, {"states.py": PLUGIN}, plugins_fail=True) as made:
        yield made
    postgres18.drop_database("states")


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


@pytest.fixture
def client(clients: Clients) -> WireClient:
    return clients.connect("states")


def say(client: WireClient, *sent: Frontend, readies: int = 1) -> tuple[bytes, list[str]]:
    """The kinds of the replies, and the SQLSTATEs of the errors among them."""
    seen, ready = len(client.replies), client.ready_count
    client.send(*sent)
    client.read_until_ready(ready + readies)
    return tags(client, seen), [error["C"] for error in errors(client, seen)]


def extended(sql: str) -> list[Frontend]:
    return [f.parse(sql), f.bind(), f.execute(), f.sync()]


@pytest.mark.parametrize("simple", [True, False])
def test_a_terminate_behind_a_decision(proxy: Proxy, clients: Clients, client: WireClient, simple: bool) -> None:
    sql = "insert into t select 1 where 'delayed' <> ''"
    client.send(*([f.query(sql)] if simple else extended(sql)), f.terminate())
    client.read_to_end()
    other = clients.connect("states")
    assert other.query("with gone as (delete from t returning i) select count(*) from gone") == [("1",)]


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize("simple", [True, False])
def test_a_client_that_hangs_up_behind_a_decision(
    proxy: Proxy, clients: Clients, client: WireClient, simple: bool, in_transaction: bool
) -> None:
    asked, broken_off = proxy.log.count("asked"), proxy.log.count("broken off")
    if in_transaction:
        client.query("begin")
        client.query("insert into t values (1)")
    client.send(*([f.query("select 'never'")] if simple else extended("select 'never'")))
    client.send(f.query("select 'behind it'"))
    wait_until(lambda: proxy.log.count("asked") > asked, "the plugin is asked")
    other = clients.connect("states")
    if not in_transaction:
        assert other.query("select 1") == [("1",)]
    client.close()
    assert other.query("select count(*) from t") == [("0",)]
    wait_until(lambda: proxy.log.count("broken off") > broken_off, "the plugin is told")


@pytest.mark.parametrize("simple", [True, False])
def test_a_cancel_while_a_plugin_decides(clients: Clients, client: WireClient, simple: bool) -> None:
    seen, ready = len(client.replies), client.ready_count
    client.send(*([f.query("select 'never'")] if simple else extended("select 'never'")), f.query("select 2"))
    while not errors(client, seen):
        clients.cancel(client.key)
        client.read_available()
    client.read_until_ready(ready + 2)
    assert [error["C"] for error in errors(client, seen)] == ["57014"]
    assert tags(client, seen).endswith(b"EZTDCZ")


def test_a_cancel_where_nothing_runs_and_while_a_backend_is_waited_for(clients: Clients, client: WireClient) -> None:
    clients.cancel(client.key)
    assert client.query("select 1") == [("1",)]
    holder = clients.connect("states")
    holder.query("begin")
    seen, ready = len(client.replies), client.ready_count
    client.send(f.query("select 'delayed'"))
    while not errors(client, seen):
        clients.cancel(client.key)
        client.read_available()
    client.read_until_ready(ready + 1)
    holder.query("rollback")
    assert client.query("select 1") == [("1",)]


@pytest.mark.parametrize(
    ("change", "sql", "back"),
    [
        ("set role pg_monitor", "select 'role'", "reset role"),
        ("set search_path = nowhere", "select 'path'", "reset search_path"),
        ("begin; set local role pg_monitor", "select 'role'", "rollback"),
    ],
)
def test_what_a_plan_rests_on_changes_between_parse_and_bind(
    client: WireClient, change: str, sql: str, back: str
) -> None:
    assert say(client, f.parse(sql, "s"), f.bind(statement="s"), f.execute(), f.sync()) == (b"12DCZ", [])
    say(client, f.query(change))
    assert say(client, f.bind(statement="s"), f.execute(), f.sync())[1] == ["42501"]
    assert say(client, *extended(sql))[1] in (["42501"], ["25P02"])
    say(client, f.query(back))
    assert say(client, f.bind(statement="s"), f.execute(), f.sync()) == (b"2DCZ", [])
    # In one pipeline: what the first has done counts for the second.
    replies, codes = say(client, f.query(change), f.bind(statement="s"), f.execute(), f.sync(), readies=2)
    assert codes == ["42501"], replies
    say(client, f.query(back))


def test_a_callback_that_raises_at_the_end_of_a_transaction(proxy: Proxy, client: WireClient) -> None:
    for _ in range(2):
        assert client.query("select 'after the end'") == [("after the end",)]
    client.query("begin")
    client.query("select 'after the end'")
    client.query("rollback")
    assert client.query("select 1") == [("1",)]
    wait_until(lambda: "told: False" in proxy.log, "the other callback is called")
    assert proxy.log.count("told: True") == 2
    assert proxy.log.count("States.fail raised RuntimeError") == 1


@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_function_call_that_is_blocked(client: WireClient, in_transaction: bool) -> None:
    if in_transaction:
        client.query("begin")
    assert say(client, f.function_call(1598, [])) == (b"EZ", ["42501"])
    assert client.last_status == ("E" if in_transaction else "I")
    client.send(f.sync(), f.query("rollback"))
    client.read_until_ready(client.ready_count + 2)
    assert say(client, f.function_call(2026, []))[0] == b"VZ"
    assert say(client, f.function_call(2026, []), f.function_call(1598, []), f.query("select 1"), readies=3)[1] == [
        "42501"
    ]


@pytest.mark.parametrize("simple", [True, False])
def test_data_behind_a_copy_that_is_delayed(client: WireClient, simple: bool) -> None:
    sql = "copy t from stdin /* delayed */"
    data = [f.copy_data(b"1\n"), f.copy_data(b"2\n"), f.copy_done()]
    if simple:
        assert say(client, f.query(sql), *data) == (b"GCZ", [])
    else:
        assert say(client, *extended(sql)[:-1], *data, f.sync()) == (b"12GCZ", [])
    assert say(client, f.query("/* delayed */ copy nowhere from stdin"), *data)[1] == ["42P01"]
    assert client.query("with gone as (delete from t returning i) select sum(i) from gone") == [("3",)]


@pytest.mark.parametrize("body", [b"\0", b"\0\1", b"\0\2\0\0\0\x17", b"\0\0\0", b"", b"\0\1\0\0\0\x17junk"])
def test_a_parse_of_a_rewritten_text_that_is_no_message(clients: Clients, body: bytes) -> None:
    """What is wrong with it is PostgreSQL's to say."""
    client = clients.connect("states")
    whole = b"\0select 'constant', $1::int\0" + body
    malformed = Frontend("Parse", "malformed", b"P" + (len(whole) + 4).to_bytes(4, "big") + whole)
    assert say(client, malformed, f.bind([b"1"]), f.execute(), f.sync())[1] == ["08P01"]
    assert say(client, f.parse("select 'constant', $1::int"), f.bind([b"5"]), f.execute(), f.sync())[0] == b"12DCZ"
    assert pid_of(client)
