"""Signals between the processes of a node, beside those that end them."""

from __future__ import annotations

import signal
from typing import Final

__all__ = ["CLOSE", "DUMP", "LEAVE", "RENEW"]

DUMP: Final = signal.SIGUSR1
"""On this signal a process writes where it is, into the memory file of its seat."""

RENEW: Final = signal.SIGUSR1
"""On this signal the parent reads the configuration again, which all others have taken up: for those to be forked."""

CLOSE: Final = signal.SIGUSR2
"""On this signal the parent closes its listening sockets, as the workers have closed theirs, and replaces none."""

LEAVE: Final = signal.SIGUSR2
"""On this signal a worker takes no more clients, for another node does; those that it has may stay for a while."""
