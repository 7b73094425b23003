"""Workers that share a listening socket: who has clearly more clients leaves new ones to the others."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest

from pooler.processes.accepting import SLACK, SharedListening
from pooler.processes.memory import Seat, SharedMap


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> SharedMap:
    monkeypatch.setattr("pooler.processes.memory.FRESH", 600.0)
    memory = SharedMap(2)
    for seat in memory.worker_seats:
        alive(seat)
    return memory


def alive(seat: Seat) -> None:
    seat.take(os.getpid())
    seat.ready = True


@pytest.mark.parametrize(
    ("own", "other", "leaves"),
    [
        pytest.param(SLACK, 0, False, id="some more"),
        pytest.param(SLACK + 1, 0, True, id="clearly more"),
        pytest.param(1600 + 100, 1600, False, id="a sixteenth more"),
        pytest.param(1600 + 101, 1600, True, id="more than a sixteenth"),
        pytest.param(0, 100, False, id="fewer"),
    ],
)
def test_who_has_clearly_more_clients_leaves_new_ones_to_the_other(
    listener: socket.socket, memory: SharedMap, own: int, other: int, leaves: bool
) -> None:
    shared = SharedListening([listener], memory, 1)
    seat, memory.seats[2].clients = memory.seats[1], other
    seat.clients = own
    assert shared._has_more() == leaves
    seat.clients, shared.coming = 0, own
    assert shared._has_more() == leaves, "those that it has accepted and not counted yet are its own too"


def test_a_worker_that_does_not_serve_is_not_counted_upon(listener: socket.socket, memory: SharedMap) -> None:
    shared = SharedListening([listener], memory, 1)
    memory.seats[1].clients = 20
    assert shared._has_more()
    memory.seats[2].ready = False
    assert not shared._has_more()
    alive(memory.seats[2])
    assert shared._has_more()
    memory.seats[2].leave()
    assert not shared._has_more()


async def test_what_the_others_do_not_take_is_taken_by_whoever_is_there(
    listener: socket.socket, memory: SharedMap
) -> None:
    shared = SharedListening([listener.dup()], memory, 1)
    memory.seats[1].clients = 20
    took = asyncio.Event()

    def on_client() -> asyncio.Protocol:
        took.set()
        return asyncio.Protocol()

    await shared.start(on_client)
    for _ in range(3):
        took.clear()
        with socket.create_connection(listener.getsockname()):
            async with asyncio.timeout(60):
                await took.wait()
    shared.stop()
