"""Clients that listen, leave and notify, in every way: each hears what a session of its own with PostgreSQL would hear.

In the suite a few conversations, the same ones each time; others with FUZZ_SECONDS.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support.listening import Heard, Step, conversation, converse, told
from tests.support.processes import one_of_each
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Tables, run_proxy
from tests.support.wire import Endpoint, WireClient

DATABASE = "fuzz_listening"
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
FEW = 6
"""Conversations in the suite."""


class Witnesses:
    """A client of each worker. What it hears of comes there after all that was notified before."""

    def __init__(self, direct: Endpoint, clients: Clients, workers: int) -> None:
        self._teller = WireClient.connect(direct)
        self._serial = 0
        self._clients = list(one_of_each(workers, lambda: clients.connect("app")).values())
        for client in self._clients:
            client.query("listen witness")

    def settle(self) -> None:
        """Return when all that was notified has been told."""
        self._serial += 1
        expected = ("witness", str(self._serial))
        self._teller.query(f"notify witness, '{self._serial}'")
        for client in self._clients:
            client.replies.clear()
            while expected not in told(client):
                client.read_count(len(client.replies) + 1)

    def close(self) -> None:
        """Hang up; the witnesses are closed with the other clients."""
        self._teller.close()


@contextmanager
def proxied(direct: Endpoint, server: PostgresServer, workers: int) -> Iterator[tuple[Clients, Witnesses]]:
    """Clients of a proxy with so many workers, each of which can have a backend at the same time."""
    tables: Tables = {
        "server": {"workers": workers, "catalogue": False},
        "databases.app": {"primary": upstream(server, DATABASE), "pool_size": workers},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        witnesses = Witnesses(direct, clients, workers)
        try:
            yield clients, witnesses
        finally:
            witnesses.close()


@pytest.mark.parametrize("version", [18, 16] if SECONDS else [18])
@pytest.mark.parametrize("workers", [1, 2])
def test_every_client_hears_what_a_session_of_its_own_would(
    version: int, workers: int, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(f"postgres{version}")
    assert isinstance(server, PostgresServer)
    server.create_database(DATABASE)
    try:
        direct = Endpoint(server.host, server.port, DATABASE)
        with proxied(direct, server, workers) as (clients, witnesses):
            for seed in _seeds():
                steps = conversation(seed)
                alone = converse(steps, lambda: WireClient.connect(direct), _nobody_waits)
                shared = converse(steps, lambda: clients.connect("app"), witnesses.settle)
                assert shared == alone, _told_apart(seed, steps, shared, alone)
    finally:
        server.drop_database(DATABASE)


def _seeds() -> Iterator[int]:
    yield from range(FEW)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        yield random.getrandbits(32)


def _nobody_waits() -> None:
    """A session of its own is signalled before the NOTIFY is answered."""


def _told_apart(seed: int, steps: list[Step], shared: list[Heard], alone: list[Heard]) -> str:
    lines = [f"conversation {seed}:"]
    lines += [f"  client {step.client}, {step.way.value}: {'; '.join(step.statements)}" for step in steps]
    for number, (one, other) in enumerate(zip(shared, alone, strict=True)):
        if one != other:
            lines += [f"client {number}", f"  through the proxy: {one}", f"  alone: {other}"]
    return "\n".join(lines)
