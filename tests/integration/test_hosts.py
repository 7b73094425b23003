"""Several hosts in one connection string, names with several addresses, and a failover: where new connections go."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.hostile import Connection, HostileServer
from tests.support.login import LoginFailed
from tests.support.processes import one_of_each
from tests.support.proxied import Clients, errors
from tests.support.proxy import Proxy, Tables, Value, run_proxy
from tests.support.watch import wait_for, wait_until

ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")

RESOLVER = """
import asyncio, json, socket
from pathlib import Path
from pooler.hosts import names

async def look_up(name):
    found = json.loads((Path(__file__).parent / "names.json").read_text()).get(name)
    if found is None:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")
    return tuple(found)

names.lookup = look_up
"""
"""A plugin that takes the place of the operating system's resolver."""

RECOVERY = "select pg_is_in_recovery()"
OWN_ADDRESS = "select host(inet_server_addr())"


@dataclass
class Pair:
    primary: PostgresServer
    standby: PostgresServer

    def dsn(self, *, first: PostgresServer | None = None, **options: str) -> str:
        """The primary and the standby, or the other way round, with libpq's options."""
        servers = [self.primary, self.standby] if first is self.primary else [self.standby, self.primary]
        hosts = ",".join(f"{server.host}:{server.port}" for server in servers)
        return f"postgresql://postgres@{hosts}/postgres?" + "&".join(f"{k}={v}" for k, v in options.items())


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with PostgresServer.start(settings={"listen_addresses": ",".join(ADDRESSES)}) as primary:
        with primary.create_replica() as standby:
            yield Pair(primary, standby)


@pytest.fixture(scope="module")
def silent() -> Iterator[HostileServer]:
    """Connections to it are made, and nothing ever comes from there."""
    with HostileServer(Connection.hang) as server:
        yield server


@pytest.fixture(scope="module")
def names() -> dict[str, list[str]]:
    return {"db.test": [ADDRESSES[1]], "both.test": [*ADDRESSES[1:]]}


@pytest.fixture(scope="module")
def proxy(pair: Pair, silent: HostileServer, names: dict[str, list[str]]) -> Iterator[Proxy]:
    attrs = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
    primary = pair.primary
    alone = f"postgresql://postgres@{primary.host}:{primary.port},127.0.0.1:1/postgres"
    tables: dict[str, dict[str, Value]] = {
        "server": {
            "admin_listen": "127.0.0.1:0",
            "server_connect_timeout": "1s",
            "server_login_retry": "1min",
            "dns_max_ttl": "50ms",
            "catalogue": False,  # a helper connection would take a turn
            "admin_users": "admin",
        },
        **{
            f"databases.{name}-{which}": {"primary": pair.dsn(first=first, target_session_attrs=name)}
            for name in attrs
            for which, first in (("p", primary), ("s", pair.standby))
        },
        "databases.alone": {"primary": alone + "?target_session_attrs=prefer-standby"},
        "databases.none": {"primary": alone + "?target_session_attrs=standby"},
        "databases.turns": {"primary": pair.dsn(load_balance_hosts="round-robin")},
        "databases.postgres": {
            "primary": f"host={silent.host},{primary.host} port={silent.port},{primary.port} user=postgres"
        },
        "databases.named": {"primary": f"host=db.test port={primary.port} user=postgres dbname=postgres"},
        "databases.unnamed": {"primary": f"postgresql://postgres@gone.test:{primary.port}/postgres"},
        "plugins": {"modules": ["./resolver.py"]},
    }
    for name, table in tables.items():
        if name.startswith("databases."):
            table["required"] = False
    only = f"postgresql://postgres@{primary.host}:{primary.port}/postgres?target_session_attrs="
    tables["databases.required-write"] = {"primary": f"{only}read-write"}
    tables["databases.required-read"] = {"primary": f"{only}standby"}
    with run_proxy(tables, {"resolver.py": RESOLVER, "names.json": json.dumps(names)}) as running:
        yield running


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


@pytest.mark.parametrize("first", ["p", "s"])
@pytest.mark.parametrize(
    ("attrs", "recovery"),
    [("read-write", "f"), ("primary", "f"), ("read-only", "t"), ("standby", "t"), ("prefer-standby", "t")],
)
def test_a_server_is_what_is_asked_for_wherever_it_stands(
    clients: Clients, attrs: str, recovery: str, first: str
) -> None:
    assert clients.connect(f"{attrs}-{first}").query(RECOVERY) == [(recovery,)]


def test_any_server_is_the_first(clients: Clients) -> None:
    assert clients.connect("any-p").query(RECOVERY) == [("f",)]
    assert clients.connect("any-s").query(RECOVERY) == [("t",)]


def test_a_preference_is_no_condition_and_a_condition_is_told(clients: Clients, pair: Pair) -> None:
    assert clients.connect("alone").query(RECOVERY) == [("f",)]
    with pytest.raises(LoginFailed) as refused:
        clients.connect("none")
    assert f'{pair.primary.port}: it is no standby, and target_session_attrs is "standby"' in str(refused.value)
    assert "127.0.0.1:1: " in str(refused.value)


