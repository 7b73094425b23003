"""The small values that plugins share, as the control keeps them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pooler.processes.messages import Put

if TYPE_CHECKING:
    from pooler.processes.control import Peer

__all__ = ["ValueStore"]


class ValueStore:
    """The order in which they come here is the order for all. The next control learns them from the workers."""

    def __init__(self, peers: Mapping[int, Peer]) -> None:
        self._peers = peers
        self.on_put_here: Callable[[Put], None] | None = None
        """Tells this process too."""
        self._values: dict[tuple[str, str], Put] = {}
        self._version = 0

    @property
    def settled(self) -> list[Put]:
        """All values, as they are now."""
        return list(self._values.values())

    def on_put(self, put: Put) -> None:
        """Somebody sets a value; or, with a version, knows one from an earlier control."""
        if put.version:
            known = self._values.get((put.plugin, put.key))
            self._version = max(self._version, put.version)
            if known is not None and known.version >= put.version:
                return
            settled = put
        else:
            self._version += 1
            settled = Put(put.plugin, put.key, put.value, self._version, put.origin)
        self._values[put.plugin, put.key] = settled
        for other in self._peers.values():
            other.channel.send(settled)
        if self.on_put_here is not None:
            self.on_put_here(settled)

    def welcome(self, peer: Peer) -> None:
        """Tell a worker all there is."""
        for put in self._values.values():
            peer.channel.send(put)
