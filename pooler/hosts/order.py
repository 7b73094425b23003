"""In which order the hosts of a connection string are tried."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

from pooler.config.hosts import HostChoice, LoadBalanceHosts, TargetSessionAttrs
from pooler.config.values import HostPort

if TYPE_CHECKING:
    from pooler.config import PoolSettings

TakeTurn = Callable[[str], int]
"""How often it was called before with this name. Raises ValueError if it can't count another."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

__all__ = ["HostMemory", "host_memory", "rounds"]

MAX_KNOWN: Final = 10_000
"""Hosts of which something is remembered: many more than a configuration names."""


@dataclass(frozen=True, slots=True)
class _Place:
    host: HostPort
    attrs: TargetSessionAttrs


class HostMemory:
    """Which hosts were of no use lately. They are tried after the others until ``server_login_retry`` has passed.

    So a host that swallows packets, or that became a standby, costs one login in that time, and not every one. It never
    keeps a host from being tried: where all are bad, all are tried.
    """

    def __init__(self) -> None:
        self._bad_until: dict[_Place, float] = {}
        self._turns: dict[str, int] = {}
        self.take_turn: TakeTurn = self._take_own_turn
        """Where there are several processes: those of all of them."""

    def order(self, settings: PoolSettings, attrs: TargetSessionAttrs) -> list[HostPort]:
        """The hosts in the order in which this connection is to try them."""
        hosts = list(settings.hosts)
        if len(hosts) == 1:
            return hosts
        match settings.choice.load_balance:
            case LoadBalanceHosts.RANDOM:
                random.shuffle(hosts)
            case LoadBalanceHosts.ROUND_ROBIN:
                turn = self._next_turn(settings.hosts) % len(hosts)
                hosts = hosts[turn:] + hosts[:turn]
            case LoadBalanceHosts.DISABLE:
                pass
        now = monotonic()
        return sorted(hosts, key=lambda host: self._bad_until.get(_Place(host, attrs), 0.0) > now)

    def _next_turn(self, hosts: tuple[HostPort, ...]) -> int:
        name = "turns of " + ",".join(f"{host.host}:{host.port}" for host in hosts)
        try:
            return self.take_turn(name)
        except ValueError:  # there is no place for more that are shared
            return self._take_own_turn(name)

    def _take_own_turn(self, name: str) -> int:
        turn = self._turns.get(name, 0)
        _bound(self._turns)[name] = turn + 1
        return turn

    def shuffled(self, choice: HostChoice, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """The addresses of one name, in the order in which to try them."""
        if choice.load_balance is LoadBalanceHosts.DISABLE or len(addresses) == 1:
            return addresses
        return tuple(random.sample(addresses, len(addresses)))

    def on_attempt(self, host: HostPort, attrs: TargetSessionAttrs, retry: float) -> None:
        """A host is tried. If it was bad before, nobody else tries it first meanwhile."""
        place = _Place(host, attrs)
        if place in self._bad_until:
            self._bad_until[place] = monotonic() + retry

    def on_failed(self, host: HostPort, attrs: TargetSessionAttrs, retry: float) -> None:
        """It could not be reached, or was not what it had to be."""
        _bound(self._bad_until)[_Place(host, attrs)] = monotonic() + retry

    def on_found(self, host: HostPort, attrs: TargetSessionAttrs) -> None:
        """A connection was made, and can be used."""
        self._bad_until.pop(_Place(host, attrs), None)


def _bound(known: dict[_Key, _Value]) -> dict[_Key, _Value]:
    if len(known) >= MAX_KNOWN:
        known.clear()
    return known


def rounds(choice: HostChoice) -> tuple[TargetSessionAttrs, ...]:
    """What a server has to be, in the first round over all hosts, and in the second where there is one."""
    if choice.attrs is TargetSessionAttrs.PREFER_STANDBY:
        return TargetSessionAttrs.STANDBY, TargetSessionAttrs.ANY
    return (choice.attrs,)


host_memory: Final = HostMemory()
"""That of this process."""
