"""The helper connection: questions of our own, with typed answers, over a connection that comes and goes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interceptor.errors import BACKEND_CONNECT, BACKEND_LOGIN, HELPER_QUERY, HELPER_TIMEOUT, BackendError
from interceptor.services import Parameter, Value
from interceptor.testing.postgres import PostgresServer
from pooler.auth import BackendCredential, KeyCache, PlainPassword
from pooler.config import PoolSettings, Secret, config_from_upstream
from pooler.helpers import Catalogues, CatalogueSettings, Helper, HelperSettings, HelperState
from pooler.hosts.names import names
from tests.conftest import FreshDatabase
from tests.integration.catalogue_world import helper, settings_for
from tests.support.watch import TIMEOUT, Activity, Gate
from tests.support.wire import Endpoint, WireClient

texts = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20)
VALUES: list[tuple[str, st.SearchStrategy[Parameter]]] = [
    ("text", texts),
    ("int8", st.integers(-(2**63), 2**63 - 1)),
    ("bool", st.booleans()),
    ("float8", st.floats(allow_nan=False)),
    ("numeric", st.decimals(allow_nan=False, allow_infinity=False, places=5)),
    ("bytea", st.binary(max_size=20)),
    ("text[]", st.lists(st.one_of(st.none(), texts), max_size=5)),
    ("int8[]", st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=5)),
    ("bool[]", st.lists(st.booleans(), max_size=3)),
    ("bytea[]", st.lists(st.binary(max_size=5), max_size=3)),
    ("text[]", st.lists(st.lists(texts, min_size=2, max_size=2), min_size=1, max_size=3)),
]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110  # what is awaited is the server's, which tells nobody here
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(("type_name", "values"), VALUES)
def test_values_come_back_as_they_went(
    postgres18: PostgresServer, type_name: str, values: st.SearchStrategy[Parameter]
) -> None:
    with asyncio.Runner() as runner:

        async def open_helper() -> Helper:
            return Helper(settings_for(postgres18, "postgres"), lambda: None, KeyCache())

        made = runner.run(open_helper())

        @given(st.one_of(st.none(), values))
        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        def compare(value: Parameter) -> None:
            ((back,),) = runner.run(made.query(f"select $1::{type_name}", value))
            assert back == value
            assert type(back) is type(value)

        compare()
        runner.run(made.close())


async def test_types_become_what_is_promised(postgres: PostgresServer) -> None:
    expected: list[tuple[str, Value]] = [
        ("1::int2", 1),
        ("1::oid", 1),
        ("'NaN'::numeric", Decimal("NaN")),
        ("'-Infinity'::float4", -math.inf),
        ("'x'::\"char\"", "x"),
        ("'a b'::name", "a b"),
        ("date '2020-02-03'", "2020-02-03"),
        ("interval '1 day 2 hours'", "1 day 02:00:00"),
        ("'{\"a\": 1}'::jsonb", '{"a": 1}'),
        ("'{}'::int[]", []),
        ("'[0:1]={1,2}'::int[]", [1, 2]),
        ("'[0:1][1:2]={{1,2},{3,null}}'::int[]", [[1, 2], [3, None]]),
        ("'1 2'::oidvector", "1 2"),
        ("null::int", None),
    ]
    async with helper(postgres, "postgres") as made:
        (row,) = await made.query("select " + ", ".join(sql for sql, _ in expected))
        assert [repr(value) for value in row] == [repr(value) for _, value in expected]


async def test_a_parameter_is_never_a_part_of_the_text(postgres18: PostgresServer) -> None:
    async with helper(postgres18, "postgres") as made:
        hostile = "'; drop table pg_class; --\\"
        assert await made.query("select $1::text, $2::int", hostile, 5) == [(hostile, 5)]


async def test_an_error_leaves_the_connection_usable(postgres: PostgresServer) -> None:
    async with helper(postgres, "postgres") as made:
        for statement, sqlstate in [
            ("select 1 / 0", "22012"),
            ("select from nowhere", "42P01"),
            ("selec", "42601"),
            ("select 1; select 2", "42601"),
            ("create table made_by_helper (id int)", "25006"),
        ]:
            with pytest.raises(BackendError) as caught:
                await made.query(statement)
            assert caught.value.failure is HELPER_QUERY
            assert caught.value.sqlstate == sqlstate
        assert await made.query("select 1") == [(1,)]
        assert await made.query("") == []
        assert made.stats.logins == 1
        assert made.stats.query_failures == 5


async def test_rows_come_in_pages_and_may_be_left_half_read(postgres: PostgresServer) -> None:
    async with helper(postgres, "postgres") as made:
        async with aclosing(made.pages("select generate_series(1, 25)", size=10)) as pages:
            assert [len(page) async for page in pages] == [10, 10, 5]
        async with aclosing(made.pages("select generate_series(1, 100000000)", size=10)) as pages:
            async for page in pages:
                assert page[0] == (1,)
                break
        async with aclosing(made.pages("select 1 / (15 - i) from generate_series(1, 20) i", size=10)) as pages:
            assert len(await anext(pages)) == 10
            with pytest.raises(BackendError, match="division"):
                await anext(pages)
        assert await made.query("select 2") == [(2,)]
        assert made.stats.logins == 1


async def test_callers_take_turns(postgres18: PostgresServer) -> None:
    async with helper(postgres18, "postgres") as made:
        answers = await asyncio.gather(*[made.query("select $1::int, pg_backend_pid()", n) for n in range(50)])
        assert [row[0] for ((*row,),) in answers] == list(range(50))
        assert len({row[1] for ((*row,),) in answers}) == 1


async def test_a_snapshot_sees_one_moment(postgres: PostgresServer) -> None:
    with WireClient.connect(Endpoint(postgres.host, postgres.port, "postgres")) as other:
        other.query("drop table if exists moments; create table moments (id int)")
        async with helper(postgres, "postgres") as made:
            async with made.snapshot() as queries:
                assert await queries.query("select count(*) from moments") == [(0,)]
                other.query("insert into moments values (1)")
                assert await queries.query("select count(*) from moments") == [(0,)]
            assert await made.query("select count(*) from moments") == [(1,)]
            with pytest.raises(BackendError, match="division"):
                async with made.snapshot() as queries:
                    await queries.query("select 1 / 0")
            assert await made.query("select 1") == [(1,)]
            assert made.stats.logins == 1


async def test_it_is_seen_counted_and_closed_when_nobody_asks(postgres18: PostgresServer) -> None:
    options = HelperSettings(application_name="seen helper", idle_timeout=0.05)
    with Activity(postgres18, application="seen helper") as activity:
        async with helper(postgres18, "postgres", settings=options) as made:
            assert made.size == 0
            assert activity.count() == 0, "opened before anybody asked"
            with Gate(postgres18, "postgres") as gate:
                asking = asyncio.get_running_loop().create_task(made.query(f"select {gate.sql}"))
                await asyncio.to_thread(gate.wait_for)
                assert made.state is HelperState.BUSY
                assert made.size == 1
                assert activity.count() == 1
                gate.open()
                await asking
            await until(lambda: made.state is HelperState.CLOSED and made.size == 0)
            await asyncio.to_thread(activity.wait_for_rest, 0)
            assert await made.query("select 1") == [(1,)]
            assert made.stats.logins == 2


async def test_a_connection_that_died_unused_is_replaced(postgres18: PostgresServer) -> None:
    options = HelperSettings(application_name="doomed helper")
    with Activity(postgres18, application="doomed helper") as activity:
        async with helper(postgres18, "postgres", settings=options) as made:
            ((pid,),) = await made.query("select pg_backend_pid()")
            assert isinstance(pid, int)
            await asyncio.to_thread(activity.terminate, pid)
            await until(lambda: made.connection_lost)
            assert await made.query("select 1") == [(1,)]


async def test_one_that_dies_at_work_is_an_error_and_nothing_is_repeated(postgres18: PostgresServer) -> None:
    options = HelperSettings(application_name="dying helper")
    with Activity(postgres18, application="dying helper") as activity:
        async with helper(postgres18, "postgres", settings=options) as made:
            asking = asyncio.get_running_loop().create_task(made.query("select pg_sleep(60)"))
            pid = await asyncio.to_thread(activity.wait_for_query, "pg_sleep")
            await asyncio.to_thread(activity.terminate, pid)
            with pytest.raises(BackendError):
                await asking
            assert await made.query("select 1") == [(1,)]
            assert made.stats.queries == 2


async def test_who_is_canceled_does_not_leave_an_answer_for_the_next(postgres18: PostgresServer) -> None:
    async with helper(postgres18, "postgres") as made:
        asking = asyncio.get_running_loop().create_task(made.query("select pg_sleep(0.3), 'old'"))
        await until(lambda: made.state is HelperState.BUSY)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await made.query("select 'new'") == [("new",)]


async def test_the_end_waits_for_no_statement(postgres18: PostgresServer) -> None:
    async with helper(postgres18, "postgres") as made:
        asking = asyncio.get_running_loop().create_task(made.query("select pg_sleep(60)"))
        queued = asyncio.get_running_loop().create_task(made.query("select 1"))
        await until(lambda: made.state is HelperState.BUSY)
        async with asyncio.timeout(TIMEOUT):
            await made.close()
        for task in (asking, queued):
            with pytest.raises(BackendError):
                await task
        assert made.size == 0


async def test_statements_and_silent_servers_time_out() -> None:
    with PostgresServer.start(18) as server:
        async with helper(server, "postgres", settings=HelperSettings(statement_timeout=0.2)) as made:
            with pytest.raises(BackendError) as caught:
                await made.query("select pg_sleep(60)")
            assert caught.value.sqlstate == "57014"
            await answered(made)
            server.pause()
            try:
                with pytest.raises(BackendError) as caught:
                    await made.query("select 1")
            finally:
                server.resume()
            assert caught.value.failure is HELPER_TIMEOUT
            await answered(made)


async def answered(made: Helper) -> None:
    """Wait until a question is answered: where the machine is busy any may take longer than statement_timeout."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            try:
                assert await made.query("select 1") == [(1,)]
            except BackendError as error:
                if error.failure is not HELPER_TIMEOUT and error.sqlstate != "57014":
                    raise
            else:
                return


