"""Rules that come, change and go while clients are connected."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import decode_error
from tests.support.proxied import Clients, errors, upstream
from tests.support.proxy import Proxy, run_proxy, to_toml
from tests.support.watch import wait_until
from tests.support.wire import WireClient

RULES = """
[[rule]]
name = "vault"
tables = ["vault.*"]
action = "block"
"""
SECRET = "select value from vault.secret"


@pytest.fixture
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    postgres18.create_database("reloaded")
    postgres18.psql("create schema vault; create table vault.secret (value text)", dbname="reloaded")
    tables = {"databases.app": {"primary": upstream(postgres18, "reloaded")}}
    with run_proxy({**tables, "server": {"query_statistics": 0}}) as running:
        yield running
    postgres18.drop_database("reloaded")


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


def config_of(proxy: Proxy) -> Path:
    return proxy.directory / "interceptor.toml"


def reload(proxy: Proxy, said: str) -> None:
    """Tell the proxy to read its configuration again, and wait until it has logged so."""
    seen = proxy.log.count(said)
    proxy.process.send_signal(signal.SIGHUP)
    wait_until(lambda: proxy.log.count(said) > seen, f"the proxy has said {said!r}")


def refusal(client: WireClient, sql: str) -> str:
    """The SQLSTATE and message of what comes of a statement; nothing if that is no error."""
    seen, ready = len(client.replies), client.ready_count
    client.send(f.query(sql))
    client.read_until(lambda: client.ready_count > ready or client.closed)
    found = [decode_error(one.body) for one in client.replies[seen:] if one.tag == b"E"]
    return f"{found[0]['C']} {found[0]['M']}" if found else ""


def test_the_first_rules_reach_who_is_connected_already(proxy: Proxy, clients: Clients) -> None:
    idle, busy = clients.connect("app"), clients.connect("app")
    assert refusal(idle, SECRET) == ""
    assert refusal(busy, "begin") == ""
    (proxy.directory / "rules.toml").write_text(RULES)
    plain = config_of(proxy).read_text()
    config_of(proxy).write_text(plain + to_toml({"plugins.rules": {"file": "rules.toml", "check_interval": 0}}))
    reload(proxy, "the configuration was reloaded")
    idle.read_to_end()
    assert errors(idle)[-1]["C"] == "57P01"
    # What began before them goes on to its end, and no further.
    assert refusal(busy, SECRET) == ""
    assert refusal(busy, "commit") == ""
    busy.read_to_end()
    assert errors(busy)[-1]["C"] == "57P01"
    client = clients.connect("app")
    assert refusal(client, SECRET).startswith("42501")

    # From then on they know everybody.
    assert refusal(client, "select 1") == ""
    (proxy.directory / "rules.toml").write_text(RULES.replace("vault.*", "vault.secret") + "wrong = 1\n")
    reload(proxy, "rules.toml:6: rule[0].wrong: unknown setting")
    assert "the configuration was not reloaded, and nothing has changed" in proxy.log
    assert refusal(client, SECRET).startswith("42501")
    (proxy.directory / "rules.toml").write_text(RULES.replace("vault.*", "cellar.*"))
    reload(proxy, "the configuration was reloaded")
    assert refusal(client, SECRET) == ""
    config_of(proxy).write_text(plain)
    reload(proxy, "the configuration was reloaded")
    assert refusal(client, SECRET) == ""
