"""A worker's permits, and the books that the control keeps of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pooler.config import config_from_upstream
from pooler.processes.ledger import Ledger, Limits
from pooler.processes.messages import Ask, Calm, Grant, Message, Release, Return
from pooler.processes.permits import Permits
from pooler.processes.welcomes import SharedWelcomes
from pooler.server import Server
from pooler.waiting import Profile

if TYPE_CHECKING:
    from pooler.client import ClientConnection
    from pooler.processes.messages import Key

FIRST, SECOND = 1, 2
SESSION = Profile(())


@dataclass(eq=False)
class Waiter:
    """As much of a client as a queue looks at."""

    profile: Profile = SESSION


class Books:
    """The control's ledger, which hears what a worker says when the test delivers it."""

    def __init__(self) -> None:
        self.ledger = Ledger(lambda key: Limits(pool_size=1, reserve=0, per_database=0, per_user=0))
        self.ledger.paused = False

    def hear(self, slot: int, message: Message) -> list[tuple[int, object]]:
        now = time.monotonic()
        match message:
            case Ask(key=key, want=want, demand=demand, since=since):
                return list(self.ledger.ask(slot, key, want, now, demand=demand, since=since))
            case Calm(key=key):
                self.ledger.calm(slot, key)
            case Return(key=key, count=count):
                return list(self.ledger.give_back(slot, key, count, now))
            case _:
                raise AssertionError(message)
        return []


async def test_what_was_asked_while_a_permit_was_on_its_way_is_wanted_no_more() -> None:
    """Else whoever really waits comes after a client that does not, and that has waited longer than anybody."""
    server = Server(config_from_upstream("postgresql://postgres:secret@127.0.0.1:1/app", None))
    said: list[Message] = []
    permits = Permits(
        server.pools, lambda message, fd: said.append(message), FIRST, 2, SharedWelcomes(server.host.shared)
    )
    server.pools.capacity = permits
    pool = server.pools.get(server.config.pool_settings("app", "postgres"))
    key: Key = pool.settings.pool_key
    books = Books()
    waiter = cast("ClientConnection", Waiter())
    pool.waiting.for_backend.add(waiter, time.monotonic())

    permits.ask(pool)
    permits.tick()
    first, again = said
    said.clear()
    assert books.hear(FIRST, first) == [(FIRST, Grant(key, 1))]
    books.hear(FIRST, again)
    # The worker logs in, and the client has what it waited for by then.
    pool.forget(waiter)
    pool.growth.logging_in[object()] = SESSION
    permits.on_grant(Grant(key, 1))
    for message in said:
        books.hear(FIRST, message)

    assert books.ledger.wanting == []
    # Another worker's client waits: the backend that does nothing is asked for.
    asked = books.hear(SECOND, Ask(key, 1, 1, time.monotonic(), reserve=False, floor=False))
    assert (FIRST, Release(key, idle_only=True)) in asked


async def test_a_permit_that_comes_for_a_pool_that_is_gone_goes_back_and_nothing_is_wanted() -> None:
    server = Server(config_from_upstream("postgresql://postgres:secret@127.0.0.1:1/app", None))
    said: list[Message] = []
    permits = Permits(
        server.pools, lambda message, fd: said.append(message), FIRST, 2, SharedWelcomes(server.host.shared)
    )
    key: Key = ("app", "postgres", "primary")
    permits.on_grant(Grant(key, 1))
    assert said == [Return(key, 1), Calm(key)]
