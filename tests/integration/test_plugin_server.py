"""What a running server does for its plugins: it starts and stops them, tells them of sessions and servers, and lends
them its services."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import upstream
from tests.support.proxy import Proxy, Tables, run_proxy, to_toml
from tests.support.watch import wait_until

DATABASE = "plugin_server"

WITNESS = """
from __future__ import annotations
import asyncio, json
from interceptor import *

@plugin(version="1.0", depends_on=("role", "search_path"))
class Witness:
    def __init__(self, context):
        self.context = context
        self.services = context.services
        self.services.tasks.spawn(self.early(), "early")
        self.services.tasks.every(0.01, self.tick, "tick")
        self.ticks = 0
        self.opened = self.services.metrics.counter("witness_sessions_total", "Sessions seen.")
        self.counters = self.services.shared.counters("seen", 2)

    def say(self, what, *values):
        self.context.log.info("SAYS %s", json.dumps([what, *values]))

    async def early(self):
        self.say("early")

    def tick(self):
        self.ticks += 1
        if self.ticks == 3:
            self.say("ticked")

    @hookimpl
    async def start_node(self):
        await asyncio.sleep(0)
        self.say("start_node")

    @hookimpl
    async def start_worker(self):
        rows = await self.services.queries("app").query("select count(*) from t")
        role = await self.services.queries("app", role="pg_monitor").query("select current_user")
        targets = [[one.name, one.is_primary] for one in self.services.targets.of("app")]
        self.say("start_worker", rows[0][0], role[0][0], targets)

    @hookimpl
    def stop_worker(self):
        self.say("stop_worker")

    @hookimpl
    async def stop_node(self):
        self.say("stop_node")

    @hookimpl
    async def admit(self, session):
        await asyncio.sleep(0)
        if session.application_name == "never":
            return Block("28000", "not today", detail="It is late.", hint="Come tomorrow.")

    @hookimpl
    def connection_opened(self, session):
        self.opened.add()
        self.say("opened", session.id, session.database, session.user, session.backend_user, session.client_address,
                 session.application_name, session.role, session.search_path, session.reads_alike, session.tls)

    @hookimpl
    def connection_closed(self, session, seconds):
        self.say("closed", session.id, 0 <= seconds < 60)

    @hookimpl
    def backend_connected(self, backend):
        self.say("connected", backend.database, backend.user, backend.target, backend.server_version)

    @hookimpl
    def backend_closed(self, backend):
        self.say("disconnected", backend.database)
"""

SYNTAX_ERROR = """
def observe(statement, session)
    return None
