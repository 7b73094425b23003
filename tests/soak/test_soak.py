"""A hundred clients, some of them rude, over three small pools, while backends die and the network fails.

``make soak`` runs it for SOAK_SECONDS; a report is printed at the end.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from statistics import median
from uuid import UUID

import psutil
import pytest
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from interceptor.testing.postgres import PostgresServer
from tests.soak.bank import SCHEMA, SUM, Ledger
from tests.soak.chaos import POOLS, Chaos, Control, Watch
from tests.soak.clients import Client, WireUser
from tests.soak.counts import Counts
from tests.soak.drivers import AsyncpgUser, PsycopgUser
from tests.soak.relay import Network
from tests.soak.secrets import ROLES, SecretKeeper
from tests.support.proxy import Proxy, run_proxy
from tests.support.watch import wait_for

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
POOL_SIZE = 5
CLIENTS = {
    "transaction": (20, 8, 8, 12),
    "session": (14, 5, 5, 3),
    "statement": (40, 0, 0, 6),
}
"""How many of each kind in each mode: those of the wire, of psycopg, of asyncpg, and keepers of secrets. Drivers need
transactions."""

MEMORY_GROWTH = 32_000_000
"""Bytes that the proxy may grow by from the first quarter of the run to the last. Of them, 16 MB are the cache of
statements, which fills while texts are new."""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    settings: dict[str, str | int | float | bool] = {"max_connections": 60, "client_connection_check_interval": "500ms"}
    with PostgresServer.start(18, settings=settings) as server:
        for mode in POOLS:
            server.create_database(f"soak_{mode}")
            server.psql(SCHEMA, dbname=f"soak_{mode}")
        server.psql("; ".join(f"create role {role}" for role in ROLES))
        yield server


@pytest.mark.soak
def test_a_long_day(server: PostgresServer) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(soak(server))


async def soak(server: PostgresServer) -> None:
    network = Network(server.host, server.port)
    async with await network.start():
        tables: dict[str, dict[str, str | int | float | bool | list[str]]] = {
            "server": {
                # Its connection outlives the last client by minutes, and what is counted here is the pools'.
                "catalogue": False,
                "default_pool_size": POOL_SIZE,
                "server_login_retry": 0.5,
                "server_idle_timeout": 3,
                "server_lifetime": 20,
                "log_connections": False,
                "log_disconnections": False,
                "log_pooler_errors": False,
            }
        }
        for mode in POOLS:
            primary = f"postgresql://{network.host}:{network.port}/soak_{mode}"
            tables[f"databases.soak_{mode}"] = {"primary": primary, "pool_mode": mode}
        with run_proxy(tables) as proxy:
            await soak_proxy(server, network, proxy)


async def soak_proxy(server: PostgresServer, network: Network, proxy: Proxy) -> None:
    counts = Counts()
    ledgers = {mode: Ledger() for mode in POOLS}
    control = Control(server)
    watch = Watch(control, network, counts, proxy.pid, POOL_SIZE)
    descriptors = psutil.Process(proxy.pid).num_fds()
    clients = make_clients((proxy.host, proxy.port), counts, ledgers)
    chaos = Chaos(server, network, control, counts)

    work = [asyncio.create_task(client.run()) for client in clients]
    harm = asyncio.create_task(chaos.run(SECONDS))
    looking = asyncio.create_task(watch.run())
    try:
        await show_progress(counts, harm, looking)
        harm.cancel()
        network.flow()
        await prove_that_all_get_work(clients, counts)
        for client in clients:
            client.stopping = True
        await asyncio.gather(*work)
    finally:
        for task in (harm, looking, *work):
            task.cancel()
        await asyncio.gather(harm, looking, *work, return_exceptions=True)
    for mode, ledger in ledgers.items():
        await settle_accounts(server, mode, ledger, counts)
    await asyncio.to_thread(
        wait_for,
        f"the descriptors are back to {descriptors}",
        lambda: psutil.Process(proxy.pid).num_fds() <= descriptors,
        60,
    )
    backends = await control.backends()
    assert backends == [], f"backends are left: {backends}"
    control.close()
    report(counts, watch, ledgers, descriptors)
    assert not counts.wrong, "\n".join(counts.wrong[:20])
    quarter = len(watch.memory) // 4
    grown = median(watch.memory[-quarter:]) - median(watch.memory[:quarter])
    assert grown < MEMORY_GROWTH, f"the proxy grew by {grown / 1e6:.1f} MB"


def make_clients(address: tuple[str, int], counts: Counts, ledgers: dict[str, Ledger]) -> list[Client]:
    return [
        kind(f"{kind.__name__}-{mode}-{number}", mode, address, counts, ledgers[mode])
        for mode, numbers in CLIENTS.items()
        for kind, many in zip((WireUser, PsycopgUser, AsyncpgUser, SecretKeeper), numbers, strict=True)
        for number in range(many)
    ]


async def show_progress(counts: Counts, *others: asyncio.Task[None]) -> None:
    """Wait until the time is up, or something has gone wrong."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    end = time.monotonic() + SECONDS
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("soak", total=SECONDS)
        while (left := end - time.monotonic()) > 0 and not counts.wrong:
            for other in others:
                if other.done():
                    other.result()
            progress.update(task, completed=SECONDS - left, description=str(counts))
            await asyncio.sleep(min(0.5, left))


async def prove_that_all_get_work(clients: list[Client], counts: Counts) -> None:
    """Once nothing harms them any more, every single client gets something done."""
    before = {client: client.deeds for client in clients}
    end = time.monotonic() + 120
    while not counts.wrong:
        hungry = [client.name for client in clients if client.deeds <= before[client]]
        if not hungry:
            return
        if time.monotonic() > end:
            counts.blame(f"these clients got no work any more: {', '.join(hungry)}")
        await asyncio.sleep(0.1)


async def settle_accounts(server: PostgresServer, mode: str, ledger: Ledger, counts: Counts) -> None:
    """Hold that the money is all there, and that every transfer was booked as its client was told."""
    total, booked = await asyncio.to_thread(read_books, server, mode)
    if total != SUM:
        counts.blame(f"the accounts of the {mode} pool sum up to {total} in place of {SUM}")
    for each in ledger.discrepancies(booked):
        counts.blame(f"{mode}: {each}")


def read_books(server: PostgresServer, mode: str) -> tuple[int, set[UUID]]:
    total = int(server.psql("SELECT sum(balance) FROM accounts", dbname=f"soak_{mode}"))
    ids = server.psql("SELECT id FROM ledger", dbname=f"soak_{mode}").split()
    return total, set(map(UUID, ids))


def report(counts: Counts, watch: Watch, ledgers: dict[str, Ledger], descriptors: int) -> None:
    console = Console(stderr=True)
    quarter = len(watch.memory) // 4
    console.print(f"\n{SECONDS:g} s: {counts}")
    console.print(f"errors that were to be expected: {dict(counts.errors)}")
    console.print(f"most backends at once: {watch.largest}, of {POOL_SIZE} allowed; {len(watch.memory)} looks")
    for name, values, unit in (("memory", watch.memory, 1e6), ("descriptors", watch.descriptors, 1)):
        first, last = median(values[:quarter]), median(values[-quarter:])
        first, last, most = first / unit, last / unit, max(values) / unit
        console.print(f"{name}: {first:.1f} in the first quarter, {last:.1f} in the last, {most:.1f} at most")
    console.print(f"descriptors at the start: {descriptors}")
    for mode, ledger in ledgers.items():
        console.print(f"{mode}: {len(ledger.done)} transfers, {len(ledger.open)} of unknown end")
