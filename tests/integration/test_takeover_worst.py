"""Takeovers at the worst moment: two at once, halves of them that die, and nodes of other sizes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer, free_port
from tests.support import frontend as f
from tests.support.processes import Family, connect_to, peak
from tests.support.proxied import Clients, errors, upstream
from tests.support.proxy import Proxy, Tables, run_proxy, wait_for_port
from tests.support.takeover import comers_and_goers, start_successor, take_over
from tests.support.watch import wait_until

pytestmark = pytest.mark.soak_processes

SLOW = """
from __future__ import annotations

import asyncio
from pathlib import Path

from interceptor import hookimpl

_here = Path(__file__).parent


@hookimpl
async def start_node() -> None:
    while (_here / "wait").exists():
        await asyncio.sleep(0.01)
"""
"""A plugin that makes a takeover last, between its first word and its last."""


def tables(postgres: PostgresServer, run_dir: Path, name: str, workers: int = 2) -> Tables:
    run_dir.chmod(0o700)
    return {
        "server": {
            "workers": workers,
            "catalogue": False,
            "listen_port": free_port(),
            "run_dir": str(run_dir),
            "unix_socket_dir": str(run_dir),
            "admin_users": ["postgres"],
            "takeover_timeout": "20s",
        },
        "databases.app": {"primary": upstream(postgres, "postgres", application_name=name), "pool_size": 3},
        "plugins": {"modules": ["slow.py"]},
    }


@contextmanager
def half_way(proxy: Proxy, number: int) -> Iterator[Proxy]:
    """A successor that has the sockets and does not serve yet, as long as there is the file ``wait``."""
    (proxy.directory / "wait").touch()
    process = start_successor(proxy, number)
    begun = proxy.log.count("is about to take over")
    try:
        successor = Proxy(proxy.host, proxy.port, process, proxy.directory, f"log{number}")
        wait_until(lambda: proxy.log.count("is about to take over") > begun or "taking over" in successor.log)
        wait_until(lambda: "control" in Family(successor).pids(), "its control runs")
        yield successor
    finally:
        process.kill()
        process.wait()


def serves(proxy: Proxy) -> None:
    with Clients(proxy) as clients:
        for _ in range(4):
            assert clients.connect("app").query("select 1") == [("1",)]


def test_two_at_once(postgres18: PostgresServer, tmp_path: Path) -> None:
    """One of them takes over; the other is told that somebody else did, and nobody else notices."""
    with run_proxy(tables(postgres18, tmp_path, "twice"), {"slow.py": SLOW}) as first:
        with comers_and_goers(first, "app", 4) as load, half_way(first, 2) as second, half_way_too(first, 3) as third:
            # The one that listens, the one that was accepted, and the one that is not yet.
            wait_until(lambda: Path("/proc/net/unix").read_text().count(f"{tmp_path}/takeover.sock") == 3)
            (first.directory / "wait").unlink()
            wait_for_port(second.process, second.directory / second.log_file)
            assert first.wait() == 0
            assert third.process.wait() == 2
            assert "cannot take over: the node that runs did not answer" in third.log
            load.wait_for_more(20)
            load.stop()
            assert not load.failures
            assert second.stop() == 0


@contextmanager
def half_way_too(proxy: Proxy, number: int) -> Iterator[Proxy]:
    """Another successor, which comes while the first one is half way."""
    process = start_successor(proxy, number)
    try:
        yield Proxy(proxy.host, proxy.port, process, proxy.directory, f"log{number}")
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "victim", ["old control", "old worker 1", "old parent", "old node", "new control", "new parent"]
)
def test_a_process_that_dies_half_way(postgres18: PostgresServer, tmp_path: Path, victim: str) -> None:
    """Of the new node, or the old control: nothing has happened. A worker of the old one is replaced there; without its
    parent, or when it is told to stop, the old node ends, and the new one is in its place."""
    whose, _, name = victim.partition(" ")
    goes_on = victim in ("old worker 1", "old parent", "old node")
    with run_proxy(tables(postgres18, tmp_path, "half"), {"slow.py": SLOW}) as first, Clients(first) as clients:
        keeper = connect_to(2, lambda: clients.connect("app"))
        keeper.query("begin")
        with half_way(first, 2) as second, peak(postgres18, "half") as seen:
            node = first if whose == "old" else second
            pid = node.pid if name in ("parent", "node") else Family(node).pid(name)
            os.kill(pid, signal.SIGTERM if name == "node" else signal.SIGKILL)
            if name == "node":
                wait_until(lambda: "stopping all processes" in first.log, "it stops")
            elif victim != "old parent" and whose == "old":
                Family(first).replaced(name, pid)
            if victim == "old control":
                assert second.process.wait(30) == 2
                assert "cannot take over: the control of the node that runs has died" in second.log
                (first.directory / "wait").unlink()
            elif whose == "old":
                (first.directory / "wait").unlink()
                wait_for_port(second.process, second.directory / second.log_file)
            else:
                wait_until(lambda: "was about to take over has ended" in first.log, "the old one has noticed")
                (first.directory / "wait").unlink()
            serves(first)
            late = [clients.connect("app") for _ in range(2)]
            for client in late:
                client.query("begin")
            assert keeper.query("select 'still here'") == [("still here",)]
            for client in (keeper, *late):
                client.send(f.query("commit"))
                client.read_until_ready(client.ready_count + 1)
                client.send_goodbye()
            if goes_on:
                assert first.wait() == (-signal.SIGKILL if name == "parent" else 0)
                assert (tmp_path / f".s.PGSQL.{first.port}").is_socket()
                serves(second)
                assert second.stop() == 0
        assert seen.most <= 3
        clients.close()
        if not goes_on:
            with take_over(first, 3) as third:
                assert first.wait() == 0
                serves(third)


def test_one_worker_gives_way_to_four_and_four_to_one(postgres18: PostgresServer, tmp_path: Path) -> None:
    settings = tables(postgres18, tmp_path, "sizes", workers=1)
    with run_proxy(settings, {"slow.py": SLOW}) as first, Clients(first) as clients:
        file = first.directory / "interceptor.toml"
        with comers_and_goers(first, "app", 6) as load, peak(postgres18, "sizes") as seen:
            old = clients.connect("app")
            old.send(f.query("select pg_sleep(600)"))
            file.write_text(file.read_text().replace("workers = 1", "workers = 4"))
            with take_over(first, 2) as second:
                load.wait_for_more(50)
                assert old.key is not None
                clients.cancel(old.key)
                old.read_until_ready(2)
                assert [error["C"] for error in errors(old)] == ["57014"]
                old.send_goodbye()
                assert first.wait() == 0
                sleeper = connect_to(4, lambda: clients.connect("app"))
                sleeper.send(f.query("select pg_sleep(600)"))
                file.write_text(file.read_text().replace("workers = 4", "workers = 1"))
                with take_over(second, 3):
                    load.wait_for_more(50)
                    assert sleeper.key is not None
                    clients.cancel(sleeper.key)
                    sleeper.read_until_ready(2)
                    assert [error["C"] for error in errors(sleeper)] == ["57014"]
                    clients.close()
                    assert second.wait() == 0
                    load.stop()
                    assert not load.failures
        assert seen.most <= 3


def test_a_reload_while_another_node_is_about_to_take_over(postgres18: PostgresServer, tmp_path: Path) -> None:
    with run_proxy(tables(postgres18, tmp_path, "reload"), {"slow.py": SLOW}) as first, Clients(first) as clients:
        file = first.directory / "interceptor.toml"
        console = clients.connect("pgbouncer")
        with half_way(first, 2) as second:
            file.write_text(file.read_text().replace("pool_size = 3", "pool_size = 2"))
            console.query("RELOAD")
            serves(first)
            (first.directory / "wait").unlink()
            wait_for_port(second.process, second.directory / second.log_file)
            serves(first)
            clients.close()
            assert first.wait() == 0
            assert second.stop() == 0


def test_a_successor_that_cannot_start_changes_nothing(postgres18: PostgresServer, tmp_path: Path) -> None:
    with run_proxy(tables(postgres18, tmp_path, "broken"), {"slow.py": SLOW}) as first:
        file = first.directory / "interceptor.toml"
        before = file.read_text()
        breaks = {
            "nonsense": "not valid TOML",
            before.replace("catalogue", "catalog"): "unknown setting",
            before.replace('modules = ["slow.py"]', 'modules = ["none.py"]'): "none.py",
            before.replace('"127.0.0.1"', '"192.0.2.1"'): "cannot listen",
        }
        with comers_and_goers(first, "app", 2) as load:
            for number, (text, why) in enumerate(breaks.items(), 2):
                file.write_text(text)
                successor = start_successor(first, number)
                assert successor.wait(30) == 2
                assert why in (first.directory / f"log{number}").read_text()
                load.wait_for_more(10)
            load.stop()
            assert not load.failures


def test_a_worker_that_stands_still(postgres18: PostgresServer, tmp_path: Path) -> None:
    """As one that the machine has no time for. Nobody waits for it; it is killed and replaced."""
    settings = tables(postgres18, tmp_path, "stopped")
    settings = {**settings, "server": {**settings["server"], "worker_stall_timeout": "2s"}}
    with run_proxy(settings, {"slow.py": SLOW}) as proxy, Clients(proxy) as clients:
        victim = connect_to(1, lambda: clients.connect("app"))
        victim.query("begin")
        family = Family(proxy)
        before = family.pid("worker 1")
        with comers_and_goers(proxy, "app", 4) as load, peak(postgres18, "stopped") as seen:
            load.wait_for_more(10)
            os.kill(before, signal.SIGSTOP)
            family.replaced("worker 1", before)
            victim.read_to_end()
            load.wait_for_more(20)
        assert len(load.failures) <= len(load.workers), "each has lost at most the connection that it had there"
        assert seen.most <= 3
