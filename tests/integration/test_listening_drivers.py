"""LISTEN in transaction mode as drivers do it, through two workers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import psycopg
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support.proxied import upstream
from tests.support.proxy import Proxy, run_proxy

DATABASE = "listening_drivers"


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    postgres18.create_database(DATABASE)
    primary = upstream(postgres18, DATABASE)
    with run_proxy({"server": {"workers": 2}, "databases.app": {"primary": primary, "pool_size": 2}}) as running:
        yield running
    postgres18.drop_database(DATABASE)


async def test_asyncpg(proxy: Proxy) -> None:
    """More listeners than backends, in whichever worker they are: each hears all, in order."""
    connections = [
        await asyncpg.connect(host=proxy.host, port=proxy.port, user="postgres", database="app") for _ in range(8)
    ]
    heard: list[asyncio.Queue[object]] = [asyncio.Queue() for _ in connections]
    for connection, queue in zip(connections, heard, strict=True):
        await connection.add_listener("news", lambda _, pid, channel, payload, queue=queue: queue.put_nowait(payload))
    for number in range(20):
        await connections[number % 8].execute("select pg_notify('news', $1)", str(number))
    async with asyncio.timeout(20):
        for queue in heard:
            assert [await queue.get() for _ in range(20)] == [str(number) for number in range(20)]
    for connection in connections:
        await connection.close()


def test_psycopg(proxy: Proxy) -> None:
    """Its connections begin a transaction by themselves."""
    conninfo = f"host={proxy.host} port={proxy.port} user=postgres dbname=app"
    with psycopg.connect(conninfo) as listener, psycopg.connect(conninfo) as teller:
        listener.execute("listen news")
        listener.execute("listen other")
        listener.commit()
        listener.execute("unlisten other")
        listener.commit()
        for channel in ("other", "news"):
            teller.execute("select pg_notify(%s, 'it')", (channel,))
        teller.commit()
        found = [(one.channel, one.payload) for one in listener.notifies(timeout=20, stop_after=1)]
    assert found == [("news", "it")]
