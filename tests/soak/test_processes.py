"""Many processes for minutes: limits and fairness under a storm, killed processes, and one takeover after another.

``make soak-processes`` runs these; each prints what it saw.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer, free_port
from pooler.processes.cancels import slot_of
from tests.support import frontend as f
from tests.support.processes import Family, peak
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.takeover import take_over
from tests.support.watch import wait_until

pytestmark = pytest.mark.soak_processes

SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
PGBENCH_SECONDS = 120
DATABASE = "soak_processes"


@pytest.fixture(scope="module")
def database(postgres18: PostgresServer) -> Iterator[str]:
    postgres18.create_database(DATABASE)
    yield DATABASE
    postgres18.drop_database(DATABASE)


class Asker(asyncio.Protocol):
    """A client that asks one thing again and again, and notes how long each answer took."""

    def __init__(self, question: bytes, until: float) -> None:
        self._question = question
        self._until = until
        self._buffer = b""
        self._asked_at = 0.0
        self.waits: list[float] = []
        self.longest_silence = 0.0
        self.errors: list[bytes] = []
        self.worker = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(f.startup({"user": "postgres", "database": "app"}).data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 5:
            length = int.from_bytes(self._buffer[1:5], "big") + 1
            if len(self._buffer) < length:
                return
            kind, body, self._buffer = self._buffer[:1], self._buffer[5:length], self._buffer[length:]
            if kind == b"K":
                self.worker = slot_of(int.from_bytes(body[:4], "big"))
            elif kind == b"E":
                self.errors.append(body)
            elif kind == b"Z":
                self._on_ready()

    def _on_ready(self) -> None:
        now = time.monotonic()
        if self._asked_at:
            self.waits.append(now - self._asked_at)
        if now > self._until:
            self._transport.write(f.terminate().data)
            self._transport.close()
        else:
            self._asked_at = now
            self._transport.write(self._question)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def ask_all_the_time(proxy: Proxy, count: int, sql: str, seconds: float) -> list[Asker]:
    loop = asyncio.get_running_loop()
    until = time.monotonic() + seconds
    askers = []
    for _ in range(count):
        _, asker = await loop.create_connection(lambda: Asker(f.query(sql).data, until), proxy.host, proxy.port)
        askers.append(asker)
    async with asyncio.timeout(seconds + 120):
        await asyncio.gather(*(asker.done for asker in askers))
    return askers


def table_of_waits(askers: list[Asker]) -> str:
    """The distribution of waits, for each worker and for all, in milliseconds."""
    groups: dict[str, list[Asker]] = defaultdict(list)
    for asker in askers:
        groups[f"worker {asker.worker}"].append(asker)
    lines = [f"{'':10}{'clients':>9}{'answers':>9}{'least':>7}{'p50':>9}{'p90':>9}{'p99':>9}{'longest':>9}"]
    for name, members in [*sorted(groups.items()), ("all", askers)]:
        waits = sorted(wait for member in members for wait in member.waits)
        shown = [waits[min(int(len(waits) * part), len(waits) - 1)] * 1000 for part in (0.5, 0.9, 0.99, 1.0)]
        least = min(len(member.waits) for member in members)
        lines.append(f"{name:10}{len(members):9}{len(waits):9}{least:7}" + "".join(f"{one:9.1f}" for one in shown))
    return "\n".join(lines)


def test_500_clients_on_4_workers_with_a_pool_of_3(postgres18: PostgresServer, database: str) -> None:
    tables: Tables = {
        "server": {"workers": 4, "catalogue": False, "log_connections": False, "log_disconnections": False},
        "databases.app": {"primary": upstream(postgres18, database, application_name="storm"), "pool_size": 3},
    }
    with run_proxy(tables) as proxy, peak(postgres18, "storm") as seen:
        askers = asyncio.run(ask_all_the_time(proxy, 500, "select pg_sleep(0.001)", SECONDS))
    print(f"\n{table_of_waits(askers)}\nmost backends at once: {seen.most}, seen in {seen.looks} looks")
    assert seen.most == 3
    assert not [asker.errors for asker in askers if asker.errors]
    assert all(asker.waits for asker in askers), "every client got work"


def test_processes_that_are_killed_under_load(postgres18: PostgresServer, database: str) -> None:
    """Clients of a killed worker lose their connection; nobody else loses anything, whatever is killed."""
    tables: Tables = {
        "server": {"workers": 3, "catalogue": False, "log_connections": False, "log_disconnections": False},
        "databases.app": {"primary": upstream(postgres18, database, application_name="killed"), "pool_size": 5},
    }
    chance = random.Random(6)
    killed: dict[str, int] = defaultdict(int)
    lost: list[tuple[int, float, float, str]] = []
    """The worker, 0 for one that was not in yet; from when to when the client was there, and what it met."""
    served = 0
    deaths: dict[int, list[float]] = defaultdict(list)
    leave = threading.Event()
    lock = threading.Lock()

    def work() -> None:
        nonlocal served
        while not leave.is_set():
            worker, begun = 0, time.monotonic()
            try:
                with Clients(proxy) as clients:
                    client = clients.connect("app")
                    assert client.key is not None
                    worker = slot_of(client.key[0])
                    for _ in range(20):
                        assert client.query("select pg_sleep(0.002)::text = ''") == [("t",)]
                    client.send_goodbye()
                with lock:
                    served += 1
            except Exception as error:
                with lock:
                    lost.append((worker, begun, time.monotonic(), f"{type(error).__name__}: {error}"))

    with run_proxy(tables) as proxy, peak(postgres18, "killed") as seen:
        family = Family(proxy)
        threads = [threading.Thread(target=work) for _ in range(24)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            name = chance.choice(["control", "worker 1", "worker 2", "worker 3"])
            before = family.pid(name)
            count = served
            killed[name] += 1
            if name != "control":
                deaths[int(name[-1])].append(time.monotonic())
            os.kill(before, signal.SIGKILL)
            family.replaced(name, before)
            wait_until(lambda count=count: served > count + 20, "work goes on", timeout=60)  # type: ignore[misc]
        leave.set()
        for thread in threads:
            thread.join()
    in_login = sum(not worker for worker, *_ in lost)
    print(
        f"\nkilled: {dict(killed)}\nserved: {served}, lost: {len(lost)}, of them during the login: {in_login}, "
        f"most backends at once: {seen.most}"
    )
    assert seen.most <= 5
    every = [moment for moments in deaths.values() for moment in moments]
    unexplained = [
        one for one in lost if not any(one[1] <= moment <= one[2] for moment in (deaths[one[0]] if one[0] else every))
    ]
    assert not unexplained, "each has lost its connection with its own worker"
    assert lost, "workers that were at work were killed"


def test_ten_takeovers_under_pgbench(postgres18: PostgresServer, database: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    tables: Tables = {
        "server": {
            "workers": 2,
            "catalogue": False,
            "listen_port": free_port(),
            "run_dir": str(tmp_path),
            "log_connections": False,
            "log_disconnections": False,
        },
        "databases.app": {"primary": upstream(postgres18, database), "pool_size": 5},
    }
    script = tmp_path / "script.sql"
    script.write_text("begin;\nselect 1;\nselect 2;\ncommit;\n")
    with ExitStack() as stack:
        current = stack.enter_context(run_proxy(tables))
        seen = stack.enter_context(peak(postgres18, "pgbench"))
        command = [str(postgres18.bin("pgbench")), "-h", current.host, "-p", str(current.port), "-U", "postgres", "-n"]
        # -C: a connection for each transaction; the others keep theirs, which the takeover leaves alone.
        load = subprocess.Popen(
            [*command, "-C", "-c", "8", "-j", "2", "-T", str(PGBENCH_SECONDS), "-P", "5", "-f", str(script), "app"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        stack.callback(load.kill)
        for number in range(2, 12):
            replaced = current
            current = stack.enter_context(take_over(replaced, number))
            assert replaced.process.wait(60) == 0
            assert load.poll() is None, "pgbench goes on"
        output, _ = load.communicate(timeout=PGBENCH_SECONDS + 30)
        print(f"\n{output.decode()[-1500:]}\nmost backends at once: {seen.most}")
        assert load.returncode == 0
        assert b"aborted" not in output
        assert b"number of failed transactions: 0 " in output
        assert seen.most <= 5
