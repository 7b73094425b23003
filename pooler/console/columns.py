"""The columns of every SHOW command: PgBouncer's of 1.25, in its order, and our own.

docs/reference/console.md describes each; a test compares. Types are those of PgBouncer's answers, but for counts that
may grow beyond 32 bits.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from pooler.reports.counts import FIGURES

__all__ = ["COLUMNS", "OLDER_COLUMNS", "Columns"]

Columns: TypeAlias = "tuple[tuple[str, str], ...]"
"""Names and types."""


def _columns(text: str) -> Columns:
    """Names, each with the type behind a colon if it is not text."""
    return tuple((name, kind or "text") for name, _, kind in (word.partition(":") for word in text.split()))


def _figures(prefix: str) -> str:
    return " ".join(f"{prefix}{name}:numeric" for name in FIGURES)


_SOCKET: Final = (
    "type user database replication state addr port:int4 local_addr local_port:int4 connect_time request_time "
    "wait:int4 wait_us:int4 close_needed:int4 ptr link remote_pid:int4 tls application_name prepared_statements:int4 "
    "id:int8"
)
_BUFFERS: Final = (
    "recv_pos:int4 pkt_pos:int4 pkt_remain:int4 send_pos:int4 send_remain:int4 pkt_avail:int4 send_avail:int4"
)
_TOTALS: Final = _figures("total_")
_AVERAGES: Final = _figures("avg_").replace("avg_received", "avg_recv")
# PgBouncer itself gives the last four of the averages another prefix than the others.
_BARE: Final = _figures("").replace("received", "bytes_received").replace("sent", "bytes_sent")
_BARE_AVERAGES: Final = " ".join(
    f"avg_{name}" if name.startswith(("client_", "server_parse", "bind_")) else name for name in _BARE.split()
)

COLUMNS: Final[dict[str, Columns]] = {
    "ACTIVE_SOCKETS": _columns(f"{_SOCKET} {_BUFFERS}"),
    "BANS": _columns("address database seconds_left:int4"),
    "CLIENTS": _columns(_SOCKET),
    "CONFIG": _columns("key value default changeable"),
    "DATABASES": _columns(
        "name host port:int4 database force_user pool_size:int4 min_pool_size:int4 reserve_pool_size:int4 "
        "server_lifetime:int4 pool_mode load_balance_hosts max_connections:int4 current_connections:int4 "
        "max_client_connections:int4 current_client_connections:int4 paused:int4 disabled:int4"
    ),
    "DNS_HOSTS": _columns("hostname ttl:int8 addrs"),
    "DNS_ZONES": _columns("zonename serial:int8 count:int4"),
    "FDS": _columns(
        "fd:int4 task user database addr port:int4 cancel:int8 link:int4 client_encoding std_strings datestyle "
        "timezone password scram_client_key:bytea scram_server_key:bytea"
    ),
    "HOOKS": _columns(
        "plugin hook state calls:int8 failures:int8 time_us:int8 avg_us:int8 slowest_us:int8 waited_us:int8"
    ),
    "LISTENERS": _columns("database channel clients:int4 hearing:int4 max_unread:int8"),
    "LISTS": _columns("list items:int4"),
    "MEM": _columns("name size:int8 used:int8 free:int8 memtotal:int8"),
    "PEERS": _columns("peer_id:int4 host port:int4 pool_size:int4"),
    "PEER_POOLS": _columns(
        "peer_id:int4 cl_active_cancel_req:int4 cl_waiting_cancel_req:int4 sv_active_cancel:int4 sv_login:int4"
    ),
    "PINS": _columns("database user reason clients:int4 oldest:int4 oldest_us:int4"),
    "PLUGINS": _columns("name version state policy hooks reason calls:int8 failures:int8 time_us:int8 waited_us:int8"),
    "POOLS": _columns(
        "database user cl_active:int4 cl_waiting:int4 cl_active_cancel_req:int4 cl_waiting_cancel_req:int4 "
        "sv_active:int4 sv_active_cancel:int4 sv_being_canceled:int4 sv_idle:int4 sv_used:int4 sv_tested:int4 "
        "sv_login:int4 maxwait:int4 maxwait_us:int4 pool_mode load_balance_hosts"
    ),
    "QUERIES": _columns(
        "database user query calls:int8 errors:int8 blocked:int8 cache_hits:int8 rows:int8 total_us:int8 avg_us:int8 "
        "p50_us:int8 p95_us:int8 p99_us:int8 max_us:int8"
    ),
    "SERVERS": _columns(_SOCKET),
    "SOCKETS": _columns(f"{_SOCKET} {_BUFFERS}"),
    "STATE": _columns("key value"),
    "STATS": _columns(f"database {_TOTALS} {_AVERAGES}"),
    "STATS_AVERAGES": _columns(f"database {_BARE_AVERAGES}"),
    "STATS_TOTALS": _columns(f"database {_BARE}"),
    "TOTALS": _columns("name value:numeric"),
    "USERS": _columns(
        "name pool_size reserve_pool_size pool_mode max_user_connections:int4 current_connections:int4 "
        "max_user_client_connections:int4 current_client_connections:int4"
    ),
    "VERSION": _columns("version"),
}

OLDER_COLUMNS: Final[dict[str, Columns]] = {
    "DATABASES": _columns("reserve_pool:int4"),
    "STATS": _columns("total_requests:numeric"),
}
"""What reserve_pool_size was called before PgBouncer 1.21, and total_query_count before 1.8: behind the others.

Debian 12's exporter can't do without them. The Prometheus community's takes ``reserve_pool`` and ``reserve_pool_size``
for one metric, and Prometheus' library refuses a metric that is there twice. So they are for those alone who say at
their login who they are and where they want to, and nothing more: the one does, the other names its encoding.
"""
