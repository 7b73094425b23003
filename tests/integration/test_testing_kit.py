"""The kit that plugins are tested with: a proxy in one line, and faults of all that is around a plugin."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from interceptor import Block, Forward, Unresolved
from interceptor.hooks.breaker import PAUSE
from interceptor.testing.faults import InjectedFault, failing_hooks
from interceptor.testing.harness import PluginHarness
from interceptor.testing.postgres import PostgresServer
from interceptor.testing.proxy import ProxyError, ProxyServer
from tests.support.watch import wait_until

PLUGIN = """
from interceptor import Block, Forward, Observer, Plan, PluginInfo, hookimpl, plugin
import msgspec

class Settings(msgspec.Struct):
    word: str = "secret"
    nested: dict[str, list[int]] = {}

class Ends(Observer):
    def finished(self, execution, completion):
        print("finished", completion.tag, flush=True)

@plugin(version="1.0", config=Settings)
class Kit:
    def __init__(self, context):
        self.context = context

    @hookimpl
    def guard(self, statement, session):
        if "step" in statement.text:
            return lambda execution: None
        return Block("42501", "not this") if self.context.config.word in statement.text else None

    @hookimpl
    def observe(self, statement, session):
        return Ends()

    @hookimpl
    async def start_worker(self):
        print("nested", self.context.config.nested, flush=True)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("kit") / "kit.py"
    made.write_text(PLUGIN)
    return made


@pytest.fixture(scope="module")
def proxy(file: Path, postgres18: PostgresServer) -> Iterator[ProxyServer]:
    with ProxyServer.start(
        file,
        config={"word": "hidden", "nested": {"a b": [1, 2]}},
        postgres=postgres18,
        database="kit",
        server={"query_wait_timeout": 1, "server_login_retry": "10ms"},
        databases={"pool_size": 2},
    ) as made:
        yield made
    postgres18.drop_database("kit")


def connect(proxy: ProxyServer) -> psycopg.Connection:
    return psycopg.connect(proxy.dsn(), autocommit=True, connect_timeout=10)


def test_a_proxy_with_a_plugin_before_a_server(proxy: ProxyServer) -> None:
    with connect(proxy) as client:
        assert client.execute("select current_database()").fetchone() == ("kit",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not this"):
            client.execute("select 'hidden'")
    assert "nested {'a b': [1, 2]}" in proxy.log
    os.kill(proxy.pid, 0)


def test_backends_that_die(proxy: ProxyServer) -> None:
    with connect(proxy) as client:
        client.execute("begin")
        assert proxy.kill_backends() >= 1
        with pytest.raises(psycopg.OperationalError):
            client.execute("select 1")
    with connect(proxy) as client:
        assert client.execute("select 1").fetchone() == (1,)


def test_a_network_that_is_slow_and_one_that_is_cut(proxy: ProxyServer) -> None:
    with connect(proxy) as client:
        client.execute("select 1")
        proxy.network.slow(0.2)
        client.execute("set statement_timeout = 0")
        proxy.network.slow(0)
        client.execute("begin")
        proxy.network.cut()
        with pytest.raises(psycopg.OperationalError):
            client.execute("select 1")
    proxy.network.refuse()
    with pytest.raises(psycopg.OperationalError), connect(proxy) as client:
        client.execute("select 1")
    proxy.network.accept()

    def works() -> bool:
        try:
            with connect(proxy) as client:
                return client.execute("select 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    wait_until(works, "the server is found again")


def test_hooks_that_fail(proxy: ProxyServer) -> None:
    with connect(proxy) as client:
        proxy.fail_hooks("kit.guard")
        with pytest.raises(psycopg.errors.SystemError, match=r"plugin_failed.*kit"):
            client.execute("select 'planned first'")
        proxy.fail_hooks("kit.guard step", "kit.observer")
        with pytest.raises(psycopg.errors.SystemError, match=r"plugin_failed.*kit"):
            client.execute("select 'step'")
        assert client.execute("select 'no'").fetchone() == ("no",)
        proxy.fail_hooks()
        assert client.execute("select 'step'").fetchone() == ("step",)
    wait_until(lambda: "finished SELECT 1" in proxy.log, "the observer is called")
    assert "plugin kit: its hook guard raised InjectedFault" in proxy.log
    assert "plugin kit: its observer raised InjectedFault" in proxy.log


def test_a_server_of_its_own_and_what_is_left_of_it(file: Path) -> None:
    with ProxyServer.start(str(file)) as proxy:
        with connect(proxy) as client:
            assert client.execute("select current_database()").fetchone() == ("app",)
        pid, data = proxy.pid, proxy.postgres.data_directory
        assert proxy.stop() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not data.exists()


def test_a_proxy_that_does_not_start_says_why(file: Path, postgres18: PostgresServer) -> None:
    with pytest.raises(ProxyError, match=r"(?s)ended with [1-9].*unknown_key"):
        ProxyServer.start(file, config={"unknown_key": 1}, postgres=postgres18, database="postgres")


# --- Without a server -------------------------------------------------------------------------------------------


def test_a_hook_that_fails_in_the_harness(file: Path) -> None:
    harness = PluginHarness(file)
    with failing_hooks("kit.guard"), pytest.raises(AssertionError, match="kit: its hook guard raised InjectedFault"):
        harness.decide("select 1")
    with failing_hooks("kit.guard"):
        assert isinstance(harness.decide("select 1").action, Block), "it was logged, and is refused from then on"
    assert harness.decide("select 1").action == Forward()
    with failing_hooks("kit.guard step"), pytest.raises(AssertionError, match="its step of guard raised InjectedFault"):
        harness.decide("select 'step'")
    with pytest.raises(InjectedFault):
        raise InjectedFault


def test_time_that_passes(tmp_path: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text(
        "from interceptor import *\nplugin_info = PluginInfo(deadline=2)\nWAITS = []\n"
        "@hookimpl\ndef route(statement, session):\n"
        "    return lambda execution: WAITS[0].sleep(float(statement.text))\n"
    )
    harness = PluginHarness(slow)
    vars(harness.plugins.plugins[0].instance)["WAITS"].append(harness.waits)
    assert harness.decide("1").action == Forward()
    assert harness.waits.now == 1.0
    with pytest.raises(AssertionError, match="did not answer within 2 s"):
        harness.decide("3")
    harness.waits.now += PAUSE
    assert harness.decide("1").action == Forward()


def test_names_that_do_not_resolve_are_public() -> None:
    assert Unresolved.ABSENT.value.startswith("nothing of that name")
