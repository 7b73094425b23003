"""The control of a node that is being replaced: it holds its permits from the next node's control.

Towards that one it behaves as a worker does towards its control: it asks for what its own workers want, and returns
what they need no more. So the limits hold for both nodes together while the old one empties.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from pooler.processes.bans import held
from pooler.processes.channel import Channel
from pooler.processes.ledger import Limits
from pooler.processes.messages import (
    Ask,
    Banned,
    Barrier,
    Busy,
    Calm,
    Cancel,
    Full,
    Goodbye,
    Grant,
    Held,
    Key,
    Message,
    Passed,
    Put,
    Question,
    Register,
    Release,
    Return,
    Welcome,
)

if TYPE_CHECKING:
    import socket

    from pooler.processes.control import Control

__all__ = ["UPWARDS", "Succession"]

_SEARCH: Final = 0.15
"""Seconds in which an idle backend is looked for."""

UPWARDS: Final = 1_000_000
"""As a holder of the ledger: the next node, for which a permit is wanted."""


class Succession:
    """The connection to the next node's control. It begins to count when that one says so."""

    def __init__(self, sock: socket.socket, control: Control, slot: int, pid: int) -> None:
        self._control = control
        self._slot = slot
        self._pid = pid
        self._channel = Channel(sock, self._on_message, lambda: control.on_succession_ended(self))
        self.answers = False
        self.begun = False
        self._allowed: Counter[Key] = Counter()
        self._asked: dict[Key, Ask] = {}

    @property
    def channel(self) -> Channel:
        """The connection."""
        return self._channel

    def limits(self, key: Key) -> Limits:
        """What the next node lets this one have of a pool."""
        return Limits(self._allowed[key], 0, 0, 0)

    def _begin(self) -> None:
        ledger = self._control.ledger
        for key, _, holding in ledger.holders():
            self._allowed[key] += holding.held
        self.begun = True
        self._channel.send(Register(self._slot, self._pid, [Held(key, count) for key, count in self._allowed.items()]))
        for put in self._control.values.settled:
            self._channel.send(put)
        for banned in held(self._control.bans.known):
            self._channel.send(banned)

    def _on_message(self, message: Message, fd: int) -> None:
        ledger = self._control.ledger
        match message:
            case Welcome():
                if not self.begun:
                    self._begin()
            case Grant(key=key, count=count):
                self._allowed[key] += count
                self._asked.pop(key, None)
                self.settle()
                if key not in self._asked:
                    # As a worker does: what was asked while the grant was on its way is wanted no more.
                    self._channel.send(Calm(key))
            case Release(key=key):
                now = time.monotonic()
                self._control.tell(ledger.ask(UPWARDS, key, 1, now, since=now))
                if message.idle_only:
                    asyncio.get_running_loop().call_later(_SEARCH, self._give_up, key)
            case Cancel():
                self._control.cancels.on_request(self, message)
            case Barrier():
                self._control.barriers.on_request(self, message)
            case Passed():
                self._control.barriers.on_passed(message)
            case Banned() | Full() | Put() | Question():
                pass  # our workers have been told, or go soon
            case _:
                raise AssertionError(f"the next node says {type(message).__name__}")
        self.settle()

    def on_granted(self, key: Key, count: int) -> None:
        """The ledger has found permits for the next node."""
        self._control.ledger.forget(UPWARDS, key, count)
        self._return(key, count)

    def _give_up(self, key: Key) -> None:
        """None of our workers has had an idle backend."""
        if UPWARDS in self._control.ledger.wanting_in(key):
            self._control.ledger.calm(UPWARDS, key)
            self._channel.send(Busy(key))

    def end(self) -> None:
        """This node ends."""
        self.settle()
        self._channel.send(Goodbye())

    def settle(self) -> None:
        """Ask for what is wanted and can't be had here, and return what nobody here needs."""
        if not self.begun:
            return
        ledger = self._control.ledger
        self._control.tell(ledger.look(time.monotonic()))
        for key in list(self._allowed):
            spare = self._allowed[key] - ledger.held(key)
            if spare > 0 and key not in ledger.wanting:
                self._return(key, spare)
        wanted = {key: ask for key in ledger.wanting if (ask := self._sum(key)) is not None}
        for key in self._asked.keys() - wanted.keys():
            del self._asked[key]
            self._channel.send(Calm(key))
        for key, ask in wanted.items():
            if self._asked.get(key) != ask:
                self._asked[key] = ask
                self._channel.send(ask)

    def _sum(self, key: Key) -> Ask | None:
        """What all workers together want of a pool."""
        holdings = [
            holding for one, holder, holding in self._control.ledger.holders() if one == key and holder != UPWARDS
        ]
        waiting = [holding for holding in holdings if holding.want]
        if not waiting:
            return None
        return Ask(
            key,
            sum(holding.want for holding in waiting),
            sum(holding.load for holding in holdings),
            min(holding.since for holding in waiting),
            any(holding.reserve for holding in waiting),
            floor=False,
        )

    def _return(self, key: Key, count: int) -> None:
        self._allowed[key] -= count
        if not self._allowed[key]:
            del self._allowed[key]
        self._channel.send(Return(key, count))
