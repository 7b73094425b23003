"""Who listens in a client's place, where it listens, ends that, and listens again."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from interceptor.session.listening import Listener
from tests.support.recorder import Recorder, answer, complete, found, query, ready


class Agreeing:
    """Listens to all at once."""

    max_unread = 1000

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def listen(self, listener: Listener, channels: Collection[bytes]) -> None:
        self.asked += channels
        listener.on_listening(channels)

    def unlisten(self, listener: Listener, channels: Collection[bytes]) -> None:
        pass

    def leave(self, listener: Listener) -> None:
        pass


def test_a_client_that_listens_to_nothing_any_more_asks_the_host_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that it used may have been closed and forgotten meanwhile."""
    recorder = Recorder()
    first, second = Agreeing(), Agreeing()
    host = type(recorder.client.host)
    monkeypatch.setattr(host, "notifications", lambda _: first)
    recorder.from_client(query("LISTEN a"))
    recorder.from_backend(complete("LISTEN") + ready())
    recorder.from_backend(answer(found("channel", "", b"61"), count=0))
    recorder.from_backend(answer())
    assert recorder.released == 1
    recorder.from_client(query("UNLISTEN a"))
    recorder.from_backend(answer())
    recorder.from_backend(complete("UNLISTEN") + ready())
    recorder.from_backend(answer(found("put_back"), count=0))
    recorder.from_backend(answer())
    assert recorder.released == 2
    monkeypatch.setattr(host, "notifications", lambda _: second)
    recorder.from_client(query("LISTEN b"))
    assert (first.asked, second.asked) == ([b"a"], [b"b"])
