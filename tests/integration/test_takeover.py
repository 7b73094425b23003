"""One node takes the place of another: nobody is refused, no transaction is cut, and the limits hold for both."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer, free_port
from tests.support import frontend as f
from tests.support.processes import Family, is_alive, peak
from tests.support.proxied import Clients, commit_and_leave, errors, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.takeover import comers_and_goers, start_successor, take_over
from tests.support.watch import wait_until

DATABASE = "takeover"
ADMIN_PORT = free_port()


@pytest.fixture(scope="module")
def database(postgres18: PostgresServer) -> Iterator[str]:
    postgres18.create_database(DATABASE)
    yield DATABASE
    postgres18.drop_database(DATABASE)


def tables(postgres: PostgresServer, run_dir: Path, name: str, **server: str) -> Tables:
    run_dir.chmod(0o700)
    return {
        "server": {
            "workers": 2,
            "catalogue": False,
            "listen_port": free_port(),
            "admin_listen": f"127.0.0.1:{ADMIN_PORT}",
            "run_dir": str(run_dir),
            "unix_socket_dir": str(run_dir),
            **server,
        },
        "databases.app": {"primary": upstream(postgres, DATABASE, application_name=name), "pool_size": 3},
    }


def is_healthy() -> bool:
    """Whether a proxy answers at the HTTP address."""
    try:
        return httpx.get(f"http://127.0.0.1:{ADMIN_PORT}/healthz", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def test_two_takeovers_under_load(postgres18: PostgresServer, database: str, tmp_path: Path) -> None:
    settings = tables(postgres18, tmp_path, "busy")
    with run_proxy(settings) as first, Clients(first) as clients, peak(postgres18, "busy") as seen:
        keeper, sleeper = clients.connect("app"), clients.connect("app")
        keeper.query("begin")
        keeper.query("create table kept (i int)")
        sleeper.send(f.query("select pg_sleep(600)"))
        with comers_and_goers(first, "app", 6) as load:
            with take_over(first, 2) as second:
                load.wait_for_more(50)
                # Whoever was there stays, and has its place among the connections of both.
                assert keeper.query("select 'still here'") == [("still here",)]
                # Only the new node accepts: it passes this on to the old one.
                assert sleeper.key is not None
                clients.cancel(sleeper.key)
                sleeper.read_until_ready(2)
                assert [error["C"] for error in errors(sleeper)] == ["57014"]
                sleeper.send_goodbye()
                with take_over(second, 3) as third:
                    load.wait_for_more(50)
                    assert is_healthy()
                    assert keeper.query("commit") == []
                    keeper.send_goodbye()
                    assert first.wait() == 0
                    assert second.wait() == 0
                    with psycopg.connect(host=str(tmp_path), port=third.port, user="postgres", dbname="app") as client:
                        assert client.execute("select count(*) from kept").fetchone() == (0,)
                    load.stop()
                    assert not load.failures
    assert seen.most <= 3
    assert not [file.name for file in tmp_path.iterdir() if file.is_socket()]


@pytest.mark.soak_processes
def test_who_stays_too_long_is_closed_at_the_end_of_its_transaction(
    postgres18: PostgresServer, database: str, tmp_path: Path
) -> None:
    settings = tables(postgres18, tmp_path, "stayed", takeover_timeout="100ms")
    with run_proxy(settings) as first, Clients(first) as clients:
        idle, working = clients.connect("app"), clients.connect("app")
        working.query("begin")
        with take_over(first, 2):
            idle.read_to_end()
            assert [error["C"] for error in errors(idle)] == ["57P01"]
            assert working.query("select 'in time'") == [("in time",)]
            commit_and_leave(working)
            assert first.wait() == 0
            again = clients.connect("app")
            assert again.query("select 1") == [("1",)]
            again.close()


def test_a_successor_that_dies_before_it_serves_changes_nothing(
    postgres18: PostgresServer, database: str, tmp_path: Path
) -> None:
    settings = {
        **tables(postgres18, tmp_path, "failed"),
        "plugins": {"modules": ["slow.py"]},
    }
    slow = (
        "from interceptor import *\nimport asyncio, os\n\n@hookimpl\nasync def start_node():\n"
        "    if os.path.exists('" + str(tmp_path / "second") + "'):\n        await asyncio.sleep(600)\n"
    )
    slow = f"from __future__ import annotations\n{slow}"
    with run_proxy(settings, {"slow.py": slow}) as first, Clients(first) as clients:
        member = clients.connect("app")
        member.query("select 1")
        (tmp_path / "second").touch()
        successor = start_successor(first, 2)
        wait_until(lambda: "is about to take over" in first.log, "the successor has the sockets")
        children = {"control": Family(Proxy(first.host, first.port, successor, first.directory)).pid("control")}
        successor.kill()
        successor.wait()
        wait_until(lambda: not any(map(is_alive, children.values())), "what it had begun has ended too")
        wait_until(lambda: "was about to take over has ended" in first.log, "the old one has noticed")
        wait_until(is_healthy, "it has its HTTP address again")
        (tmp_path / "second").unlink()
        assert member.query("select 1") == [("1",)]
        other = clients.connect("app")
        others = [clients.connect("app") for _ in range(4)]
        for one in (other, *others):
            one.query("begin") if one is other else one.query("select 1")
        with take_over(first, 3):
            other.query("commit")
            for one in (member, other, *others):
                one.close()
            assert first.wait() == 0


@pytest.mark.soak_processes
def test_without_anybody_to_take_over_from_it_starts_as_ever(
    postgres18: PostgresServer, database: str, tmp_path: Path
) -> None:
    with run_proxy(tables(postgres18, tmp_path, "alone")) as first:
        first.process.send_signal(signal.SIGTERM)
        assert first.wait() == 0
        with take_over(first, 2) as second, Clients(second) as clients:
            assert clients.connect("app").query("select 1") == [("1",)]
            assert "nothing to take over" in second.log
            assert sorted(Family(second).pids()) == ["control", "worker 1", "worker 2"]
