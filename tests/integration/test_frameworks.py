"""Django, SQLAlchemy and the drivers below them, as their users run them: many threads and tasks, a pool of two."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import upstream
from tests.support.proxy import Proxy, Tables, run_proxy

DATABASE = "frameworks"
TENANTS = ("red", "green", "blue")
MEMBERS = 6
"""Threads or tasks, three for each backend."""


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    server = postgres18
    server.create_database(DATABASE)
    server.psql("create role shop_clerk; grant pg_read_all_data to shop_clerk", dbname=DATABASE)
    for tenant in TENANTS:
        server.psql(
            f"create schema {tenant}; create table {tenant}.item (id serial primary key, name text unique);"
            f"insert into {tenant}.item (name) values ('{tenant}')",
            dbname=DATABASE,
        )
    tables: Tables = {
        f"databases.{DATABASE}": {"primary": upstream(server, DATABASE), "pool_size": 2},
        "databases.postgres": {"primary": upstream(server, "postgres"), "pool_size": 2},
    }
    with run_proxy(tables) as running:
        yield running
    server.drop_database(DATABASE)
    server.psql("drop role shop_clerk")


def in_threads(work: Callable[[int], None]) -> None:
    """Run it in some threads at once. What fails in one of them fails."""
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(MEMBERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# --- Django ------------------------------------------------------------------------------------------------------

DJANGO = {
    "as it comes": {},
    "without cursors of the server": {"DISABLE_SERVER_SIDE_CURSORS": True},
    "with a new connection for each request": {"CONN_MAX_AGE": 0},
    "with prepared statements": {"OPTIONS": {"server_side_binding": True, "prepare_threshold": 1}},
    "with an isolation level": {"OPTIONS": {"isolation_level": 2}},
}


@pytest.mark.parametrize("settings", DJANGO.values(), ids=DJANGO.keys())
def test_django(proxy: Proxy, settings: dict[str, object]) -> None:
    """Its own test runner, with the tests of ``django_shop``."""
    chosen = {"host": proxy.host, "port": proxy.port, "database": DATABASE, "settings": settings}
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.integration.django_shop.settings",
        "DJANGO_SHOP": json.dumps(chosen),
    }
    done = subprocess.run(
        [sys.executable, "-m", "django", "test", "--keepdb", "--noinput", "tests.integration.django_shop"],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK" in done.stderr


# --- SQLAlchemy --------------------------------------------------------------------------------------------------


class Base(DeclarativeBase):
    """What is mapped here."""


class Item(Base):
    """The table of whichever tenant the search_path says."""

    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def engine_of(proxy: Proxy, tenant: str, **options: object) -> sqlalchemy.Engine:
    """An engine whose connections see a tenant's tables."""
    dsn = proxy.dsn(DATABASE).replace("postgresql://", "postgresql+psycopg://")
    engine = sqlalchemy.create_engine(dsn, pool_size=2, **options)

    @event.listens_for(engine, "connect")
    def _choose_tenant(connection: psycopg.Connection[tuple[object, ...]], _: object) -> None:
        connection.autocommit = True
        connection.execute(f"set search_path = {tenant}")
        connection.execute(f"set application_name = '{tenant}'")
        connection.autocommit = False

    return engine


@pytest.mark.parametrize("threshold", [0, 5, None], ids=["prepared at once", "prepared later", "not prepared"])
def test_sqlalchemy_with_psycopg_and_tenants(proxy: Proxy, threshold: int | None) -> None:
    engines = [engine_of(proxy, tenant, connect_args={"prepare_threshold": threshold}) for tenant in TENANTS]

    def work(number: int) -> None:
        tenant = TENANTS[number % len(TENANTS)]
        sessions = sessionmaker(engines[number % len(TENANTS)])
        for step in range(15):
            with sessions.begin() as session:
                assert session.scalars(sqlalchemy.select(Item.name).order_by(Item.id)).first() == tenant
                with pytest.raises(sqlalchemy.exc.IntegrityError), session.begin_nested() as savepoint:
                    savepoint.session.execute(sqlalchemy.insert(Item).values(name=tenant))
                session.add(Item(name=f"{tenant} {number} {step}"))
            with sessions() as session, session.begin():
                made = session.scalars(sqlalchemy.select(Item).filter_by(name=f"{tenant} {number} {step}")).one()
                session.delete(made)
                assert session.scalar(sqlalchemy.text("show search_path")) == tenant

    try:
        in_threads(work)
        for engine, tenant in zip(engines, TENANTS, strict=True):
            with Session(engine) as session:
                assert session.scalars(sqlalchemy.select(Item.name)).all() == [tenant]
    finally:
        for engine in engines:
            engine.dispose()


def test_sqlalchemy_with_isolation_levels(proxy: Proxy) -> None:
    dsn = proxy.dsn(DATABASE).replace("postgresql://", "postgresql+psycopg://")
    engine = sqlalchemy.create_engine(dsn, pool_size=MEMBERS)
    levels = ("SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED", "AUTOCOMMIT")

    def work(number: int) -> None:
        for step in range(12):
            level = levels[(number + step) % len(levels)]
            with engine.connect().execution_options(isolation_level=level) as connection:
                told = connection.scalar(sqlalchemy.text("show transaction_isolation"))
                assert told == ("read committed" if level == "AUTOCOMMIT" else level.lower())
                connection.rollback()
            with engine.connect().execution_options(postgresql_readonly=True) as connection:
                assert connection.scalar(sqlalchemy.text("show transaction_read_only")) == "on"

    try:
        in_threads(work)
    finally:
        engine.dispose()


