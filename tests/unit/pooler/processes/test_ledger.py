"""Who gets permits, who gives them up, and that there are never too many."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pooler.processes.ledger import HOLD, LONG, PATIENCE, Action, Ledger, Limits
from pooler.processes.messages import Full, Grant, Key, Release

APP: Key = ("app", "alice", "primary")
OTHER: Key = ("app", "bob", "primary")


def ledger(size: int = 2, reserve: int = 0, per_database: int = 0, per_user: int = 0) -> Ledger:
    made = Ledger(lambda key: Limits(size, reserve, per_database, per_user))
    made.paused = False
    return made


def grants(actions: list[Action]) -> dict[int, int]:
    return {holder: message.count for holder, message in actions if isinstance(message, Grant)}


def releases(actions: list[Action]) -> list[tuple[int, bool]]:
    return [(holder, message.idle_only) for holder, message in actions if isinstance(message, Release)]


def test_what_is_free_is_granted_and_no_more() -> None:
    books = ledger(3)
    assert grants(books.ask(1, APP, 2, 0.0)) == {1: 2}
    actions = books.ask(2, APP, 2, 0.0, demand=2)
    assert grants(actions) == {2: 1}
    assert [holder for holder, message in actions if isinstance(message, Full)] == [2]
    assert books.held(APP) == 3


def test_what_is_returned_goes_to_who_has_none_and_then_to_who_has_least_for_its_clients() -> None:
    books = ledger(3)
    books.ask(1, APP, 2, 0.0)
    books.ask(2, APP, 1, 0.0)
    books.ask(1, APP, 1, 1.0, demand=9, since=1.0)
    books.ask(3, APP, 1, 1.1, demand=1, since=1.1)
    books.ask(2, APP, 1, 1.2, demand=2, since=0.9)
    assert grants(books.give_back(1, APP, 1, 1.3)) == {3: 1}
    assert grants(books.give_back(3, APP, 1, 1.3)) == {1: 1}


def test_who_has_waited_for_long_comes_before_who_has_less() -> None:
    """What the first has may be in use for long; the second serves its clients all the time."""
    books = ledger(3)
    books.ask(1, APP, 1, 0.0)
    books.ask(2, APP, 2, 0.0)
    books.ask(1, APP, 1, 1.0, demand=2, since=1.0)
    books.ask(2, APP, 9, 1.1, demand=11, since=1.1)
    assert not releases(books.look(1.0 + LONG / 2))
    # Those that wait at the second have come by now.
    books.ask(2, APP, 9, 2.1, demand=11, since=2.0)
    assert releases(books.look(2.1)) == []
    assert [holder for holder, _ in books.look(3.2)] == [2]
    assert grants(books.give_back(2, APP, 1, 3.3)) == {1: 1}


def test_nothing_is_granted_while_it_is_not_known_what_is_out() -> None:
    books = ledger(2)
    books.paused = True
    assert not grants(books.ask(1, APP, 1, 0.0))
    books.adopt(2, APP, 2, 0.0)
    books.paused = False
    assert not grants(books.look(0.0))
    assert grants(books.give_back(2, APP, 1, 0.0)) == {1: 1}


def test_an_idle_backend_is_asked_for_at_once_and_a_busy_one_later() -> None:
    books = ledger(1)
    books.ask(1, APP, 1, 0.0)
    assert releases(books.ask(2, APP, 1, 1.0, since=1.0)) == [(1, True)]
    assert not releases(books.busy(1, APP, 1.0)), "it was asked a moment ago"
    assert not releases(books.look(1.0 + PATIENCE / 2))
    assert releases(books.look(1.0 + PATIENCE + 0.01)) == [(1, True)]
    assert releases(books.busy(1, APP, 1.0 + PATIENCE + 0.02)) == [(1, False)]
    assert not books.look(1.0 + PATIENCE + 0.03), "it was asked already"


def test_who_has_work_keeps_a_permit_for_a_while() -> None:
    books = ledger(1)
    books.ask(1, APP, 1, 0.0)
    books.ask(1, APP, 3, 0.0, demand=4, since=0.0)
    assert not releases(books.ask(2, APP, 1, 0.0, since=0.0))
    assert not releases(books.look(HOLD - 0.01))
    assert releases(books.look(HOLD + 0.01)) == [(1, False)]


def test_a_permit_moves_between_workers_that_have_some_only_if_the_giver_stays_better_off() -> None:
    books = ledger(10)
    for worker in (1, 2):
        books.ask(worker, APP, 5, 0.0)
    books.ask(1, APP, 5, 0.0, demand=10)
    books.ask(2, APP, 7, 0.0, demand=12)
    assert not releases(books.look(0.4)), "4 for 10 would be less than 6 for 12"
    assert releases(books.ask(2, APP, 20, 0.4, demand=25)) == [(1, False)]


def test_reserve_is_for_who_has_waited() -> None:
    books = ledger(1, reserve=1)
    books.ask(1, APP, 1, 0.0)
    assert not grants(books.ask(2, APP, 1, 0.0))
    assert grants(books.ask(2, APP, 1, 5.0, reserve=True)) == {2: 1}
    assert not grants(books.ask(3, APP, 1, 5.0, reserve=True))


def test_what_is_above_a_smaller_limit_is_given_up() -> None:
    size = 4
    books = Ledger(lambda key: Limits(size, 0, 0, 0))
    books.paused = False
    books.ask(1, APP, 3, 0.0)
    books.ask(2, APP, 1, 0.0)
    assert books.trim(1.0) == ([], False)
    size = 2
    actions, excessive = books.trim(1.0)
    assert releases(actions) == [(1, False), (2, False)]
    assert excessive
    assert books.trim(1.1) == ([], True), "they were asked a moment ago"
    assert not grants(books.give_back(1, APP, 1, 1.2))
    assert books.trim(1.2) == ([], True)
    books.give_back(2, APP, 1, 1.2)
    assert books.trim(1.3) == ([], False)


def test_limits_that_pools_share() -> None:
    books = ledger(2, per_database=2)
    books.ask(1, APP, 2, 0.0)
    actions = books.ask(2, OTHER, 1, 0.0, since=0.0)
    assert not grants(actions)
    assert releases(actions) == [(1, True)]
    assert grants(books.give_back(1, APP, 1, 0.0)) == {2: 1}
    # Bob's pool has a backend now: no busy one is taken from alice's for his next.
    books.ask(2, OTHER, 1, 0.0, since=0.0)
    books.busy(1, APP, 9.99)
    assert not releases(books.look(10.0))


def test_a_minimum_is_had_from_what_is_free_alone() -> None:
    books = ledger(1)
    assert grants(books.ask_for_floor(1, APP, 0.0)) == {1: 1}
    assert not books.ask_for_floor(2, APP, 0.0)
    assert not books.wanting


def test_a_pool_without_a_place_gets_nothing() -> None:
    def limits(key: Key) -> Limits:
        raise LookupError(key)

    books = Ledger(limits)
    books.paused = False
    assert not grants(books.ask(1, APP, 1, 0.0))
    assert not releases(books.look(10.0))


def test_permits_of_the_dead_count_until_they_are_free() -> None:
    books = ledger(2)
    books.ask(1, APP, 2, 0.0)
    books.ask(2, APP, 1, 0.0, since=0.0)
    assert books.leave(1) == {APP: 2}
    books.bequeath(1, -1, APP, 2)
    assert not books.look(10.0), "nobody can be asked for them"
    assert grants(books.give_back(-1, APP, 1, 10.0)) == {2: 1}
    assert books.held(APP) == 2


def test_returning_what_one_does_not_have_is_a_bug() -> None:
    books = ledger()
    with pytest.raises(AssertionError, match="returns 1 of 0"):
        books.give_back(1, APP, 1, 0.0)


@pytest.mark.parametrize("seed", range(20))
def test_limits_hold_whatever_happens(seed: int) -> None:
    """Workers that ask, give back, change their minds and die, in any order."""
    chance = random.Random(seed)
    keys: list[Key] = [(database, user, "primary") for database in "ab" for user in ("alice", "bob")]
    books = ledger(3, reserve=1, per_database=5, per_user=6)
    out: Counter[tuple[int, Key]] = Counter()
    now = 0.0

    def take(actions: list[Action]) -> None:
        for holder, message in actions:
            if isinstance(message, Grant):
                out[holder, message.key] += message.count

    for _ in range(600):
        now += chance.choice([0.0, 0.01, 0.2])
        worker, key = chance.randint(1, 4), chance.choice(keys)
        match chance.randint(0, 6):
            case 0 | 1 | 2:
                want = chance.randint(1, 3)
                take(books.ask(worker, key, want, now, demand=want, since=now, reserve=chance.random() < 0.3))
            case 3 if out[worker, key]:
                out[worker, key] -= 1
                take(books.give_back(worker, key, 1, now))
            case 4:
                books.calm(worker, key)
            case 5:
                take(books.busy(worker, key, now))
            case 6 if chance.random() < 0.2:
                for left, count in books.leave(worker).items():
                    assert count == out.pop((worker, left))
                    take(books.give_back(worker, left, count, now))
        take(books.look(now))
        totals: Counter[str] = Counter()
        for (_, (database, user, _)), count in out.items():
            totals[f"{database}.{user}"] += count
            totals[database] += count
            totals[user] += count
        assert all(totals[f"{database}.{user}"] <= 4 for database, user, _ in keys)
        assert all(totals[database] <= 5 for database in "ab")
        assert all(totals[user] <= 6 for user in ("alice", "bob"))
        assert {(holder, one): holding.held for one, holder, holding in books.holders() if holding.held} == +out
