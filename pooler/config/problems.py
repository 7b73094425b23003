"""All that is wrong with a configuration, gathered, so that people mend a file once and not line by line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from interceptor.errors import ConfigError

__all__ = ["ConfigErrors", "KeyPath", "Problems", "dotted"]

KeyPath = tuple[str | int, ...]
"""Where a value stands: the keys that lead to it, and numbers for places in arrays."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class ConfigErrors(ConfigError):
    """Everything that is wrong with one configuration: ``errors``, in the order of the file. Never empty.

    Its own file, line, key and message are those of the first; its text has one line for each.
    """

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(first.file, first.line, first.key, first.message)
        self.args = ("\n".join(str(error) for error in errors),)
        self.errors = tuple(errors)


class Problems:
    """Gathers what is wrong with one file. ``lines`` tells where keys stand."""

    def __init__(self, file: str, lines: Mapping[KeyPath, int]) -> None:
        self._file = file
        self._lines = lines
        self._found: dict[KeyPath, ConfigError] = {}
        self._others: list[ConfigError] = []

    def add(self, path: KeyPath, message: str) -> None:
        """Note a problem. A key has one at most: what follows from the first would only confuse."""
        self._found.setdefault(path, ConfigError(self._file, self.line(path), dotted(path), message))

    def include(self, errors: ConfigErrors) -> None:
        """Note what is wrong with another file, which this one names."""
        self._others += errors.errors

    def concern(self, path: KeyPath) -> bool:
        """Whether there is a problem at this place, or at one above or below it."""
        return any(found[: len(path)] == path[: len(found)] for found in self._found)

    def lines_below(self, path: KeyPath) -> dict[KeyPath, int]:
        """The lines of a key and of all that is below it, by their places counted from it."""
        return {place[len(path) :]: line for place, line in self._lines.items() if place[: len(path)] == path}

    def raise_if_any(self) -> None:
        """Raise ConfigErrors if there is any problem."""
        if self._found or self._others:
            raise ConfigErrors([*sorted(self._found.values(), key=lambda error: error.line), *self._others])

    def line(self, path: KeyPath) -> int:
        """The line of the key, or of the nearest table above it that is written down; 0 where none is."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._lines:
                return self._lines[path[:end]]
        return 0


def dotted(path: KeyPath) -> str:
    """Write a place as TOML writes a key, with quotes only where TOML needs them: ``databases."my db".primary``."""
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
        else:
            key = part if _BARE_KEY.fullmatch(part) else _quoted(part)
            written += f".{key}" if written else key
    return written


def _quoted(key: str) -> str:
    return f'"{"".join(_escaped(character) for character in key)}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    return f"\\u{ord(character):04X}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08X}"
