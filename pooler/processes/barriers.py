"""Waiting until whatever other processes were in the midst of is over.

A worker judges a statement and sends it in one step. What another worker writes down meanwhile comes too late for it.
So before a statement is sent that may take something away, all others are asked to look, and to say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from interceptor.errors import DEFINITION_REFUSED, ClientError
from pooler.processes.channel import Channel
from pooler.processes.messages import Barrier, Message, Passed

__all__ = ["BarrierRouter", "Barriers", "Participant"]

PATIENCE: Final = 30.0
"""Seconds in which a process answers, or is killed because it stalls, or replaced because it is dead."""

_NO_FILE: Final = -1


class Barriers:
    """The worker's half."""

    def __init__(self, send: Callable[[Message, int], None]) -> None:
        self._send = send
        self._tickets = 0
        self._pending: dict[int, asyncio.Future[None]] = {}

    async def wait(self) -> None:
        """Return when every other process has looked at what is written down now. Raises ClientError if one does not
        say so in time."""
        self._tickets += 1
        ticket = self._tickets
        passed = self._pending[ticket] = asyncio.get_running_loop().create_future()
        self._send(Barrier(ticket), _NO_FILE)
        try:
            async with asyncio.timeout(PATIENCE):
                await passed
        except TimeoutError:
            raise ClientError(
                DEFINITION_REFUSED,
                f"another process of this server has not moved for {PATIENCE:g} s, and might go on with what it judged "
                "before this definition, so the definition was not carried out",
                hint="Try again; worker_stall_timeout ends a process that stalls.",
            ) from None
        finally:
            del self._pending[ticket]

    def on_passed(self, passed: Passed) -> None:
        """All others have looked."""
        pending = self._pending.get(passed.ticket)
        if pending is not None and not pending.done():
            pending.set_result(None)

    def on_connected(self) -> None:
        """There is another control, which has yet to ask."""
        for ticket in self._pending:
            self._send(Barrier(ticket), _NO_FILE)


class Participant(Protocol):
    """A worker, or the control of another node."""

    @property
    def channel(self) -> Channel:
        """The connection to it."""


class _Round:
    """One question to all but the asker."""

    def __init__(self, asker: Participant, ticket: int) -> None:
        self.asker = asker
        self.ticket = ticket
        self.open: dict[int, Participant] = {}


class BarrierRouter:
    """The control's half."""

    def __init__(self, participants: Callable[[], Iterable[Participant]]) -> None:
        """``participants``: all that there are now."""
        self._participants = participants
        self._rounds: dict[int, _Round] = {}
        self._tickets = 0
        self._early: list[tuple[Participant, Barrier]] = []
        self.ready = False
        """Everybody who was there before this control has said so."""

    def on_request(self, asker: Participant, barrier: Barrier) -> None:
        """Somebody wants to know when all others have looked."""
        if not self.ready:
            self._early.append((asker, barrier))
            return
        one = _Round(asker, barrier.ticket)
        for participant in self._participants():
            if participant is not asker:
                self._tickets += 1
                one.open[self._tickets] = participant
                self._rounds[self._tickets] = one
        for ticket, participant in list(one.open.items()):
            participant.channel.send(Barrier(ticket))
        self._close_if_done(one)

    def on_ready(self) -> None:
        """All are there."""
        self.ready = True
        early, self._early = self._early, []
        for asker, barrier in early:
            self.on_request(asker, barrier)

    def on_passed(self, passed: Passed) -> None:
        """One of them has looked."""
        one = self._rounds.pop(passed.ticket, None)
        if one is not None:
            del one.open[passed.ticket]
            self._close_if_done(one)

    def on_gone(self, gone: Participant) -> None:
        """It judges nothing any more."""
        for ticket, one in list(self._rounds.items()):
            if one.open.get(ticket) is gone:
                self.on_passed(Passed(ticket))

    def _close_if_done(self, one: _Round) -> None:
        if not one.open:
            one.asker.channel.send(Passed(one.ticket))
