"""When the catalogue is read for a judge, and what holds until it is. No server: the catalogue is played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from interceptor.catalogue import Snapshot
from interceptor.catalogue.judging import Sight
from interceptor.catalogue.service import Listener
from interceptor.errors import BACKEND_LOST, HELPER_TIMEOUT, BackendError
from interceptor.sql.effects import NONE, Effect
from pooler import judges
from pooler.judges import DatabaseJudge


class Played:
    """A catalogue that says what it is told to say."""

    def __init__(self) -> None:
        self.version = 0
        self.snapshot: Snapshot | None = None
        self.error: BackendError | None = None
        self.asked = 0
        self.defined_meanwhile = False
        self._content = Snapshot(server_version=180004)
        self._listeners: list[Listener] = []

    async def current(self) -> Snapshot:
        self.asked += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.snapshot = None if self.defined_meanwhile else self._content
        self.defined_meanwhile = False
        return self._content

    def touch(self) -> None:
        raise AssertionError("nobody said that it is in use")

    def on_ddl(self) -> None:
        self.snapshot = None
        self._tell()

    def found_by_poll(self) -> None:
        self._content = self.snapshot = Snapshot(server_version=180004)
        self._tell()

    def _tell(self) -> None:
        self.version += 1
        for listener in self._listeners:
            listener(self.version)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return self._listeners.clear


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0)


def effect(judge: DatabaseJudge, sql: bytes) -> Effect | None:
    return judge.judge.texts.effects(sql).effect


async def test_nothing_is_read_before_a_text_calls_for_it_and_then_once() -> None:
    catalogue = Played()
    judge = DatabaseJudge("app", catalogue)
    assert effect(judge, b"begin") is None
    await asyncio.sleep(0)
    assert catalogue.asked == 0
    assert [effect(judge, b"select a from t where b = %d" % i) for i in range(3)] == [Effect.OPAQUE] * 3
    await until(lambda: judge.judge.sight is Sight.CLEAR)
    assert judge.judge.texts.effects(b"select a from t") is NONE
    assert (catalogue.asked, judge.readings) == (1, 1)


async def test_after_a_definition_it_is_blind_and_reads_again_when_it_has_to() -> None:
    catalogue = Played()
    judge = DatabaseJudge("app", catalogue)
    effect(judge, b"select a from t")
    await until(lambda: judge.judge.sight is Sight.CLEAR)
    catalogue.on_ddl()
    assert judge.judge.sight is Sight.BLIND
    await asyncio.sleep(0)
    assert catalogue.asked == 1
    assert effect(judge, b"select a from t") is Effect.OPAQUE
    await until(lambda: judge.judge.sight is Sight.CLEAR)
    # Nothing was defined in truth, and so there is nothing to survey.
    assert (catalogue.asked, judge.readings) == (2, 1)


async def test_a_definition_during_the_survey_makes_it_read_again() -> None:
    catalogue = Played()
    judge = DatabaseJudge("app", catalogue)
    effect(judge, b"select a from t")
    catalogue.defined_meanwhile = True
    await until(lambda: judge.judge.sight is Sight.CLEAR)
    assert catalogue.asked == 2


async def test_what_a_poll_finds_takes_the_place_of_what_was_known() -> None:
    catalogue = Played()
    judge = DatabaseJudge("app", catalogue)
    effect(judge, b"select a from t")
    await until(lambda: judge.judge.sight is Sight.CLEAR)
    catalogue.found_by_poll()
    assert judge.judge.sight is Sight.CLEAR
    await until(lambda: judge.readings == 2)


async def test_a_catalogue_that_can_not_be_read_costs_no_questions_for_ever() -> None:
    catalogue = Played()
    catalogue.error = BackendError(BACKEND_LOST, "no")
    judge = DatabaseJudge("app", catalogue, retry_after=0)
    effect(judge, b"select a from t")
    await until(lambda: judge.judge.sight is Sight.DIM)
    assert effect(judge, b"select a from t") is None
    assert effect(judge, b"select f(1)") is Effect.OPAQUE
    catalogue.error = None
    await until(lambda: judge.judge.sight is Sight.CLEAR)


async def test_a_server_that_is_busy_is_no_reason_to_trust() -> None:
    catalogue = Played()
    catalogue.error = BackendError(HELPER_TIMEOUT, "no")
    judge = DatabaseJudge("app", catalogue)
    effect(judge, b"select a from t")
    await until(lambda: catalogue.asked == 1)
    await asyncio.sleep(0)
    assert judge.judge.sight is Sight.BLIND
    judge.close()


async def test_who_waits_for_it_does_not_wait_for_the_pause_between_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "_PAUSE_AFTER_READING", 1e9)
    monkeypatch.setattr(judges, "_MOST_AWAITED", 60.0)
    catalogue = Played()
    judge = DatabaseJudge("app", catalogue)
    for _ in range(3):
        effect(judge, b"select a from t")
        awaited = judge.sight()
        assert awaited is not None
        async with asyncio.timeout(10):
            await awaited
        assert judge.judge.sight is Sight.CLEAR
        catalogue.on_ddl()
    # Where nobody waits, the pause is kept.
    effect(judge, b"select a from t")
    await asyncio.sleep(0.01)
    assert (judge.judge.sight, catalogue.asked) == (Sight.BLIND, 3)
    judge.close()


async def test_what_was_waited_for_in_vain_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "_MOST_AWAITED", 0.001)
    catalogue = Played()
    judge = DatabaseJudge("app", catalogue)
    catalogue.error = BackendError(HELPER_TIMEOUT, "no")
    awaited = judge.sight()
    assert awaited is not None
    await awaited
    assert judge.judge.sight is Sight.BLIND
    assert judge.sight() is None
    catalogue.error = None
    monkeypatch.setattr(judges, "_MOST_AWAITED", 60.0)
    judge.close()
    judge = DatabaseJudge("app", catalogue)
    for _ in range(2):
        awaited = judge.sight()
        assert awaited is not None
        await awaited
        assert judge.sight() is None
        catalogue.on_ddl()
    judge.close()


async def test_a_catalogue_that_takes_longer_than_anybody_waits_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judges, "_MOST_AWAITED", 0.0)
    catalogue = Played()
    judge = DatabaseJudge("app", catalogue)
    effect(judge, b"select a from t")
    await until(lambda: judge.judge.sight is Sight.CLEAR)
    catalogue.on_ddl()
    assert judge.sight() is None
    judge.close()
