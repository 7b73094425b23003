"""Bans over several workers: failures are counted for all together, and a ban holds and is lifted everywhere."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer, free_port
from tests.support.login import LoginFailed
from tests.support.processes import Family
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.takeover import take_over
from tests.support.watch import wait_for, wait_until
from tests.support.wire import WireClient, WireError

FAILED = "does not exist"
BANNED = "too many logins from this address have failed"
FAILURES = 10


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    tables: Tables = {
        "server": {
            "workers": 2,
            "admin_users": ["postgres"],
            "auth_file": "users.txt",
            "ban_failures": FAILURES,
            "catalogue": False,
            "worker_stall_timeout": "1min",
        },
        "databases.app": {"primary": upstream(postgres18, "postgres")},
        "databases.other": {"primary": upstream(postgres18, "postgres")},
        "databases.third": {"primary": upstream(postgres18, "postgres")},
    }
    with run_proxy(tables, {"users.txt": '"postgres" ""\n'}) as running:
        yield running


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


@contextmanager
def only(worker: int, proxy: Proxy) -> Iterator[None]:
    """The other worker stands still, so what connects comes to this one."""
    other = Family(proxy).pid(f"worker {3 - worker}")
    os.kill(other, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(other, signal.SIGCONT)


def refusal(clients: Clients, user: str, database: str = "app") -> str:
    with pytest.raises(LoginFailed) as refused:
        clients.connect(database, user)
    return str(refused.value)


def is_banned(clients: Clients) -> bool:
    """Whether the worker that this comes to knows of the ban already."""
    try:
        clients.connect("app").close()
    except LoginFailed as refused:
        return BANNED in str(refused)
    return False


def bans(console: WireClient, database: str) -> list[str | None]:
    """The addresses that are banned from this database; none while the console's worker looks for the new control."""
    try:
        return [row[0] for row in console.query("SHOW BANS") if row[1] == database]
    except WireError:
        return []


def test_failures_at_all_workers_ban_and_a_ban_is_one_and_lifted_everywhere(clients: Clients, proxy: Proxy) -> None:
    console = clients.connect("pgbouncer")
    for worker in (1, 2):
        with only(worker, proxy):
            for _ in range(FAILURES // 2):
                assert FAILED in refusal(clients, "nobody")
    wait_until(lambda: bans(console, "app") == ["127.0.0.1"])
    for worker in (1, 2):
        with only(worker, proxy):
            wait_until(lambda: BANNED in refusal(clients, "postgres"))
            assert FAILED in refusal(clients, "nobody", "third")
    assert proxy.log.count('address 127.0.0.1 is banned from database "app"') == 1

    console.query("UNBAN '127.0.0.1' app")
    assert bans(console, "app") == []
    for worker in (1, 2):
        # Nobody has kept count of what was lifted.
        with only(worker, proxy):
            assert FAILED in refusal(clients, "nobody")
    assert bans(console, "app") == []


def test_a_ban_outlives_the_control_and_reaches_a_worker_that_is_new(clients: Clients, proxy: Proxy) -> None:
    with only(1, proxy):
        console = clients.connect("pgbouncer")
        wait_until(lambda: BANNED in refusal(clients, "nobody", "other"))
    family = Family(proxy)
    control, second = family.pid("control"), family.pid("worker 2")
    os.kill(control, signal.SIGKILL)
    family.replaced("control", control)
    os.kill(second, signal.SIGKILL)
    family.replaced("worker 2", second)
    with only(2, proxy):
        wait_until(lambda: BANNED in refusal(clients, "postgres", "other"))
    assert wait_for("the console", lambda: bans(console, "other")) == ["127.0.0.1"]


@pytest.mark.soak_processes
def test_a_ban_outlives_the_node_and_reaches_the_one_that_takes_its_place(
    postgres18: PostgresServer, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    tables: Tables = {
        "server": {
            "workers": 2,
            "admin_users": ["postgres"],
            "auth_file": "users.txt",
            "ban_failures": FAILURES,
            "catalogue": False,
            "listen_port": free_port(),
            "run_dir": str(tmp_path),
        },
        "databases.app": {"primary": upstream(postgres18, "postgres")},
    }
    with run_proxy(tables, {"users.txt": '"postgres" ""\n'}) as first:
        with Clients(first) as made:
            for _ in range(FAILURES):
                assert FAILED in refusal(made, "nobody")
            wait_until(lambda: is_banned(made), "the address is banned")
        with take_over(first, 2) as second, Clients(second) as made:
            assert first.wait() == 0
            console = made.connect("pgbouncer")
            wait_until(lambda: bans(console, "app") == ["127.0.0.1"], "the new node knows of it")
            for worker in (1, 2):
                with only(worker, second):
                    wait_until(lambda: is_banned(made), "each of its workers knows of it")
