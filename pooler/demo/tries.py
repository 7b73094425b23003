"""The five things to try: what a pool of connections is good for, each as a line to paste."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pooler.demo.database import SHOP
from pooler.demo.proxy import POOL_SIZE

__all__ = ["Try", "list_tries"]


@dataclass(frozen=True, slots=True)
class Try:
    """Something to try: what one sees by it, and the line for a shell. Neither has a line break."""

    title: str
    line: str


def list_tries(folder: Path, proxy: str, database: str) -> tuple[Try, ...]:
    """The five, for the connection strings of the proxy and of the database behind it.

    ``folder`` has psql, pgbench and shopping.sql. The lines work in sh, bash, zsh and fish.
    """
    psql, pgbench, shopping = folder / "psql", folder / "pgbench", folder / "shopping.sql"
    return (
        Try("Query the shop through the proxy, as if it were PostgreSQL.", f"{psql} {proxy} -c 'table sales'"),
        Try(
            "Eight clients, one after the other: one PostgreSQL process serves them all.",
            f"seq 8 | xargs -I{{}} {psql} {proxy} -Atc 'select pg_backend_pid()'",
        ),
        Try(
            f"200 clients at once go shopping over {POOL_SIZE} connections; PostgreSQL takes 100.",
            f"{pgbench} -n -c 200 -j 2 -T 20 -P 2 -f {shopping} {proxy}",
        ),
        Try(
            "Meanwhile, in a third terminal: the connections that PostgreSQL has.",
            f"{psql} {database} -c \"select state, count(*) from pg_stat_activity where usename = '{SHOP}'"
            " and pid <> pg_backend_pid() and application_name <> 'interceptor catalogue' group by rollup (state)\"",
        ),
        Try(
            "Afterwards: the connections to PostgreSQL are cut, and an open session goes on.",
            f"{psql} {proxy} -c 'select pg_backend_pid()' -c '\\! {psql} {database} -Atc \"select end_connections()\"'"
            " -c 'select pg_backend_pid()'",
        ),
    )
