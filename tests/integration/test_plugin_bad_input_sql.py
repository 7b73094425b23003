"""SQL that is long, deep or cut anywhere, where a guard judges all of it: no crash, no stall, no way past it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import product

import pytest

from interceptor.session.bounds import MAX_JUDGED, WHOLE_MESSAGE
from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, errors, tags, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.vitals import Neighbour, neighbour
from tests.support.wire import Endpoint, WireClient

PLUGIN = """
import asyncio
import time
from interceptor import Block, Column, Plan, PluginContext, Respond, hookimpl, plugin

@plugin(version="1.0")
class Judge:
    def __init__(self, context):
        self.context = context
        self.longest = 0.0

    @hookimpl
    async def start_worker(self):
        self.context.services.tasks.spawn(self.beat(), "heartbeat")

    async def beat(self):
        # Processor time, for on a busy machine others take turns too.
        before = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            self.longest = max(self.longest, now - before)
            before = now

    @hookimpl
    def guard(self, statement, session):
        facts = statement.facts
        if facts.opaque:
            return Block("42501", "it can't be judged")
        if any(use.name.name == "pg_read_file" for one in facts.all for use in one.functions):
            return Block("42501", "no files")
        return None

    @hookimpl
    def virtual(self, statement, session):
        return Plan(self.tell) if statement.text == "select longest()" else None

    def tell(self, execution):
        longest, self.longest = self.longest, 0.0
        return Respond((Column("ms", "float8"),), [(longest * 1000,)])
