"""Who looks for changes of a catalogue, of several processes."""

from __future__ import annotations

import pytest

from interceptor.catalogue.loading import State
from pooler.config import PoolSettings
from pooler.config.load import config_from_upstream
from pooler.helpers.polls import SharedPolls
from pooler.processes.slate import Slate

FOUND, NEWER = State("1:1:", "abc"), State("2:2:", "abd")


@pytest.fixture
def settings() -> PoolSettings:
    return config_from_upstream("postgresql://u:p@127.0.0.1/app").pool_settings("app", "u")


@pytest.fixture
def file() -> int:
    return Slate.make_file()


def member(file: int, settings: PoolSettings) -> SharedPolls:
    slate = Slate(file)
    slate.sit(slate.claim(1)[0])
    return SharedPolls(lambda: slate, lambda: settings)


def test_whoever_looked_goes_on_to_do_so(file: int, settings: PoolSettings) -> None:
    one, other = member(file, settings), member(file, settings)
    assert other.latest(0.0, FOUND, 100.0) is None, "nobody has looked"
    one.note(100.0, 105.0, FOUND)
    assert one.latest(100.0, FOUND, 105.0) is None, "it is this one's turn again"
    told = other.latest(99.0, FOUND, 104.0)
    assert told is not None
    assert told[0] == 100.0
    assert told[1] > 105.0, "it has a moment to do so"
    assert other.latest(99.0, FOUND, told[1] + 1.0) is None, "it has not"


def test_two_that_looked_at_once_do_so_once(file: int, settings: PoolSettings) -> None:
    one, other = member(file, settings), member(file, settings)
    one.note(100.0, 105.0, FOUND)
    other.note(100.1, 105.1, FOUND)
    assert one.latest(100.0, FOUND, 105.0) is not None
    assert other.latest(100.1, FOUND, 105.1) is None


def test_what_another_found_is_looked_at(file: int, settings: PoolSettings) -> None:
    one, other = member(file, settings), member(file, settings)
    one.note(100.0, 105.0, NEWER)
    assert other.latest(99.0, FOUND, 101.0) is None
    assert other.latest(100.5, FOUND, 101.0) is None, "and so is what was found before this one looked"
    assert other.latest(99.0, NEWER, 101.0) is not None
