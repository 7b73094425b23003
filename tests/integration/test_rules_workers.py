"""Rules in several processes: what is counted, limited, learned and read anew holds for all of them together."""

from __future__ import annotations

import os
import re
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import decode_error
from tests.support.processes import Family, connect_to
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import wait_until
from tests.support.wire import WireClient

DATABASE = "rules_workers"
WORKERS = 2
RULES = """
[[rule]]
name = "vault"
tables = ["vault.*"]
action = "block"

[[rule]]
name = "three in an hour"
regex = "probe_slow"
action = "throttle"
per_second = 0.0005

[[rule]]
name = "each"
regex = "probe_each"
action = "throttle"
per_second = 0.0005
per = "user"

[[rule]]
name = "two"
regex = "probe_two"
action = "throttle"
at_once = 2

[[rule]]
name = "in turn"
regex = "probe_turn"
action = "throttle"
at_once = 1
excess = "wait"
wait_at_most = "1min"
"""


@pytest.fixture(scope="module")
def database(postgres18: PostgresServer) -> Iterator[str]:
    postgres18.create_database(DATABASE)
    postgres18.psql("create schema vault; create table vault.secret (value text)", dbname=DATABASE)
    yield upstream(postgres18, DATABASE)
    postgres18.drop_database(DATABASE)


def tables_of(database: str) -> Tables:
    return {
        "server": {"workers": WORKERS, "admin_listen": "127.0.0.1:0", "admin_users": ["postgres"]},
        "databases.app": {"primary": database},
        "plugins.rules": {"file": "rules.toml", "check_interval": "50ms"},
    }


@pytest.fixture(scope="module")
def proxy(database: str) -> Iterator[Proxy]:
    with run_proxy(tables_of(database), {"rules.toml": RULES}) as running:
        yield running


@pytest.fixture
def members(clients: Clients) -> list[WireClient]:
    """A client of each worker."""
    return [connect_to(worker, lambda: clients.connect("app")) for worker in range(1, WORKERS + 1)]


def refusals(client: WireClient, sql: str) -> list[str]:
    """The SQLSTATEs of the errors that come of a statement."""
    seen, ready = len(client.replies), client.ready_count
    client.send(f.query(sql))
    client.read_until_ready(ready + 1)
    return [decode_error(one.body)["C"] for one in client.replies[seen:] if one.tag == b"E"]


def replace(file: Path, text: str) -> None:
    """Write a file so that nobody reads half of it."""
    new = file.with_suffix(".new-rules")
    new.write_text(text)
    os.replace(new, file)


def put(proxy: Proxy, text: str) -> None:
    """Write this before the rules, and wait until all processes have read it."""
    seen = proxy.log.count("was read again")
    replace(proxy.directory / "rules.toml", text + RULES)
    wait_until(lambda: proxy.log.count("was read again") == seen + WORKERS, "all processes have read it")


def rules(clients: Clients) -> dict[str, tuple[str | None, ...]]:
    return {str(row[0]): tuple(row[1:]) for row in clients.connect("interceptor").query("SHOW RULES")}


def test_hits_are_those_of_all_processes(proxy: Proxy, clients: Clients, members: list[WireClient]) -> None:
    for count, member in enumerate(members, start=2):
        for _ in range(count):
            assert refusals(member, "select value from vault.secret") == ["42501"]
    shown = rules(clients)["vault"]
    assert shown[:4] == ("block", "enforce", "5", "0")
    assert re.match(r"20\d\d-", str(shown[4])), "the last hit"
    found = re.search(r"HTTP at 127\.0\.0\.1 port (\d+)", proxy.log)
    assert found is not None
    metrics = httpx.get(f"http://127.0.0.1:{found[1]}/metrics").text
    assert re.search(r'^interceptor_rules_hits_total\{.*rule="vault".*\} 5(\.0)?$', metrics, re.MULTILINE)


def test_so_many_in_a_second_of_the_node(members: list[WireClient]) -> None:
    one, other = members
    assert refusals(one, "select 1 as probe_slow") == []
    assert refusals(other, "select 1 as probe_slow") == ["53400"]
    assert refusals(one, "select 1 as probe_slow") == ["53400"]


def test_so_many_in_a_second_of_each_user(clients: Clients, members: list[WireClient]) -> None:
    assert [refusals(member, "select 1 as probe_each") for member in members] == [[], ["53400"]]
    stranger = connect_to(2, lambda: clients.connect("app", "other"))
    assert refusals(stranger, "select 1 as probe_each") == []


