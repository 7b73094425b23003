"""Plugins in several processes: what they share, what runs once, and what happens to a worker that one holds up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.processes import Family, connect_to
from tests.support.proxied import Clients, errors, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import wait_until
from tests.support.wire import WireClient

DATABASE = "processes_plugins"
WORKERS = 2

TALKER = """
from __future__ import annotations
import gc, itertools, os, re, time
from interceptor import *

@plugin(version="1.0")
class Talker:
    def __init__(self, context):
        self.services = context.services
        self.log = context.log
        self.counters = self.services.shared.counters("seen", 2)
        self.heard = []
        self.services.shared.state.on_change(self.heard.append)

    @hookimpl
    async def start_node(self):
        self.log.info("SAYS start_node %d", os.getpid())
        self.services.shared.state.set("born", b"of the node")

    @hookimpl
    def start_worker(self):
        self.log.info("SAYS start_worker %d", os.getpid())
        self.late = self.services.shared.counters("late", 1)

    @hookimpl
    def stop_worker(self):
        self.log.info("SAYS stop_worker %d", os.getpid())

    @hookimpl
    def stop_node(self):
        self.log.info("SAYS stop_node %d", os.getpid())

    @hookimpl
    def guard(self, statement, session):
        found = re.search("/[*] (.*) [*]/", statement.text)
        words = found[1].split() if found else [""]
        if words[0] == "count":
            self.counters.add(1, int(words[1]))
            self.late.add(0)
        elif words[0] == "total":
            return Block("P0001", f"{self.counters.read(1)} {self.late.read(0)}")
        elif words[0] == "set":
            self.services.shared.state.set(words[1], words[2].encode())
        elif words[0] == "get":
            return Block("P0001", (self.services.shared.state.get(words[1]) or b"nothing").decode())
        elif words[0] == "heard":
            return Block("P0001", str(self.heard.count(words[1])))
        elif words[0] == "promote":
            self.services.targets.set_primary("app", words[1])
        elif words[0] == "collect":
            gc.collect()
        elif words[0] == "astray":
            self.go_astray()
        elif words[0] == "asleep":
            time.sleep(600)

    def go_astray(self):
        re.match("(a+)+$", "a" * 60 + "b")
"""

CALLS = iter(range(10**9))


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    for name in (DATABASE, f"{DATABASE}_replica"):
        postgres18.create_database(name)
    tables: Tables = {
        "server": {"workers": WORKERS, "worker_stall_timeout": "1s", "catalogue": False},
        "databases.app": {
            "primary": upstream(postgres18, DATABASE),
            "replicas": [upstream(postgres18, f"{DATABASE}_replica")],
        },
        "plugins": {"modules": ["talker.py"]},
    }
    with run_proxy(tables, {"talker.py": TALKER}) as running:
        yield running
    for name in (DATABASE, f"{DATABASE}_replica"):
        postgres18.drop_database(name)


def at(clients: Clients, worker: int) -> WireClient:
    return connect_to(worker, lambda: clients.connect("app"))


def tell(client: WireClient, *words: str) -> str:
    """Have the plugin do something, in this client's worker; its answer."""
    start = len(client.replies)
    ready = client.ready_count
    # No text twice: the plan of one that is known is not made again.
    client.send(f.query(f"select {next(CALLS)} /* {' '.join(words)} */"))
    client.read_until_ready(ready + 1)
    return "".join(error["M"] for error in errors(client, start))


def sayings(proxy: Proxy) -> list[tuple[str, str]]:
    return re.findall(r"SAYS (\w+) (\d+)", proxy.log)


def test_what_exists_once_per_node_is_started_once_and_before_the_workers(proxy: Proxy) -> None:
    said = sayings(proxy)[: 1 + WORKERS]
    assert [what for what, _ in said] == ["start_node", *["start_worker"] * WORKERS]
    assert len({pid for _, pid in said}) == 1 + WORKERS, "each in a process of its own"
    assert proxy.log.rindex("start_worker", 0, proxy.log.index("listening on")) > 0


def test_counters_are_summed_over_all_workers(clients: Clients) -> None:
    members = [at(clients, worker) for worker in range(1, WORKERS + 1)]
    for number, member in enumerate(members, start=1):
        tell(member, "count", str(number))
        tell(member, "count", "10")
    assert [tell(member, "total") for member in members] == ["23 4", "23 4"]


