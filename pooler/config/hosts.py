"""The hosts of a connection string, and which of them is meant.

libpq's ``host``, ``port``, ``target_session_attrs``, ``load_balance_hosts`` (PostgreSQL manual, 34.1.1.3 and 34.1.2).
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pooler.config.values import HostPort, Unfit

__all__ = [
    "ANY_HOST",
    "DEFAULT_PORT",
    "HostChoice",
    "LoadBalanceHosts",
    "TargetSessionAttrs",
    "hosts_of",
    "split_address",
]

DEFAULT_PORT = 5432


class TargetSessionAttrs(enum.StrEnum):
    """What a server has to be for its connections to be used."""

    ANY = "any"
    READ_WRITE = "read-write"
    READ_ONLY = "read-only"
    PRIMARY = "primary"
    STANDBY = "standby"
    PREFER_STANDBY = "prefer-standby"


class LoadBalanceHosts(enum.StrEnum):
    """In which order the hosts are tried."""

    DISABLE = "disable"
    """As they are listed."""
    RANDOM = "random"
    ROUND_ROBIN = "round-robin"
    """Each connection begins with the next one, as in PgBouncer; libpq does not know it."""


@dataclass(frozen=True, slots=True)
class HostChoice:
    """Which of the hosts a connection goes to."""

    attrs: TargetSessionAttrs = TargetSessionAttrs.ANY
    load_balance: LoadBalanceHosts = LoadBalanceHosts.DISABLE


ANY_HOST = HostChoice()


_LONGEST_NAME: Final = 254
"""Bytes, with a point at its end."""


def split_address(address: str) -> tuple[str, str]:
    """Host and port, as texts, of one entry of a URI: ``host``, ``host:port``, ``[address]:port``. Raises Unfit."""
    if address.startswith("["):
        host, bracket, port = address[1:].partition("]")
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise Unfit("an IPv6 address belongs between the brackets") from None
        if not bracket or (port and not port.startswith(":")):
            raise Unfit("after the ] of an IPv6 address only :PORT may follow")
        return host, port[1:]
    host, _, port = address.partition(":")
    if ":" in port:
        raise Unfit("an IPv6 address must stand in brackets, as in [::1]:5432")
    return host, port


def hosts_of(parts: Mapping[str, str]) -> tuple[HostPort, ...]:
    """The hosts that ``host`` and ``port`` name, with commas between them. Raises Unfit.

    One port is that of all hosts; else there is one for each, and an empty one is the default.
    """
    hosts = parts.get("host", "").split(",")
    if hosts == [""]:
        raise Unfit("it names no host: write postgresql://HOST/..., or ?host=/DIRECTORY for a Unix socket")
    if "" in hosts:
        raise Unfit("one of its hosts is empty: write their names with one comma between each two")
    for host in hosts:
        _check_name(host)
    ports = parts.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise Unfit(f"it has {len(hosts)} hosts and {len(ports)} ports: write one port for all, or one for each")
    return tuple(HostPort(host, _port(port)) for host, port in zip(hosts, ports, strict=True))


def _check_name(host: str) -> None:
    """Raises Unfit for a name that none can be, and that nothing could be looked up for."""
    try:
        fits = host.startswith("/") or len(host.encode("idna")) <= _LONGEST_NAME
    except UnicodeError:
        fits = False
    if not fits:
        raise Unfit(
            "one of its hosts is no name: between its points there are 1 to 63 characters, and in all 253 at most"
        )


def _port(text: str) -> int:
    if not text:
        return DEFAULT_PORT
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= 65535:
        raise Unfit("the port must be a number from 1 to 65535")
    return int(text)
