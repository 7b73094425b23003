"""Debian's exporter of PgBouncer's figures, as it is, before the console."""

from __future__ import annotations

import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interceptor.testing.machine import free_port
from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Value, run_proxy
from tests.support.watch import wait_until

DATABASE = "exported"
SAMPLE = re.compile(r"^(pgbouncer_\w+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)

OF_SERVERS = {"pool_size", "reserve_pool"}
"""Under the name of the database on the server: the exporter takes SHOW DATABASES' column of that name."""
OF_DATABASES = {"requests_total", "received_bytes_total", "sent_bytes_total", "query_microseconds_total"}
OF_POOLS = {"active_clients", "waiting_clients"}
OF_ALL = {"databases", "users", "pools", "free_clients", "used_clients", "login_clients", "free_servers"}
OF_ALL |= {"used_servers", "dns_names", "dns_zones", "dns_queries", "dns_pending"}


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    postgres18.create_database(DATABASE)
    tables: dict[str, dict[str, Value]] = {
        "server": {"stats_users": ["monitoring"], "default_pool_size": 7, "workers": 2},
        "databases.app": {"primary": upstream(postgres18, DATABASE)},
    }
    with run_proxy(tables) as made:
        yield made
    postgres18.drop_database(DATABASE)


@contextmanager
def exporter(proxy: Proxy, log: Path) -> Iterator[str]:
    """The exporter's address."""
    port = free_port()
    command = ["prometheus-pgbouncer-exporter", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--pgbouncer-host", proxy.host, "--pgbouncer-port", str(proxy.port), "--pgbouncer-user", "monitoring"]
    # Its own Python is the machine's.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as process:
        try:
            yield f"http://127.0.0.1:{port}/metrics"
        finally:
            process.kill()


def scrape(address: str) -> str | None:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError:
        raise
    except OSError:
        return None
    assert isinstance(text, str)
    return text


@pytest.mark.needs_exporter
def test_every_collector_finds_what_it_asks_for(proxy: Proxy, clients: Clients, tmp_path: Path) -> None:
    clients.connect("app").query("select 1")
    pages: list[str] = []

    def is_up() -> bool:
        page = scrape(address)
        pages.extend([] if page is None else [page])
        return page is not None

    with exporter(proxy, tmp_path / "log") as address:
        wait_until(is_up, "the exporter answers")
    samples = {(name, labels): float(value) for name, labels, value in SAMPLE.findall(pages[-1])}
    found = {name for name, _ in samples}
    assert found == {f"pgbouncer_{name}" for name in OF_SERVERS | OF_DATABASES | OF_POOLS | OF_ALL}
    for name in OF_SERVERS:
        assert (f"pgbouncer_{name}", f'database="{DATABASE}"') in samples
    for name in OF_DATABASES:
        assert (f"pgbouncer_{name}", 'database="app"') in samples
    for name in OF_POOLS:
        assert (f"pgbouncer_{name}", 'database="app",user="postgres"') in samples
    assert samples["pgbouncer_pool_size", f'database="{DATABASE}"'] == 7
    assert samples["pgbouncer_requests_total", 'database="app"'] == 1
    assert samples["pgbouncer_active_clients", 'database="app",user="postgres"'] == 1
    assert samples["pgbouncer_used_servers", ""] == 1
    assert "Traceback" not in (tmp_path / "log").read_text()
