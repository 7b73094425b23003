"""What a setting's value may look like in the file, and what it becomes.

A ``Kind`` stands in a setting's annotation (``pooler.config.settings``), so that a setting's name, type, bounds and
default are declared in one place, which the loader and the test of the documentation read.
"""

from __future__ import annotations

import enum
import ipaddress
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Generic, TypeVar

from interceptor.session import PoolMode
from pooler.config.secret import Secret

__all__ = [
    "MAX_DURATION",
    "AuthType",
    "HostPort",
    "Kind",
    "ListenMode",
    "LogFormat",
    "PoolMode",
    "Unfit",
    "boolean",
    "choice",
    "describe",
    "duration",
    "host_port",
    "integer",
    "names",
    "networks",
    "path",
    "secret",
    "size",
    "text",
]

T = TypeVar("T")
E = TypeVar("E", bound=enum.StrEnum)

MAX_DURATION = 3650 * 86400.0
"""The longest duration, in seconds: ten years. Beyond it arithmetic with the loop's clock loses its milliseconds."""

# The units of PostgreSQL's own settings (src/backend/utils/misc/guc.c), spelt as there; a kilobyte has 1024 bytes.
_SECONDS = {"us": 0.000001, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)[ \t]*([A-Za-z]*)")
_BOOLEANS = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<host>[^:\[\]/@\s]+)):(?P<port>[0-9]{1,5})")
_LONGEST_ECHO = 60


class AuthType(enum.StrEnum):
    """How clients prove who they are."""

    TRUST = "trust"
    PASSWORD = "password"
    MD5 = "md5"
    SCRAM_SHA_256 = "scram-sha-256"
    CERT = "cert"
    HBA = "hba"


class ListenMode(enum.StrEnum):
    """Where a client of a transaction or statement pool listens."""

    SHARED = "shared"
    PIN = "pin"


class LogFormat(enum.StrEnum):
    """How the log is written."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class HostPort:
    """An address to listen on. ``host`` is a name or an address, without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Unfit(ValueError):
    """A value is not of its kind. The text, if there is one, says more than the kind's ``expected`` does."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A sort of value. ``parse`` turns what TOML gave into it, or raises Unfit.

    ``expected`` ends the sentence "expected ...". A value of a ``secret`` kind is never repeated in an error.
    """

    name: str
    expected: str
    parse: Callable[[object], T]
    secret: bool = False


def describe(value: object) -> str:
    """Show a value in an error: short, on one line, and without what might hold a secret."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            written = str(value)
            return written if len(written) <= _LONGEST_ECHO else "a number with very many digits"
        case str():
            # A connection string under the wrong key would put its password into the log.
            if "://" in value or "@" in value or len(value) > _LONGEST_ECHO:
                return "a text"
            return json.dumps(value, ensure_ascii=False)
        case list():
            return "an array"
        case dict():
            return "a table"
        case datetime() | date() | time():
            return "a date or time"
        case _:
            raise AssertionError(f"TOML has no {type(value)}")


def integer(lowest: int, highest: int = 2147483647) -> Kind[int]:
    """Whole numbers. Also as a text, since what comes from the environment is one."""

    def parse(value: object) -> int:
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise Unfit
        return value

    return Kind("integer", f"a whole number from {lowest} to {highest}", parse)


def _parse_boolean(value: object) -> bool:
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in _BOOLEANS:
        return _BOOLEANS[value.lower()]
    raise Unfit


def _parse_duration(value: object) -> float:
    seconds = _quantity(value, _SECONDS, "s")
    if not seconds <= MAX_DURATION:
        raise Unfit
    return seconds


def _quantity(value: object, units: dict[str, float], bare_unit: str) -> float:
    """A number in ``bare_unit``, or a text of a number and a unit."""
    if isinstance(value, str):
        found = _QUANTITY.fullmatch(value.strip())
        unit = found.group(2) or bare_unit if found else ""
        if found is None or unit not in units:
            raise Unfit
        return float(found.group(1)) * units[unit]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= sys.float_info.max:
        raise Unfit
    return float(value)


def size(lowest: int, highest: int) -> Kind[int]:
    """Bytes."""

    def parse(value: object) -> int:
        count = _quantity(value, {unit: float(bytes_) for unit, bytes_ in _BYTES.items()}, "B")
        if not count.is_integer() or not lowest <= count <= highest:
            raise Unfit
        return int(count)

    expected = f'a size from {lowest} to {highest} bytes, such as 65536 or "64MB" (B, kB, MB, GB, TB)'
    return Kind("size", expected, parse)


def choice(enumeration: type[E], elsewhere: dict[str, str]) -> Kind[E]:
    """One of the enumeration's texts. ``elsewhere`` says what to do instead of values that others know."""
    offered = ", ".join(f'"{member.value}"' for member in enumeration)

    def parse(value: object) -> E:
        if isinstance(value, str):
            if value in elsewhere:
                raise Unfit(elsewhere[value])
            for member in enumeration:
                if member.value == value:
                    return member
        raise Unfit

    return Kind("choice", f"one of {offered}", parse)


def _parse_names(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")] if value.strip() else []
    if not isinstance(value, list):
        raise Unfit
    found: list[str] = []
    for name in value:
        if not isinstance(name, str) or not name or "\0" in name:
            raise Unfit
        found.append(name)
    return tuple(found)


def _parse_networks(value: object) -> tuple[str, ...]:
    found = _parse_names(value)
    for name in found:
        try:
            ipaddress.ip_network(name)
        except ValueError:
            raise Unfit from None
    return found


def _parse_text(value: object) -> str:
    # A NUL ends a string on the wire, so PostgreSQL would see something else than the file says.
    if not isinstance(value, str) or "\0" in value:
        raise Unfit
    return value


def _parse_host_port(value: object) -> HostPort | None:
    if value == "":
        return None
    found = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found["port"]) > 65535:
        raise Unfit
    return HostPort(found["v6"] or found["host"], int(found["port"]))


def _parse_path(value: object) -> Path | None:
    if not isinstance(value, str) or "\0" in value:
        raise Unfit
    return Path(value) if value else None


boolean: Kind[bool] = Kind("boolean", "true or false (or 1 or 0)", _parse_boolean)
duration: Kind[float] = Kind(
    "duration",
    'a duration from 0 to ten years: seconds, or a text such as "10ms", "5s", "2min", "1h" or "1d"',
    _parse_duration,
)
names: Kind[tuple[str, ...]] = Kind(
    "names", 'an array of names such as ["a", "b"], or a text with commas such as "a, b"', _parse_names
)
networks: Kind[tuple[str, ...]] = Kind(
    "networks", 'an array of addresses or networks such as ["10.0.0.0/8", "192.0.2.7"]', _parse_networks
)
text: Kind[str] = Kind("text", "a text without NUL characters", _parse_text)
path: Kind[Path | None] = Kind("path", 'a path, or "" for none', _parse_path)
host_port: Kind[HostPort | None] = Kind(
    "address", 'HOST:PORT, such as "127.0.0.1:6433" or "[::1]:6433", or "" for none', _parse_host_port
)


def secret(shortest: int) -> Kind[Secret | None]:
    """A secret of at least so many bytes. It is never shown."""

    def parse(value: object) -> Secret | None:
        if not isinstance(value, str) or "\0" in value or 0 < len(value.encode()) < shortest:
            raise Unfit
        return Secret(value) if value else None

    return Kind("secret", f'a text of at least {shortest} bytes, or "" for none', parse, secret=True)
