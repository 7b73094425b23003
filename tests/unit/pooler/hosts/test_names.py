from __future__ import annotations

import asyncio
import socket

import pytest

from pooler.hosts.names import Names, is_name

LONG = 1000.0


class World:
    """What a resolver would say, and how often it was asked."""

    def __init__(self) -> None:
        self.answer: tuple[str, ...] | OSError = ("10.0.0.1",)
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def look_up(self, name: str) -> tuple[str, ...]:
        self.asked += 1
        await self.open.wait()
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def names(world: World) -> Names:
    return Names(world.look_up)


@pytest.mark.parametrize("host", ["10.0.0.1", "::1", "fe80::1%eth0", "/run/postgresql"])
async def test_what_is_no_name_is_not_looked_up(names: Names, world: World, host: str) -> None:
    assert not is_name(host)
    assert await names.addresses(host, 0, 0) == (host,)
    assert world.asked == 0


async def test_an_answer_is_used_for_its_time_and_asked_for_once_by_all(names: Names, world: World) -> None:
    world.open.clear()
    asking = [asyncio.ensure_future(names.addresses("db", LONG, LONG)) for _ in range(5)]
    await asyncio.sleep(0)
    asking.pop().cancel()  # who gives up takes nobody along
    world.open.set()
    assert await asyncio.gather(*asking) == [("10.0.0.1",)] * 4
    world.answer = ("10.0.0.2",)
    assert await names.addresses("db", LONG, LONG) == ("10.0.0.1",)
    assert world.asked == 1
    assert await names.addresses("db", 0, LONG) == ("10.0.0.2",)
    assert names.has_left("db", "10.0.0.1")
    assert not names.has_left("db", "10.0.0.2")
    assert not names.has_left("other", "10.0.0.1")


async def test_addresses_stay_in_use_while_lookups_fail_and_not_when_the_name_is_gone(
    names: Names, world: World
) -> None:
    await names.addresses("db", LONG, LONG)
    world.answer = socket.gaierror(socket.EAI_AGAIN, "try again")
    assert await names.addresses("db", 0, LONG) == ("10.0.0.1",)
    world.answer = socket.gaierror(socket.EAI_NONAME, "no such name")
    with pytest.raises(OSError, match='"db" can\'t be looked up: no such name'):
        await names.addresses("db", LONG, 0)
    assert not names.has_left("db", "10.0.0.1")  # where to go is not known, so nobody has to
    asked = world.asked
    with pytest.raises(OSError, match="no such name"):
        await names.addresses("db", 0, LONG)
    assert world.asked == asked
    world.answer = ("10.0.0.3",)
    assert await names.addresses("db", LONG, 0) == ("10.0.0.3",)


async def test_a_refresh_holds_nobody_up(names: Names, world: World) -> None:
    names.refresh("db", 0, 0)
    assert world.asked == 0  # nobody has ever connected there
    await names.addresses("db", LONG, LONG)
    world.open.clear()
    names.refresh("db", LONG, LONG)
    await asyncio.sleep(0)
    assert world.asked == 1
    assert [(host, addresses) for host, _, addresses in names.known(LONG, LONG)] == [("db", ("10.0.0.1",))]
