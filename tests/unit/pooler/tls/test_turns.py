"""Which handshake goes on next, and which is given up where too many are under way."""

from __future__ import annotations

import asyncio

import pytest

from pooler.tls import turns as module
from pooler.tls.turns import Turns


class Clock:
    """A loop's time, which passes when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = 100.0
        self.due: list[tuple[float, object]] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: self._now)
        monkeypatch.setattr(loop, "call_later", self._call_later)

    def _call_later(self, seconds: float, callback: object) -> object:
        self.due.append((self._now + seconds, callback))
        return object()

    async def advance(self, seconds: float) -> None:
        self._now += seconds
        due = [call for call in self.due if call[0] <= self._now]
        self.due = [call for call in self.due if call not in due]
        for _, callback in due:
            assert callable(callback)
            callback()
        await settle()


class Client:
    """A handshake that needs so many more messages of its client's."""

    def __init__(self, turns: Turns, log: list[str], name: str, messages: int = 2) -> None:
        self._turns = turns
        self._log = log
        self._missing = messages
        self._begun = False
        self.name = name
        self.origin = name[0]

    def say(self) -> None:
        self._turns.add(self)

    def shake_hands(self) -> None:
        self._log.append(self.name)
        if not self._begun:
            self._begun = True
            self._turns.on_begun(self)
        self._missing -= 1
        if not self._missing:
            self._turns.on_ended(self)

    def abort(self) -> None:
        self._log.append(f"{self.name} cut")


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def two_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWERED", 2)


async def test_who_was_answered_goes_before_newcomers(log: list[str]) -> None:
    turns = Turns()
    clients = [Client(turns, log, name) for name in ("a1", "a2", "a3")]
    clients[0].say()
    await settle()
    clients[1].say()
    clients[2].say()
    clients[0].say()
    await settle()
    assert log == ["a1", "a1", "a2", "a3"]


async def test_a_crowd_that_answers_is_never_cut(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    turns = Turns()
    clients = [Client(turns, log, f"a{number}") for number in range(5)]
    for client in clients:
        client.say()
    await settle()
    assert log == ["a0", "a1"], "the others wait for a place"
    for client in clients:
        client.say()
        await settle()
    assert log == ["a0", "a1", "a0", "a2", "a1", "a3", "a2", "a4", "a3", "a4"]
    await clock.advance(100)
    assert not any("cut" in line for line in log)


async def test_the_address_that_has_the_most_places_loses_its_oldest(
    log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ANSWERED", 3)
    clock = Clock(monkeypatch)
    turns = Turns()
    for name in ("b1", "a1", "a2", "a3", "a4", "a5", "c1"):
        Client(turns, log, name).say()
    await settle()
    assert log == ["b1", "a1", "c1"], "newcomers of all addresses take turns"
    await clock.advance(module.PATIENCE - 0.01)
    assert len(log) == 3, "a client has that long to answer"
    await clock.advance(0.02)
    assert log[3:] == ["b1 cut", "a2", "a1 cut", "a3"], "of those of a, none is silent for long"
    log.clear()
    Client(turns, log, "b2").say()
    await clock.advance(module.PATIENCE + 0.01)
    assert log == ["a2 cut", "a4", "a3 cut", "b2", "c1 cut", "a5"]


async def test_who_is_gone_takes_no_place_and_nobody_waits_for_it(
    log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch)
    turns = Turns()
    clients = [Client(turns, log, f"a{number}") for number in range(5)]
    for client in clients:
        client.say()
    await settle()
    turns.on_ended(clients[2])
    turns.on_ended(clients[2])
    turns.on_ended(clients[0])
    await settle()
    turns.on_ended(clients[1])
    await settle()
    assert log == ["a0", "a1", "a3", "a4"]