def test_a_node_is_not_ready_where_no_server_is_what_is_asked_for(proxy: Proxy) -> None:
    found = re.search(r"HTTP at 127\.0\.0\.1 port (\d+)", proxy.log)
    assert found is not None
    answer = httpx.get(f"http://127.0.0.1:{found[1]}/readyz")
    assert answer.status_code == 503
    states = answer.json()["databases"]
    assert states.keys() == {"required-write", "required-read"}
    assert states["required-write"] == "reachable"
    assert "it is no standby" in states["required-read"]


def test_each_connection_begins_with_the_next_host(clients: Clients) -> None:
    asking = [clients.connect("turns") for _ in range(4)]
    for client in asking:
        client.query("begin")
    assert sorted(client.query(RECOVERY) for client in asking) == [[("f",)]] * 2 + [[("t",)]] * 2


@pytest.mark.soak_processes
def test_workers_take_turns_with_each_other(pair: Pair) -> None:
    tables: Tables = {
        "server": {"workers": 2, "catalogue": False},
        "databases.turns": {"primary": pair.dsn(load_balance_hosts="round-robin"), "pool_size": 4},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        members = one_of_each(2, lambda: clients.connect("turns"))
        # The login of the first client has made one connection, which the first of them may use.
        seen = []
        for member in members.values():
            member.query("begin")
            seen += [member.query(RECOVERY)]
        assert seen[0] != seen[1]


def test_a_black_hole_costs_one_login_and_not_each(clients: Clients, silent: HostileServer) -> None:
    asking = [clients.connect("postgres") for _ in range(3)]
    for client in asking:
        client.query("begin")
    assert [client.query(RECOVERY) for client in asking] == [[("f",)]] * 3
    assert silent.connections == 1


def test_the_console_shows_the_hosts_and_which_is_in_use(clients: Clients, pair: Pair) -> None:
    kept = clients.connect("primary-s")
    kept.query("begin")
    console = clients.connect("pgbouncer", "admin")
    shown = {str(row[0]): row for row in console.query("show databases")}
    assert shown["turns"][1:3] == ("127.0.0.1,127.0.0.1", str(pair.standby.port))
    assert (shown["turns"][10], shown["named"][10]) == ("round-robin", None)
    pools = {str(row[0]): row for row in console.query("show pools")}
    assert pools["primary-s"][-1] == "disable"
    (server,) = [row for row in console.query("show servers") if row[2] == "primary-s"]
    assert server[5:7] == ("127.0.0.1", str(pair.primary.port))


def test_connections_follow_a_name_and_those_in_use_are_drained(
    clients: Clients, proxy: Proxy, names: dict[str, list[str]]
) -> None:
    idle, busy = clients.connect("named"), clients.connect("named")
    busy.query("begin")
    assert busy.query(OWN_ADDRESS) == idle.query(OWN_ADDRESS) == [(ADDRESSES[1],)]
    names["db.test"] = [ADDRESSES[2]]
    say(proxy.directory, names)
    wait_until(lambda: idle.query(OWN_ADDRESS) == [(ADDRESSES[2],)])
    assert busy.query(OWN_ADDRESS) == [(ADDRESSES[1],)]
    busy.query("commit")
    assert busy.query(OWN_ADDRESS) == [(ADDRESSES[2],)]
    console = clients.connect("pgbouncer", "admin")
    assert "db.test" in [row[0] for row in console.query("show dns_hosts")]


def test_a_name_that_does_not_exist_is_told(clients: Clients) -> None:
    with pytest.raises(LoginFailed, match=r'"gone\.test" can\'t be looked up: no such name'):
        clients.connect("unnamed")


def say(folder: Path, names: dict[str, list[str]]) -> None:
    new = folder / "names.new"
    new.write_text(json.dumps(names))
    new.replace(folder / "names.json")


def test_clients_outlive_a_failover_without_a_restart(pair: Pair) -> None:
    primary = pair.primary
    primary.psql("create table if not exists written (i int); truncate written")
    with primary.create_replica() as heir:
        both = f"postgresql://postgres@{primary.host}:{primary.port},{heir.host}:{heir.port}/postgres"
        tables: Tables = {
            "server": {"server_connect_timeout": "2s"},
            "databases.app": {"primary": f"{both}?target_session_attrs=read-write", "pool_size": 2},
            "databases.reads": {"primary": f"{both}?target_session_attrs=standby", "pool_size": 1},
        }
        with run_proxy(tables) as running, Clients(running) as clients:
            working = [clients.connect("app", timeout=60) for _ in range(5)]
            reading = clients.connect("reads")
            for client in working:
                client.query("insert into written values (1)")
            assert reading.query(RECOVERY) == [("t",)]
            heir.wait_for_replay(primary)
            primary.stop()
            try:
                waiting = working[0]
                waiting.send(f.query("insert into written values (2)"))
                wait_for("an attempt that failed", lambda: "can be used" in running.log)
                heir.psql("select pg_promote()")
                waiting.read_until_ready(3)  # its login, its first statement, and this one
                assert not errors(waiting)
                for client in working:
                    client.query("insert into written values (3)")
                assert working[0].query("select count(*) from written") == [("11",)]
            finally:
                primary.restart()