def test_so_many_at_once_of_the_node(proxy: Proxy, clients: Clients, members: list[WireClient]) -> None:
    running = [connect_to(worker, lambda: clients.connect("app")) for worker in (1, 2)]
    for member in running:
        member.query("begin")
        # A portal that is open has its place, and nothing has to take time.
        member.send(
            f.parse("select i as probe_two from generate_series(1, 9) i"), f.bind(), f.execute(rows=1), f.flush()
        )
        member.read_until(lambda: member.replies[-1].tag == b"s")  # noqa: B023
    for member in members:
        assert refusals(member, "select 1 as probe_two") == ["53400"]
    ready = running[1].ready_count
    running[1].send(f.sync(), f.query("commit"))
    running[1].read_until_ready(ready + 2)
    wait_until(lambda: refusals(members[0], "select 1 as probe_two") == [], "the place of the other worker is free")
    # A worker that dies gives its places back.
    before = Family(proxy).pid("worker 1")
    os.kill(before, signal.SIGKILL)
    Family(proxy).replaced("worker 1", before)
    again = connect_to(2, lambda: clients.connect("app"))
    again.query("begin")
    again.send(f.parse("select i as probe_two from generate_series(1, 9) i"), f.bind(), f.execute(rows=1), f.flush())
    again.read_until(lambda: again.replies[-1].tag == b"s")
    last = connect_to(2, lambda: clients.connect("app"))
    wait_until(lambda: refusals(last, "select 1 as probe_two") == [], "the places of the dead one are free")


def test_who_waits_gets_the_place_of_another_process(members: list[WireClient]) -> None:
    one, other = members
    one.query("begin")
    one.send(f.parse("select i as probe_turn from generate_series(1, 9) i"), f.bind(), f.execute(rows=1), f.flush())
    one.read_until(lambda: one.replies[-1].tag == b"s")
    ready = other.ready_count
    other.send(f.query("select 'mine' as probe_turn"))
    one.send(f.execute(rows=1), f.flush())
    one.read_until(lambda: [reply.tag for reply in one.replies].count(b"s") == 2)
    assert other.ready_count == ready, "it waits"
    one.send(f.sync(), f.query("commit"))
    other.read_until_ready(ready + 1)
    assert other.replies[-3].tag == b"D"


def test_a_file_that_changed_is_read_by_all_processes(proxy: Proxy, members: list[WireClient]) -> None:
    assert [refusals(member, "select 1 as probe_new") for member in members] == [[], []]
    put(proxy, '[[rule]]\nname = "new"\nregex = "probe_new"\naction = "block"\n')
    assert [refusals(member, "select 1 as probe_new") for member in members] == [["42501"], ["42501"]]
    replace(proxy.directory / "rules.toml", "mode = 1")
    wait_until(lambda: proxy.log.count("the rules of before go on") == WORKERS, "each says so")
    assert [refusals(member, "select 1 as probe_new") for member in members] == [["42501"], ["42501"]]
    put(proxy, "")


def test_learning_reading_editing_enforcing(proxy: Proxy, clients: Clients, members: list[WireClient]) -> None:
    learned = proxy.directory / "rules.learned.toml"
    stranger = clients.connect("app", "stranger")

    put(proxy, 'mode = "learn"\ndefault = "block"\n')
    for count, member in enumerate(members, start=2):
        for number in range(count):
            assert refusals(member, f"select {number} as learned") == []
        assert refusals(member, "select 'unwanted' as other") == []
        assert refusals(member, "select value from vault.secret") == ["42501"], "rules hold while it learns"
    assert refusals(stranger, "select 1 as of_another") == []
    put(proxy, 'default = "block"\n')
    wait_until(lambda: counts_in(learned) == 8, "what both processes have seen is written down")
    entries = tomllib.loads(learned.read_text())["allow"]
    assert [(one["user"], one["statement"], one["count"]) for one in entries] == [
        ("postgres", "select $1 as learned", 5),
        ("postgres", "select $1 as other", 2),
        ("stranger", "select $1 as of_another", 1),
    ]
    assert entries[0]["example"] == "select 0 as learned"
    assert refusals(members[0], "select 1 as learned") == ["42501"], "it is not in the rules yet"
    # Somebody reads it, and takes out what should not be there.
    head, first, second, third = learned.read_text().split("[[allow]]")
    assert "unwanted" in second
    learned.write_text("[[allow]]".join([head, first, third]))
    put(proxy, 'default = "block"\ninclude = ["./rules.learned.toml"]\n')
    for member in members:
        assert refusals(member, "SELECT 77 AS learned") == []
        assert refusals(member, "select 'unwanted' as other") == ["42501"]
        assert refusals(member, "select 1 as of_another") == ["42501"]
        assert refusals(member, "select value from vault.secret") == ["42501"]
    assert refusals(stranger, "select 1 as of_another") == []
    put(proxy, "")


def counts_in(file: Path) -> int:
    """How many executions a learned file tells of."""
    return sum(one["count"] for one in tomllib.loads(file.read_text())["allow"]) if file.exists() else 0
