"""Which host of a connection string a connection goes to.

Names and their addresses, what is known of each host, and what a server has to be.
"""

from __future__ import annotations

from pooler.hosts.names import Names, names
from pooler.hosts.order import HostMemory, host_memory

__all__ = ["HostMemory", "Names", "host_memory", "names"]