@pytest.mark.parametrize("cache", [0, 3, 100], ids=["no cache", "a small cache", "the usual cache"])
async def test_sqlalchemy_with_asyncpg_and_tenants(proxy: Proxy, cache: int) -> None:
    dsn = proxy.dsn(DATABASE).replace("postgresql://", "postgresql+asyncpg://")

    async def work(number: int) -> None:
        tenant = TENANTS[number % len(TENANTS)]
        arguments = {"server_settings": {"search_path": tenant}, "prepared_statement_cache_size": cache}
        engine = create_async_engine(dsn, pool_size=2, connect_args=arguments)
        sessions: async_sessionmaker[AsyncSession] = async_sessionmaker(engine)
        try:
            for step in range(10):
                async with sessions.begin() as session:
                    names = (await session.scalars(sqlalchemy.select(Item.name).order_by(Item.id))).all()
                    assert names[0] == tenant
                    session.add(Item(name=f"{tenant} async {number} {step}"))
                    await session.flush()
                    await session.rollback()
                async with sessions() as session:
                    assert await session.scalar(sqlalchemy.text("show search_path")) == tenant
                    for value in range(5):
                        echo = sqlalchemy.text(f"select cast(:v as int) + {value}")
                        assert await session.scalar(echo, {"v": step}) == step + value
        finally:
            await engine.dispose()

    await asyncio.gather(*map(work, range(MEMBERS)))


# --- The drivers, with their caches of statements ------------------------------------------------------------------


async def test_asyncpg_with_its_cache(proxy: Proxy) -> None:
    """All connections call their statements alike, and each means its own."""

    async def work(number: int) -> None:
        tenant = TENANTS[number % len(TENANTS)]
        zone = ("Asia/Tokyo", "America/Lima", "UTC")[number % 3]
        connection = await asyncpg.connect(proxy.dsn(DATABASE), server_settings={"timezone": zone})
        try:
            await connection.execute(f"set search_path = {tenant}")
            folded = {"Asia/Tokyo": 3, "America/Lima": 17, "UTC": 12}[zone]
            for step in range(20):
                assert await connection.fetchval("select name from item order by id limit 1") == tenant
                assert await connection.fetchval("select current_setting('timezone')") == zone
                utc = await connection.fetchval("select timestamptz '2020-01-01 12:00'")
                assert utc.hour == folded
                assert await connection.fetchval(f"select $1::int + {number}", step) == step + number
                async with connection.transaction():
                    names = [row["name"] async for row in connection.cursor("select name from item order by id")]
                    assert names[0] == tenant
        finally:
            await connection.close()

    await asyncio.gather(*map(work, range(MEMBERS)))


async def test_asyncpg_when_a_table_changes(proxy: Proxy, postgres18: PostgresServer) -> None:
    """Its cache may hold a statement whose result has changed: it prepares anew, outside of a transaction."""
    postgres18.psql("create table changing (a int); insert into changing values (1)", dbname=DATABASE)
    connections = [await asyncpg.connect(proxy.dsn(DATABASE)) for _ in range(3)]
    try:
        for columns in range(1, 5):
            for connection in connections:
                for _ in range(2):
                    assert len(await connection.fetchrow("select * from changing")) == columns
            postgres18.psql(f"alter table changing add b{columns} int", dbname=DATABASE)
    finally:
        for connection in connections:
            await connection.close()
        postgres18.psql("drop table changing", dbname=DATABASE)


def test_psycopg_when_a_table_changes(proxy: Proxy, postgres18: PostgresServer) -> None:
    postgres18.psql("create table changing (a int); insert into changing values (1)", dbname=DATABASE)
    connections = [psycopg.connect(proxy.dsn(DATABASE), autocommit=True, prepare_threshold=0) for _ in range(3)]
    try:
        for columns in range(1, 5):
            for connection in connections:
                for _ in range(2):
                    row = connection.execute("select * from changing where a = %s", [1]).fetchone()
                    assert row is not None
                    assert len(row) == columns
            postgres18.psql(f"alter table changing add b{columns} int", dbname=DATABASE)
    finally:
        for connection in connections:
            connection.close()
        postgres18.psql("drop table changing", dbname=DATABASE)


def test_psycopg_with_its_cache(proxy: Proxy) -> None:
    """Statements are named after how often they were seen, and thrown out by DEALLOCATE."""

    def work(number: int) -> None:
        tenant = TENANTS[number % len(TENANTS)]
        with psycopg.connect(proxy.dsn(DATABASE), autocommit=True, prepare_threshold=2) as connection:
            connection.prepared_max = 3
            connection.execute(f"set search_path = {tenant}")
            for step in range(40):
                row = connection.execute("select name, %s::int from item order by id limit 1", [step]).fetchone()
                assert row == (tenant, step)
                row = connection.execute(f"select %s::int + {step % 5}".encode(), [number]).fetchone()
                assert row == (number + step % 5,)
                with connection.transaction():
                    with connection.cursor("held") as cursor:
                        assert cursor.execute("select name from item order by id").fetchone() == (tenant,)

    in_threads(work)
