"""Clients that fill their sessions: named limits, bounded memory, and others who notice nothing."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.proxied import Clients, errors, upstream
from tests.support.proxy import Proxy, Tables, run_proxy

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    postgres18.create_database("filled")
    tables: Tables = {"databases.filled": {"primary": upstream(postgres18, "filled"), "pool_size": 2}}
    with run_proxy(tables) as running:
        yield running
    postgres18.drop_database("filled")


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


def test_a_client_that_prepares_without_end_is_told_the_limit(proxy: Proxy, clients: Clients) -> None:
    before = psutil.Process(proxy.pid).memory_info().rss
    greedy, other = clients.connect("filled"), clients.connect("filled")
    for start in range(0, 12_000, 500):
        batch = b"".join(f.parse(f"select {n}", f"s{n}").data for n in range(start, start + 500))
        try:
            greedy.write(batch + f.sync().data)
            greedy.read_until_ready(greedy.ready_count + 1)
        except OSError:
            break
        except Exception:
            if errors(greedy):
                break
            raise
        assert other.query("select 1") == [("1",)]
    told = errors(greedy)[-1]
    assert (told["C"], "10000" in told["M"].replace(",", "")) == ("53400", True)
    assert other.query("select 1") == [("1",)]
    assert psutil.Process(proxy.pid).memory_info().rss - before < 60 * MEGABYTE


def test_a_setting_of_a_megabyte_keeps_its_client_and_nobody_else(proxy: Proxy, clients: Clients) -> None:
    heavy, other = clients.connect("filled"), clients.connect("filled")
    heavy.query(f"set app.load = '{'x' * MEGABYTE}'")
    for _ in range(2):
        assert other.query("select 1, nullif(current_setting('app.load', true), '')") == [("1", None)]
        assert heavy.query("select length(current_setting('app.load'))") == [(str(MEGABYTE),)]
    heavy.query("reset all")
    assert heavy.query("select nullif(current_setting('app.load', true), '')") == [(None,)]


def test_a_thousand_cursors_are_their_clients_alone(clients: Clients) -> None:
    opener, other = clients.connect("filled"), clients.connect("filled")
    declared = "; ".join(f"declare c{n} cursor with hold for select {n}" for n in range(1000))
    opener.query(f"begin; {declared}; commit")
    assert other.query("select count(*) from pg_cursors") == [("0",)]
    assert opener.query("fetch c999") == [("999",)]
    opener.query("close all")
    for _ in range(3):
        assert other.query("select count(*) from pg_cursors") == [("0",)]
        assert opener.query("select count(*) from pg_cursors") == [("0",)]
