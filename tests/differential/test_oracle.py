"""The comparison itself: PostgreSQL equals PostgreSQL, and a relay that spoils replies is found out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.differential.conftest import EXAMPLES
from tests.differential.scripts.copying import COPY_STREAMS
from tests.differential.scripts.extended import EXTENDED_STREAMS
from tests.differential.scripts.simple import SIMPLE_STREAMS
from tests.support.compare import Comparison, Difference
from tests.support.frontend import bind, describe_portal, execute, parse, query, sync
from tests.support.relay import MUTATIONS, MutatingRelay, Mutation, faithful
from tests.support.script import Ending, part, stream
from tests.support.streams import streams
from tests.support.wire import Endpoint, WireClient
from tests.support.world import World

REVEALING = stream(
    "something for every mutation",
    part(parse("SELECT id, v FROM t ORDER BY id"), bind(), describe_portal(), execute(), sync()),
    query("SELECT shout('notice me')"),
    query("SET application_name = 'changed'"),
)
EXHAUSTIVE = settings(
    max_examples=EXAMPLES or 60,
    derandomize=True,
    database=None,
    deadline=None,
    # The first failure is enough; making it small would take most of the time.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def itself(world: World) -> Iterator[Comparison]:
    """PostgreSQL compared with PostgreSQL."""
    with closing(Comparison(world, world.compared)) as comparison:
        yield comparison


@contextmanager
def relayed(world: World, mutation: Mutation, timeout: float) -> Iterator[Comparison]:
    """PostgreSQL compared with itself behind a relay."""
    with MutatingRelay((world.compared.host, world.compared.port), mutation) as relay:
        endpoint = Endpoint("127.0.0.1", relay.port, world.compared.database, world.compared.user)
        with closing(Comparison(world, endpoint, timeout=timeout)) as comparison:
            yield comparison


def test_postgresql_equals_itself_in_handwritten_streams(itself: Comparison) -> None:
    for each in (*SIMPLE_STREAMS, *EXTENDED_STREAMS, *COPY_STREAMS):
        if sum(len(message.data) for message in each.messages) < 100_000:
            itself.check(each)


def test_postgresql_equals_itself_in_generated_streams(itself: Comparison) -> None:
    EXHAUSTIVE(given(streams())(itself.check))()


def test_a_faithful_relay_goes_unnoticed(world18: World) -> None:
    with relayed(world18, faithful, 10) as comparison:
        for each in (REVEALING, *EXTENDED_STREAMS[:30]):
            comparison.check(each)


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS.keys())
def test_a_spoilt_reply_is_noticed(world18: World, mutation: Mutation) -> None:
    with relayed(world18, mutation, 1) as comparison, pytest.raises(Difference, match="for every mutation"):
        comparison.check(REVEALING)


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS.keys())
def test_generated_streams_notice_a_spoilt_reply(world18: World, mutation: Mutation) -> None:
    with relayed(world18, mutation, 1) as comparison, pytest.raises(Difference, match="stream generated"):
        EXHAUSTIVE(given(streams())(comparison.check))()


def test_tables_are_compared(itself: Comparison, world: World) -> None:
    world.control(world.compared).query("UPDATE t SET v = 'changed from outside' WHERE id = 7")
    with pytest.raises(Difference, match="The tables differ") as difference:
        itself.check(stream("a stream that looks at nothing", query("SELECT 1")))
    assert '+t (7,"changed from outside")' in str(difference.value)
    itself.check(stream("the next finds all as it was", query("SELECT v FROM t WHERE id = 7")))


def test_a_backend_left_at_work_is_noticed(world18: World) -> None:
    """As if a proxy had forgotten a transaction of a client that is gone."""
    with closing(Comparison(world18, world18.compared, timeout=1)) as comparison:
        with WireClient.connect(world18.compared) as forgotten:
            forgotten.query("BEGIN")
            with pytest.raises(Difference, match="still work"):
                comparison.check(stream("nothing at all", ending=Ending.TERMINATE))
