"""The PostgreSQL of the demo: a primary with the shop in it, and a replica that streams from it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from interceptor.testing.postgres import PostgresServer
from pooler.demo.ports import move_to_port

__all__ = ["SHOP", "Database", "shop_dsn"]

SHOP = "shop"
"""The name of the database, and of the role that owns it."""

_PREFERRED_PORT = 5432

# Everybody on this machine can reach 127.0.0.1. The demo itself gets in without a password, over the Unix socket, whose
# folder is closed to others.
_HBA = ("host all all 127.0.0.1/32 scram-sha-256", "host replication all 127.0.0.1/32 reject")


def shop_dsn(port: int, password: str) -> str:
    """The connection URI of the shop behind this port of 127.0.0.1."""
    return f"postgresql://{SHOP}:{password}@127.0.0.1:{port}/{SHOP}"


@dataclass(frozen=True, slots=True)
class Database:
    """A server with the database ``SHOP`` and one login to it."""

    server: PostgresServer
    password: str = field(repr=False)

    @classmethod
    def start(cls) -> Database:
        """Start PostgreSQL 18, on port 5432 if it is free. Raises PostgresServerError. The caller closes the server."""
        server = PostgresServer.start(18, hba=_HBA)
        try:
            move_to_port(server, _PREFERRED_PORT)
            password = secrets.token_hex(6)  # no character of it needs quoting, in SQL, a URI or a shell
            server.psql(f"create role {SHOP} login password '{password}'; create database {SHOP} owner {SHOP}")
        except BaseException:
            server.close()
            raise
        return cls(server, password)

    @property
    def dsn(self) -> str:
        """A connection URI, with the password."""
        return shop_dsn(self.server.port, self.password)

    def run(self, sql: str) -> str:
        """Run SQL as the owner of the shop. Raises PostgresServerError."""
        return self.server.psql(sql, dbname=SHOP, user=SHOP)

    def create_replica(self) -> Database:
        """Make a replica, which has the same login. The caller closes its server before this one."""
        return Database(self.server.create_replica(), self.password)
