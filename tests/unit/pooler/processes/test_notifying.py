"""Notifications on their way from the control to a worker."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, cast

import pytest

from interceptor.errors import LISTEN_FAILED, ClientError
from interceptor.protocol.messages import NOTIFICATION_RESPONSE, encode_message
from pooler.auth import BackendCredential, Md5Hash, PlainPassword, ScramKeys
from pooler.config import config_from_upstream
from pooler.notifications import Boards, Subscriber
from pooler.processes import notifying
from pooler.processes.channel import Channel
from pooler.processes.messages import Message
from pooler.processes.notifying import Notifier, Relaying
from pooler.processes.notifying_messages import Listen, Notified, State, Told, Unlisten, encode_lent

if TYPE_CHECKING:
    from pooler.processes.control import Peer
    from pooler.server import Server

LENT = [encode_lent("alice", PlainPassword(b"secret"))]


class Hub:
    """Stands for the connection: notes what it is asked, and knows who subscribed."""

    database = "app"

    def __init__(self) -> None:
        self.heard: dict[Subscriber, set[bytes]] = {}
        self.lent: list[tuple[str, BackendCredential | None]] = []

    def lend(self, user: str, credential: BackendCredential | None) -> None:
        self.lent.append((user, credential))

    def listen(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        self.heard.setdefault(subscriber, set()).update(channels)
        subscriber.on_listening()

    def keep(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        self.heard.setdefault(subscriber, set()).update(channels)

    def unlisten(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        self.heard[subscriber] -= set(channels)

    def tells(self, subscriber: Subscriber) -> bool:
        return bool(self.heard.get(subscriber))

    def leave(self, subscriber: Subscriber) -> None:
        self.heard.pop(subscriber, None)

    def look_around(self) -> None:
        pass

    def get(self, database: str) -> Hub:
        return self


class Control:
    """A notifier with one worker, whose end of the socket is read when the test says so."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.hubs = self.hub
        self.notifier = Notifier(cast("Server", self))
        own, self.theirs = socket.socketpair()
        self.channel = Channel(own, lambda message, fd: None, lambda: None)
        self.said: list[Message] = []
        self._changed = asyncio.Event()

    def read(self) -> Channel:
        return Channel(self.theirs, self._on_message, lambda: None)

    def _on_message(self, message: Message, fd: int) -> None:
        self.said.append(message)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when this holds, which the worker's end sees by what it is sent."""
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def on(self, message: Listen | Unlisten) -> None:
        self.notifier.on_message(cast("Peer", self), message)

    @property
    def remote(self) -> Subscriber:
        (subscriber,) = self.hub.heard
        return subscriber


def notification(channel: bytes, payload: bytes) -> bytes:
    return encode_message(NOTIFICATION_RESPONSE, b"\0\0\0\1" + channel + b"\0" + payload + b"\0")


async def test_what_comes_at_once_goes_at_once_and_before_what_is_said_next() -> None:
    control = Control()
    control.on(Listen("app", LENT, [b"a"], kept=False))
    messages = [notification(b"a", payload) for payload in (b"1", b"2")]
    for message in messages:
        control.remote.hear(b"a", message)
    control.remote.on_lost()
    reading = control.read()
    await control.until(lambda: len(control.said) >= 3)
    assert control.said == [Told("app", State.LISTENING), Notified("app", b"".join(messages)), Told("app", State.LOST)]
    assert control.hub.lent == [("alice", PlainPassword(b"secret"))]
    reading.close()
    control.channel.close()


