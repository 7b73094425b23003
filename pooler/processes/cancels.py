"""Cancel requests for clients of other workers, passed on by the control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from pooler.processes.messages import Cancel, Canceled

if TYPE_CHECKING:
    from pooler.processes.channel import Channel
    from pooler.processes.control import Peer

__all__ = ["Asker", "CancelRouter", "make_process_id", "slot_of"]

_SLOT_SHIFT: Final = 21
"""Of the 31 bits of a process id the upper ten are the worker's: so the control knows whom to ask."""

RANDOM_IDS: Final = 1 << _SLOT_SHIFT
"""How many process ids a worker may give out."""


def make_process_id(slot: int, number: int) -> int:
    """What a client of this worker is given; ``number`` from 1 to RANDOM_IDS - 1."""
    return (slot << _SLOT_SHIFT) | number


def slot_of(process_id: int) -> int:
    """Whose client has this process id, if it is one that we gave out."""
    return process_id >> _SLOT_SHIFT


class Asker(Protocol):
    """A worker, or the next node."""

    @property
    def channel(self) -> Channel:
        """Where the answer goes."""


class _Search:
    """One request on its way, from one worker to the next that might know its client."""

    def __init__(self, asker: Asker, request: Cancel, candidates: list[Peer]) -> None:
        self.asker = asker
        self.request = request
        self.candidates = candidates
        self.asked: Peer | None = None


class CancelRouter:
    """Asks the worker that the process id names, and then the others: a replication client has its server's own."""

    def __init__(self, peers: Mapping[int, Peer]) -> None:
        self._peers = peers
        self._searches: dict[int, _Search] = {}
        self._tickets = 0

    def on_request(self, asker: Asker, request: Cancel) -> None:
        """A worker has a request that none of its own clients is meant by."""
        named = slot_of(request.process_id)
        others = sorted(
            (peer for peer in self._peers.values() if peer is not asker),
            key=lambda peer: (peer.slot != named, peer.slot),
        )
        self._go_on(_Search(asker, request, others))

    def on_answer(self, peer: Peer, answer: Canceled) -> None:
        """The worker that was asked has done it, or knows no such client."""
        search = self._searches.pop(answer.ticket, None)
        if search is not None:
            self._end(search, found=True) if answer.found else self._go_on(search)

    def on_gone(self, peer: Peer) -> None:
        """It answers no more."""
        for ticket, search in list(self._searches.items()):
            if search.asker is peer:
                del self._searches[ticket]
            elif search.asked is peer:
                del self._searches[ticket]
                self._go_on(search)

    def _go_on(self, search: _Search) -> None:
        while search.candidates:
            peer = search.candidates.pop(0)
            if not peer.channel.closed:
                self._tickets += 1
                self._searches[self._tickets] = search
                search.asked = peer
                peer.channel.send(Cancel(self._tickets, search.request.process_id, search.request.secret))
                return
        self._end(search, found=False)

    def _end(self, search: _Search, *, found: bool) -> None:
        search.asker.channel.send(Canceled(search.request.ticket, found=found))
