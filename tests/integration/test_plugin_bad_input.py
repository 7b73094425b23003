"""Plugins that fail, in every phase and both protocols: the declared policy is all that a client notices of it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import decode_error
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.vitals import Neighbour, neighbour
from tests.support.wire import Endpoint, WireClient

MISDEEDS = (Path(__file__).parent / "plugins" / "misdeeds.py").read_text()
NAMES = (
    "raises odd exits interrupts cancels stops leaves recurses hungry wrong decision unfriendly mute mutates columns"
    " sql nowhere nan"
).split()
PHASES = ("guard", "virtual", "rewrite", "cache", "route")
CLOSED = frozenset(["guard", "virtual"])
POLICIES = ("open", "closed")
MOMENTS = ("plan", "step", "later", "never")
NEVER = ("raises", "odd")
"""Those that are asked for an answer that never comes; the second does not even end when it is canceled."""

LINE = re.compile(r"plugin (\w+): (its .*)")


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("misdeeds")
    files = [folder / f"{name}_{policy}.py" for name in NAMES for policy in POLICIES]
    for file in files:
        file.write_text(MISDEEDS)
    postgres18.create_database("misdeeds")
    postgres18.psql("create table t (i int)", dbname="misdeeds")
    tables: Tables = {
        "databases.misdeeds": {"primary": upstream(postgres18, "misdeeds"), "pool_size": 3},
        "plugins": {"modules": [str(file) for file in files]},
    }
    with run_proxy(tables, plugins_fail=True) as made:
        yield made
    postgres18.drop_database("misdeeds")


@pytest.fixture(scope="module", autouse=True)
def other(proxy: Proxy) -> Iterator[Neighbour]:
    """Another client, who gets answers all the time."""
    with neighbour(Endpoint(proxy.host, proxy.port, "misdeeds"), pause=0.01) as working:
        yield working
        working.wait_for_progress()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[WireClient]:
    with Clients(proxy) as clients:
        made = clients.connect("misdeeds")
        yield made
        made.send(f.sync(), f.query("rollback"), f.query("truncate t"))
        made.read_until_ready(made.ready_count + 3)


def say(client: WireClient, *sent: Frontend, readies: int = 1) -> list[str]:
    """The replies in short: rows in full, errors by their SQLSTATE."""
    seen = len(client.replies)
    client.send(*sent)
    client.read_until_ready(client.ready_count + readies)
    said = []
    for reply in client.replies[seen:]:
        if reply.tag == b"E":
            fields = decode_error(reply.body)
            assert "secret" not in fields["M"]
            said.append(f"Error {fields['C']}")
        elif reply.tag in b"DZ":
            said.append(str(reply))
    return said


def extended(sql: str) -> list[Frontend]:
    return [f.parse(sql), f.bind(), f.execute()]


def is_a_case(name: str, moment: str) -> bool:
    if moment == "never":
        return name in NEVER
    # A plan hook may give a function, and a class is one; None is no failure.
    return (name, moment) not in (("decision", "plan"), ("unfriendly", "plan"))


ALL = [case for case in product(NAMES, POLICIES, PHASES, MOMENTS) if is_a_case(case[0], case[3])]
"""With PLUGIN_MISDEEDS=all in the environment. Else one misdeed in all places, and the others in places by turns."""
TURNS = cycle(product(PHASES, POLICIES))
FEW = [case for case in ALL if case[0] == "raises"]
FEW += [
    (name, policy, phase, moment)
    for name, moment in product(NAMES[1:], MOMENTS)
    if is_a_case(name, moment)
    for phase, policy in [next(TURNS)]
]
CASES = ALL if os.environ.get("PLUGIN_MISDEEDS") == "all" else FEW


def logged(proxy: Proxy) -> Counter[tuple[str, str]]:
    return Counter(LINE.findall(proxy.log))


@pytest.mark.parametrize(("name", "policy", "phase", "moment"), CASES)
def test_a_failure_has_the_declared_policy(
    proxy: Proxy, client: WireClient, name: str, policy: str, phase: str, moment: str
) -> None:
    for simple in (True, False):
        check(client, f"{name}_{policy}", phase, moment, simple=simple)
    assert any(line[0] == f"{name}_{policy}" for line in logged(proxy)), "the log names the plugin"


def check(client: WireClient, plugin: str, phase: str, moment: str, *, simple: bool) -> None:
    """Let a statement come that a plugin fails about: alone, in a transaction, and between others."""
    text = f"{plugin} {phase} {moment}"
    sql = f"select '{text}'"
    refused = plugin.endswith("closed") or phase in CLOSED
    ran = f"DataRow b'{text}'"
    # Outside of a transaction.
    sent = [f.query(sql)] if simple else [*extended(sql), f.sync()]
    assert say(client, *sent) == (["Error 58000"] if refused else [ran]) + ["ReadyForQuery I"]
    # In one. Nothing is sent elsewhere there, so nobody is asked where to.
    say(client, f.query("begin"))
    if refused and (phase != "route" or moment == "plan"):
        assert say(client, *sent) == ["Error 58000", "ReadyForQuery E"]
    else:
        assert say(client, *sent) == [ran, "ReadyForQuery T"]
    say(client, f.query("rollback"))
    # Between others that are sent with it.
    before, behind = "insert into t values (1)", "select count(*) from t"
    if simple:
        replies = say(client, f.query(before), *sent, f.query(behind), readies=3)
        assert replies == [
            "ReadyForQuery I",
            "Error 58000" if refused else ran,
            "ReadyForQuery I",
            "DataRow b'1'",
            "ReadyForQuery I",
        ]
    else:
        replies = say(client, *extended(before), *extended(sql), *extended(behind), f.sync())
        if refused:
            assert replies == ["Error 58000", "ReadyForQuery I"]
            assert say(client, f.query(behind)) == ["DataRow b'0'", "ReadyForQuery I"]
        else:
            assert replies == [ran, "DataRow b'1'", "ReadyForQuery I"]
    say(client, f.query("truncate t"))


def test_the_log_says_each_thing_once(proxy: Proxy) -> None:
    repeated = [line for line, count in logged(proxy).items() if count > 1]
    assert not repeated
    assert "keeps its backend" not in proxy.log