"""
FILE = "pg_read_file('x')"
LONG = 1_000_000

TEXTS = {
    "a string of 1 MB": "select length('" + "x" * LONG + "'), {}",
    "a comment of 1 MB": "select /*" + "x" * LONG + "*/ {}",
    "rows of 1 MB": "select count(*) from (values "
    + ",".join(f"({n}, 'x{n}')" for n in range(45_000))
    + ") v, (select {}) w",
    "statements of 1 MB": "select 1;" * 100_000 + "select {}",
    "20,000 items": "select 5 in (" + ",".join(map(str, range(20_000))) + "), {}",
    "20,000 strings": "select 'x' in (" + ",".join(f"'{n}'" for n in range(20_000)) + "), {}",
    "20,000 parameters": "select " + ",".join(f"${n}::int" for n in range(1, 20_001)) + ", {}",
    "5,000 parentheses": "select " + "(" * 5_000 + "{}" + ")" * 5_000,
    "5,000 subqueries": "select " + "(select " * 5_000 + "{}" + ")" * 5_000,
    "5,000 operators": "select " + "1 + " * 5_000 + "length({}::text)",
    "5,000 NOTs": "select " + "not " * 5_000 + "({} is null)",
    "5,000 CASEs": "select " + "case when true then " * 5_000 + "{}" + " end" * 5_000,
    "5,000 calls": "select " + "coalesce(" * 5_000 + "{}" + ")" * 5_000,
    "5,000 joins": "select {} from (values (1)) a" + " join (values (1)) b on true" * 5_000,
    "5,000 unions": "select 1 as a" + " union all select 1" * 5_000 + " union all select length({}::text)",
    "50,000 quotes": "select '" + "''" * 50_000 + "', {}",
    "dollars": "select $a$" + "$b$" * 50_000 + "$a$, {}",
}


ALL = os.environ.get("PLUGIN_MISDEEDS") == "all"
"""Else each text in one protocol, and those that take seconds in none."""
SLOW = ("rows of 1 MB", "statements of 1 MB")
PLACES = list(product(TEXTS, (True, False)))
if not ALL:
    PLACES = [(name, number % 2 == 0) for number, name in enumerate(TEXTS) if name not in SLOW]


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    tables: Tables = {
        "databases.app": {"primary": upstream(postgres18, "postgres"), "pool_size": 3},
        "plugins": {"modules": ["judge.py"]},
    }
    with run_proxy(tables, {"judge.py": PLUGIN}) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def other(proxy: Proxy) -> Iterator[Neighbour]:
    """Another client, who gets answers all the time."""
    with neighbour(Endpoint(proxy.host, proxy.port, "app"), pause=0.01) as working:
        yield working
        working.wait_for_progress()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[WireClient]:
    with Clients(proxy) as clients:
        yield clients.connect("app")


def sent(sql: str, *, simple: bool) -> list[Frontend]:
    return [f.query(sql)] if simple else [f.parse(sql), f.bind(), f.execute(), f.sync()]


@pytest.mark.parametrize(("name", "simple"), PLACES)
def test_text_of_any_size_and_depth_is_judged(client: WireClient, name: str, simple: bool) -> None:
    """Where nobody can judge it, it is refused; else PostgreSQL answers, or says that it is too deep for it too."""
    client.query("select longest()")
    for call in (FILE, "1"):
        seen, ready = len(client.replies), client.ready_count
        client.send(*sent(TEXTS[name].format(call), simple=simple))
        client.read_until_ready(ready + 1)
        codes = [error["C"] for error in errors(client, seen)]
        if call == FILE:
            assert codes == ["42501"]
        else:
            assert codes in ([], ["42501"], ["54001"], ["42601"], ["08P01"], ["54011"])
    ((longest,),) = client.query("select longest()")
    print(f"{name}: the loop was held up for {float(longest or 0):.1f} ms of processor time")
    assert float(longest or 0) < 500, "timings decide nothing; this is what no machine takes"


def test_what_is_small_enough_to_be_judged_runs(client: WireClient) -> None:
    for name in ("20,000 items", "20,000 strings", "50,000 quotes", "dollars"):
        assert len(client.query(TEXTS[name].format("'the end'"))) == 1, name


SIZES = [WHOLE_MESSAGE - 1, WHOLE_MESSAGE, WHOLE_MESSAGE + 1, MAX_JUDGED - 5, MAX_JUDGED - 1]
AT_BOUNDS = list(product(SIZES, (True, False), (True, False)))
if not ALL:
    AT_BOUNDS = [(WHOLE_MESSAGE, True, True), (WHOLE_MESSAGE + 1, False, False), (MAX_JUDGED - 1, True, False)]


@pytest.mark.parametrize(("size", "forbidden", "simple"), AT_BOUNDS)
def test_messages_at_the_bounds_cut_anywhere(client: WireClient, size: int, forbidden: bool, simple: bool) -> None:
    """``size``: of the Query or Parse message."""
    head = f"select {FILE if forbidden else '1'}, length('"
    around = len(f.query(head + "')").data if simple else f.parse(head + "')").data)
    sql = head + "x" * (size - around) + "')"
    messages = sent(sql, simple=simple)
    assert len(messages[0].data) == size
    data = b"".join(one.data for one in messages)
    for cuts in ([1], [5], [6, size // 2], [size - 1], [size], [size + 1], [WHOLE_MESSAGE - 1, WHOLE_MESSAGE], []):
        seen, ready = len(client.replies), client.ready_count
        start = 0
        for cut in [*sorted({min(cut, len(data) - 1) for cut in cuts}), len(data)]:
            client.write(data[start:cut])
            start = cut
        client.read_until_ready(ready + 1)
        codes = [error["C"] for error in errors(client, seen)]
        # The longest are not analysed, and what is opaque the guard refuses.
        refused = forbidden or (size > 1_000_000 and codes)
        assert codes == (["42501"] if refused else [])
        assert refused or b"D" in tags(client, seen)
        client.replies.clear()
        client.sent.clear()


@pytest.mark.parametrize(("simple", "cut"), [(True, 6), (False, WHOLE_MESSAGE), (True, MAX_JUDGED)])
def test_a_message_that_nobody_can_see_whole_ends_the_connection(client: WireClient, simple: bool, cut: int) -> None:
    sql = f"select {FILE}, length('" + "x" * 2 * MAX_JUDGED + "')"
    data = b"".join(one.data for one in sent(sql, simple=simple))
    client.write(data[:cut])
    client.write(data[cut:])
    client.read_to_end()
    (error,) = errors(client)
    assert re.match(r"\(not_judged\)", error["M"])
    assert error["S"] == "FATAL"