"""


@pytest.fixture(scope="module", params=[18, 16], ids=["pg18", "pg16"])
def postgres_of_module(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    server = request.getfixturevalue(f"postgres{request.param}")
    assert isinstance(server, PostgresServer)
    server.create_database(DATABASE)
    server.psql("create table t as select 1 union all select 2", dbname=DATABASE)
    server.psql("create role pathfinder login; alter role pathfinder set search_path = 'hills, sea'")
    server.psql(
        "create role clerk login; create role office; grant office to clerk; alter role clerk set role = office"
    )
    yield server
    server.drop_database(DATABASE)
    server.psql("drop role pathfinder; drop role clerk; drop role office")


@pytest.fixture(scope="module")
def proxy(postgres_of_module: PostgresServer) -> Iterator[Proxy]:
    tables: Tables = {
        "databases.app": {"primary": upstream(postgres_of_module, DATABASE)},
        "databases.own": {"primary": upstream(postgres_of_module, DATABASE, user="")},
        "plugins": {"modules": ["witness.py", "broken_one.py"]},
    }
    with run_proxy(tables, {"witness.py": WITNESS, "broken_one.py": SYNTAX_ERROR}) as running:
        yield running


def sayings(proxy: Proxy, what: str = "") -> list[list[object]]:
    found = [json.loads(line) for line in re.findall(r"SAYS (\[.*\])", proxy.log)]
    return [one for one in found if not what or one[0] == what]


def wait_for(proxy: Proxy, what: str, count: int = 1) -> list[list[object]]:
    wait_until(lambda: len(sayings(proxy, what)) >= count, f"{count} times {what}")
    return sayings(proxy, what)


def connect(proxy: Proxy, database: str = "app", user: str = "alice", **options: str) -> psycopg.Connection:
    return psycopg.connect(
        host=proxy.host,
        port=proxy.port,
        dbname=database,
        user=user,
        autocommit=True,
        **options,  # type: ignore[arg-type]
    )


def test_plugins_are_started_before_anybody_is_let_in(proxy: Proxy) -> None:
    wait_for(proxy, "ticked")
    order = [str(one[0]) for one in sayings(proxy)]
    assert order.index("start_node") < order.index("start_worker")
    assert proxy.log.index("start_worker") < proxy.log.index("listening on")
    assert "early" in order


def test_a_plugin_has_queries_a_role_and_targets(proxy: Proxy) -> None:
    assert wait_for(proxy, "start_worker") == [["start_worker", 2, "pg_monitor", [["primary", True]]]]


def test_a_broken_plugin_is_named_once_with_its_place_and_the_rest_run(proxy: Proxy) -> None:
    with connect(proxy), connect(proxy):
        pass
    lines = [line for line in proxy.log.splitlines() if "broken_one" in line]
    assert len(lines) == 1
    assert "broken_one.py:2: SyntaxError" in lines[0]


def test_a_plugin_is_told_of_sessions_from_the_beginning_to_the_end(proxy: Proxy) -> None:
    with connect(proxy, application_name="hello") as client:
        client.execute("select 1")
        opened = [one for one in sayings(proxy, "opened") if one[6] == "hello"]
        assert len(opened) == 1
        number = opened[0][1]
        assert opened[0][2:] == [
            *("app", "alice", "postgres", "127.0.0.1", "hello", "postgres", '"$user", public', True, False)
        ]
        assert number not in [one[1] for one in sayings(proxy, "closed")]
    wait_until(lambda: ["closed", number, True] in sayings(proxy, "closed"), "the end of the session")


@pytest.mark.parametrize(
    ("user", "options", "role", "path"),
    [
        ("pathfinder", "", "pathfinder", '"hills, sea"'),
        ("pathfinder", "-c search_path=elsewhere", "pathfinder", "elsewhere"),
        ("clerk", "", "office", '"$user", public'),
        ("postgres", "-c role=clerk", "clerk", '"$user", public'),
    ],
)
def test_the_role_and_the_search_path_are_known_from_the_beginning(
    proxy: Proxy, user: str, options: str, role: str, path: str
) -> None:
    for _ in range(2):  # asked, and remembered
        with connect(proxy, "own", user, application_name="names", options=options) as client:
            shown = client.execute("show search_path").fetchone()
            assert shown == (path,)
            assert [one[7:9] for one in sayings(proxy, "opened")][-1] == [role, path]


def test_a_client_that_is_not_admitted_gets_the_plugins_error(proxy: Proxy) -> None:
    opened = len(sayings(proxy, "opened"))
    with pytest.raises(psycopg.OperationalError) as caught:
        connect(proxy, application_name="never")
    for text in ("not today", "It is late.", "Come tomorrow."):
        assert text in str(caught.value)
    assert len(sayings(proxy, "opened")) == opened
    assert "refused by a plugin: not today" in proxy.log


def test_a_plugin_is_told_of_connections_to_servers(proxy: Proxy, postgres_of_module: PostgresServer) -> None:
    with connect(proxy) as client:
        client.execute("select 1")
    version = int(postgres_of_module.psql("show server_version_num").strip())
    assert ["connected", "app", "postgres", "primary", version] in sayings(proxy, "connected")


def test_plugins_are_stopped_when_nobody_is_left(postgres18: PostgresServer, tmp_path: Path) -> None:
    tables: Tables = {
        "databases.app": {"primary": upstream(postgres18, "postgres")},
        "plugins": {"modules": ["witness.py"]},
    }
    postgres18.psql("create table if not exists t (i int)")
    with run_proxy(tables, {"witness.py": WITNESS}) as proxy:
        with connect(proxy) as client:
            client.execute("select 1")
            assert proxy.stop() == 0
        order = [str(one[0]) for one in sayings(proxy) if one[0] != "ticked"]
        assert order[-4:] == ["closed", "disconnected", "stop_worker", "stop_node"]
    postgres18.psql("drop table t")


def refused_start(tmp_path: Path, source: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "strict.py").write_text(source)
    config = tmp_path / "interceptor.toml"
    tables: Tables = {
        "server": {"listen_port": 0, "auth_type": "trust"},
        "databases.app": {"primary": "postgresql://app@127.0.0.1:1/app"},
        "plugins": {"modules": ["strict.py"]},
    }
    config.write_text(to_toml(tables))
    command = [sys.executable, "-m", "pooler", "serve", "--config", str(config)]
    root = Path(__file__).parents[2]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=root, check=False)


def test_the_server_does_not_start_without_a_plugin_that_must_not_be_missing(tmp_path: Path) -> None:
    run = refused_start(tmp_path, "from interceptor import *\n\n@hookimpl\ndef guard(statment, session): ...\n")
    assert run.returncode == 2
    assert "plugin strict:" in run.stderr
    assert "strict.py:3: its hook guard wants an argument statment" in run.stderr
    assert "the server does not start" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_server_does_not_start_where_such_a_plugin_fails_to_start(tmp_path: Path) -> None:
    source = """
from interceptor import *
plugin_info = PluginInfo(policy="closed")
@hookimpl
async def start_worker():
    raise RuntimeError("no wings")
"""
    run = refused_start(tmp_path, source)
    assert run.returncode == 2
    assert "its hook start_worker raised RuntimeError" in run.stderr
    assert "no wings" in run.stderr
    assert "listening" not in run.stderr


def test_a_failing_admit_refuses_and_the_log_says_why(postgres18: PostgresServer, tmp_path: Path) -> None:
    (tmp_path / "moody.py").write_text("from interceptor import *\n@hookimpl\ndef admit(session): return 5\n")
    tables: Tables = {
        "databases.app": {"primary": upstream(postgres18, "postgres")},
        "plugins": {"modules": [str(tmp_path / "moody.py")]},
    }
    with run_proxy(tables) as proxy:
        for _ in range(2):
            with pytest.raises(psycopg.OperationalError, match=r"plugin_failed.*the plugin moody failed"):
                connect(proxy)
        lines = [line for line in proxy.log.splitlines() if "its hook admit answered with a int" in line]
        assert len(lines) == 1
