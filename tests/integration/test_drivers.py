"""The drivers that people use, each with what is particular to it, in transaction and session mode."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator

import asyncpg
import psycopg
import pytest
import sqlalchemy
from psycopg import sql
from psycopg.rows import scalar_row
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import upstream
from tests.support.proxy import Proxy, Tables, run_proxy

DATABASE = "drivers"
ROWS = 5000


@pytest.fixture(scope="module")
def proxy(postgres: PostgresServer) -> Iterator[Proxy]:
    postgres.create_database(DATABASE)
    tables: Tables = {
        # In transaction mode more clients than backends; in session mode there is one for each.
        "databases.transaction": {"primary": upstream(postgres, DATABASE), "pool_size": 4},
        "databases.session": {"primary": upstream(postgres, DATABASE), "pool_mode": "session"},
    }
    with run_proxy(tables) as running:
        yield running
    postgres.drop_database(DATABASE)


@pytest.fixture(params=["transaction", "session"])
def dsn(request: pytest.FixtureRequest, proxy: Proxy) -> str:
    return proxy.dsn(request.param)


@pytest.fixture
def table(postgres: PostgresServer) -> Iterator[str]:
    postgres.psql("create table item (id int primary key, name text)", dbname=DATABASE)
    yield "item"
    postgres.psql("set lock_timeout = '9s'; drop table item", dbname=DATABASE)


# --- psycopg 3 ---------------------------------------------------------------------------------------------------


def test_psycopg_transactions_errors_and_savepoints(dsn: str, table: str) -> None:
    with psycopg.connect(dsn) as connection:
        with connection.transaction():
            connection.execute("insert into item values (1, 'one')")
            with pytest.raises(psycopg.errors.UniqueViolation), connection.transaction():
                connection.execute("insert into item values (1, 'again')")
            connection.execute("insert into item values (2, 'two')")
        with connection.transaction(force_rollback=True):
            connection.execute("delete from item")
        assert connection.execute("select array_agg(name order by id) from item").fetchone() == (["one", "two"],)


def test_psycopg_prepares_what_it_sees_often(dsn: str) -> None:
    """After five times it names the statement; several clients do so with the same names."""
    connections = [psycopg.connect(dsn, autocommit=True) for _ in range(3)]
    for number in range(12):
        for index, connection in enumerate(connections):
            row = connection.execute(f"select {index}, %s::int", [number]).fetchone()
            assert row == (index, number)
    for connection in connections:
        connection.close()


def test_psycopg_deallocates_when_its_cache_is_full(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=0) as connection:
        connection.prepared_max = 3
        for number in range(12):
            query = sql.SQL("select {} + %s").format(sql.Literal(number))
            assert connection.execute(query, [1]).fetchone() == (number + 1,)
            assert connection.execute(query, [2]).fetchone() == (number + 2,)


def test_psycopg_pipelines(dsn: str, table: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        with connection.pipeline() as pipeline:
            cursors = [connection.execute("insert into item values (%s, %s)", [n, str(n)]) for n in range(50)]
            pipeline.sync()
            count = connection.execute("select count(*) from item")
            assert count.fetchone() == (50,)
            assert all(cursor.rowcount == 1 for cursor in cursors)
        with pytest.raises(psycopg.errors.UniqueViolation), connection.pipeline():
            connection.cursor().executemany("insert into item values (%s, 'undone')", [(100,), (1,), (101,)])
        assert connection.execute("select count(*) from item where id >= 100").fetchone() == (0,)


def test_psycopg_copies_both_ways(dsn: str, table: str) -> None:
    with psycopg.connect(dsn) as connection:
        with connection.cursor().copy("copy item from stdin") as copy:
            for number in range(ROWS):
                copy.write_row((number, "x" * 100))
        with connection.cursor().copy("copy (select * from item order by id) to stdout (format binary)") as copy:
            copy.set_types(["int4", "text"])
            assert sum(1 for _ in copy.rows()) == ROWS
        with pytest.raises(psycopg.errors.UniqueViolation):
            with connection.cursor().copy("copy item from stdin") as copy:
                copy.write_row((1, "twice"))
        connection.rollback()
        with pytest.raises(TypeError), connection.cursor().copy("copy item from stdin") as copy:
            copy.write(1)  # type: ignore[arg-type]  # psycopg gives the COPY up, by CopyFail
        connection.rollback()
        assert connection.execute("select count(*) from item").fetchone() == (0,)


def copy_in(connection: psycopg.Connection, pieces: list[bytes]) -> None:
    with connection.cursor().copy("copy item from stdin") as copy:
        for piece in pieces:
            copy.write(piece)


def test_psycopg_gets_the_error_of_a_copy_of_many_megabytes_that_fails_at_its_first_row(dsn: str, table: str) -> None:
    """Trap 27: the rest is on its way while the error comes back."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            copy_in(connection, [b"no number\tx\n" * 4000] * 400)
        assert connection.execute("select 1").fetchone() == (1,)


