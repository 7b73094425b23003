"""SCRAM keys that were derived from plain passwords, kept so that a storm of logins derives them once."""

from __future__ import annotations

from collections import OrderedDict

from interceptor.protocol.scram_keys import ScramKeys

__all__ = ["MAX_ENTRIES", "KeyCache"]

MAX_ENTRIES = 10_000  # 4 MB


class KeyCache:
    """A bounded map from a password, a salt and an iteration count to keys; what was not used for longest goes first.

    One per process, for clients and backends alike; to be used by the event loop's thread alone. A changed password is
    another entry, so nothing has to be invalidated.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[tuple[bytes, bytes, int], ScramKeys] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, password: bytes, salt: bytes, iterations: int) -> ScramKeys | None:
        """Return the keys if they are known."""
        key = (password, salt, iterations)
        keys = self._entries.get(key)
        if keys is not None:
            self._entries.move_to_end(key)
        return keys

    def put(self, password: bytes, keys: ScramKeys) -> None:
        """Remember the keys that were derived from a password."""
        self._entries[password, keys.salt, keys.iterations] = keys
        self._entries.move_to_end((password, keys.salt, keys.iterations))
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
