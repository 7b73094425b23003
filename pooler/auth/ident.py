"""Name maps: which users a certificate or a user of the operating system may log in as (pg_ident.conf).

::

    # map      whom the certificate or the system names     the user here
    staff      "alice@example.com"                          alice
    staff      root                                         all
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from interceptor.errors import ConfigError
from pooler.auth.hba_text import read_lines, read_text
from pooler.config.problems import ConfigErrors

__all__ = ["NameMaps"]


class NameMaps:
    """The maps of one file, by name."""

    __slots__ = ("_maps",)

    def __init__(self, maps: Mapping[str, frozenset[tuple[str, str | None]]] | None = None) -> None:
        self._maps = dict(maps or {})

    def __contains__(self, name: object) -> bool:
        return name in self._maps

    def allows(self, name: str, identity: str, user: str) -> bool:
        """Whether the map lets ``identity`` log in as ``user``."""
        found = self._maps.get(name, frozenset())
        return (identity, user) in found or (identity, None) in found

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
        maps: dict[str, set[tuple[str, str | None]]] = {}
        errors: list[ConfigError] = []
        for number, fields in read_lines(text):
            wrong = fields if isinstance(fields, str) else ""
            if not isinstance(fields, str):
                if len(fields) != 3 or any(len(field) != 1 for field in fields):
                    wrong = "expected three words: the map, whom the certificate or the system names, and the user here"
                else:
                    (name,), (identity,), (user,) = fields
                    if any(token.text.startswith("/") and not token.quoted for token in (identity, user)):
                        wrong = "regular expressions (a word that begins with /) are not offered: list the names"
                    elif user.text.startswith("+") and not user.quoted:
                        wrong = "which roles are members of another is known to PostgreSQL alone: list the names"
                    else:
                        anybody = user.is_keyword("all")
                        maps.setdefault(name.text, set()).add((identity.text, None if anybody else user.text))
            if wrong:
                errors.append(ConfigError(file, number, "", wrong))
        if errors:
            raise ConfigErrors(errors)
        return cls({name: frozenset(pairs) for name, pairs in maps.items()})
