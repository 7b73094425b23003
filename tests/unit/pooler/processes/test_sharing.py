"""Small values that all processes see: they end alike, whoever set them at the same time."""

from __future__ import annotations

import itertools
import random
from collections import deque

import pytest

from pooler.plugins.shared import SharedMemory
from pooler.processes.messages import Put
from pooler.processes.sharing import Sharing


class World:
    """Some processes and a control, with messages that take their time."""

    def __init__(self, processes: int) -> None:
        self.memories = [SharedMemory() for _ in range(processes)]
        self.up: list[deque[Put]] = [deque() for _ in range(processes)]
        self.down: list[deque[Put]] = [deque() for _ in range(processes)]
        self.versions = itertools.count(1)
        self.sharings = [
            Sharing(memory, lambda put, fd, up=up: up.append(put), slot)  # type: ignore[misc]
            for slot, (memory, up) in enumerate(zip(self.memories, self.up, strict=True))
        ]

    def deliver_up(self, process: int) -> None:
        put = self.up[process].popleft()
        for down in self.down:
            down.append(Put(put.plugin, put.key, put.value, next(self.versions), put.origin))

    def deliver_down(self, process: int) -> None:
        self.sharings[process].on_put(self.down[process].popleft())

    def get(self, process: int) -> bytes | None:
        return self.memories[process].of("one").state.get("key")

    def set(self, process: int, value: bytes) -> None:
        self.memories[process].of("one").state.set("key", value)


@pytest.mark.parametrize("seed", range(30))
def test_all_end_with_the_same_value(seed: int) -> None:
    chance = random.Random(seed)
    world = World(3)
    for step in range(60):
        process = chance.randrange(3)
        match chance.randrange(3):
            case 0:
                world.set(process, b"%d" % step)
                assert world.get(process) == b"%d" % step, "whoever sets a value has it at once"
            case 1 if world.up[process]:
                world.deliver_up(process)
            case 2 if world.down[process]:
                world.deliver_down(process)
    for process in range(3):
        while world.up[process]:
            world.deliver_up(process)
    for process in range(3):
        while world.down[process]:
            world.deliver_down(process)
    assert len({world.get(process) for process in range(3)}) == 1


def test_what_no_control_has_seen_is_told_to_the_next_one() -> None:
    world = World(2)
    world.set(0, b"old")
    world.deliver_up(0)
    world.deliver_down(0)
    world.set(0, b"lost")
    world.set(0, b"newest")
    world.up[0].clear()
    told = world.sharings[0].values()
    assert [(put.value, put.version > 0) for put in told] == [(b"old", True), (b"newest", False)]
    world.up[0].append(told[-1])
    world.deliver_up(0)
    for process in (0, 1):
        while world.down[process]:
            world.deliver_down(process)
        assert world.get(process) == b"newest"
    world.set(1, b"after")
    world.deliver_up(1)
    world.deliver_down(0)
    assert world.get(0) == b"after"


def test_what_was_set_here_holds_against_what_others_had_set_before() -> None:
    world = World(2)
    world.set(1, b"theirs")
    world.deliver_up(1)
    world.set(0, b"ours")
    world.deliver_down(0)
    assert world.get(0) == b"ours"
    world.deliver_up(0)
    world.deliver_down(0)
    assert world.get(0) == b"ours"
