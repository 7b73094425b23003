"""What the clients of one process hear, through a source that answers when the test says so."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from interceptor.errors import LISTEN_FAILED, ClientError
from pooler.auth import BackendCredential
from pooler.config import config_from_upstream
from pooler.notifications import Board, Subscriber

REFUSAL = ClientError(LISTEN_FAILED, "no server", fatal=False)


class Source:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.is_there = True
        self.said: list[tuple[str, set[bytes]]] = []

    def lend(self, user: str, credential: BackendCredential | None) -> None:
        pass

    def listen(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        self.said.append(("listen", set(channels)))

    def keep(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        self.said.append(("keep", set(channels)))

    def unlisten(self, subscriber: Subscriber, channels: Collection[bytes]) -> None:
        self.said.append(("unlisten", set(channels)))


class Client:
    """Notes what it is told."""

    unread = 0

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_listening(self, channels: Collection[bytes]) -> None:
        self.told += [f"listening {channel.decode()}" for channel in sorted(channels)]

    def on_refused(self, channels: Collection[bytes], error: ClientError) -> None:
        self.told += [f"refused {channel.decode()}" for channel in sorted(channels)]

    def hear(self, channel: bytes, message: bytes) -> None:
        self.told.append(f"{channel.decode()}: {message.decode()}")

    def on_missed(self) -> None:
        self.told.append("missed")


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def board(source: Source) -> Board:
    return Board("app", source, config_from_upstream("postgresql://postgres@127.0.0.1:5432/app", "127.0.0.1:6432"))


def hears(board: Board, *channels: bytes) -> Client:
    """A client that hears of these."""
    client = Client()
    board.listen(client, channels)
    board.on_listening()
    client.told.clear()
    return client


def test_one_question_at_a_time(board: Board, source: Source) -> None:
    """Who asks meanwhile is asked for together, by the next, also for what the first asked for."""
    first, second, third = Client(), Client(), Client()
    board.listen(first, [b"a"])
    board.listen(second, [b"a"])
    board.listen(third, [b"b"])
    assert source.said == [("listen", {b"a"})]
    board.on_listening()
    assert (first.told, second.told, third.told) == (["listening a"], [], [])
    assert source.said[1:] == [("listen", {b"a", b"b"})]
    board.on_listening()
    assert (second.told, third.told) == (["listening a"], ["listening b"])


def test_who_leaves_before_the_answer_is_not_told(board: Board, source: Source) -> None:
    client = Client()
    board.listen(client, [b"a"])
    board.leave(client)
    assert source.said == [("listen", {b"a"})]
    board.on_listening()
    assert client.told == []
    assert source.said[1:] == [("unlisten", {b"a"})]


def test_a_channel_is_left_with_its_last_listener(board: Board, source: Source) -> None:
    first, second = hears(board, b"a"), hears(board, b"a", b"b")
    source.said.clear()
    board.unlisten(first, [b"a"])
    assert source.said == []
    board.hear(b"a", b"x")
    assert (first.told, second.told) == ([], ["a: x"])
    board.leave(second)
    assert source.said == [("unlisten", {b"a", b"b"})]


def test_a_refusal_takes_nothing_from_who_hears(board: Board, source: Source) -> None:
    before, late = hears(board, b"a"), Client()
    source.said.clear()
    board.listen(late, [b"a", b"b"])
    board.on_refused(REFUSAL)
    assert late.told == ["refused a", "refused b"]
    assert source.said == [("listen", {b"a", b"b"})]
    board.hear(b"a", b"x")
    assert (before.told, late.told[2:]) == (["a: x"], [])


def test_a_loss_is_told_to_those_who_heard_then(board: Board) -> None:
    """Not to who has come since, nor to who has left; to one who waits to hear again of what he has heard already."""
    before, again, left = hears(board, b"a"), hears(board, b"a"), hears(board, b"a")
    board.listen(again, [b"b"])
    board.on_lost()
    late = Client()
    board.listen(late, [b"a"])
    board.unlisten(left, [b"a"])
    board.on_listening()
    board.on_listening()
    assert late.told == ["listening a"]
    board.on_restored()
    assert before.told == ["missed"]
    assert again.told == ["listening b", "missed"]
    assert (late.told[1:], left.told) == ([], [])


def test_who_leaves_and_listens_anew_has_missed_nothing(board: Board) -> None:
    client = hears(board, b"a")
    board.on_lost()
    board.unlisten(client, [b"a"])
    board.listen(client, [b"b"])
    board.on_listening()
    board.on_restored()
    assert client.told == ["listening b"]


def test_another_source_takes_the_place_of_one_that_is_gone(board: Board, source: Source) -> None:
    """It is told what is heard of, and asked for what is waited for."""
    heard, left, waits = hears(board, b"a"), hears(board, b"z"), Client()
    board.listen(waits, [b"a", b"b"])
    source.is_there = False
    board.on_source_gone()
    board.leave(left)
    late = Client()
    board.listen(late, [b"c"])
    source.said.clear()
    source.is_there = True
    board.on_source_there()
    assert source.said == [("keep", {b"a"}), ("listen", {b"a", b"b", b"c"})]
    board.on_listening()
    board.on_restored()
    assert heard.told == ["missed"]
    assert waits.told == ["listening a", "listening b"]
    assert (late.told, left.told) == (["listening c"], [])


def test_the_report(board: Board) -> None:
    """Who waits for an answer does not hear yet; nobody does while the connection is lost."""
    hears(board, b"a")
    waits = Client()
    waits.unread = 7
    board.listen(waits, [b"a", b"b"])
    assert list(board.report()) == [(b"a", 2, 1, 7), (b"b", 1, 0, 7)]
    board.on_lost()
    assert list(board.report()) == [(b"a", 2, 0, 7), (b"b", 1, 0, 7)]
