"""Memory that processes share: who sees what."""

from __future__ import annotations

import os

import pytest

from pooler.processes.memory import SharedMap


def in_child(memory: SharedMap, slot: int, work: str) -> None:
    """Do this in a process of its own, at this seat."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            memory.sit(slot)
            exec(work, {"memory": memory})
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_counters_are_the_sum_of_all_processes() -> None:
    memory = SharedMap(2)
    early = memory.counters("early", 3)
    early.add(0)
    for slot in (1, 2):
        in_child(memory, slot, "memory.counters('early', 3).add(0, 10)\nmemory.counters('late', 1).add(0, 7)")
    assert early.read(0) == 21
    assert early.read(1) == 0
    assert memory.counters("late", 1).read(0) == 14, "what a child made is found here"


def test_a_seat_goes_on_where_the_one_before_left_it() -> None:
    memory = SharedMap(1)
    for _ in range(3):
        in_child(memory, 1, "memory.counters('seen', 1).add(0)")
    assert memory.counters("seen", 1).read(0) == 3


def test_levels_forget_what_a_process_added_that_is_gone() -> None:
    memory = SharedMap(2)
    made = "memory.counters('~level', 2).add(1, 5); memory.counters('count', 2).add(1, 5)"
    in_child(memory, 1, made)
    in_child(memory, 2, made)
    memory.vacate(1)
    assert [memory.counters("~level", 2).read(index) for index in range(2)] == [0, 5]
    assert memory.counters("count", 2).read(1) == 10


def test_counters_have_one_size_and_there_is_an_end_of_them() -> None:
    memory = SharedMap(1)
    memory.counters("seen", 3)
    with pytest.raises(ValueError, match="are 3, not 4"):
        memory.counters("seen", 4)
    with pytest.raises(ValueError, match="0 counters"):
        memory.counters("none", 0)
    with pytest.raises(ValueError, match="no place"):
        memory.counters("many", 10**7)


def test_a_seat_tells_of_its_process() -> None:
    memory = SharedMap(2)
    seat = memory.seats[1]
    assert not seat.counts
    seat.take(4711)
    assert not seat.counts, "it has not begun to serve"
    in_child(memory, 1, "memory.seats[1].ready = True\nmemory.seats[1].clients = 5\nmemory.seats[1].beat()")
    assert (seat.counts, seat.pid, seat.clients, memory.clients) == (True, 4711, 5, 5)
    assert seat.silence < 10
    seat.leave()
    assert (seat.counts, seat.pid, seat.clients, seat.restarts) == (False, 0, 0, 1)
