"""Every metric of the server itself: name, kind, labels and what it says. docs/reference/metrics.md is held to this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pooler.metrics.samples import Kind, Merge

__all__ = ["FAMILIES", "MAX_LABEL_SETS", "SECONDS", "Family"]

MAX_LABEL_SETS: Final = 1000
"""Different sets of labels of one metric; what comes beyond is ``other``: under "*" clients choose names."""

SECONDS: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
    60.0,
)
"""Upper bounds of the buckets of times."""


@dataclass(frozen=True, slots=True)
class Family:
    """A metric."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    merge: Merge = "sum"


_POOL: Final = ("database", "user", "target")

FAMILIES: Final = {
    family.name: family
    for family in (
        Family("interceptor_clients", "gauge", "Clients by what they do.", ("database", "user", "state")),
        Family("interceptor_logins_under_way", "gauge", "Connections that have not logged in yet."),
        Family("interceptor_backends", "gauge", "Connections to servers by state.", (*_POOL, "state")),
        Family("interceptor_pool_limit", "gauge", "Connections to the server that a pool may have.", _POOL, "max"),
        Family("interceptor_waiting_clients", "gauge", "Clients that wait for a backend.", _POOL),
        Family("interceptor_longest_wait_seconds", "gauge", "How long the first of them has waited.", _POOL, "max"),
        Family("interceptor_pinned_clients", "gauge", "Clients that keep their backends.", ("database", "reason")),
        Family("interceptor_listening_clients", "gauge", "Clients that listen without a backend.", ("database",)),
        Family("interceptor_listening_connections", "gauge", "Connections that listen for them.", ("database",)),
        Family("interceptor_notifications_total", "counter", "Notifications that came for them.", ("database",)),
        Family("interceptor_listening_losses_total", "counter", "Connections for that, lost.", ("database",)),
        Family("interceptor_client_logins_total", "counter", "Clients that have logged in.", _POOL),
        Family("interceptor_backend_logins_total", "counter", "Logins to servers that went well.", _POOL),
        Family("interceptor_backend_login_failures_total", "counter", "Logins to servers that failed.", _POOL),
        Family("interceptor_queries_total", "counter", "Queries and batches that servers have answered.", _POOL),
        Family("interceptor_transactions_total", "counter", "Transactions that have ended.", _POOL),
        Family("interceptor_received_bytes_total", "counter", "Bytes that clients have sent.", _POOL),
        Family("interceptor_sent_bytes_total", "counter", "Bytes that clients were sent by servers.", _POOL),
        Family("interceptor_wait_seconds", "histogram", "How long clients waited for a backend.", _POOL),
        Family("interceptor_query_seconds", "histogram", "From a request to its last answer.", _POOL),
        Family("interceptor_transaction_seconds", "histogram", "From the first request to the end.", _POOL),
        Family("interceptor_errors_total", "counter", "Errors that clients were told of.", ("sqlstate", "by")),
        Family("interceptor_loop_lag_seconds", "histogram", "How late the loop's timer was."),
        Family("interceptor_plugin_calls_total", "counter", "Calls of plugins' hooks.", ("plugin", "hook")),
        Family("interceptor_plugin_failures_total", "counter", "Calls that failed.", ("plugin", "hook")),
        Family("interceptor_plugin_seconds_total", "counter", "Time that hooks took.", ("plugin", "hook")),
        Family("interceptor_plugin_decisions_total", "counter", "What plugins decided.", ("plugin", "decision")),
        Family("interceptor_processes", "gauge", "Processes of the node that answer."),
        Family("interceptor_start_time_seconds", "gauge", "When the oldest of them began, since 1970.", (), "max"),
        Family("interceptor_resident_memory_bytes", "gauge", "Memory of all of them."),
    )
}  # fmt: skip
