"""Counters and small values that a plugin shares with itself in other workers."""

from __future__ import annotations

import logging

import pytest

from pooler.plugins.shared import MAX_KEYS, MAX_VALUE, SharedMemory


def test_counters_outlive_who_made_them_and_belong_to_one_plugin() -> None:
    memory = SharedMemory()
    memory.of("one").counters("seen", 3).add(2, 5)
    again = memory.of("one").counters("seen", 3)
    again.add(2)
    assert [again.read(index) for index in range(3)] == [0, 0, 6]
    assert memory.of("two").counters("seen", 1).read(0) == 0


def test_counters_have_one_size() -> None:
    shared = SharedMemory().of("one")
    shared.counters("seen", 3)
    with pytest.raises(ValueError, match="are 3, not 4"):
        shared.counters("seen", 4)
    with pytest.raises(ValueError, match="0 counters"):
        shared.counters("none", 0)


def test_values_are_told_to_who_listens() -> None:
    state = SharedMemory().of("one").state
    told: list[tuple[str, bytes | None]] = []
    state.on_change(lambda key: told.append((key, state.get(key))))
    state.set("a", b"1")
    state.set("a", b"2")
    assert told == [("a", b"1"), ("a", b"2")]
    assert state.get("b") is None


def test_a_listener_that_fails_keeps_nobody_from_the_news(caplog: pytest.LogCaptureFixture) -> None:
    shared = SharedMemory().of("one")
    told: list[str] = []

    def fail(key: str) -> None:
        raise RuntimeError(key)

    shared.state.on_change(fail)
    shared.state.on_change(told.append)
    with caplog.at_level(logging.ERROR):
        shared.state.set("a", b"1")
    assert told == ["a"]
    assert "plugin one" in caplog.text
    shared.forget_listeners()
    shared.state.set("a", b"2")
    assert told == ["a"]


def test_values_are_small_and_few() -> None:
    state = SharedMemory().of("one").state
    state.set("big", b"x" * MAX_VALUE)
    with pytest.raises(ValueError, match="bytes"):
        state.set("big", b"x" * (MAX_VALUE + 1))
    for number in range(MAX_KEYS - 1):
        state.set(f"k{number}", b"")
    state.set("k0", b"again")
    with pytest.raises(ValueError, match="values already"):
        state.set("one more", b"")
