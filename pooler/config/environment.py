"""``${NAME}`` in a text stands for an environment variable; ``$${`` stands for ``${`` itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from pooler.config.conninfo import is_conninfo, join_conninfo, split_conninfo
from pooler.config.dsn import SCHEMES
from pooler.config.values import Unfit

__all__ = ["expand", "expand_dsn", "has_variable"]

_VARIABLE = re.compile(r"\$(?P<escape>\$)?\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)\})?")
# Where the password stands in a connection string that is written out: after the first colon, up to the last @.
_LOGIN = re.compile(r"(?P<before>[^:@/?#]*:)(?P<password>[^/?#]*)(?P<after>@.*)", re.DOTALL)

_AFTER_LOGIN = re.compile(r"([^/?]*)(/?)([^?]*)(\??)(.*)", re.DOTALL)


def has_variable(text: str) -> bool:
    """Whether ``expand`` would put something from the environment into the text."""
    return any(not found["escape"] for found in _VARIABLE.finditer(text))


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Put the values of the variables into the text. Raises Unfit if one is missing."""
    return _expand(text, environ, str)


def expand_dsn(dsn: str, environ: Mapping[str, str]) -> str:
    """Put the values of the variables into a connection string. Raises Unfit if one is missing.

    A password, a database name and an option's value are taken literally, whatever characters they hold. Elsewhere a
    variable may hold more than one part (the whole URL, or ``host:port``) and is put in as it is.
    """
    scheme = next((scheme for scheme in SCHEMES if dsn.startswith(scheme)), None)
    if scheme is None and is_conninfo(dsn):
        return join_conninfo([(name, expand(value, environ)) for name, value in split_conninfo(dsn)])
    if scheme is None:
        return expand(dsn, environ)
    rest = dsn.removeprefix(scheme)
    login = _LOGIN.fullmatch(rest)
    before, password, after = login.group("before", "password", "after") if login else ("", "", rest)
    parts = _AFTER_LOGIN.fullmatch(after)
    assert parts is not None, "everything in it is optional"
    address, slash, dbname, question, query = parts.groups()
    return "".join(
        (
            scheme,
            expand(before, environ),
            _expand(password, environ, _literal),
            expand(address, environ),
            slash,
            _expand(dbname, environ, _literal),
            question,
            "&".join(_expand_option(option, environ) for option in query.split("&")),
        )
    )


def _expand_option(option: str, environ: Mapping[str, str]) -> str:
    name, equals, value = option.partition("=")
    return expand(name, environ) + equals + _expand(value, environ, _literal)


def _literal(value: str) -> str:
    return quote(value, safe="")


def _expand(text: str, environ: Mapping[str, str], encode: Callable[[str], str]) -> str:
    def value_of(found: re.Match[str]) -> str:
        if found["escape"]:
            # Of "$${NAME}" only the "$${" is replaced.
            return found[0][1:]
        name = found["name"]
        if name is None:
            raise Unfit('"${" begins the name of an environment variable, as in ${NAME}; write "$${" for the text "${"')
        value = environ.get(name)
        if value is None:
            raise Unfit(f"the environment variable {name} is not set")
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            # os.environ keeps bytes that it can't decode as lone surrogates, which nothing further on can encode.
            raise Unfit(f"the environment variable {name} is not UTF-8")
        return encode(value)

    return _VARIABLE.sub(value_of, text)
