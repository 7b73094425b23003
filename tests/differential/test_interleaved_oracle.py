"""The comparison of several clients itself: PostgreSQL equals PostgreSQL, and whatever leaks is found out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from interceptor.testing.postgres import PostgresServer
from tests.differential.conftest import EXAMPLES
from tests.differential.scripts.interleaved import INTERLEAVINGS
from tests.differential.scripts.interleaved_known import KNOWN_DIFFERENCES
from tests.support.compare import Difference
from tests.support.interleave import InterleavedComparison, interleaving, turn
from tests.support.interleavings import Themes, interleavings
from tests.support.leaks import LEAKS, LeakingRelay
from tests.support.session_world import BOSS, SessionWorld
from tests.support.wire import Endpoint

MANY = settings(
    max_examples=EXAMPLES or 20,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    # The first failure is enough; making it small would take most of the time.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# Pins would only hide that a leak is noticed late.
PLAIN = Themes(pins=False, openings=False)
QUICKLY_FOUND = ("leaks search_path", "leaks app.tenant", "leaks role", "resets settings", "forgets statements")
UNTIL_FOUND = settings(MANY, max_examples=600)


@pytest.fixture(scope="module")
def world(postgres18: PostgresServer) -> Iterator[SessionWorld]:
    server = Endpoint(postgres18.host, postgres18.port, "postgres")
    with SessionWorld(server, reference="oracle_one", compared="oracle_two") as world:
        yield world


@pytest.fixture
def itself(world: SessionWorld) -> Iterator[InterleavedComparison]:
    """PostgreSQL compared with PostgreSQL."""
    with closing(InterleavedComparison(world, world.compared)) as comparison:
        yield comparison


def leaking(world: SessionWorld, leak: str) -> Iterator[InterleavedComparison]:
    with LeakingRelay((world.compared.host, world.compared.port), *LEAKS[leak]) as relay:
        endpoint = Endpoint("127.0.0.1", relay.port, world.compared.database, BOSS)
        # A reply too few is waited for; longer waits would find no more.
        with closing(InterleavedComparison(world, endpoint, timeout=2)) as comparison:
            yield comparison


def test_postgresql_equals_itself_in_handwritten_conversations(itself: InterleavedComparison) -> None:
    for each in (*INTERLEAVINGS, *KNOWN_DIFFERENCES)[:: 1 if EXAMPLES else 5]:
        itself.check_interleaving(each)


def test_postgresql_equals_itself_in_generated_conversations(itself: InterleavedComparison) -> None:
    MANY(given(interleavings())(itself.check_interleaving))()


@pytest.mark.parametrize("leak", LEAKS if EXAMPLES else QUICKLY_FOUND)
def test_generated_conversations_notice_a_leak(world: SessionWorld, leak: str) -> None:
    for comparison in leaking(world, leak):
        with pytest.raises(Difference, match="interleaving generated"):
            UNTIL_FOUND(given(interleavings(PLAIN))(comparison.check_interleaving))()


def test_a_relay_that_leaks_nothing_goes_unnoticed(world: SessionWorld) -> None:
    with LeakingRelay((world.compared.host, world.compared.port), "SELECT 1 WHERE false", "SELECT $1::text") as relay:
        endpoint = Endpoint("127.0.0.1", relay.port, world.compared.database, BOSS)
        with closing(InterleavedComparison(world, endpoint)) as comparison:
            MANY(given(interleavings(PLAIN))(comparison.check_interleaving))()


def test_a_client_that_waits_for_ever_is_told_by_its_turn(world: SessionWorld) -> None:
    """As if a pool of one were held by the client before."""
    conversation = interleaving("two clients", turn(0, "SELECT 1"), turn(1, "UPDATE u SET n = 1 WHERE k = 'a'"))
    with closing(InterleavedComparison(world, world.compared, timeout=1)) as comparison:
        control = world.control(world.compared)
        world.reset()
        control.query("BEGIN; UPDATE u SET n = 0 WHERE k = 'a'")
        try:
            with pytest.raises(Difference, match="In turn 1, of client 1"):
                comparison.check_interleaving(conversation)
        finally:
            control.query("ROLLBACK")
