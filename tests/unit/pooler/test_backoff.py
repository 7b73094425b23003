"""How long a server is let be that nobody could log in to."""

from __future__ import annotations

import random

import pytest

from pooler.backoff import FIRST, Backoff


def test_waits_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    backoff = Backoff()
    waits = []
    for _ in range(6):
        backoff.on_failed(100.0, 1.0)
        waits.append(backoff.until - 100.0)
    assert waits == pytest.approx([FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST, 1.0, 1.0])
    backoff.reset()
    assert backoff.until == 0.0
    backoff.on_failed(100.0, 1.0)
    assert backoff.until == pytest.approx(100.0 + FIRST)


def test_pools_do_not_come_back_all_at_once() -> None:
    waits = set()
    for _ in range(50):
        backoff = Backoff()
        backoff.failures = 10
        backoff.on_failed(0.0, 15.0)
        assert 7.5 <= backoff.until <= 15.0
        waits.add(backoff.until)
    assert len(waits) > 40


def test_a_server_that_is_gone_for_weeks_has_a_wait_too() -> None:
    backoff = Backoff()
    backoff.failures = 100_000
    backoff.on_failed(0.0, 15.0)
    assert backoff.until <= 15.0