async def test_a_server_that_refuses_is_left_alone_for_a_while(postgres18: PostgresServer) -> None:
    async with helper(postgres18, "no_such_database") as made:
        for _ in range(5):
            with pytest.raises(BackendError) as caught:
                await made.query("select 1")
            assert caught.value.failure is BACKEND_LOGIN
            assert caught.value.sqlstate == "3D000"
        assert made.stats.login_failures == 1
        assert made.last_error is caught.value
        assert made.size == 0


async def test_it_follows_its_name_to_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = ["127.0.0.2"]

    async def look_up(name: str) -> tuple[str, ...]:
        return tuple(addresses)

    monkeypatch.setattr(names, "lookup", look_up)
    with PostgresServer.start(18, settings={"listen_addresses": "127.0.0.1,127.0.0.2,127.0.0.3"}) as server:
        config = config_from_upstream(f"postgresql://postgres@moving.test:{server.port}/postgres")
        settings = replace(config.pool_settings("postgres", "postgres"), dns_max_ttl=0.0)
        made = Helper(settings, lambda: None, KeyCache())
        question = "select host(inet_server_addr())"
        try:
            assert await made.query(question) == [("127.0.0.2",)]
            addresses[:] = ["127.0.0.3"]
            async with asyncio.timeout(TIMEOUT):
                # The name is looked up again once a second at most, while the connection is used.
                while await made.query(question) != [("127.0.0.3",)]:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        finally:
            await made.close()


