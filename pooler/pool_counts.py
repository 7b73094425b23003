"""What is counted in a pool: for SHOW STATS, for metrics."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from pooler.metrics.counting import Histogram

if TYPE_CHECKING:
    from interceptor.session import BackendSession

__all__ = ["PoolStats", "PoolTimes"]


@dataclass(slots=True)
class PoolStats:
    """What has happened in a pool since it was made."""

    logins: int = 0
    login_failures: int = 0
    client_logins: int = 0
    assignments: int = 0
    """How often a client was given a backend."""
    received: int = 0
    """Bytes that clients sent, once they were in."""
    sent: int = 0
    """Bytes that servers sent while they worked for a client."""
    transaction_seconds: float = 0.0
    """In transactions that have ended."""
    rest_seconds: float = 0.0
    """Of these, those in which nothing ran."""
    wait_seconds: float = 0.0
    """That clients have waited for a backend which they then got."""
    queries: int = 0
    """``queries`` and what follows: of backends that are gone. ``Pool.totals`` adds those that are here."""
    transactions: int = 0
    client_parses: int = 0
    server_parses: int = 0
    binds: int = 0

    def add(self, other: PoolStats) -> None:
        """Count what another one has counted too."""
        for name in _COUNTED:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def add_session(self, session: BackendSession) -> None:
        """Count what a backend has done."""
        self.queries += session.queries
        self.transactions += session.transactions
        self.client_parses += session.client_parses
        self.server_parses += session.server_parses
        self.binds += session.binds


class PoolTimes:
    """How long clients of a pool waited and worked, for metrics."""

    __slots__ = ("queries", "transactions", "waits")

    def __init__(self) -> None:
        self.waits = Histogram()
        """Until those that had to wait for a backend got one."""
        self.transactions = Histogram()
        self.queries = Histogram()
        """From a request to its last answer; a pipeline counts as one."""

    def add(self, other: PoolTimes) -> None:
        """Count what another one has counted too."""
        self.waits.add(other.waits)
        self.transactions.add(other.transactions)
        self.queries.add(other.queries)


_COUNTED: Final = tuple(field.name for field in fields(PoolStats))