async def test_a_worker_that_does_not_read_costs_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it has read all of that, it is told that there is a gap; and what comes then it hears."""
    most = 100_000
    monkeypatch.setattr(notifying, "MOST_BEHIND", most)
    control = Control()
    control.on(Listen("app", LENT, [b"a"], kept=False))
    for number in range(1000):
        control.remote.hear(b"a", notification(b"a", b"%07000d" % number))
        await asyncio.sleep(0)
        control.notifier.look(float(number))
        assert control.channel.unsent_bytes < most + 10_000
    reading = control.read()
    await control.until(lambda: not control.channel.unsent_bytes)
    control.notifier.look(1001.0)
    last = notification(b"a", b"last")
    control.remote.hear(b"a", last)
    await control.until(lambda: control.said[-1:] == [Notified("app", last)])
    first, *told, lost, restored, _ = control.said
    assert first == Told("app", State.LISTENING)
    assert told == [Notified("app", notification(b"a", b"%07000d" % number)) for number in range(len(told))]
    assert len(told) < 1000
    assert (lost, restored) == (Told("app", State.LOST), Told("app", State.RESTORED))
    reading.close()
    control.channel.close()


async def test_who_hears_of_nothing_is_forgotten() -> None:
    """Whether it says so, is refused, or is gone."""
    control = Control()
    control.on(Listen("app", LENT, [b"a", b"b"], kept=True))
    control.on(Unlisten("app", [b"a"]))
    assert len(control.hub.heard) == 1
    control.on(Unlisten("app", [b"b"]))
    assert not control.hub.heard
    control.on(Unlisten("app", [b"b"]))
    control.on(Listen("app", LENT, [b"a"], kept=False))
    subscriber = control.remote
    control.hub.unlisten(subscriber, [b"a"])
    subscriber.on_refused(ClientError(LISTEN_FAILED, "no server", fatal=False))
    assert not control.hub.heard
    control.on(Listen("app", LENT, [b"a"], kept=False))
    control.notifier.on_gone(cast("Peer", control))
    assert not control.hub.heard
    control.channel.close()
    control.theirs.close()


@pytest.mark.parametrize(
    "credential",
    [
        PlainPassword(b"hidden away"),
        Md5Hash(b"md5 hidden away"),
        ScramKeys(b"salt", 5000, b"hidden away", b"more"),
        None,
    ],
)
def test_a_login_that_is_lent(credential: BackendCredential | None) -> None:
    lent = encode_lent("alice", credential)
    assert lent.credential() == credential
    assert "hidden away" not in repr(Listen("app", [lent], [], kept=False))


async def test_a_listen_without_a_control_fails_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks later fails too."""
    monkeypatch.setattr(notifying, "PATIENCE", 0.01)
    said: list[Message] = []
    config = config_from_upstream("postgresql://postgres@127.0.0.1:5432/app", "127.0.0.1:6432")
    boards = Boards(config, lambda database: relaying.find_source(database))
    relaying = Relaying(boards, lambda message, fd: said.append(message))
    relaying.on_connected()
    board = boards.get(config.pool_settings("app", "postgres"), None)
    relaying.on_lost()
    relaying.on_connected()
    for channel in (b"a", b"b"):
        client = Client()
        board.listen(client, [channel])
        async with asyncio.timeout(10):
            assert await client.told == "listen_failed"
    assert [message.channels for message in said if isinstance(message, Listen)] == [[b"a"]]
    relaying.on_welcome()
    relaying.on_message(Told("app", State.LISTENING))
    late = Client()
    board.listen(late, [b"c"])
    assert isinstance(said[-2], Unlisten)
    assert isinstance(said[-1], Listen)
    relaying.on_message(Told("app", State.LISTENING))
    assert await late.told == "listening"


class Client:
    """Notes what becomes of its LISTEN."""

    unread = 0

    def __init__(self) -> None:
        self.told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_listening(self, channels: Collection[bytes]) -> None:
        self.told.set_result("listening")

    def on_refused(self, channels: Collection[bytes], error: ClientError) -> None:
        self.told.set_result(error.failure.code)

    def hear(self, channel: bytes, message: bytes) -> None:
        raise AssertionError("there is nobody to hear")

    def on_missed(self) -> None:
        raise AssertionError("it has not heard of anything")


def test_what_comes_for_a_database_that_nobody_listens_to_any_more_is_dropped() -> None:
    relaying = Relaying(cast("Boards", _NoBoards()), lambda message, fd: None)
    relaying.on_message(Notified("app", notification(b"a", b"late")))
    relaying.on_message(Told("app", State.RESTORED))


class _NoBoards:
    def find(self, database: str) -> None:
        return None
