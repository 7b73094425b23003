"""Mode "learn": an allow-list of canonical statements for each user, that people read, edit, and include."""

from __future__ import annotations

import fcntl
import os
import tomllib
from pathlib import Path
from typing import Final

__all__ = ["Learner"]

_MOST_STATEMENTS: Final = 20_000
_LONGEST_EXAMPLE: Final = 1000
_HEAD: Final = """\
# Statements that were seen in mode "learn", for each user and database. Look through them, and then enforce them:
# put the name of this file into "include" of the rules file, and set mode = "enforce" and default = "block" there.
"""

_Key = tuple[str, str, str]


class _Seen:
    __slots__ = ("count", "example")

    def __init__(self, example: str) -> None:
        self.count = 0
        self.example = example


class Learner:
    """Notes statements in memory, and adds them to the file from time to time. Several processes may share the file."""

    def __init__(self, path: Path, *, examples: bool) -> None:
        self._path = path
        self._examples = examples
        self._seen: dict[_Key, _Seen] = {}

    def note(self, user: str, database: str, canonical: str, text: str) -> None:
        """Count one execution."""
        key = (user, database, canonical)
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) >= _MOST_STATEMENTS:
                return
            seen = self._seen[key] = _Seen(text[:_LONGEST_EXAMPLE] if self._examples else "")
        seen.count += 1

    @property
    def pending(self) -> bool:
        """Whether anything was noted that is not in the file yet."""
        return bool(self._seen)

    def write(self) -> None:
        """Add to the file what was noted since the last time. Raises OSError, and ValueError where the file is no
        allow-list: then nothing is lost."""
        if not self._seen:
            return
        noted, self._seen = self._seen, {}
        try:
            self._add(noted)
        except BaseException:
            # The next time, with what has been seen until then.
            for key, seen in self._seen.items():
                noted.setdefault(key, _Seen(seen.example)).count += seen.count
            self._seen = noted
            raise

    def _add(self, noted: dict[_Key, _Seen]) -> None:
        with open(self._path.with_suffix(".lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self._read()
            for key, seen in noted.items():
                entry = known.setdefault(key, _Seen(seen.example))
                entry.count += seen.count
            temporary = self._path.with_suffix(".new")
            entries = [_written(key, seen) for key, seen in sorted(known.items(), key=_order)]
            temporary.write_text(_HEAD + "".join(entries), "utf-8")
            os.replace(temporary, self._path)

    def _read(self) -> dict[_Key, _Seen]:
        try:
            document = tomllib.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        known: dict[_Key, _Seen] = {}
        try:
            for one in document.get("allow", []):
                seen = known[(one["user"], one.get("database", "*"), one["statement"])] = _Seen(one.get("example", ""))
                seen.count = one.get("count", 0)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self._path}: an [[allow]] has no user or no statement: {error!r}") from error
        return known


def _order(item: tuple[_Key, _Seen]) -> tuple[str, str, int, str]:
    (user, database, statement), seen = item
    return user, database, -seen.count, statement


def _written(key: _Key, seen: _Seen) -> str:
    user, database, statement = key
    lines = [
        "\n[[allow]]",
        f"user = {_quoted(user)}",
        f"database = {_quoted(database)}",
        f"statement = {_quoted(statement)}",
        f"count = {seen.count}",
    ]
    if seen.example:
        lines.append(f"example = {_quoted(seen.example)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    written = []
    for one in text:
        if one in '"\\':
            written.append("\\" + one)
        elif one == "\n":
            written.append("\\n")
        elif ord(one) < 32 or ord(one) == 127:
            written.append(f"\\u{ord(one):04x}")
        elif 0xD800 <= ord(one) < 0xE000:  # a byte that is not UTF-8
            written.append("\\ufffd")
        else:
            written.append(one)
    return '"' + "".join(written) + '"'
