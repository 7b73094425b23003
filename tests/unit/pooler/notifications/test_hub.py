"""The connection that listens, with a server that does as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, cast

import pytest

from interceptor.errors import ClientError
from interceptor.protocol import messages
from pooler.auth import KeyCache
from pooler.config import PoolSettings, config_from_upstream
from pooler.notifications.hub import Hub
from pooler.notifications.login import Login
from pooler.tasks import cancel_all

if TYPE_CHECKING:
    from pooler.server import Server as ProxyServer

READY = messages.READY[messages.IDLE]
WELCOME = messages.encode_message(ord("R"), bytes(4)) + READY
DONE = messages.encode_message(ord("C"), b"LISTEN\0") + READY
IN_RECOVERY = messages.encode_error("ERROR", "25006", "cannot execute LISTEN during recovery") + READY


class Server:
    """PostgreSQL's part of the conversation."""

    def __init__(self) -> None:
        self.in_recovery = False
        self.asked: list[str] = []
        self.connections: list[asyncio.StreamWriter] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        try:
            await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4)
            writer.write(WELCOME)
            while await reader.readexactly(1) == b"Q":
                sql = (await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4))[:-1].decode()
                if "LISTEN" in sql:
                    self.asked.append(sql)
                writer.write(IN_RECOVERY if self.in_recovery and "LISTEN" in sql else DONE)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    def cut(self) -> None:
        """End the connection, and answer the next otherwise."""
        self.connections[-1].close()


class LoginOf(Login):
    """With these settings."""

    def __init__(self, settings: PoolSettings) -> None:
        super().__init__(cast("ProxyServer", _Keys()), settings.database)
        self.loans.lend("postgres", None)
        self._settings = settings

    def find(self) -> tuple[PoolSettings, None]:
        return self._settings, None


class _Keys:
    keys = KeyCache()


class Subscriber:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[str] = asyncio.Queue()

    def on_listening(self) -> None:
        self.told.put_nowait("listening")

    def on_refused(self, error: ClientError) -> None:
        self.told.put_nowait(f"refused: {error.message}")

    def hear(self, channel: bytes, message: bytes) -> None:
        self.told.put_nowait(channel.decode())

    def on_lost(self) -> None:
        self.told.put_nowait("lost")

    def on_restored(self) -> None:
        self.told.put_nowait("restored")

    async def next(self) -> str:
        async with asyncio.timeout(10):
            return await self.told.get()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listener = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listener.sockets[0].getsockname()[1]
    yield made
    listener.close()


@pytest.fixture
async def hub(server: Server) -> AsyncIterator[Hub]:
    config = config_from_upstream(
        f"postgresql://postgres@127.0.0.1:{server.port}/app?sslmode=disable", "127.0.0.1:6432"
    )
    made = Hub("app", LoginOf(config.pool_settings("app", "postgres")))
    yield made
    made.close()
    await cancel_all()


async def test_what_comes_anew_is_asked_for_also_where_it_is_heard_of_already(hub: Hub, server: Server) -> None:
    first, second = Subscriber(), Subscriber()
    hub.listen(first, [b"a"])
    assert await first.next() == "listening"
    hub.listen(second, [b"a", b'"b"'])
    assert await second.next() == "listening"
    assert server.asked == ['LISTEN "a"', 'LISTEN """b"""; LISTEN "a"']


async def test_a_loss(hub: Hub, server: Server) -> None:
    """Whoever heard is told, and all is asked for together with what is waited for."""
    heard, waits = Subscriber(), Subscriber()
    hub.listen(heard, [b"a"])
    assert await heard.next() == "listening"
    server.cut()
    assert await heard.next() == "lost"
    hub.listen(waits, [b"b"])
    assert await waits.next() == "listening"
    assert await heard.next() == "restored"
    assert server.asked[1:] == ['LISTEN "a"; LISTEN "b"']
    assert waits.told.empty()


async def test_what_was_kept_is_asked_for_by_the_next(hub: Hub, server: Server) -> None:
    kept = Subscriber()
    hub.keep(kept, [b"a"])
    assert await kept.next() == "restored"
    assert server.asked == ['LISTEN "a"']


async def test_a_server_that_does_not_listen_any_more(hub: Hub, server: Server) -> None:
    """One in recovery, say. Who asks is refused, and does not wait until it is another."""
    heard, waits = Subscriber(), Subscriber()
    hub.listen(heard, [b"a"])
    assert await heard.next() == "listening"
    server.in_recovery = True
    server.cut()
    assert await heard.next() == "lost"
    hub.listen(waits, [b"b"])
    assert "during recovery" in await waits.next()
    server.in_recovery = False
    hub.listen(waits, [b"b"])
    assert await waits.next() == "listening"
    async with asyncio.timeout(10):
        while (said := await heard.next()) != "restored":
            assert said == "lost"


async def test_a_refusal_takes_nothing_from_who_hears(hub: Hub, server: Server) -> None:
    heard, waits = Subscriber(), Subscriber()
    hub.listen(heard, [b"a"])
    assert await heard.next() == "listening"
    server.in_recovery = True
    hub.listen(waits, [b"a", b"b"])
    assert "during recovery" in await waits.next()
    assert len(server.connections) == 1
    server.connections[0].write(messages.encode_message(messages.NOTIFICATION_RESPONSE, bytes(4) + b"a\0x\0"))
    assert await heard.next() == "a"
    assert waits.told.empty()
