"""Messages and descriptors between two processes."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest

from pooler.processes.channel import Channel
from pooler.processes.messages import Ask, Cancel, Grant, Key, Message, Put

KEY: Key = ("app", "alice", "primary")


_ends: list[End] = []


@pytest.fixture(autouse=True)
async def _hang_up() -> AsyncIterator[None]:
    yield
    for end in _ends:
        end.channel.close()
    _ends.clear()


class End:
    def __init__(self, sock: socket.socket) -> None:
        _ends.append(self)
        self.heard: list[tuple[Message, bytes]] = []
        self.hung_up = asyncio.Event()
        self.changed = asyncio.Event()
        self.channel = Channel(sock, self._on_message, self.hung_up.set)

    def _on_message(self, message: Message, fd: int) -> None:
        content = b""
        if fd >= 0:
            content = os.pread(fd, 100, 0) if os.lseek(fd, 0, os.SEEK_END) else b""
            os.close(fd)
        self.heard.append((message, content))
        self.changed.set()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.heard) < count:
                self.changed.clear()
                await self.changed.wait()


def pair() -> tuple[End, End]:
    one, other = socket.socketpair()
    return End(one), End(other)


def file_with(content: bytes) -> int:
    fd = os.memfd_create("content")
    os.write(fd, content)
    return fd


async def test_messages_arrive_in_order_each_with_its_descriptor() -> None:
    one, other = pair()
    sent: list[tuple[Message, bytes]] = []
    for number in range(50):
        message = Cancel(number, number, b"secret")
        if number % 3 == 0:
            fd = file_with(b"%d" % number)
            one.channel.send(message, fd)
            os.close(fd)
            sent.append((message, b"%d" % number))
        else:
            one.channel.send(message)
            sent.append((message, b""))
    await other.wait_for(50)
    assert other.heard == sent


async def test_what_the_other_end_does_not_read_waits_and_loses_nothing() -> None:
    one, other = pair()
    value = bytes(64 * 1024)
    for number in range(100):
        fd = file_with(b"%d" % number)
        one.channel.send(Put("plugin", str(number), value, 0, 1), fd)
        os.close(fd)
    await other.wait_for(100)
    assert [content for _, content in other.heard] == [b"%d" % number for number in range(100)]
    assert all(isinstance(message, Put) and message.value == value for message, _ in other.heard)


async def test_both_ends_hear_of_the_end() -> None:
    one, other = pair()
    one.channel.close()
    async with asyncio.timeout(10):
        await other.hung_up.wait()
    other.channel.send(Grant(KEY, 1))
    assert not one.hung_up.is_set(), "whoever closes knows it"


async def test_one_that_writes_to_the_dead_hears_of_it_once_and_later() -> None:
    one, other = socket.socketpair()
    end = End(one)
    other.close()
    end.channel.send(Ask(KEY, 1, 1, 0.0, reserve=False, floor=False))
    assert not end.hung_up.is_set(), "not from within what it is doing"
    async with asyncio.timeout(10):
        await end.hung_up.wait()


async def test_descriptors_that_nobody_took_are_closed() -> None:
    one, other = pair()
    before = len(os.listdir("/proc/self/fd"))
    value = bytes(64 * 1024)
    for number in range(20):
        fd = file_with(b"x")
        one.channel.send(Put("plugin", str(number), value, 0, 1), fd)
        os.close(fd)
    await other.wait_for(1)
    other.channel.close()
    one.channel.close()
    assert len(os.listdir("/proc/self/fd")) == before - 2, "those on their way too"


@pytest.mark.parametrize("cut", [1, 4, 5, 9])
async def test_a_frame_may_come_in_pieces(cut: int) -> None:
    first, second = socket.socketpair()
    feeder, third = socket.socketpair()
    one, other = End(first), End(third)
    one.channel.send(Grant(KEY, 7))
    frame = second.recv(1000)
    feeder.sendall(frame[:cut])
    await asyncio.sleep(0)
    assert not other.heard
    feeder.sendall(frame[cut:])
    await other.wait_for(1)
    assert other.heard == [(Grant(KEY, 7), b"")]
    second.close()
    feeder.close()
    one.channel.close()
    other.channel.close()
