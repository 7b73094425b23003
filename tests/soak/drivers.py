"""Clients that use drivers, as most do: psycopg and asyncpg."""

from __future__ import annotations

import contextlib

import asyncpg
import psycopg

from tests.soak.bank import SUM, Transfer
from tests.soak.clients import Client

__all__ = ["AsyncpgUser", "PsycopgUser"]


class PsycopgUser(Client):
    """psycopg 3: transactions, its pipeline mode, COPY, prepared statements after some repetitions."""

    async def visit(self) -> None:
        dsn = f"host={self.host} port={self.port} dbname={self.database} user=postgres"
        try:
            connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
            async with connection:
                for _ in range(self.random.randint(1, 4 if self.mode == "session" else 20)):
                    if self.stopping:
                        return
                    await self.random.choice([self.ask, self.transfer, self.copy, self.pipeline])(connection)
        except psycopg.OperationalError as error:
            # Where the connection itself failed, libpq gives no SQLSTATE.
            self.note(error.sqlstate or "08006", error)
        except psycopg.Error as error:
            self.note(error.sqlstate or "", error)

    async def ask(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        nonce = self.nonce()
        cursor = await connection.execute("SELECT %s::text", [nonce])
        self.expect(await cursor.fetchall(), [(nonce,)])
        self.done("queries")

    async def transfer(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        transfer = Transfer.choose(self.random)
        self.ledger.not_done.add(transfer.id)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(connection.transaction())
            for statement in transfer.statements():
                await connection.execute(statement.encode())
            cursor = await connection.execute("SELECT sum(balance) FROM accounts")
            self.expect(await cursor.fetchone(), (SUM,))
            self.ledger.not_done.discard(transfer.id)
            self.ledger.open.add(transfer.id)
        self.ledger.open.discard(transfer.id)
        self.ledger.done.add(transfer.id)
        self.done("transfers")

    async def copy(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        nonce = self.nonce()
        async with connection.transaction(force_rollback=True), connection.cursor() as cursor:
            async with cursor.copy("COPY copied FROM STDIN") as sink:
                for number in range(100):
                    await sink.write_row((nonce, number))
            back = "COPY (SELECT i FROM copied WHERE client = %s ORDER BY i) TO STDOUT"
            async with cursor.copy(back, [nonce]) as source:
                self.expect([row async for row in source.rows()], [(str(number),) for number in range(100)])
        self.done("copies")

    async def pipeline(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        nonces = [self.nonce() for _ in range(10)]
        async with connection.pipeline():
            cursors = [await connection.execute("SELECT %s::text", [nonce]) for nonce in nonces]
            self.expect([await cursor.fetchone() for cursor in cursors], [(nonce,) for nonce in nonces])
        self.done("pipelines")


class AsyncpgUser(Client):
    """asyncpg: everything in the extended protocol, with prepared statements and cursors."""

    async def visit(self) -> None:
        try:
            connection = await asyncpg.connect(
                host=self.host, port=self.port, database=self.database, user="postgres", timeout=60
            )
            try:
                for _ in range(self.random.randint(1, 4 if self.mode == "session" else 20)):
                    if self.stopping:
                        break
                    await self.random.choice([self.ask, self.transfer, self.fetch_many])(connection)
                await connection.close(timeout=60)
            finally:
                connection.terminate()
        except asyncpg.PostgresError as error:
            self.note(error.sqlstate, error)
        except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            # The latter is what it says of a connection on which a FATAL error has come, and not yet its end.
            self.note("08003", error)

    async def ask(self, connection: asyncpg.Connection) -> None:
        nonce = self.nonce()
        self.expect(await connection.fetchval("SELECT $1::text", nonce), nonce)
        self.done("queries")

    async def transfer(self, connection: asyncpg.Connection) -> None:
        transfer = Transfer.choose(self.random)
        self.ledger.not_done.add(transfer.id)
        async with connection.transaction():
            for statement in transfer.statements():
                await connection.execute(statement)
            self.ledger.not_done.discard(transfer.id)
            self.ledger.open.add(transfer.id)
        self.ledger.open.discard(transfer.id)
        self.ledger.done.add(transfer.id)
        self.done("transfers")

    async def fetch_many(self, connection: asyncpg.Connection) -> None:
        nonce = self.nonce()
        async with connection.transaction():
            seen = [
                record[0]
                async for record in connection.cursor("SELECT $1::text || i FROM generate_series(1, 200) AS i", nonce)
            ]
        self.expect(seen, [f"{nonce}{number}" for number in range(1, 201)])
        self.done("cursors")
