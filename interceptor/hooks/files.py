"""A TOML file of a plugin's own, decoded like its table of the config file; every problem with file, line and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from interceptor.errors import ConfigError
from interceptor.hooks.settings import SettingsProblem, decode_settings
from interceptor.hooks.sources import KeyPath
from interceptor.toml_lines import find_lines

__all__ = ["SettingsFile"]

S = TypeVar("S", bound=msgspec.Struct)

_WHERE = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")


class SettingsFile(Generic[S]):
    """One file that was read: ``values`` are what is in it.

    Where its keys stand is looked up only when something is wrong: that takes longer than all the rest.
    """

    def __init__(self, name: str, kind: type[S], data: bytes) -> None:
        """``name`` is what errors call the file. Raises ConfigError for the first thing that is wrong."""
        self.name = name
        self._text = self._decode(data)
        try:
            table = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            where = _WHERE.search(str(error))
            line = int(where["line"]) if where and where["line"] else self._text.count("\n") + 1
            raise ConfigError(name, line, "", f"not TOML: {_WHERE.sub('', str(error))}") from None
        except RecursionError:
            raise ConfigError(name, 0, "", "not TOML that can be read: it is nested too deeply") from None
        except ValueError:
            # The one thing that tomllib lets through: int() refuses numbers of more than 4300 digits.
            raise ConfigError(name, 0, "", "not TOML that can be read: a number has too many digits") from None
        self._lines: Mapping[KeyPath, int] | None = None
        try:
            self.values: S = decode_settings(kind, table)
        except SettingsProblem as problem:
            raise self.problem(problem.path, problem.message) from None

    @classmethod
    def read(cls, path: Path, kind: type[S]) -> SettingsFile[S]:
        """Read a file. Raises ConfigError if it can't be read, or for the first thing that is wrong in it."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(str(path), 0, "", f"the file can't be read: {error.strerror}") from error
        return cls(str(path), kind, data)

    def problem(self, path: KeyPath, message: str) -> ConfigError:
        """An error about the value at this place, to be raised."""
        return ConfigError(self.name, self.line_of(path), _dotted(path), message)

    def line_of(self, path: KeyPath) -> int:
        """The line of a key, or of the nearest table above it that is written down; 0 where none is."""
        if self._lines is None:
            self._lines = find_lines(self._text)
        for end in range(len(path), 0, -1):
            if path[:end] in self._lines:
                return self._lines[path[:end]]
        return 0

    def _decode(self, data: bytes) -> str:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ConfigError(self.name, line, "", "the file is not UTF-8, which TOML must be") from None


def _dotted(path: KeyPath) -> str:
    """``rule[2].users``: places in arrays are counted from 0."""
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
        else:
            written += f".{part}" if written else part
    return written
