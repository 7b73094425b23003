from __future__ import annotations

from dataclasses import replace

import pytest

from pooler.config import DatabaseSettings, PoolSettings, ServerSettings
from pooler.config.dsn import parse_dsn
from pooler.config.hosts import LoadBalanceHosts, TargetSessionAttrs
from pooler.config.pool_settings import merge
from pooler.config.values import HostPort
from pooler.hosts import HostMemory
from pooler.hosts.order import rounds
from pooler.processes.memory import SharedMap

A, B, C = (HostPort(name, 5432) for name in "abc")
ANY = TargetSessionAttrs.ANY
WRITE = TargetSessionAttrs.READ_WRITE


@pytest.fixture
def settings() -> PoolSettings:
    database = DatabaseSettings(primary=parse_dsn("postgresql://a,b,c/d"))
    return merge("d", "u", ServerSettings(), database, {})


def balanced(settings: PoolSettings, how: LoadBalanceHosts) -> PoolSettings:
    return replace(settings, choice=replace(settings.choice, load_balance=how))


def test_as_listed_and_what_was_bad_last(settings: PoolSettings) -> None:
    memory = HostMemory()
    assert memory.order(settings, ANY) == [A, B, C]
    memory.on_failed(A, ANY, 60)
    memory.on_failed(B, WRITE, 60)
    assert memory.order(settings, ANY) == [B, C, A]
    assert memory.order(settings, WRITE) == [A, C, B]
    memory.on_failed(B, ANY, 60)
    memory.on_failed(C, ANY, 60)
    assert memory.order(settings, ANY) == [A, B, C]
    memory.on_found(B, ANY)
    assert memory.order(settings, ANY) == [B, A, C]


def test_when_its_time_is_over_one_tries_it_first_and_the_others_don_t(settings: PoolSettings) -> None:
    memory = HostMemory()
    memory.on_failed(A, ANY, 0)
    assert memory.order(settings, ANY) == [A, B, C]
    memory.on_attempt(A, ANY, 60)
    assert memory.order(settings, ANY) == [B, C, A]
    memory.on_attempt(B, ANY, 60)
    assert memory.order(settings, ANY) == [B, C, A]


def test_processes_take_turns_with_each_other(settings: PoolSettings) -> None:
    in_turns = balanced(settings, LoadBalanceHosts.ROUND_ROBIN)
    shared = SharedMap(2)
    workers = HostMemory(), HostMemory()
    for worker in workers:
        worker.take_turn = shared.take_turn
    assert [worker.order(in_turns, ANY)[0] for _ in range(2) for worker in workers] == [A, B, C, A]


def test_in_turns_and_at_random(settings: PoolSettings) -> None:
    memory = HostMemory()
    in_turns = balanced(settings, LoadBalanceHosts.ROUND_ROBIN)
    assert [memory.order(in_turns, ANY)[0] for _ in range(4)] == [A, B, C, A]
    at_random = balanced(settings, LoadBalanceHosts.RANDOM)
    orders = {tuple(memory.order(at_random, ANY)) for _ in range(500)}
    assert len(orders) == 6
    assert memory.shuffled(settings.choice, ("1", "2")) == ("1", "2")
    assert {memory.shuffled(at_random.choice, ("1", "2")) for _ in range(100)} == {("1", "2"), ("2", "1")}


def test_a_preference_has_a_second_round(settings: PoolSettings) -> None:
    prefer = replace(settings.choice, attrs=TargetSessionAttrs.PREFER_STANDBY)
    assert rounds(prefer) == (TargetSessionAttrs.STANDBY, ANY)
    assert rounds(settings.choice) == (ANY,)
