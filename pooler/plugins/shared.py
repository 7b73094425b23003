"""State that the processes of a node share. Where there is one process alone, plain memory does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from interceptor.services import SharedCounters
from pooler.processes.memory import LEVELS

__all__ = ["MAX_KEYS", "MAX_VALUE", "MakeCounters", "OnSet", "PluginShared", "SharedMemory"]

logger = logging.getLogger("interceptor.plugins")

MAX_VALUE: Final = 64 * 1024
"""Bytes of one value."""
MAX_KEYS: Final = 1000
"""Values of one plugin."""
MAX_OWN_KEYS: Final = 1_000_000
"""Values of the server itself: some for each database."""


_OWN: Final = " "
"""Begins the names of what is no plugin's: a plugin's name has no blank."""

MakeCounters = Callable[[str, int], SharedCounters]
"""Makes counters of a name and a size, or finds them. Raises ValueError if that can not be."""

OnSet = Callable[[str, str, bytes], None]
"""Gets the plugin, the key and the value that it has set."""


class SharedMemory:
    """Everything that plugins share, by plugin. It outlives a reload."""

    def __init__(self, make_counters: MakeCounters | None = None) -> None:
        """``make_counters``: of counters that other processes see too; without it, those of this process alone."""
        self._make_counters = make_counters
        self._plugins: dict[str, PluginShared] = {}
        self.on_set: OnSet | None = None
        """Told of each value that is set here."""

    def own(self, part: str, max_keys: int = MAX_OWN_KEYS) -> PluginShared:
        """What a part of the server itself shares; it is no plugin, and has as many values as it needs."""
        name = f"{_OWN}{part}"
        found = self._plugins.get(name)
        if found is None:
            found = self._plugins[name] = PluginShared(self, name, None, max_keys)
        return found

    def accept(self, plugin: str, key: str, value: bytes) -> None:
        """Another process has set a value."""
        shared = self.own(plugin.removeprefix(_OWN)) if plugin.startswith(_OWN) else self.of(plugin)
        shared.state.accept(key, value)

    def of(self, plugin: str) -> PluginShared:
        """What a plugin shares with itself in other workers."""
        found = self._plugins.get(plugin)
        if found is None:
            found = self._plugins[plugin] = PluginShared(self, plugin, self._make_counters, MAX_KEYS)
        return found


class PluginShared:
    """Implements ``Shared`` for one plugin."""

    def __init__(self, memory: SharedMemory, plugin: str, make_counters: MakeCounters | None, max_keys: int) -> None:
        self._plugin = plugin
        self._make_counters = make_counters
        self._counters: dict[str, _Counters] = {}
        self._state = _State(memory, plugin, max_keys)

    def counters(self, name: str, size: int) -> SharedCounters:
        """As ``Shared.counters``."""
        if self._make_counters is not None:
            return self._make_counters(f"{self._plugin} {name}", size)
        found = self._counters.get(name)
        if found is None:
            found = self._counters[name] = _Counters(size)
        if found.size != size:
            raise ValueError(f"the counters {name} are {found.size}, not {size}: take another name for others")
        return found

    def levels(self, name: str, size: int) -> SharedCounters:
        """As ``Shared.levels``."""
        if self._make_counters is not None:
            return self._make_counters(f"{LEVELS}{self._plugin} {name}", size)
        return self.counters(f"{LEVELS}{name}", size)

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

    def __init__(self, memory: SharedMemory, plugin: str, max_keys: int) -> None:
        self._memory = memory
        self._plugin = plugin
        self._max_keys = max_keys
        self._values: dict[str, bytes] = {}
        self.listeners: list[Callable[[str], None]] = []

    def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    def set(self, key: str, value: bytes) -> None:
        if len(value) > MAX_VALUE:
            raise ValueError(f"the value of {key} has {len(value)} bytes, and may have {MAX_VALUE}")
        if key not in self._values and len(self._values) >= self._max_keys:
            raise ValueError(f"there are {self._max_keys} values already, and may not be more")
        if self._memory.on_set is not None:
            self._memory.on_set(self._plugin, key, bytes(value))
        self.accept(key, value)

    def accept(self, key: str, value: bytes) -> None:
        self._values[key] = bytes(value)
        for listener in list(self.listeners):
            try:
                listener(key)
            except Exception:
                logger.exception("plugin %s: what listens for changes of its state failed", self._plugin)

    def on_change(self, callback: Callable[[str], None]) -> None:
        self.listeners.append(callback)
