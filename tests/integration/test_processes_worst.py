"""What happens to a node at the worst moment: between two steps, where the system refuses, or with nowhere to log."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer, free_port
from tests.support.processes import Family
from tests.support.proxied import Clients, commit_and_leave, upstream
from tests.support.proxy import Proxy, Tables, run_proxy, to_toml
from tests.support.takeover import take_over
from tests.support.watch import wait_until

FORKING = """
from __future__ import annotations

import os
import signal
from pathlib import Path

_here = Path(__file__).parent
_fork = os.fork


def _is_told(what: str) -> bool:
    try:
        (_here / what).unlink()
    except FileNotFoundError:
        return False
    return True


def fork() -> int:
    if _is_told("refuse"):
        raise BlockingIOError(11, "Resource temporarily unavailable")
    hit = _is_told("hit")
    pid = _fork()
    if not pid and hit:
        os.kill(os.getpid(), signal.SIGTERM)
    return pid


os.fork = fork
"""
"""A plugin, which the parent loads too: it has a fork fail, or a signal hit the child before its first step."""


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    tables: Tables = {
        "server": {"workers": 2, "catalogue": False},
        "databases.app": {"primary": upstream(postgres18, "postgres")},
        "plugins": {"modules": ["forking.py"]},
    }
    with run_proxy(tables, {"forking.py": FORKING}) as running:
        yield running


@pytest.mark.parametrize("what", ["refuse", "hit"])
def test_a_worker_whose_fork_goes_wrong_is_forked_again(proxy: Proxy, clients: Clients, what: str) -> None:
    family = Family(proxy)
    (proxy.directory / what).touch()
    before = family.pids()
    os.kill(before["worker 1"], signal.SIGKILL)
    family.replaced("worker 1", before["worker 1"])
    wait_until(lambda: not (proxy.directory / what).exists(), "the fork was met")
    assert {**family.pids(), "worker 1": 0} == {**before, "worker 1": 0}, "nobody else was told anything"
    for _ in range(4):
        assert clients.connect("app").query("select 1") == [("1",)]


def test_a_full_disk_under_the_log_ends_no_transaction(postgres18: PostgresServer, tmp_path: Path) -> None:
    """A process that can't write its last lines ends all the same, and takes nobody along."""
    tables: Tables = {
        "server": {
            "listen_addr": "127.0.0.1",
            "listen_port": free_port(),
            "auth_type": "trust",
            "workers": 2,
            "catalogue": False,
        },
        "databases.app": {"primary": upstream(postgres18, "postgres")},
    }
    with _without_log(tables, tmp_path) as proxy, Clients(proxy) as clients:
        wait_until(lambda: _listens(proxy), "it listens")
        family = Family(proxy)
        before = family.pids()
        client = clients.connect("app")
        client.query("begin")
        os.kill(before["control"], signal.SIGKILL)
        family.replaced("control", before["control"])
        # One of the workers has no client, and ends at once.
        proxy.process.send_signal(signal.SIGTERM)
        wait_until(lambda: len(family.pids()) == 2, "one worker has ended")
        assert client.query("select 'still here'") == [("still here",)]
        commit_and_leave(client)
        assert proxy.wait() == 0


@contextmanager
def _without_log(tables: Tables, folder: Path) -> Iterator[Proxy]:
    config = folder / "interceptor.toml"
    config.write_text(to_toml(tables))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "pooler", "serve", "--config", str(config)]
        process = subprocess.Popen(command, stdout=full, stderr=full, env=environment, cwd=Path(__file__).parents[2])
    try:
        yield Proxy("127.0.0.1", int(str(tables["server"]["listen_port"])), process, folder)
    finally:
        process.kill()
        process.wait()


@pytest.mark.soak_processes
def test_what_a_killed_parent_leaves_does_not_hold_up_the_next_one(postgres18: PostgresServer, tmp_path: Path) -> None:
    """Its workers end their transactions; nobody is there to take over from, and the address is free."""
    tmp_path.chmod(0o700)
    tables: Tables = {
        "server": {"workers": 2, "catalogue": False, "listen_port": free_port(), "run_dir": str(tmp_path)},
        "databases.app": {"primary": upstream(postgres18, "postgres")},
    }
    with run_proxy(tables) as first, Clients(first) as clients:
        family = Family(first)
        children = family.pids()
        # Those that are forked later inherit more from the parent than the first.
        for name, pid in children.items():
            os.kill(pid, signal.SIGKILL)
            family.replaced(name, pid)
        client = clients.connect("app")
        client.query("begin")
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: not _listens(first), "nobody listens any more")
        with take_over(first, 2) as second, Clients(second) as others:
            assert "nothing to take over" in second.log
            assert others.connect("app").query("select 1") == [("1",)]
            assert client.query("select 'still here'") == [("still here",)]
            commit_and_leave(client)


def _listens(proxy: Proxy) -> bool:
    try:
        socket.create_connection((proxy.host, proxy.port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True
