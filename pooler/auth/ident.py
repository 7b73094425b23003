r"""Name maps: which users a certificate or a user of the operating system may log in as (pg_ident.conf).

::

    # map      whom the certificate or the system names     the user here
    staff      "alice@example.com"                          alice
    staff      /^(.*)@example\.com$                         \1
    staff      root                                         all

Source: PostgreSQL documentation, "User Name Maps". Regular expressions are Python's, of which those that one meets in
such files mean the same. They are an administrator's, and are tried on names that an authority of ours, or the
operating system, vouches for.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interceptor.errors import ConfigError
from pooler.auth.hba_text import Token, read_lines, read_text
from pooler.config.problems import ConfigErrors

__all__ = ["NameMaps"]

_GROUP: Final = r"\1"
_LONGEST: Final = 1000
"""Characters of a name that a regular expression is tried on."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a map."""

    identity: str | re.Pattern[str]
    user: str | None
    """None for all."""

    def allows(self, identity: str, user: str) -> bool:
        """Whether it lets ``identity`` log in as ``user``."""
        if isinstance(self.identity, str):
            return identity == self.identity and self.user in (None, user)
        # A name of several lines could match by one of them alone.
        found = self.identity.search(identity) if len(identity) <= _LONGEST and identity.isprintable() else None
        if found is None:
            return False
        if self.user is None or _GROUP not in self.user:
            return self.user in (None, user)
        part = found[1]
        return part is not None and self.user.replace(_GROUP, part, 1) == user


class NameMaps:
    """The maps of one file, by name."""

    __slots__ = ("_maps",)

    def __init__(self, maps: Mapping[str, Sequence[_Line]] | None = None) -> None:
        self._maps = dict(maps or {})

    def __contains__(self, name: object) -> bool:
        return name in self._maps

    def allows(self, name: str, identity: str, user: str) -> bool:
        """Whether the map lets ``identity`` log in as ``user``."""
        return any(line.allows(identity, user) for line in self._maps.get(name, ()))

    @classmethod
    def load(cls, path: Path) -> NameMaps:
        """Read a file. Raises ConfigErrors with file and line for all that is wrong."""
        try:
            text = read_text(path, "file of name maps")
        except ConfigError as error:
            raise ConfigErrors([error]) from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, file: str) -> NameMaps:
        """As ``load``, of a text; ``file`` is its name for errors."""
        maps: dict[str, list[_Line]] = {}
        errors: list[ConfigError] = []
        for number, fields in read_lines(text):
            try:
                name, line = _parse_line(fields)
            except ValueError as error:
                errors.append(ConfigError(file, number, "", str(error)))
            else:
                maps.setdefault(name, []).append(line)
        if errors:
            raise ConfigErrors(errors)
        return cls(maps)


def _parse_line(fields: list[list[Token]] | str) -> tuple[str, _Line]:
    """The map's name, and the line. Raises ValueError, which says what is wrong."""
    if isinstance(fields, str):
        raise ValueError(fields)
    if len(fields) != 3 or any(len(field) != 1 for field in fields):
        raise ValueError("expected three words: the map, whom the certificate or the system names, and the user here")
    (name,), (identity,), (user,) = fields
    if user.text.startswith("/") and not user.quoted:
        raise ValueError(
            "a regular expression may stand for whom the certificate or the system names, and not for the user here"
        )
    if user.text.startswith("+") and not user.quoted:
        raise ValueError("which roles are members of another is known to PostgreSQL alone: list the names")
    who = None if user.is_keyword("all") else user.text
    if not identity.text.startswith("/") or identity.quoted:
        return name.text, _Line(identity.text, who)
    pattern = _compile(identity.text[1:])
    if who is not None and _GROUP in who and not pattern.groups:
        raise ValueError(
            f"{_GROUP} stands for what the first parentheses of the regular expression match, and it has none"
        )
    return name.text, _Line(pattern, who)


def _compile(text: str) -> re.Pattern[str]:
    """Raises ValueError, also for what Python would take for something else than PostgreSQL does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            return re.compile(text)
    except FutureWarning:
        raise ValueError(
            "classes such as [[:alpha:]], and sets within sets, are none in a regular expression here: write [a-zA-Z]"
        ) from None
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"the regular expression makes no sense: {error}") from None
