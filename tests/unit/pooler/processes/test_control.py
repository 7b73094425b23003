"""The control, told by workers that live, die and come back."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from pooler.config import config_from_upstream
from pooler.processes import control as control_module
from pooler.processes.cancels import make_process_id
from pooler.processes.channel import Channel
from pooler.processes.control import Control
from pooler.processes.memory import SharedMap
from pooler.processes.messages import (
    Answered,
    Ask,
    Cancel,
    Canceled,
    Closed,
    Grant,
    Held,
    Key,
    Message,
    Opened,
    Put,
    Question,
    Register,
    Return,
    Welcome,
)
from pooler.server import Server

KEY: Key = ("app", "postgres", "primary")


class Worker:
    """The worker's end of a connection to the control."""

    def __init__(self, control: Control, slot: int, held: int = 0) -> None:
        own, theirs = socket.socketpair()
        self.heard: list[Message] = []
        self.changed = asyncio.Event()
        self.channel = Channel(own, self._on_message, lambda: None)
        control.on_dialed(theirs)
        self.channel.send(Register(slot, 1000 + slot, [Held(KEY, held)] if held else []))

    def _on_message(self, message: Message, fd: int) -> None:
        self.heard.append(message)
        self.changed.set()

    def ask(self, want: int = 1) -> None:
        self.channel.send(Ask(KEY, want, want, 0.0, reserve=False, floor=False))

    async def wait_for(self, condition: Callable[[Message], bool]) -> Message:
        async with asyncio.timeout(10):
            while not any(map(condition, self.heard)):
                self.changed.clear()
                await self.changed.wait()
        return next(filter(condition, self.heard))

    async def wait_for_grant(self) -> None:
        await self.wait_for(lambda message: isinstance(message, Grant))

    @property
    def granted(self) -> int:
        return sum(message.count for message in self.heard if isinstance(message, Grant))


@pytest.fixture
def memory() -> SharedMap:
    return SharedMap(3)


@pytest.fixture
async def control(memory: SharedMap, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Control]:
    monkeypatch.setattr(control_module, "UNREPORTED", 0.05)
    config = config_from_upstream("postgresql://postgres:secret@127.0.0.1:1/app", None)
    server = Server(replace(config, server=replace(config.server, default_pool_size=1)))
    made = Control(server, memory)
    made.start()
    yield made
    made.close()


async def test_a_permit_that_a_worker_took_to_its_grave_is_free_after_a_while(control: Control) -> None:
    first, second = Worker(control, 1), Worker(control, 2)
    first.ask()
    await first.wait_for_grant()
    second.ask()
    first.channel.close()
    await second.wait_for_grant()
    assert control.ledger.held(KEY) == 1
    second.channel.close()


async def test_nothing_is_granted_before_those_who_live_have_said_what_they_hold(memory: SharedMap) -> None:
    memory.seats[1].take(os.getpid())
    config = config_from_upstream("postgresql://postgres:secret@127.0.0.1:1/app", None)
    server = Server(replace(config, server=replace(config.server, default_pool_size=1)))
    control = Control(server, memory)
    control.start()
    second = Worker(control, 2)
    second.ask()
    await second.wait_for(lambda message: isinstance(message, Welcome))
    first = Worker(control, 1, held=1)
    await first.wait_for(lambda message: isinstance(message, Welcome))
    assert not second.granted
    first.channel.send(Return(KEY, 1))
    await second.wait_for_grant()
    for worker in (first, second):
        worker.channel.close()
    control.close()


async def test_what_a_console_asks_reaches_those_who_live_and_are_not_known_yet(memory: SharedMap) -> None:
    """A control takes the place of another, and one worker is quicker than the other."""
    memory.seats[1].take(os.getpid())
    control = Control(Server(config_from_upstream("postgresql://postgres:secret@127.0.0.1:1/app", None)), memory)
    control.start()
    second = Worker(control, 2)
    second.channel.send(Question(7, "SHUTDOWN", ("WAIT_FOR_CLIENTS",), is_command=True))
    await second.wait_for(lambda message: isinstance(message, Welcome))
    first = Worker(control, 1)
    asked = await first.wait_for(lambda message: isinstance(message, Question))
    assert isinstance(asked, Question)
    assert asked.name == "SHUTDOWN"
    assert not any(isinstance(message, Answered) for message in second.heard)
    first.channel.send(Answered(asked.ticket, [[]], None))
    answered = await second.wait_for(lambda message: isinstance(message, Answered))
    assert answered == Answered(7, [[]], None)
    for worker in (first, second):
        worker.channel.close()
    control.close()


