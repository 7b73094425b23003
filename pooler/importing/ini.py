"""PgBouncer's configuration file, as PgBouncer reads it (its lib/usual/cfparser.c, and doc/config.md).

::

    ; a comment has its own line, and so has # one
    %include other.ini
    [databases]
    app = host=10.0.0.1 password='it''s secret'
    "odd name" = dbname=odd
    [pgbouncer]
    pool_mode = transaction
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from interceptor.errors import ConfigError

__all__ = ["Entry", "parse_pairs", "read_ini"]

MAX_INCLUDES = 10
"""Files within files, as PgBouncer's MAX_INCLUDE."""

MAX_FILE_SIZE = 64 * 1024 * 1024

_SECTION = re.compile(r"\[([^\]]*)\]\s*")
_ENTRY = re.compile(r'(?:"((?:[^"]|"")*)"|([A-Za-z0-9_.*-]+))\s*=\s*(.*)')
_PAIR = re.compile(r"\s*([A-Za-z0-9_]+)\s*=\s*(?:'((?:[^']|'')*)'|([^\s']*))(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting, or one database, user or peer."""

    file: str
    line: int
    section: str
    name: str
    value: str


def read_ini(path: Path) -> list[Entry]:
    """All entries of a file and of those that it includes, in their order.

    Raises ConfigError with file and line; its text shows nothing of a value, which may be a password.
    """
    entries: list[Entry] = []
    section = ""
    for file, number, line in _lines(path, 0):
        found = _SECTION.fullmatch(line)
        if found is not None:
            section = found[1].strip()
            continue
        entry = _ENTRY.fullmatch(line)
        if entry is None:
            raise ConfigError(file, number, "", "expected a section in brackets, or a setting of the form name = value")
        if not section:
            raise ConfigError(file, number, "", "a setting stands before the first section, such as [pgbouncer]")
        name = entry[2] if entry[1] is None else entry[1].replace('""', '"')
        entries.append(Entry(file, number, section, name, entry[3].strip()))
    return entries


def _lines(path: Path, depth: int) -> Iterator[tuple[str, int, str]]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_FILE_SIZE)
    except OSError as error:
        raise ConfigError(str(path), 0, "", f"the file can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(str(path), 0, "", "the file is not UTF-8") from None
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line[0] in ";#":
            continue
        if line.startswith("%include"):
            if depth >= MAX_INCLUDES:
                raise ConfigError(str(path), number, "", f"files are included in each other {MAX_INCLUDES} deep")
            # As PgBouncer: relative to the folder in which it runs.
            yield from _lines(Path(line.removeprefix("%include").strip()), depth + 1)
        else:
            yield str(path), number, line


def parse_pairs(text: str) -> dict[str, str]:
    """The options of a database, user or peer: ``host=10.0.0.1 password='it''s'``. Raises ValueError."""
    pairs: dict[str, str] = {}
    position = 0
    text = text.rstrip()
    while position < len(text):
        found = _PAIR.match(text, position)
        if found is None:
            raise ValueError(
                "expected options of the form name=value, separated by blanks; "
                "a value with blanks stands in single quotes, and a quote inside is written twice"
            )
        pairs[found[1]] = found[3] if found[2] is None else found[2].replace("''", "'")
        position = found.end()
    return pairs
