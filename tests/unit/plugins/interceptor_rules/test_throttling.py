"""Throttles whose numbers several processes share."""

from __future__ import annotations

from interceptor import Block, Delay, Forward
from interceptor.services import SharedCounters
from interceptor_rules.buckets import CELLS, Cells, LocalCounters
from interceptor_rules.model import Rule
from interceptor_rules.throttling import Throttle


class Together(LocalCounters):
    """Shared counters in which another process does something at a certain moment."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[tuple[int, int]] = []

    def add(self, index: int, amount: int = 1) -> None:
        super().add(index, amount)
        while self.meanwhile:
            super().add(*self.meanwhile.pop())


class Members:
    """The same rule in two processes, at a moment of the test's choice."""

    def __init__(self, **keys: object) -> None:
        self.now = 1000.0
        counters: SharedCounters = LocalCounters()
        rule = Rule(name="r", action="throttle", **keys)  # type: ignore[arg-type]
        self.one, self.other = [Throttle(rule, Cells(counters, "r"), lambda: self.now) for _ in range(2)]

    def enter(self, *who: Throttle) -> list[str]:
        return [type(one.enter()).__name__ for one in who]


def test_by_the_second_a_bucket_is_full_at_first_and_fills_again() -> None:
    node = Members(per_second=3)
    assert node.enter(node.one, node.other, node.one, node.other) == ["Forward", "Forward", "Forward", "Block"]
    node.now += 0.4
    assert node.enter(node.other, node.one) == ["Forward", "Block"]
    node.now += 100
    assert node.enter(node.one, node.one, node.other, node.other) == ["Forward", "Forward", "Forward", "Block"]


def test_who_waits_is_told_how_long_by_what_all_have_taken() -> None:
    node = Members(per_second=0.5, excess="wait", wait_at_most=5)
    assert isinstance(node.one.enter(), Forward)
    assert [node.other.enter(), node.one.enter()] == [Delay(2.0), Delay(4.0)]
    assert isinstance(node.other.enter(), Block), "six seconds are too many"
    node.now += 2.0
    assert node.other.enter() == Delay(4.0)


def test_places_are_those_of_all() -> None:
    node = Members(at_once=2)
    assert node.enter(node.one, node.other, node.one, node.other) == ["Forward", "Forward", "Block", "Block"]
    node.other.leave()
    assert node.enter(node.one, node.other) == ["Forward", "Block"]
    assert not node.one.idle
    assert node.other.idle


def test_two_that_take_a_bucket_in_the_same_instant_leave_none_that_is_closed_for_long() -> None:
    now, step = 10**12, 10**9
    counters = Together()
    cells = Cells(counters, "key")
    first = next(index for index in range(CELLS) if index in cells._indexes)
    counters.meanwhile = [(first, now + step)]  # the jump of the other process, which has read what this one did
    cells.advance(now, step)
    assert counters.read(first) == now + 2 * step
    counters.add(first, -now)  # its own, taken back: it has seen this one
    assert cells.read() <= now + step


def test_a_key_shares_its_number_only_where_others_have_all_its_cells() -> None:
    counters = LocalCounters()
    for number in range(100):
        Cells(counters, f"user {number}").add(number)
    assert [Cells(counters, f"user {number}").read() for number in range(100)] == list(range(100))