def test_values_reach_every_process(clients: Clients) -> None:
    one, other = (at(clients, worker) for worker in (1, 2))
    assert tell(one, "get", "born") == tell(other, "get", "born") == "of the node"
    tell(one, "set", "colour", "red")
    wait_until(lambda: tell(other, "get", "colour") == "red", "the value has arrived")
    assert tell(one, "heard", "colour") == tell(other, "heard", "colour") == "1"
    tell(other, "set", "colour", "blue")
    wait_until(lambda: tell(one, "get", "colour") == "blue", "the newer value has arrived")


def test_memory_from_before_the_fork_stays_shared(proxy: Proxy, clients: Clients) -> None:
    """Also when Python has looked for garbage, which writes into each object that it looks at."""
    pids = Family(proxy).pids()
    for worker in range(1, WORKERS + 1):
        client = at(clients, worker)
        # What a process does for the first time takes memory of its own.
        tell(client, "get", "warmth")
        before = private_share(pids[f"worker {worker}"])
        tell(client, "collect")
        after = private_share(pids[f"worker {worker}"])
        assert after < before + 0.1
        assert after < 0.4


def private_share(pid: int) -> float:
    """The part of a process's resident memory that no other process shares with it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return (kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]) / kilobytes["Rss"]


def test_a_new_primary_is_that_of_all_processes(clients: Clients) -> None:
    one = at(clients, 1)
    tell(one, "promote", "replica1")

    def where() -> str | None:
        return at(clients, 2).query("select current_database()")[0][0]

    wait_until(lambda: where() == f"{DATABASE}_replica", "clients of the other worker reach the new primary")
    tell(one, "promote", "primary")
    wait_until(lambda: where() == DATABASE, "and the old one again")


@pytest.mark.parametrize(("how", "where"), [("astray", "go_astray"), ("asleep", "guard")])
def test_a_worker_that_a_plugin_holds_up_is_replaced_and_the_plugin_named(
    proxy: Proxy, clients: Clients, how: str, where: str
) -> None:
    """In a regular expression C code holds the interpreter, so that no Python code of that process could tell."""
    family = Family(proxy)
    victim, other = at(clients, 1), at(clients, 2)
    tell(other, "set", "kept", how)
    before = family.pid("worker 1")
    start = len(proxy.log)
    victim.send(f.query(f"select 1 /* {how} */"))
    assert tell(other, "get", "kept") == how, "the other worker is not held up"
    victim.read_to_end()
    family.replaced("worker 1", before)
    said = [line for line in proxy.log[start:].splitlines() if f"process {before}" in line]
    assert re.search(rf"the plugin talker holds it up, in {where} \(.*talker\.py:\d+\)", said[0]), said
    if where != "guard":
        assert "called through its guard" in said[0]
    again = at(clients, 1)
    wait_until(lambda: tell(again, "get", "kept") == how, "its successor has the values of all")


def test_each_process_stops_what_it_started(postgres18: PostgresServer) -> None:
    tables: Tables = {
        "server": {"workers": WORKERS},
        "databases.app": {"primary": upstream(postgres18, "postgres")},
        "plugins": {"modules": ["talker.py"]},
    }
    with run_proxy(tables, {"talker.py": TALKER}) as proxy:
        assert proxy.stop() == 0
        started = {pid for what, pid in sayings(proxy) if what == "start_worker"}
        stopped = [(what, pid) for what, pid in sayings(proxy) if what.startswith("stop")]
        assert [what for what, _ in stopped] == [*["stop_worker"] * WORKERS, "stop_node"]
        assert {pid for what, pid in stopped if what == "stop_worker"} == started


def test_a_plugin_that_must_not_be_missing_keeps_all_from_starting(postgres18: PostgresServer) -> None:
    broken = TALKER.replace('self.log.info("SAYS start_worker %d", os.getpid())', "raise RuntimeError('not today')")
    tables: Tables = {
        "server": {"workers": WORKERS},
        "databases.app": {"primary": upstream(postgres18, "postgres")},
        "plugins": {"modules": ["talker.py"]},
    }
    with pytest.raises(AssertionError, match="the proxy ended with 2") as caught:
        with run_proxy(tables, {"talker.py": broken.replace('version="1.0"', 'version="1.0", policy="closed"')}):
            pass
    assert "talker" in str(caught.value)
