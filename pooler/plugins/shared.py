"""State that the workers of a node share. There is one process for now, so plain memory does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

__all__ = ["MAX_KEYS", "MAX_VALUE", "PluginShared", "SharedMemory"]

logger = logging.getLogger("interceptor.plugins")

MAX_VALUE: Final = 64 * 1024
"""Bytes of one value."""
MAX_KEYS: Final = 1000
"""Values of one plugin."""


class SharedMemory:
    """Everything that plugins share, by plugin. It outlives a reload."""

    def __init__(self) -> None:
        self._plugins: dict[str, PluginShared] = {}

    def of(self, plugin: str) -> PluginShared:
        """What a plugin shares with itself in other workers."""
        found = self._plugins.get(plugin)
        if found is None:
            found = self._plugins[plugin] = PluginShared(plugin)
        return found


class PluginShared:
    """Implements ``Shared`` for one plugin."""

    def __init__(self, plugin: str) -> None:
        self._counters: dict[str, _Counters] = {}
        self._state = _State(plugin)

    def counters(self, name: str, size: int) -> _Counters:
        """As ``Shared.counters``."""
        found = self._counters.get(name)
        if found is None:
            found = self._counters[name] = _Counters(size)
        if found.size != size:
            raise ValueError(f"the counters {name} are {found.size}, not {size}: take another name for others")
        return found

    @property
    def state(self) -> _State:
        """As ``Shared.state``."""
        return self._state

    def forget_listeners(self) -> None:
        """The plugin is replaced: nobody of the old one is called any more."""
        self._state.listeners.clear()


class _Counters:
    """Implements ``SharedCounters``."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"there can't be {size} counters")
        self._values = [0] * size

    @property
    def size(self) -> int:
        return len(self._values)

    def add(self, index: int, amount: int = 1) -> None:
        self._values[index] += amount

    def read(self, index: int) -> int:
        return self._values[index]


class _State:
    """Implements ``SharedState``."""

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self._values: dict[str, bytes] = {}
        self.listeners: list[Callable[[str], None]] = []

    def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    def set(self, key: str, value: bytes) -> None:
        if len(value) > MAX_VALUE:
            raise ValueError(f"the value of {key} has {len(value)} bytes, and may have {MAX_VALUE}")
        if key not in self._values and len(self._values) >= MAX_KEYS:
            raise ValueError(f"there are {MAX_KEYS} values already, and may not be more")
        self._values[key] = bytes(value)
        for listener in list(self.listeners):
            try:
                listener(key)
            except Exception:
                logger.exception("plugin %s: what listens for changes of its state failed", self._plugin)

    def on_change(self, callback: Callable[[str], None]) -> None:
        self.listeners.append(callback)
