"""What is written at once arrives whole and in order, and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop

from pooler.writing import direct_writer


class Sender(asyncio.Protocol):
    """Counts how often it is told to pause."""

    def __init__(self) -> None:
        self.pauses = 0
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def pause_writing(self) -> None:
        self.pauses += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.Transport, Sender, socket.socket]]:
    """A transport, its protocol, and the other end of its connection."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    ours.setblocking(False)
    other.setblocking(False)
    transport, protocol = await loop.create_connection(Sender, sock=ours)
    try:
        yield transport, protocol, other
    finally:
        transport.close()
        await protocol.lost
        other.close()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> asyncio.Runner:
    return asyncio.Runner(loop_factory=request.param)


def test_written_before_it_returns(runner: asyncio.Runner) -> None:
    async def write() -> None:
        async with connected() as (transport, _, other):
            direct_writer(transport)(b"now")
            # Without a turn of the loop, and without waiting.
            assert other.recv(10) == b"now"
            assert transport.get_write_buffer_size() == 0

    with runner:
        runner.run(write())


def test_order_where_the_reader_is_slow(runner: asyncio.Runner) -> None:
    pieces = [bytes([65 + number % 26]) * 70_001 for number in range(200)]

    async def write() -> None:
        loop = asyncio.get_running_loop()
        async with connected() as (transport, protocol, other):
            send = direct_writer(transport)
            for piece in pieces:
                send(piece)
            assert protocol.pauses == 1, "flow control is the transport's"
            # Now there is room in the kernel, and the transport doesn't know yet.
            came = bytearray(other.recv(1 << 20))
            send(b"the end")
            wanted = b"".join(pieces) + b"the end"
            while len(came) < len(wanted):
                came += await loop.sock_recv(other, 1 << 20)
            assert came == wanted

    with runner:
        runner.run(write())


def test_a_number_that_belongs_to_another(runner: asyncio.Runner) -> None:
    async def write() -> None:
        async with connected() as (transport, protocol, _):
            number = transport.get_extra_info("socket").fileno()
            send = direct_writer(transport)
            transport.abort()
            await protocol.lost
            await asyncio.sleep(0)
            reading, writing = os.pipe()
            # That of the pipe's reading end may be the very number.
            high = fcntl.fcntl(reading, fcntl.F_DUPFD, 1000)
            os.set_blocking(high, False)
            if writing != number:
                os.dup2(writing, number)
            try:
                with contextlib.suppress(RuntimeError):  # what uvloop says of a closed transport
                    send(b"for nobody")
                with pytest.raises(BlockingIOError):
                    os.read(high, 10)
            finally:
                for one in {reading, writing, number, high}:
                    os.close(one)

    with runner:
        runner.run(write())


def test_a_connection_that_broke(runner: asyncio.Runner) -> None:
    async def write() -> None:
        async with connected() as (transport, protocol, other):
            # A reset, not an end: the next write fails.
            other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            other.close()
            transport.pause_reading()
            send = direct_writer(transport)
            while not protocol.lost.done():
                send(b"lost")
                await asyncio.sleep(0)

    with runner:
        runner.run(write())