async def test_a_worker_that_died_before_it_said_what_it_holds_is_not_waited_for(memory: SharedMap) -> None:
    memory.seats[1].take(os.getpid())
    config = config_from_upstream("postgresql://postgres:secret@127.0.0.1:1/app", None)
    control = Control(Server(config), memory)
    control.start()
    second = Worker(control, 2)
    second.ask()
    await second.wait_for(lambda message: isinstance(message, Welcome))
    memory.seats[1].leave()
    await second.wait_for_grant()
    second.channel.close()
    control.close()


async def test_a_backend_counts_until_its_server_has_ended_the_connection(control: Control) -> None:
    """The server is the other end of a socket pair here: it lets go when it wants to."""
    first, second = Worker(control, 1), Worker(control, 2)
    first.ask()
    await first.wait_for_grant()
    backend, server = socket.socketpair()
    # No process id: there is nobody that a cancel request could be sent to.
    first.channel.send(Opened(KEY, 1, "127.0.0.1", 1, 0, b"", encrypted=False), backend.fileno())
    second.ask()
    await second.wait_for(lambda message: isinstance(message, Welcome))
    backend.close()
    first.channel.close()
    server.setblocking(False)
    assert await asyncio.get_running_loop().sock_recv(server, 10) == b"", "the control has ended our side"
    await asyncio.get_running_loop().sock_sendall(server, b"what nobody reads any more")
    assert (control.orphans, second.granted) == (1, 0)
    server.close()
    await second.wait_for_grant()
    assert control.orphans == 0
    second.channel.close()


async def test_a_backend_that_was_cut_is_watched_by_the_control(control: Control) -> None:
    first = Worker(control, 1)
    first.ask()
    await first.wait_for_grant()
    backend, server = socket.socketpair()
    first.channel.send(Opened(KEY, 7, "127.0.0.1", 1, 0, b"", encrypted=False), backend.fileno())
    first.channel.send(Closed(7, certain=False))
    backend.close()
    first.heard.clear()
    first.ask()
    server.setblocking(False)
    assert await asyncio.get_running_loop().sock_recv(server, 10) == b""
    assert not first.granted
    server.close()
    await first.wait_for_grant()
    first.channel.close()


async def test_a_worker_that_comes_back_before_its_end_was_noticed_takes_its_own_place(control: Control) -> None:
    first = Worker(control, 1)
    first.ask()
    await first.wait_for_grant()
    again = Worker(control, 1)
    again.ask()
    await again.wait_for_grant()
    assert control.ledger.held(KEY, 1) == 1
    for worker in (first, again):
        worker.channel.close()


async def test_a_cancel_request_is_answered_whether_there_is_such_a_client_or_not(control: Control) -> None:
    workers = {slot: Worker(control, slot) for slot in (1, 2, 3)}
    for worker in workers.values():
        await worker.wait_for(lambda message: isinstance(message, Welcome))
    workers[1].channel.send(Cancel(5, make_process_id(3, 77), b"secret"))
    asked = await workers[3].wait_for(lambda message: isinstance(message, Cancel))
    assert isinstance(asked, Cancel)
    assert not any(isinstance(message, Cancel) for message in workers[2].heard), "the one that it names comes first"
    workers[3].channel.send(Canceled(asked.ticket, found=False))
    asked = await workers[2].wait_for(lambda message: isinstance(message, Cancel))
    workers[2].channel.close()
    answer = await workers[1].wait_for(lambda message: isinstance(message, Canceled))
    assert answer == Canceled(5, found=False)
    for worker in workers.values():
        worker.channel.close()


async def test_a_new_worker_is_told_all_values_before_it_is_welcome(control: Control) -> None:
    first = Worker(control, 1)
    first.channel.send(Put("plugin", "key", b"value", 0, 1))
    await first.wait_for(lambda message: isinstance(message, Put))
    second = Worker(control, 2)
    await second.wait_for(lambda message: isinstance(message, Welcome))
    assert [type(message) for message in second.heard] == [Put, Welcome]
    for worker in (first, second):
        worker.channel.close()
