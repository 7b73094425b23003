"""What a plugin may ask of the server, as types. The server implements them; the testing kit has stand-ins.

A plugin gets them as ``context.services``. Each plugin has its own: what it started, registered and counts is known by
its name, and ends with it. Where a service is of one process, its text says so.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from interceptor.catalogue import CatalogueService
    from interceptor.hooks.chain import Outcome
    from interceptor.hooks.decisions import Row
    from interceptor.services.queries import HelperQueries

__all__ = [
    "Backend",
    "ConsoleCommand",
    "Counter",
    "Gauge",
    "Histogram",
    "HttpHandler",
    "HttpRequest",
    "HttpResponse",
    "HttpRoute",
    "Metrics",
    "Replication",
    "ReplicationMessage",
    "ReplicationStream",
    "Services",
    "Shared",
    "SharedCounters",
    "SharedState",
    "Target",
    "Targets",
    "Tasks",
    "Trial",
]

# --- Servers and questions to them -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Backend:
    """A connection to a server."""

    database: str
    user: str
    target: str
    process_id: int
    server_version: int
    """As 180004."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server that statements of a database can be sent to."""

    name: str
    """``primary``, or that of a replica; unique within the database, and never a secret."""
    database: str
    host: str
    port: int
    is_primary: bool
    available: bool
    outstanding: int
    """Statements of this process that it has not answered yet."""
    seconds: float
    """Moving average of the time that it works on a query, or on a batch up to its Sync, in this process, as of the
    transactions that have ended; 0 while there is none. It is brought up to date when it is asked for."""


class Targets(Protocol):
    """The servers of each database, as this process sees them."""

    def of(self, database: str) -> Sequence[Target]:
        """All targets of a database, the primary first. Raises LookupError for an unknown database."""

    def set_available(self, database: str, target: str, available: bool, reason: str = "") -> None:
        """Say whether statements may be sent there. ``reason`` is shown on the console."""

    def set_primary(self, database: str, target: str) -> None:
        """Say which target takes what is not routed, in every process of the node, whatever the config says."""

    def databases(self) -> Sequence[str]:
        """The databases that are known in this process."""


@dataclass(frozen=True, slots=True)
class ReplicationMessage:
    """One message of a logical replication stream, decoded by its output plugin into ``data``.

    Empty ``data`` is no change: everything of the publications up to ``end`` has been given.
    """

    start: int
    end: int
    """WAL positions, as integers; ``end`` never goes back."""
    sent: float
    """When the server sent it, in seconds since 1970."""
    data: bytes


class ReplicationStream(Protocol):
    """A stream that has been started."""

    def __aiter__(self) -> AsyncIterator[ReplicationMessage]:
        """Messages in their order. Raises BackendError when the connection is lost."""

    def confirm(self, position: int) -> None:
        """What is up to this position has been dealt with: the server need not keep its log for it any longer."""

    def ask_position(self) -> None:
        """Have the server say how far it is: a message without data follows what comes before it."""


