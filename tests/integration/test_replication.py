"""Replication through the proxy: refused where connections are pooled by transaction, passed on in session mode."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.proxied import Clients, errors, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import Activity, wait_until
from tests.support.wire import WireClient


@pytest.fixture(scope="module")
def proxy(postgres: PostgresServer) -> Iterator[Proxy]:
    tables: Tables = {
        f"databases.{mode}": {"primary": upstream(postgres, "postgres"), "pool_mode": mode, "pool_size": 1}
        for mode in ("transaction", "session", "statement")
    }
    # What the tools of PostgreSQL 16 name as their database, which the server ignores.
    tables = {**tables, "databases.replication": {"primary": upstream(postgres, "postgres"), "pool_mode": "session"}}
    with run_proxy(tables) as running:
        yield running


@pytest.mark.parametrize("value", ["database", "true", "on", "1"])
@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_replication_is_refused_with_a_sentence_where_backends_are_shared(
    clients: Clients, mode: str, value: str
) -> None:
    client = clients.raw()
    client.send(f.startup({"user": "postgres", "database": mode, "replication": value}))
    client.read_to_end()
    (error,) = errors(client)
    assert (error["V"], error["C"]) == ("FATAL", "0A000")
    assert mode in error["M"]
    assert "session" in error["H"]


@pytest.mark.parametrize("value", ["false", "off", "no", "0"])
def test_a_refusal_of_replication_by_the_client_is_an_ordinary_login(clients: Clients, value: str) -> None:
    assert clients.connect("transaction", replication=value).query("select 1") == [("1",)]


def test_replication_that_is_neither_is_refused(clients: Clients) -> None:
    client = clients.raw()
    client.send(f.startup({"user": "postgres", "database": "session", "replication": "perhaps"}))
    client.read_to_end()
    assert [error["C"] for error in errors(client)] == ["22023"]


def test_psycopg_speaks_replication_and_sql_in_session_mode(proxy: Proxy, postgres: PostgresServer) -> None:
    connection = psycopg.connect(proxy.dsn("session") + "?replication=database", autocommit=True)
    with connection:
        row = connection.execute("IDENTIFY_SYSTEM").fetchone()
        assert row is not None
        assert row[3] == "postgres"
        assert row[0] == postgres.psql("select system_identifier from pg_control_system()")
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_replication_connection_takes_no_place_of_the_pool_and_ends_with_its_client(
    clients: Clients, postgres: PostgresServer
) -> None:
    walsenders = "select count(*) from pg_stat_activity where backend_type = 'walsender'"
    first, second = (clients.connect("session", replication="database") for _ in range(2))
    ordinary = clients.connect("session")
    assert ordinary.query(walsenders) == [("2",)]
    first.close()
    second.send(f.terminate())
    wait_until(lambda: ordinary.query(walsenders) == [("0",)], "both are gone")


def test_a_cancel_request_reaches_a_replication_connection(clients: Clients, postgres: PostgresServer) -> None:
    client = clients.connect("session", replication="database")
    client.send(f.query("select pg_sleep(600)"))
    with Activity(postgres, "postgres") as activity:
        pid = client.key[0]
        state = f"select state from pg_stat_activity where pid = {pid}"
        wait_until(lambda: activity.control.query(state) == [("active",)], "the query runs")
        clients.cancel(client.key)
    client.read_until_ready(2)
    assert [error["C"] for error in errors(client)] == ["57014"]


def test_the_proxy_stops_though_a_replication_connection_is_open(postgres: PostgresServer) -> None:
    tables: Tables = {"databases.app": {"primary": upstream(postgres, "postgres"), "pool_mode": "session"}}
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        client = clients.connect("app", replication="true")
        assert proxy.stop() == 0
        client.read_to_end()


def start(postgres: PostgresServer, program: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    command = [str(postgres.bin(program)), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_pg_basebackup_copies_a_server_through_the_proxy(
    proxy: Proxy, postgres: PostgresServer, tmp_path: Path
) -> None:
    tool = start(
        postgres,
        "pg_basebackup",
        f"--dbname={proxy.dsn('session')}",
        f"--pgdata={tmp_path / 'copy'}",
        "--checkpoint=fast",
        "--wal-method=stream",
        "--no-sync",
    )
    _, complaints = tool.communicate(timeout=60)
    assert tool.returncode == 0, complaints
    assert (tmp_path / "copy" / "PG_VERSION").read_text().strip() == str(postgres.version)
    assert (tmp_path / "copy" / "global" / "pg_control").stat().st_size == 8192
    assert any((tmp_path / "copy" / "pg_wal").iterdir())


def test_pg_receivewal_streams_up_to_a_position(proxy: Proxy, postgres: PostgresServer, tmp_path: Path) -> None:
    """COPY in both directions: WAL one way, its receipts the other."""
    end = postgres.psql("select pg_current_wal_lsn() + 40 * 1024 * 1024")
    tool = start(
        postgres,
        "pg_receivewal",
        f"--dbname={proxy.dsn('session')}",
        f"--directory={tmp_path}",
        f"--endpos={end}",
        "--no-loop",
        "--no-sync",
        "--status-interval=1",
    )

    def ended() -> bool:
        # Something to send, until it has had enough: a segment has 16 MB, and the switch fills up the rest of it.
        postgres.psql("select pg_logical_emit_message(false, 'test', repeat('x', 1000)); select pg_switch_wal()")
        return tool.poll() is not None

    wait_until(ended, "pg_receivewal has got up to the position", 60)
    _, complaints = tool.communicate()
    assert tool.returncode == 0, complaints
    assert sum(file.stat().st_size == 16 * 1024 * 1024 for file in tmp_path.iterdir()) >= 2


def test_what_a_replication_client_sent_ahead_of_its_login_is_passed_on(proxy: Proxy) -> None:
    with WireClient(proxy.host, proxy.port) as client:
        client.send(
            f.startup({"user": "postgres", "database": "session", "replication": "database"}),
            f.query("select 'early'"),
            f.terminate(),
        )
        client.read_to_end()
        assert any(reply.tag == b"D" for reply in client.replies)
