"""Where the proxy listens and connects to, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from pathlib import Path

import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer, free_port
from interceptor.testing.relay import CutRelay
from tests.support import frontend as f
from tests.support.proxied import Clients, commit_and_leave, errors, upstream
from tests.support.proxy import Tables, run_proxy
from tests.support.watch import Activity, wait_until


def test_unix_sockets_on_both_sides(postgres18: PostgresServer, tmp_path: Path) -> None:
    server = postgres18
    primary = f"postgresql://postgres@/postgres?host={server.socket_directory}&port={server.port}"
    port = free_port()
    tables: Tables = {
        "server": {"unix_socket_dir": str(tmp_path), "listen_port": port},
        "databases.app": {"primary": primary},
    }
    with run_proxy(tables) as proxy:
        assert (tmp_path / f".s.PGSQL.{port}").stat().st_mode & 0o777 == 0o777, "other users may connect"
        with psycopg.connect(host=str(tmp_path), port=port, user="postgres", dbname="app", autocommit=True) as client:
            row = client.execute("select inet_client_addr(), 1").fetchone()
            assert row == (None, 1), "the backend was reached by its Unix socket"
            client.pgconn.send_query(b"select pg_sleep(600)")
            with Activity(server, "postgres") as activity:
                activity.wait_for_query("pg_sleep(600)")
            client.cancel_safe(timeout=10)
            result = client.pgconn.get_result()
            assert result is not None
            assert result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"57014"
            while client.pgconn.get_result() is not None:
                pass
        assert proxy.stop() == 0
        assert not list(tmp_path.iterdir())


def test_the_proxys_own_user_comes_to_the_console_without_a_password(
    postgres18: PostgresServer, tmp_path: Path
) -> None:
    port = free_port()
    tables: Tables = {
        "server": {"unix_socket_dir": str(tmp_path), "listen_port": port, "auth_type": "md5", "auth_file": "users.txt"},
        "databases.app": {"primary": upstream(postgres18, "postgres")},
    }

    def connect(host: str, user: str, dbname: str) -> psycopg.Connection:
        return psycopg.connect(host=host, port=port, user=user, dbname=dbname, password="wrong", autocommit=True)

    with run_proxy(tables, {"users.txt": '"postgres" "right"\n'}):
        for user in ("pgbouncer", "interceptor"):
            with connect(str(tmp_path), user, "pgbouncer") as console:
                assert console.execute("show fds").fetchall(), "which is for admins alone"
        for host, user, dbname in (
            ("127.0.0.1", "pgbouncer", "pgbouncer"),  # anybody may say so there
            (str(tmp_path), "pgbouncer", "app"),
            (str(tmp_path), "postgres", "pgbouncer"),
        ):
            with pytest.raises(psycopg.OperationalError):
                connect(host, user, dbname)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_nobody_else_comes_to_the_console_without_a_password(postgres18: PostgresServer) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        port = free_port()
        tables: Tables = {
            "server": {"unix_socket_dir": folder, "listen_port": port, "admin_users": ["postgres"]},
            "databases.app": {"primary": upstream(postgres18, "postgres")},
        }
        with run_proxy(tables):
            answers = [_first_answer_to_user(user, f"{folder}/.s.PGSQL.{port}") for user in (0, 65534)]
    assert answers == [b"R", b"E"]


def _first_answer_to_user(number: int, path: str) -> bytes:
    """The type of the first message to a process of this user of the machine, which says that it is pgbouncer."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        os.setuid(number)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            sock.sendall(f.startup({"user": "pgbouncer", "database": "pgbouncer"}).data)
            theirs.sendall(sock.recv(1))
        os._exit(0)
    theirs.close()
    with ours:
        answer = ours.recv(1)
    assert os.waitpid(child, 0)[1] == 0
    return answer


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT])
def test_a_signal_tells_all_clients_and_leaves_no_backend(postgres18: PostgresServer, number: signal.Signals) -> None:
    """Trap 37, in part: what is under way is ended, and nothing is left behind."""
    name = f"stopped_by_{number.name}"
    tables: Tables = {"databases.app": {"primary": upstream(postgres18, "postgres", application_name=name)}}
    with run_proxy(tables) as proxy, Clients(proxy) as clients, Activity(postgres18, application=name) as activity:
        idle, pinned, working, logging_in = (*(clients.connect("app") for _ in range(3)), clients.raw())
        pinned.query("begin")
        pinned.query("create temp table gone ()")
        working.send(f.query("select pg_sleep(600)"))
        activity.wait_for_query("pg_sleep(600)")
        proxy.process.send_signal(number)
        for client in (idle, pinned, working, logging_in):
            client.read_to_end()
            assert [(error["V"], error["C"]) for error in errors(client)] == [("FATAL", "57P01")]
        assert proxy.wait() == 0
        assert activity.count() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((proxy.host, proxy.port))


def test_neither_a_server_that_hangs_nor_a_client_that_does_not_read_holds_up_the_end(
    postgres18: PostgresServer,
) -> None:
    with CutRelay(postgres18.host, postgres18.port) as relay:
        tables: Tables = {"databases.app": {"primary": f"postgresql://postgres@{relay.host}:{relay.port}/postgres"}}
        with run_proxy(tables) as proxy, Clients(proxy) as clients:
            deaf = clients.connect("app")
            deaf.send(f.query("select repeat('x', 1000), generate_series(1, 1000000)"))
            with Activity(postgres18, "postgres") as activity:
                wait_until(lambda: any(row[2] == "ClientWrite" for row in activity.backends()), "it does not read")
            clients.connect("app").query("select 1")
            relay.stall()
            assert proxy.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_systemd_is_told_when_clients_can_connect_and_when_no_more(
    postgres18: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    tables: Tables = {
        "server": {"workers": workers, "catalogue": False},
        "databases.app": {"primary": upstream(postgres18, "postgres")},
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with run_proxy(tables) as proxy, Clients(proxy) as clients:
            assert supervisor.recv(100) == b"READY=1"
            client = clients.connect("app")
            client.query("begin")
            proxy.process.send_signal(signal.SIGTERM)
            assert supervisor.recv(100) == b"STOPPING=1"
            commit_and_leave(client)
            assert proxy.wait() == 0