class Replication(Protocol):
    """Logical replication. In the control process only, that is between ``start_node`` and ``stop_node``."""

    def stream(
        self, database: str, *, publications: Sequence[str], options: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[ReplicationStream]:
        """Start a stream of pgoutput from a temporary slot, at the present position. Raises BackendError."""


# --- State ---------------------------------------------------------------------------------------------------------


class SharedCounters(Protocol):
    """Counters that all processes of the node see. Adding is cheap, needs no lock, and is seen at once."""

    def add(self, index: int, amount: int = 1) -> None:
        """Add to a counter."""

    def read(self, index: int) -> int:
        """What all processes have added to it."""


class SharedState(Protocol):
    """Small values that all processes of the node see: up to 64 KB each, last writer wins."""

    def get(self, key: str) -> bytes | None:
        """The value, or None."""

    def set(self, key: str, value: bytes) -> None:
        """Store a value. Raises ValueError if it is too long, or there are too many."""

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call this with the key when a value was changed by any process, this one included."""


class Shared(Protocol):
    """What workers share."""

    def counters(self, name: str, size: int) -> SharedCounters:
        """An array of ``size`` counters, the same for all processes and across reloads. Raises ValueError if it was
        made with another size."""

    def levels(self, name: str, size: int) -> SharedCounters:
        """As ``counters``, of what is now so, now so: what a process has added is taken back when it ends."""

    @property
    def state(self) -> SharedState:
        """Small values."""


# --- Work beside the queries ----------------------------------------------------------------------------------------


class Tasks(Protocol):
    """Work that goes on beside the queries. It is canceled when the plugin stops; a failure is logged with its name."""

    def spawn(self, work: Awaitable[None], name: str) -> None:
        """Run this."""

    def every(self, seconds: float, call: Callable[[], Awaitable[None] | None], name: str) -> None:
        """Call this again and again, with ``seconds`` from the end of one call to the beginning of the next."""

    def monotonic(self) -> float:
        """The clock that all times here are of, in seconds."""


# --- What is shown --------------------------------------------------------------------------------------------------


class Counter(Protocol):
    """A number that only grows."""

    def add(self, amount: float = 1, *labels: str) -> None:
        """Add to it."""


class Gauge(Protocol):
    """A number that is now so, now so."""

    def set(self, value: float, *labels: str) -> None:
        """Say what it is."""


class Histogram(Protocol):
    """How often what size occurred."""

    def observe(self, value: float, *labels: str) -> None:
        """Count one."""


class Metrics(Protocol):
    """Metrics of the plugin, summed over all processes. Names are given the prefix ``interceptor_``.

    There may be at most 1,000 different sets of labels for a metric; what comes beyond is counted under ``other``.
    """

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """Make a counter. ``name`` ends with ``_total``."""

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        """Make a gauge."""

    def histogram(self, name: str, help: str, buckets: Sequence[float], labels: Sequence[str] = ()) -> Histogram:
        """Make a histogram."""


@dataclass(frozen=True, slots=True)
class ConsoleCommand:
    """A command of the admin console, such as SHOW RULES. ``run`` gets the words after the name."""

    name: str
    """In upper case, one blank between words."""
    columns: tuple[tuple[str, str], ...]
    """Names and types of what it shows; none for a command that answers with its name alone."""
    run: Callable[[tuple[str, ...]], Sequence[Row] | Awaitable[Sequence[Row]]]
    changes: bool = False
    """Only admin_users may run it."""
    gather: Callable[[Sequence[Sequence[Row]]], Sequence[Row]] | None = None
    """Makes what is shown of what ``run`` gave in each process. Then ``run`` may give any rows, of numbers, texts, None
    and lists of these. Without it the process that is asked answers alone."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to a route of a plugin."""

    method: str
    path: str
    parameters: Mapping[str, str]
    """From the braces of the route's path, and from the query string."""
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The answer to it."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"


HttpHandler: TypeAlias = Callable[[HttpRequest], Awaitable[HttpResponse]]


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """A route under ``/api/plugins/NAME/``. ``scope`` is what the caller's token must have."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    handler: HttpHandler
    scope: Literal["read", "write"] = "read"


# --- Trying out ------------------------------------------------------------------------------------------------------


class Trial(Protocol):
    """Lets a plugin try statements against the configuration as it would be, with no server."""

    def decide(
        self,
        sql: str,
        *,
        database: str = "app",
        user: str = "app",
        role: str | None = None,
        application_name: str = "",
        in_transaction: bool = False,
    ) -> Outcome:
        """What all plugins together would do with it."""


class Services(Protocol):
    """All services."""

    def queries(self, database: str, *, target: str = "primary", role: str | None = None) -> HelperQueries:
        """Queries of the plugin's own, as ``role`` if given, on connections that no client uses.

        They are no part of pool_size, opened when first needed, shown on the console, and closed when idle. Raises
        LookupError for an unknown database or target.
        """

    @property
    def replication(self) -> Replication:
        """Logical replication."""

    @property
    def shared(self) -> Shared:
        """What workers share."""

    @property
    def tasks(self) -> Tasks:
        """Work beside the queries, timers, the clock."""

    @property
    def metrics(self) -> Metrics:
        """Metrics."""

    @property
    def targets(self) -> Targets:
        """Servers."""

    def catalogue(self, database: str) -> CatalogueService:
        """What names mean. Raises LookupError for an unknown database."""

    @property
    def log(self) -> logging.Logger:
        """The log, under the plugin's name."""
