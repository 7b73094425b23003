"""Connections to servers that are meant no more: a name has other addresses, or a standby has become the primary."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from pooler.config.hosts import TargetSessionAttrs
from pooler.hosts.names import is_name, names

if TYPE_CHECKING:
    from pooler.backend import Backend
    from pooler.pool import Pool

__all__ = ["look_after_hosts"]

logger = logging.getLogger(__name__)

_OF_STANDBYS: Final = frozenset(
    {TargetSessionAttrs.STANDBY, TargetSessionAttrs.PREFER_STANDBY, TargetSessionAttrs.READ_ONLY}
)


def look_after_hosts(pool: Pool) -> None:
    """Look names up again that are due, and have the backends go that are where no client of the pool belongs any more.

    Each goes when nobody uses it. To be called about once a second.
    """
    # There may be thousands of pools, and most of them rest.
    if not pool.size:
        return
    settings = pool.settings
    looked_up = [place.host for place in settings.hosts if is_name(place.host)]
    promoted = settings.choice.attrs in _OF_STANDBYS
    if not (looked_up or promoted):
        return
    for host in looked_up:
        names.refresh(host, settings.dns_max_ttl, settings.dns_nxdomain_ttl)
    for backends in pool.backends.values():
        for backend in list(backends):
            if backend.close_needed:
                continue
            if names.has_left(backend.address.host, backend.address.ip):
                logger.info("%s goes: %s has left its name", backend, backend.address)
                backend.retire()
            elif promoted and _was_promoted(backend):
                logger.info("%s goes: %s is no standby any more", backend, backend.address)
                backend.retire()


def _was_promoted(backend: Backend) -> bool:
    """Whether its server was a standby at its login, and has said since that it is none."""
    before = backend.reported_at_login.values.get(b"in_hot_standby")
    return before == b"on" and backend.session.reported.values.get(b"in_hot_standby") == b"off"
