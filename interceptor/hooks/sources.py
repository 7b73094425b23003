"""What the config file says of plugins, before any of them is looked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

__all__ = ["KeyPath", "ModuleFile", "PluginSources", "PluginTable"]


KeyPath = tuple[str | int, ...]
"""Where a value stands in a table: keys, and numbers of places in arrays."""


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A file of ``[plugins] modules``, and the line that names it."""

    path: Path
    line: int = 0

    @property
    def name(self) -> str:
        """Of the plugin in it, and of its table."""
        return self.path.stem


@dataclass(frozen=True, slots=True)
class PluginTable:
    """``[plugins.NAME]`` as TOML gave it, with what came from the environment put in. It may hold secrets."""

    values: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    lines: Mapping[KeyPath, int] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    """Where keys stand, counted from the table; ``()`` is the table itself."""

    def line_of(self, path: KeyPath) -> int:
        """The line of a key, or of the nearest table above it that is written down; 0 where none is."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 0


@dataclass(frozen=True, slots=True)
class PluginSources:
    """``[plugins]``: files, and tables by name in the order of the file."""

    file: str = ""
    """The config file, for errors."""
    modules: tuple[ModuleFile, ...] = ()
    tables: Mapping[str, PluginTable] = field(default_factory=lambda: MappingProxyType({}))