async def test_an_address_without_a_server(postgres18: PostgresServer) -> None:
    with PostgresServer.start(18) as server:
        gone = settings_for(server, "postgres")
    made = Helper(gone, lambda: None, KeyCache())
    with pytest.raises(BackendError) as caught:
        await made.query("select 1")
    assert caught.value.failure is BACKEND_CONNECT
    await made.close()


async def test_a_login_of_its_own() -> None:
    with PostgresServer.start(18, hba=["host all watcher 127.0.0.1/32 scram-sha-256"]) as server:
        server.psql("create role watcher login password 'sesame'")
        own = replace(settings_for(server, "postgres"), user="watcher", password=Secret("sesame"), forced_user=True)
        assert own.password is not None
        credential = PlainPassword(own.password.reveal().encode())
        made = Helper(own, lambda: credential, KeyCache(), HelperSettings(search_path="pg_catalog, pg_temp"))
        assert await made.query("select current_user, current_setting('search_path')") == [
            ("watcher", "pg_catalog, pg_temp")
        ]
        assert "sesame" not in repr(own)
        await made.close()


async def test_catalogues_of_a_process_have_a_login_each_and_are_forgotten(
    postgres18: PostgresServer, fresh_database: FreshDatabase
) -> None:
    asked: list[tuple[str, str]] = []

    def find(settings: PoolSettings, from_login: BackendCredential | None) -> BackendCredential | None:
        asked.append((settings.database, settings.user))
        return from_login

    first, second = fresh_database(postgres18), fresh_database(postgres18)
    postgres18.psql("drop role if exists watcher; create role watcher login")
    catalogues = Catalogues(find, KeyCache(), CatalogueSettings(idle_timeout=0.1, poll_interval=0.05))
    watched = replace(settings_for(postgres18, first), catalogue_user="watcher")
    kept = catalogues.get(watched)
    assert catalogues.get(watched) is kept
    other = catalogues.get(settings_for(postgres18, second))
    assert asked == [(first, "watcher"), (first, "watcher"), (second, "postgres")]
    assert (len(catalogues), catalogues.size) == (2, 0)
    snapshot = await kept.current()
    assert "watcher" in snapshot.roles_by_name
    assert catalogues.size == 1
    with Activity(postgres18, application="interceptor catalogue") as activity:
        rows = activity.control.query(
            "select usename from pg_stat_activity where application_name = 'interceptor catalogue'"
        )
        assert rows == [("watcher",)]
    catalogues.drop_unused()
    assert [one.catalogue for one in catalogues] == [kept]
    await until(lambda: kept.unused)
    assert other.unused
    await catalogues.close()
    assert (len(catalogues), catalogues.size) == (0, 0)
