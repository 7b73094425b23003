"""Who listens in a client's place, where it waits for that, and when it does not want to wait any more."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from interceptor.session.listening import Listener
from tests.support.recorder import Recorder, complete, message, query, ready


class Slow:
    """Listens to nothing before it is told to."""

    max_unread = 1000

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.left: list[bytes] = []

    def listen(self, listener: Listener, channels: Collection[bytes]) -> None:
        self.asked += channels

    def unlisten(self, listener: Listener, channels: Collection[bytes]) -> None:
        self.left += channels

    def leave(self, listener: Listener) -> None:
        pass


@pytest.fixture
def notifications(monkeypatch: pytest.MonkeyPatch) -> Slow:
    made = Slow()
    monkeypatch.setattr(type(Recorder().client.host), "notifications", lambda _: made)
    return made


def waits(recorder: Recorder) -> bool:
    return recorder.client.listening is not None and recorder.client.listening.waits


def test_a_listen_that_waits_is_canceled(notifications: Slow) -> None:
    """As a statement that fails. Another LISTEN of the same channel is asked for anew."""
    recorder = Recorder()
    recorder.from_client(query("LISTEN a"))
    listening = recorder.client.listening
    assert listening is not None
    assert waits(recorder)
    listening.cancel()
    assert not waits(recorder)
    assert notifications.left == [b"a"]
    recorder.from_backend(message("E", b"SERROR\0VERROR\0C42601\0Msyntax error\0\0") + ready())
    assert b"\0C57014\0" in recorder.to_client
    recorder.from_client(query("LISTEN a"))
    assert waits(recorder)
    assert notifications.asked == [b"a", b"a"]
    listening.on_listening([b"a"])
    recorder.from_backend(complete("LISTEN") + ready())
    assert recorder.to_client.endswith(complete("LISTEN") + ready())
