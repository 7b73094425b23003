"""Bans of the whole node: the control counts the failed logins of all workers, and tells all of them who is banned."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from pooler.processes.messages import Banned

if TYPE_CHECKING:
    from pooler.auth.bans import Bans
    from pooler.processes.control import Peer

__all__ = ["BanCounter", "held"]

logger = logging.getLogger(__name__)


def held(bans: Bans) -> Iterable[Banned]:
    """What a process knows, for another one that is new."""
    return [Banned(ban.address, ban.database, bans.seconds_left(ban)) for ban in bans.list()]


class BanCounter:
    """The control's half. What it knows stands in the table of its own server, which has no clients."""

    def __init__(self, bans: Bans, peers: Mapping[int, Peer]) -> None:
        self.known: Final = bans
        self._peers = peers

    def on_message(self, peer: Peer, message: Banned) -> None:
        """A login has failed at a worker; or it has banned, or knows a ban from before."""
        address, database = message.address, message.database
        if message.seconds:
            if self.known.adopt(address, database, message.seconds):
                self._tell(message, besides=peer)
            return
        ban = self.known.on_failure(address, database)
        if ban is not None:
            logger.warning(
                'address %s is banned from database "%s" for %g s: %d of its logins failed within %g s',
                *(address, database, self.known.settings.duration),
                *(self.known.settings.most(database), self.known.settings.window),
            )
            self._tell(Banned(address, database, self.known.seconds_left(ban)), besides=None)

    def welcome(self, peer: Peer) -> None:
        """Tell a worker all there is."""
        for banned in held(self.known):
            peer.channel.send(banned)

    def _tell(self, banned: Banned, *, besides: Peer | None) -> None:
        for peer in self._peers.values():
            if peer is not besides:
                peer.channel.send(banned)
