"""Names of hosts and the addresses that they have by now.

The operating system looks names up, in a thread, and says nothing of a time to live; so an answer is used for
``dns_max_ttl``, and a failure is believed for ``dns_nxdomain_ttl``, as in PgBouncer. One lookup of a name is under way
at a time, whoever asks. Where the lookup itself fails (no answer, a server that is out of order) the addresses known so
far stay in use; where the answer is that there is no such name, they don't, for new connections.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from typing import Final

from pooler.tasks import spawn

__all__ = ["Names", "is_name", "names"]

logger = logging.getLogger(__name__)

Lookup = Callable[[str], Awaitable[tuple[str, ...]]]
"""The addresses of a name, in the order in which they are to be tried. Raises OSError."""

_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})

SHORTEST: Final = 1.0
"""Seconds between two lookups of a name that nobody connects to just now."""


async def _look_up(name: str) -> tuple[str, ...]:
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


@lru_cache(maxsize=10_000)
def is_name(host: str) -> bool:
    """Whether it has to be looked up; an address and the directory of a Unix socket don't."""
    if host.startswith("/"):
        return False
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return True
    return False


@dataclass(slots=True)
class _Name:
    addresses: tuple[str, ...] = ()
    failure: OSError | None = None
    looked_at: float = float("-inf")
    pending: asyncio.Future[None] | None = None


class Names:
    """The names that this process knows."""

    def __init__(self, lookup: Lookup = _look_up) -> None:
        self.lookup = lookup
        self._names: dict[str, _Name] = {}
        self.changes = 0
        """How often a name has had other addresses than before."""

    async def addresses(self, host: str, max_ttl: float, nxdomain_ttl: float) -> tuple[str, ...]:
        """The addresses of a host: at least one, itself if it is an address. Times in seconds. Raises OSError."""
        if not is_name(host):
            return (host,)
        name = self._names.setdefault(host, _Name())
        if self._due(name, max_ttl, nxdomain_ttl):
            await asyncio.shield(self._ask(host, name))
        if name.addresses:
            return name.addresses
        if name.failure is None:
            raise OSError(f'the name "{host}" has no address')
        raise OSError(f'the name "{host}" can\'t be looked up: {name.failure.strerror or name.failure}')

    def refresh(self, host: str, max_ttl: float, nxdomain_ttl: float) -> None:
        """Begin to look a name up again, if it was looked up once and that was long enough ago."""
        name = self._names.get(host)
        if name is not None and self._due(name, max(max_ttl, SHORTEST), max(nxdomain_ttl, SHORTEST)):
            _ = self._ask(host, name)

    def has_left(self, host: str, address: str) -> bool:
        """Whether the name has addresses, and this is none of them any more."""
        name = self._names.get(host)
        return name is not None and bool(name.addresses) and address not in name.addresses

    def known(self, max_ttl: float, nxdomain_ttl: float) -> Iterator[tuple[str, float, tuple[str, ...]]]:
        """All of them: the name, in how many seconds it is looked up again, and its addresses."""
        now = monotonic()
        for host, name in self._names.items():
            ttl = max_ttl if name.failure is None else nxdomain_ttl
            yield host, max(0.0, name.looked_at + ttl - now), name.addresses

    def _due(self, name: _Name, max_ttl: float, nxdomain_ttl: float) -> bool:
        return monotonic() - name.looked_at >= (max_ttl if name.failure is None else nxdomain_ttl)

    def _ask(self, host: str, name: _Name) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        if name.pending is None or name.pending.get_loop() is not loop:
            name.pending = loop.create_future()
            spawn(self._answer(host, name, name.pending), name=f"lookup of {host}")
        return name.pending

    async def _answer(self, host: str, name: _Name, pending: asyncio.Future[None]) -> None:
        try:
            self._on_addresses(host, name, await self.lookup(host))
        except OSError as error:
            self._on_failed(host, name, error)
        finally:
            name.looked_at = monotonic()
            name.pending = None
            if not pending.done():
                pending.set_result(None)

    def _on_addresses(self, host: str, name: _Name, found: tuple[str, ...]) -> None:
        name.failure = None
        if set(found) != set(name.addresses):
            if name.addresses:
                logger.info('the name "%s" has other addresses now: %s', host, ", ".join(found))
            self.changes += 1
        name.addresses = found

    def _on_failed(self, host: str, name: _Name, error: OSError) -> None:
        gone = isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME
        if name.failure is None:
            kept = "" if gone or not name.addresses else "; its last addresses stay in use"
            logger.warning('the name "%s" can\'t be looked up: %s%s', host, error.strerror or error, kept)
        name.failure = error
        if gone:
            name.addresses = ()


names: Final = Names()
"""Those of this process: what a name means does not depend on who asks."""
