"""Questions to workers of which one does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from pooler.processes import questions
from pooler.processes.control import Peer
from pooler.processes.messages import Answered, Question
from pooler.processes.questions import QuestionRouter


class FakePeer:
    """As much of a Peer as the router needs."""

    answers = True

    def __init__(self, on_asked: Callable[[Question], None]) -> None:
        self.channel = self
        self._on_asked = on_asked

    def send(self, message: Question, fd: int = -1) -> None:
        self._on_asked(message)


class Workers:
    """Two workers; ``asked`` has what the second one has not answered."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.quick = cast("Peer", FakePeer(self._answer))
        self.slow = cast("Peer", FakePeer(self.asked.append))
        self.router = QuestionRouter({1: self.quick, 2: self.slow})
        self.router.on_ready()

    def _answer(self, message: Question) -> None:
        # Later, as over a connection.
        answered = Answered(message.ticket, [[["quick"]]], None)
        asyncio.get_running_loop().call_soon(self.router.on_answered, answered, self.quick)

    def answer_late(self) -> None:
        for question in self.asked:
            self.router.on_answered(Answered(question.ticket, [[["slow"]]], None), self.slow)
        self.asked.clear()

    async def ask(self) -> list[object]:
        answered = await self.router.ask("pools", (), is_command=False)
        return [row for rows in answered.rows for row in rows]


async def test_who_did_not_answer_is_waited_for_no_more_until_he_does(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers()
    monkeypatch.setattr(questions, "_ANSWER_WITHIN", 0.01)
    assert await workers.ask() == [["quick"]]
    # From now on the whole patience would be longer than this test may take.
    monkeypatch.setattr(questions, "_ANSWER_WITHIN", 3600)
    monkeypatch.setattr(questions, "_LATE_WITHIN", 0.01)
    assert await workers.ask() == [["quick"]]
    workers.answer_late()
    monkeypatch.setattr(questions, "_LATE_WITHIN", 0)
    asking = asyncio.get_running_loop().create_task(workers.ask())
    await asyncio.sleep(0.02)  # enough for one who is late to be given up
    workers.answer_late()
    assert await asking == [["quick"], ["slow"]]
