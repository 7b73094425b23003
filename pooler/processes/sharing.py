"""The small values that plugins share, as one process sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pooler.processes.messages import Put

if TYPE_CHECKING:
    from pooler.plugins.shared import SharedMemory

__all__ = ["Sharing"]

_NO_FILE: Final = -1


class Sharing:
    """Passes on what is set here, and takes in what is set elsewhere, in the order of the control.

    A value holds here as soon as it is set. Until the control has seen it, what others set before counts no more: so
    all processes end with the same value, whoever set it at the same time.
    """

    def __init__(self, shared: SharedMemory, send: Callable[[Put, int], None], slot: int) -> None:
        self._shared = shared
        self._send = send
        self._slot = slot
        self._settled: dict[tuple[str, str], Put] = {}
        self._unsettled: Counter[tuple[str, str]] = Counter()
        self._latest: dict[tuple[str, str], bytes] = {}
        shared.on_set = self._on_set

    def on_put(self, put: Put) -> None:
        """The control has put a value into its place in the order."""
        name = put.plugin, put.key
        self._settled[name] = put
        if self._unsettled[name]:
            if put.origin == self._slot:
                self._unsettled[name] -= 1
            if self._unsettled[name] or put.origin == self._slot:
                return
        del self._unsettled[name]
        self._shared.accept(put.plugin, put.key, put.value)

    def values(self) -> list[Put]:
        """What a new control has to know: what is settled, and then what no control has seen."""
        unsettled = [name for name, count in self._unsettled.items() if count]
        for name in unsettled:
            self._unsettled[name] = 1
        return [
            *self._settled.values(),
            *(Put(*name, self._latest[name], version=0, origin=self._slot) for name in unsettled),
        ]

    def _on_set(self, plugin: str, key: str, value: bytes) -> None:
        name = plugin, key
        self._unsettled[name] += 1
        self._latest[name] = value
        self._send(Put(plugin, key, value, version=0, origin=self._slot), _NO_FILE)
