"""The queue of those who wait, held against plain lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from hypothesis import given
from hypothesis import strategies as st

from pooler.waiting import Profile, Queue, Waiting

if TYPE_CHECKING:
    from pooler.client import ClientConnection

PROFILES = [Profile((("application_name", name),)) for name in ("a", "b", "c")]


@dataclass(eq=False)
class Stub:
    """What a queue knows of a client."""

    profile: Profile


def clients(count: int) -> list[ClientConnection]:
    return [cast("ClientConnection", Stub(PROFILES[number % 3])) for number in range(count)]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8))))
def test_a_queue_is_a_list_of_clients_in_their_order(steps: list[tuple[bool, int]]) -> None:
    everybody = clients(9)
    queue = Queue()
    model: list[ClientConnection] = []
    for time, (comes, number) in enumerate(steps):
        client = everybody[number]
        if client in model:
            model.remove(client)
            queue.discard(client)
        elif comes:
            model.append(client)
            queue.add(client, float(time))
        else:
            queue.discard(client)
        assert list(queue.since) == model
        assert list(queue.since.values()) == sorted(queue.since.values())
        assert len(queue) == len(model)
        assert queue.first() is (model[0] if model else None)
        for profile in PROFILES:
            same = [each for each in model if each.profile is profile]
            assert queue.first_of(profile) is (same[0] if same else None)
            assert list(queue.by_profile.get(profile, ())) == same
            assert (profile in queue.by_profile) is bool(same)
        assert {client: since for since, client in queue.first_of_each()} == {
            first: queue.since[first] for profile in PROFILES if (first := queue.first_of(profile))
        }


def test_the_first_of_all_is_the_older_of_both_queues() -> None:
    first, second, third = clients(3)
    waiting = Waiting()
    assert waiting.first() is None
    waiting.for_welcome.add(first, 1.0)
    assert waiting.first() == (1.0, first)
    waiting.for_backend.add(second, 2.0)
    assert waiting.first() == (1.0, first)
    waiting.discard(first)
    assert waiting.first() == (2.0, second)
    waiting.for_welcome.add(third, 3.0)
    assert waiting.first() == (2.0, second)
    waiting.discard(second)
    waiting.discard(third)
    assert waiting.first() is None
