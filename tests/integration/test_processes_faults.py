"""Two processes that die at once, or one while another is being replaced: who loses what, and that it ends well."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer, free_port
from tests.support import frontend as f
from tests.support.processes import Family, connect_to, is_alive, peak, worker_of
from tests.support.proxied import Clients, commit_and_leave, errors, upstream
from tests.support.proxy import Tables, Value, run_proxy
from tests.support.takeover import take_over
from tests.support.watch import Activity, wait_until

pytestmark = pytest.mark.soak_processes

POOL = 3


def tables(postgres: PostgresServer, name: str, run_dir: Path | None = None) -> Tables:
    # Clients that stay in the old node are closed after a while.
    successor: dict[str, Value] = {"run_dir": str(run_dir), "listen_port": free_port(), "takeover_timeout": "10s"}
    place = {} if run_dir is None else successor
    return {
        "server": {"workers": 2, "catalogue": False, "shutdown_timeout": "5s", **place},
        "databases.app": {"primary": upstream(postgres, "postgres", application_name=name), "pool_size": POOL},
    }


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def test_the_control_and_a_worker_at_once(postgres18: PostgresServer) -> None:
    """Nobody has seen the dead worker's backends; the other worker and its clients go on, and all permits are there."""
    with run_proxy(tables(postgres18, "both")) as proxy, Clients(proxy) as clients:
        family = Family(proxy)
        control, first = family.pid("control"), family.pid("worker 1")
        victim = connect_to(1, lambda: clients.connect("app"))
        member = connect_to(2, lambda: clients.connect("app"))
        victim.query("begin")
        member.query("begin")
        for pid in (control, first):
            os.kill(pid, signal.SIGKILL)
        victim.read_to_end()
        family.replaced("control", control)
        family.replaced("worker 1", first)
        assert member.query("commit") == []
        late = [clients.connect("app") for _ in range(POOL)]
        with peak(postgres18, "both") as seen:
            for client in late:
                client.query("begin")
            # The transactions of all of them are open at once: no permit was lost.
            assert [client.query("select 1") for client in late] == [[("1",)]] * POOL
        assert seen.most <= POOL
        assert not errors(member)


def test_the_parent_while_there_is_no_control(postgres18: PostgresServer) -> None:
    with run_proxy(tables(postgres18, "headless")) as proxy, Clients(proxy) as clients:
        children = Family(proxy).pids()
        idle, working = clients.connect("app"), clients.connect("app")
        working.query("begin")
        os.kill(proxy.pid, signal.SIGSTOP)
        os.kill(children["control"], signal.SIGKILL)
        assert working.query("select 'nobody rules'") == [("nobody rules",)]
        os.kill(proxy.pid, signal.SIGKILL)
        idle.read_to_end()
        assert [error["C"] for error in errors(idle)] == ["57P01"]
        commit_and_leave(working)
        wait_until(lambda: not any(map(is_alive, children.values())), "all processes have ended", timeout=30)
        with Activity(postgres18, application="headless") as activity:
            wait_until(lambda: activity.count() == 0, "no backend is left")


def test_a_worker_of_each_node_while_one_takes_over(postgres18: PostgresServer, run_dir: Path) -> None:
    with run_proxy(tables(postgres18, "between", run_dir)) as first, Clients(first) as clients:
        old = Family(first).pids()
        keeper = connect_to(1, lambda: clients.connect("app"))
        victim = connect_to(2, lambda: clients.connect("app"))
        for client in (keeper, victim):
            client.query("begin")
        victim.send(f.query("select pg_sleep(600)"))
        with peak(postgres18, "between") as seen, take_over(first, 2) as second:
            family = Family(second)
            replaced = family.pid("worker 1")
            os.kill(replaced, signal.SIGKILL)
            family.replaced("worker 1", replaced)
            os.kill(old["worker 2"], signal.SIGKILL)
            victim.read_to_end()
            # The old node holds one permit still; the dead worker's come to the new one.
            with Clients(second) as others:
                late = [others.connect("app") for _ in range(POOL - 1)]
                for client in late:
                    client.query("begin")
                assert [client.query("select 1") for client in late] == [[("1",)]] * (POOL - 1)
            assert keeper.query("select 'still here'") == [("still here",)]
            keeper.query("commit")
            assert worker_of(keeper) == 1
            assert first.process.wait(30) == 0
        assert seen.most <= POOL