def test_psycopg_reads_by_a_server_side_cursor(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        with connection.cursor("named") as cursor:
            cursor.itersize = 100
            cursor.execute("select generate_series(1, %s)", [ROWS])
            assert sum(row[0] for row in cursor) == ROWS * (ROWS + 1) // 2
        with connection.cursor("scrolled", scrollable=True) as cursor:
            cursor.execute("select generate_series(1, 10)")
            cursor.scroll(5)
            assert cursor.fetchone() == (6,)
        with connection.cursor("held", withhold=True) as cursor:
            cursor.execute("select generate_series(1, 10)")
            connection.commit()
            assert len(cursor.fetchall()) == 10


def test_psycopg_in_two_phases(dsn: str, table: str) -> None:
    with psycopg.connect(dsn) as connection:
        transaction = connection.xid(1, "global", dsn[-5:])
        connection.tpc_begin(transaction)
        connection.execute("insert into item values (1, 'one')")
        connection.tpc_prepare()
        connection.tpc_commit()
        assert connection.execute("select count(*) from item").fetchone() == (1,)


async def test_psycopg_async_many_at_once(dsn: str, table: str) -> None:
    async def one(number: int) -> int:
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            async with connection.transaction(), connection.cursor(row_factory=scalar_row) as cursor:
                await cursor.execute("insert into item values (%s, %s)", [number, "x"])
                await cursor.execute("select id from item where id = %s", [number])
                found = await cursor.fetchone()
                assert isinstance(found, int)
                return found

    assert await asyncio.gather(*map(one, range(16))) == list(range(16))


async def test_psycopg_async_hears_notifications(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as listener:
        await listener.execute("listen gossip")
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as teller:
            await teller.execute("select pg_notify('gossip', 'news')")
        async for notification in listener.notifies(timeout=10, stop_after=1):
            assert notification.payload == "news"
            break
        else:
            raise AssertionError("no notification came")


# --- asyncpg -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(dsn)
    yield made
    await made.close()


async def test_asyncpg_pool_shares_few_backends(dsn: str, table: str) -> None:
    async with asyncpg.create_pool(dsn, min_size=2, max_size=10) as pool:

        async def one(number: int) -> int:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("insert into item values ($1, $2)", number, "x" * number)
                return int(await connection.fetchval("select length(name) from item where id = $1", number))

        assert await asyncio.gather(*map(one, range(60))) == list(range(60))


async def test_asyncpg_transactions_and_errors(connection: asyncpg.Connection, table: str) -> None:
    async with connection.transaction():
        await connection.execute("insert into item values (1, 'one')")
        with pytest.raises(asyncpg.UniqueViolationError):
            async with connection.transaction():
                await connection.execute("insert into item values (1, 'again')")
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await connection.fetch("selec 1")
    assert await connection.fetchval("select count(*) from item") == 1


async def test_asyncpg_executemany_is_one_transaction(connection: asyncpg.Connection, table: str) -> None:
    await connection.executemany("insert into item values ($1, $2)", [(n, "x") for n in range(ROWS)])
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.executemany("insert into item values ($1, $2)", [(-1, "undone"), (1, "twice")])
    assert await connection.fetchval("select count(*) from item") == ROWS


async def test_asyncpg_copies_both_ways(connection: asyncpg.Connection, table: str) -> None:
    records = [(number, "x" * 100) for number in range(ROWS)]
    await connection.copy_records_to_table("item", records=records)
    out = io.BytesIO()
    await connection.copy_from_query("select * from item order by id", output=out, format="csv")
    assert out.getvalue().count(b"\n") == ROWS
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.copy_records_to_table("item", records=records[:1])


async def test_asyncpg_cursors(connection: asyncpg.Connection) -> None:
    async with connection.transaction():
        numbers = [row[0] async for row in connection.cursor("select generate_series(1, $1::int)", 250, prefetch=20)]
        assert numbers == list(range(1, 251))
        cursor = await connection.cursor("select generate_series(1, 10)")
        assert len(await cursor.fetch(3)) == 3
        await cursor.forward(5)
        assert (await cursor.fetchrow())[0] == 9


async def test_asyncpg_statements_of_many_connections(dsn: str) -> None:
    connections = [await asyncpg.connect(dsn) for _ in range(3)]
    statements = [await each.prepare(f"select {n}, $1::int") for n, each in enumerate(connections)]
    for number in range(5):
        for index, statement in enumerate(statements):
            assert tuple(await statement.fetchrow(number)) == (index, number)
    assert [attribute.type.name for attribute in statements[0].get_attributes()] == ["int4", "int4"]
    for connection in connections:
        await connection.close()


async def test_asyncpg_reads_types_that_it_has_to_ask_for(connection: asyncpg.Connection) -> None:
    """It looks up unknown types by a recursive query with statements of its own."""
    await connection.execute("drop type if exists mood; create type mood as enum ('sad', 'ok')")
    assert await connection.fetchval("select array['ok', 'sad']::mood[]") == ["ok", "sad"]
    await connection.execute("drop type mood")


async def test_asyncpg_cancels_by_timeout_and_goes_on(connection: asyncpg.Connection) -> None:
    for _ in range(3):
        with pytest.raises(asyncio.TimeoutError):
            await connection.fetchval("select pg_sleep(600)", timeout=0.1)
        assert await connection.fetchval("select 1") == 1


# --- SQLAlchemy --------------------------------------------------------------------------------------------------

METADATA = sqlalchemy.MetaData()
ITEM = sqlalchemy.Table(
    "made_by_sqlalchemy",
    METADATA,
    sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
    sqlalchemy.Column("name", sqlalchemy.String(50)),
)


def use_sqlalchemy(connection: sqlalchemy.Connection) -> None:
    METADATA.create_all(connection)
    ids = connection.execute(sqlalchemy.insert(ITEM).returning(ITEM.c.id), [{"name": str(n)} for n in range(300)])
    assert len(ids.all()) == 300
    with connection.begin_nested() as savepoint:
        connection.execute(sqlalchemy.delete(ITEM))
        savepoint.rollback()
    assert connection.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(ITEM)) == 300
    assert sqlalchemy.inspect(connection).get_columns("made_by_sqlalchemy")[1]["name"] == "name"
    METADATA.drop_all(connection)


def test_sqlalchemy_with_psycopg(dsn: str) -> None:
    engine = sqlalchemy.create_engine(dsn.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    for _ in range(2):
        with engine.begin() as connection:
            use_sqlalchemy(connection)
    with engine.connect().execution_options(stream_results=True, max_row_buffer=10) as connection:
        assert len(connection.execute(sqlalchemy.text("select generate_series(1, 100)")).all()) == 100
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        assert connection.scalar(sqlalchemy.text("show transaction_isolation")) == "serializable"
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("show transaction_isolation")) == "read committed"


async def test_sqlalchemy_with_asyncpg(dsn: str) -> None:
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://"), pool_size=5)

    async def one(number: int) -> object:
        async with engine.connect() as connection:
            return await connection.scalar(sqlalchemy.text("select cast(:n as int)"), {"n": number})

    try:
        async with engine.begin() as connection:
            await connection.run_sync(use_sqlalchemy)
        assert await asyncio.gather(*map(one, range(20))) == list(range(20))
    finally:
        await engine.dispose()
