"""Replication streams of plugins: what is committed comes in order, and nothing is left of a stream that ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from interceptor.errors import BACKEND_LOST, HELPER_QUERY, BackendError
from interceptor.services import ReplicationMessage, ReplicationStream
from interceptor.testing.postgres import PostgresServer
from pooler.auth import BackendCredential, KeyCache
from pooler.config import PoolSettings
from pooler.helpers.incoming import HIGH_WATER
from pooler.plugins.replication import PluginReplication
from tests.integration.catalogue_world import settings_for
from tests.support.watch import TIMEOUT, wait_until

DATABASE = "streamed"

SLOTS = "select count(*) from pg_replication_slots where database = 'streamed'"


@pytest.fixture(scope="module")
def server(postgres18: PostgresServer) -> Iterator[PostgresServer]:
    postgres18.create_database(DATABASE)
    setup = "create table t (i int primary key, b text); create table other (i int); create publication p for table t"
    postgres18.psql(setup, dbname=DATABASE)
    postgres18.psql("create role unprivileged login")
    yield postgres18
    wait_until(lambda: postgres18.psql(SLOTS) == "0")
    postgres18.drop_database(DATABASE)
    postgres18.psql("drop role unprivileged")


def replication_of(server: PostgresServer, **different: str) -> PluginReplication:
    def find_login(database: str) -> tuple[PoolSettings, BackendCredential | None]:
        return replace(settings_for(server, database), **different), None  # type: ignore[arg-type]

    return PluginReplication("tested", find_login, KeyCache())


async def take(stream: ReplicationStream, kinds: str) -> list[ReplicationMessage]:
    """The next messages that have data, one for each of these kinds."""
    taken: list[ReplicationMessage] = []
    async with asyncio.timeout(TIMEOUT):
        async for message in stream:
            # Tables are described again whenever the server sees fit.
            if message.data and (message.data[:1] != b"R" or "R" in kinds):
                taken.append(message)
                if len(taken) == len(kinds):
                    break
    assert "".join(chr(one.data[0]) for one in taken) == kinds
    return taken


async def position_behind(stream: ReplicationStream, position: int) -> ReplicationMessage:
    """A message that says that all up to this position has been given."""
    async with asyncio.timeout(TIMEOUT):
        async for message in stream:
            if message.end >= position and not message.data:
                return message
            if not message.data:
                stream.ask_position()
    raise AssertionError("the stream has ended")


def current_position(server: PostgresServer) -> int:
    high, low = server.psql("select pg_current_wal_lsn()").split("/")
    return (int(high, 16) << 32) + int(low, 16)


async def test_what_is_committed_comes_in_order(server: PostgresServer) -> None:
    async with replication_of(server).stream(DATABASE, publications=["p"]) as stream:
        server.psql("insert into t values (1, 'a')", dbname=DATABASE)
        messages = await take(stream, "BRIC")
        assert messages[2].data.endswith(b"t\0\0\0\x011t\0\0\0\x01a")
        assert [one.end for one in messages] == sorted(one.end for one in messages)
        server.psql("begin; update t set b = 'c'; delete from t; commit", dbname=DATABASE)
        await take(stream, "BUDC")
        server.psql("insert into other values (1)", dbname=DATABASE)
        server.psql("truncate t", dbname=DATABASE)
        await take(stream, "BTC")


async def test_the_position_is_told_where_nothing_of_the_publication_happens(server: PostgresServer) -> None:
    async with replication_of(server).stream(DATABASE, publications=["p"]) as stream:
        server.psql("insert into other values (1)", dbname=DATABASE)
        position = current_position(server)
        stream.ask_position()
        await position_behind(stream, position)


async def test_what_is_confirmed_need_not_be_kept(server: PostgresServer) -> None:
    flushed = "select confirmed_flush_lsn - '0/0'::pg_lsn from pg_replication_slots where database = 'streamed'"
    async with replication_of(server).stream(DATABASE, publications=["p"]) as stream:
        server.psql("insert into t values (2, 'a')", dbname=DATABASE)
        commit = (await take(stream, "BRIC"))[-1]
        before = int(server.psql(flushed))
        assert before < commit.end
        stream.confirm(commit.end)
        stream.ask_position()
        await position_behind(stream, commit.end)
        await asyncio.to_thread(wait_until, lambda: int(server.psql(flushed)) >= commit.end)


async def test_a_stream_leaves_no_slot_behind(server: PostgresServer) -> None:
    replication = replication_of(server)
    async with replication.stream(DATABASE, publications=["p"]):
        assert server.psql(SLOTS + " and temporary and active") == "1"
    await asyncio.to_thread(wait_until, lambda: server.psql(SLOTS) == "0")
    entered = replication.stream(DATABASE, publications=["p"])
    stream = await entered.__aenter__()
    await replication.close()
    with pytest.raises(BackendError):
        await take(stream, "B")
    await asyncio.to_thread(wait_until, lambda: server.psql(SLOTS) == "0")


async def test_a_connection_that_is_lost(server: PostgresServer) -> None:
    kill = "select pg_terminate_backend(active_pid) from pg_replication_slots where database = 'streamed'"
    async with replication_of(server).stream(DATABASE, publications=["p"]) as stream:
        server.psql(kill)
        with pytest.raises(BackendError) as lost:
            await take(stream, "B")
        assert lost.value.failure in (BACKEND_LOST, HELPER_QUERY)
        assert lost.value.sqlstate in ("57P01", "08006")


async def test_who_may_not_replicate_is_told_so(server: PostgresServer) -> None:
    replication = replication_of(server, user="unprivileged")
    with pytest.raises(BackendError, match="permission denied"):
        async with replication.stream(DATABASE, publications=["p"]):
            raise AssertionError("it was let in")


async def test_a_publication_that_is_not_there(server: PostgresServer) -> None:
    with pytest.raises(BackendError, match=r'not all of these publications exist: p, missing "one\'s"'):
        async with replication_of(server).stream(DATABASE, publications=["p", 'missing "one\'s"']):
            raise AssertionError("it was let in")


async def test_options(server: PostgresServer) -> None:
    replication = replication_of(server)
    with pytest.raises(ValueError, match="publications"):
        replication.stream(DATABASE, publications=[])
    with pytest.raises(ValueError, match="publications"):
        replication.stream(DATABASE, publications=["p"], options={"publication_names": "q"})
    async with replication.stream(DATABASE, publications=["p"], options={"messages": "true"}) as stream:
        server.psql("select pg_logical_emit_message(false, 'heartbeat', 'x')", dbname=DATABASE)
        (message,) = await take(stream, "M")
        assert message.data.endswith(b"heartbeat\0\0\0\0\x01x")


async def test_a_plugin_that_is_slow_holds_up_the_server_and_no_memory(server: PostgresServer) -> None:
    rows = 40 * HIGH_WATER // 100_000
    async with replication_of(server).stream(DATABASE, publications=["p"]) as stream:
        fill = f"insert into t select 1000 + n, repeat('x', 100000) from generate_series(1, {rows}) n"
        server.psql(fill, dbname=DATABASE)
        waits = "select count(*) from pg_stat_replication where application_name = 'interceptor tested'"
        # It has sent what the sockets take, and can't go on.
        waits += " and sent_lsn < pg_current_wal_lsn()"
        await take(stream, "BR")
        assert server.psql(waits) == "1"
        await take(stream, "I" * rows + "C")
    server.psql("delete from t", dbname=DATABASE)
