"""A recorded session about whose statements plugins decide."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import cast

from interceptor.errors import ClientError
from interceptor.protocol.messages import decode_error_fields
from interceptor.session import BackendSession, ClientSession, PoolMode
from interceptor.session.interception import Interception
from interceptor.session.listening import Notifications
from interceptor.testing.harness import PluginHarness
from tests.support.recorder import REPORTED, Recorder

HEAD = """
from __future__ import annotations
from collections.abc import *
from interceptor import *
"""


class PluggedRecorder(Recorder):
    """As ``Recorder``, with one plugin, whose source is ``HEAD`` and what the test gives."""

    def __init__(
        self,
        folder: Path,
        source: str,
        mode: PoolMode = PoolMode.TRANSACTION,
        *,
        shared: bool = True,
        reuses: bool = False,
    ) -> None:
        file = folder / "plugin_under_test.py"
        file.write_text(HEAD + source)
        self.harness = PluginHarness(file)
        self.facts = self.harness.session()
        self.reuses = reuses
        self.is_full = False
        """The client does not read as fast as it is sent to."""
        self.by_hand = False
        """What plugins wait for goes on only by ``go_on``."""
        self.targets: list[str | None] = []
        """Of each backend that was asked for."""
        self._waiting: deque[tuple[Awaitable[object], Callable[[object], None]]] = deque()
        super().__init__(mode, shared=shared)

    def new_client(self) -> ClientSession:
        host = _PluggedHost(self)
        self.client = ClientSession(host, self._mode, self._effects, REPORTED, self._registry, reuses=self.reuses)
        self.interception = Interception(self.client, self.harness.tables, self.facts)
        self.client.intercept(self.interception)
        return self.client

    def from_client(self, data: bytes) -> None:
        super().from_client(data)
        self._go_on_alone()

    def from_backend(self, data: bytes) -> None:
        super().from_backend(data)
        self._go_on_alone()

    def _go_on_alone(self) -> None:
        while self._waiting and not self.by_hand:
            self.go_on()

    @property
    def waits(self) -> bool:
        """Plugins take their time for something."""
        return bool(self._waiting)

    def go_on(self) -> None:
        """Let what was waited for first come to its end. It must not wait for anything outside of it."""
        awaitable, on_done = self._waiting.popleft()
        course = cast("Generator[object, None, object]", awaitable.__await__())
        try:
            next(course)
        except StopIteration as done:
            on_done(done.value)
        else:
            raise AssertionError("it waits for something that never comes")

    def wait_for(self, awaitable: Awaitable[object], on_done: Callable[[object], None]) -> None:
        """As ``ClientHost.wait_for``."""
        self._waiting.append((awaitable, on_done))


class _PluggedHost:
    """``ClientHost``, where plugins are at work; all else is the recorder's own."""

    def __init__(self, recorder: PluggedRecorder) -> None:
        from tests.support import recorder as plain

        self._plain = plain._ClientHost(recorder)
        self._recorder = recorder
        self.write = self._plain.write
        self.on_pins_changed = self._plain.on_pins_changed
        self.catch_up = self._plain.catch_up
        self.on_defining = self._plain.on_defining
        self.on_uncovering = self._plain.on_uncovering
        self.on_defined = self._plain.on_defined
        self.on_finished = self._plain.on_finished
        self.pause_reading = self._plain.pause_reading
        self.resume_reading = self._plain.resume_reading
        self.wait_for = recorder.wait_for

    @property
    def is_full(self) -> bool:
        return self._recorder.is_full

    async def drain(self) -> None:
        self._recorder.is_full = False

    def notifications(self) -> Notifications | None:
        return None

    def acquire(self, target: str | None) -> BackendSession | None:
        self._recorder.targets.append(target)
        return self._plain.acquire(target)

    def on_failed(self, error: ClientError) -> None:
        self._plain.on_failed(error)


def positions(answer: bytes) -> list[str]:
    """The position in each ErrorResponse of an answer; "" where it has none."""
    found, at = [], 0
    while at < len(answer):
        end = at + 1 + int.from_bytes(answer[at + 1 : at + 5], "big")
        if answer[at : at + 1] == b"E":
            found.append(decode_error_fields(answer[at + 5 : end]).get("P", ""))
        at = end
    return found
