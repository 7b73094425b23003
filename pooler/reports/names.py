"""The names of hosts that one process knows, and their addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pooler.hosts import names

if TYPE_CHECKING:
    from pooler.node import Row
    from pooler.server import Server

__all__ = ["dns_hosts"]


def dns_hosts(server: Server) -> list[Row]:
    """The columns of SHOW DNS_HOSTS: name, seconds until it is looked up again, and its addresses."""
    settings = server.config.server
    return [
        [host, round(seconds), ",".join(addresses)]
        for host, seconds, addresses in names.known(settings.dns_max_ttl, settings.dns_nxdomain_ttl)
    ]
