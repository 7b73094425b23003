"""A catalogue is read again when it has changed, wherever that was done, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from interceptor.catalogue import Snapshot
from interceptor.errors import BACKEND_CONNECT, BACKEND_LOST, BackendError
from interceptor.testing.postgres import PostgresServer
from pooler.processes.slate import Slate
from tests.conftest import FreshDatabase
from tests.integration.catalogue_world import Catalogued, catalogue
from tests.support.watch import TIMEOUT
from tests.support.wire import Endpoint, WireClient

SETUP = """
create table t (id int primary key, v varchar(10)); create table ref (id int references t);
create function f() returns int language sql as 'select 1'; create schema other; create view w as select id from t;
create function g() returns trigger language plpgsql as $$ begin return new; end $$;
create policy p on t using (true); create domain d as int;
create trigger tr before insert on t for each row execute function g(); create sequence s;
"""

# Each changes another table of the catalogue, and none stands in the way of the next.
CHANGES = [
    "create table made (id int)",
    "drop table ref",
    "alter table t add column more int",
    "alter table t rename column more to most",
    "alter table t alter column v type varchar(20)",
    "alter table t alter column v set default 'x'",
    "alter table t add check (id > 0)",
    "alter table t enable row level security",
    "alter policy p on t using (current_user = 'x')",
    "alter table t disable trigger tr",
    "create or replace function f() returns int language sql as 'select 2'",
    "alter function f() stable",
    "drop function f()",
    "create or replace view w as select abs(id) as id from t",
    "create rule r as on delete to t do instead nothing",
    "create index on t (abs(id))",
    "alter domain d add check (value > 0)",
    "create type mood as enum ('sad')",
    "create cast (text as d) with inout",
    "create operator <~> (leftarg = int, rightarg = int, function = int4eq)",
    "create table child () inherits (t)",
    "create schema another",
    "grant usage on schema other to public",
    "alter database current_one set search_path = other",
    "alter table t set schema other",
    "alter table other.t rename to renamed",
]


@pytest.fixture
def database(postgres: PostgresServer, fresh_database: FreshDatabase) -> str:
    name = fresh_database(postgres)
    postgres.psql(SETUP, dbname=name)
    return name


@pytest.fixture
def client(postgres: PostgresServer, database: str) -> Iterator[WireClient]:
    with WireClient.connect(Endpoint(postgres.host, postgres.port, database)) as made:
        yield made


def table(snapshot: Snapshot, name: str) -> bool:
    return snapshot.relation_named(snapshot.schemas_by_name["public"].oid, name) is not None


async def polled(kept: Catalogued, count: int = 2) -> None:
    """Wait until so many polls have begun and ended."""
    wanted = kept.catalogue.stats.polls + count
    await until(lambda: kept.catalogue.stats.polls >= wanted)


async def until(condition: Callable[[], bool], *, pause: float = 0.005) -> None:
    """With a pause of 0: as soon as it holds, before the product has read another answer."""
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110  # what is awaited is a number of the product's, which tells nobody
            await asyncio.sleep(pause)


async def test_a_change_made_elsewhere_is_found(postgres: PostgresServer, database: str, client: WireClient) -> None:
    async with catalogue(postgres, database, poll_interval=0.01) as kept:
        before = await kept.catalogue.current()
        for version, change in enumerate(CHANGES, kept.catalogue.version + 1):
            client.query("begin")
            client.query(change.replace("current_one", database))
            await polled(kept)
            assert kept.catalogue.snapshot is before, "nobody can see it yet"
            client.query("commit")
            assert await kept.next_version() == version, change
            after = await kept.catalogue.current()
            assert after.version == version
            assert after.digest != before.digest
            before = after


async def test_what_changes_nothing_tells_nobody(postgres: PostgresServer, database: str, client: WireClient) -> None:
    async with catalogue(postgres, database) as kept:
        snapshot = await kept.catalogue.current()
        for unseen in (
            "insert into t values (1), (2)",
            "create temp table tt (id serial primary key, v text default 'x' check (v <> ''))",
            "create temp table ref (id int references tt); create rule r as on delete to ref do instead nothing",
            "create temp view tv as select * from tt",
            "create domain pg_temp.dd as int check (value > 0); create operator pg_temp.<~> (leftarg = int, "
            "rightarg = int, function = int4eq); create function pg_temp.ff() returns int language sql as 'select 1'",
            "create temp table parted (id int) partition by list (abs(id)); "
            "create temp table parted_1 partition of parted for values in (1)",
            "alter table tt enable row level security; create policy p on tt using (true)",
            "create index on tt (v)",
            "analyze",
            "vacuum t",
            "select nextval('s')",
            "drop view pg_temp.tv",
        ):
            client.query(unseen)
            await polled(kept)
            assert kept.catalogue.stats.loads == 1, unseen
        for harmless in (
            "truncate public.ref",
            "reindex table t",
            "vacuum full public.ref",
            "create temp table heir () inherits (t)",
        ):
            client.query(harmless)
            await polled(kept)
        assert kept.catalogue.stats.loads > 1
        assert kept.told == []
        assert kept.catalogue.snapshot is snapshot
        assert kept.catalogue.stats.changes == 0


async def test_of_several_processes_whoever_is_left_looks_for_all(
    postgres18: PostgresServer, fresh_database: FreshDatabase
) -> None:
    database = fresh_database(postgres18)
    file = Slate.make_file()

    def process() -> Slate:
        slate = Slate(file)
        slate.sit(slate.claim(1)[0])
        return slate

    async with catalogue(postgres18, database, slate=process()) as other:
        async with catalogue(postgres18, database, slate=process()) as one:
            await asyncio.gather(one.catalogue.current(), other.catalogue.current())
            await until(lambda: one.catalogue.stats.polls + other.catalogue.stats.polls > 5)
            postgres18.psql("create table made_elsewhere ()", dbname=database)
            for each in (one, other):
                await each.next_version()
                assert table(await each.catalogue.current(), "made_elsewhere")
        postgres18.psql("create table made_later ()", dbname=database)
        await other.next_version()
        assert table(await other.catalogue.current(), "made_later")


async def test_a_catalogue_that_changes_faster_than_it_is_read_is_an_error(
    postgres18: PostgresServer, fresh_database: FreshDatabase
) -> None:
    async with catalogue(postgres18, fresh_database(postgres18), poll_interval=3600) as kept:

        async def define_all_the_time() -> None:
            while True:
                kept.catalogue.on_ddl()
                await asyncio.sleep(0.002)

        defining = asyncio.get_running_loop().create_task(define_all_the_time())
        with pytest.raises(BackendError, match="changes faster"):
            await kept.catalogue.current()
        defining.cancel()
        assert isinstance(await kept.catalogue.current(), Snapshot)


async def test_a_transaction_with_a_lower_number_that_commits_last_is_found(
    postgres: PostgresServer, database: str, client: WireClient
) -> None:
    async with catalogue(postgres, database) as kept:
        await kept.catalogue.current()
        client.query("begin")
        client.query("create table early (id int)")
        with WireClient.connect(Endpoint(postgres.host, postgres.port, database)) as other:
            other.query("create table late (id int)")
        await kept.next_version()
        snapshot = await kept.catalogue.current()
        assert table(snapshot, "late")
        assert not table(snapshot, "early")
        client.query("commit")
        await kept.next_version()
        assert table(await kept.catalogue.current(), "early")


async def test_definitions_that_the_proxy_saw_count_at_once(
    postgres: PostgresServer, database: str, client: WireClient
) -> None:
    async with catalogue(postgres, database, poll_interval=3600) as kept:
        await kept.catalogue.current()
        version = kept.catalogue.version
        client.query("create table seen (id int)")
        kept.catalogue.on_ddl()
        assert kept.catalogue.version == version + 1
        assert kept.catalogue.snapshot is None
        assert kept.told == [version + 1]
        assert table(await kept.catalogue.current(), "seen")
        assert kept.told == [version + 1]


async def test_a_load_that_began_before_a_definition_is_repeated(
    postgres: PostgresServer, database: str, client: WireClient
) -> None:
    async with catalogue(postgres, database, poll_interval=3600) as kept:
        loading = asyncio.get_running_loop().create_task(kept.catalogue.current())
        await until(lambda: kept.helper.stats.queries > 3, pause=0)
        assert not loading.done()
        client.query("create table meanwhile (id int)")
        kept.catalogue.on_ddl()
        assert table(await loading, "meanwhile")
        assert kept.catalogue.stats.loads == 2


async def test_those_who_ask_at_once_share_one_load(postgres: PostgresServer, database: str) -> None:
    async with catalogue(postgres, database) as kept:
        first, *others = await asyncio.gather(*[kept.catalogue.current() for _ in range(20)])
        assert all(other is first for other in others)
        assert kept.catalogue.stats.loads == 1
        assert kept.helper.stats.logins == 1


async def test_one_who_leaves_does_not_take_the_load_along(postgres: PostgresServer, database: str) -> None:
    async with catalogue(postgres, database) as kept:
        loop = asyncio.get_running_loop()
        leaving, staying = (loop.create_task(kept.catalogue.current()) for _ in range(2))
        await until(lambda: kept.helper.stats.queries > 1, pause=0)
        leaving.cancel()
        assert isinstance(await staying, Snapshot)
        assert leaving.cancelled()


async def test_what_nobody_uses_is_dropped(
    postgres: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = 0.0
    # That module's alone: the loop goes by the real one.
    monkeypatch.setattr("pooler.helpers.catalogue.time", SimpleNamespace(monotonic=lambda: passed))
    async with catalogue(postgres, database, idle_timeout=60) as kept:
        await kept.catalogue.current()
        for _ in range(5):
            kept.catalogue.touch()
            await polled(kept)
            passed += 50
        await polled(kept)
        assert kept.told == []
        passed += 50
        await kept.next_version()
        assert kept.catalogue.snapshot is None
        polls = kept.catalogue.stats.polls
        assert isinstance(await kept.catalogue.current(), Snapshot)
        await until(lambda: kept.catalogue.stats.polls > polls)


async def test_a_server_that_is_gone_is_not_trusted_for_long() -> None:
    with PostgresServer.start(18) as server:
        async with catalogue(server, "postgres") as kept:
            await kept.catalogue.current()
            server.stop("immediate")
            await kept.next_version()
            assert kept.catalogue.snapshot is None
            with pytest.raises(BackendError) as caught:
                await kept.catalogue.current()
            assert caught.value.failure in (BACKEND_CONNECT, BACKEND_LOST)
            await asyncio.to_thread(server.restart)

            async def again() -> Snapshot:
                while True:
                    try:
                        return await kept.catalogue.current()
                    except BackendError:
                        await asyncio.sleep(0.05)  # it is not asked for half a second after a failure

            async with asyncio.timeout(TIMEOUT):
                assert isinstance(await again(), Snapshot)


async def test_a_listener_may_leave(postgres: PostgresServer, database: str) -> None:
    async with catalogue(postgres, database) as kept:
        heard: list[int] = []
        leave = kept.catalogue.subscribe(heard.append)
        kept.catalogue.on_ddl()
        leave()
        kept.catalogue.on_ddl()
        assert heard == [1]
