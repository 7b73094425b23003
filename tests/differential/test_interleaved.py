"""Several clients over a pool of one, and over one of two: each is answered as by a PostgreSQL session of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from interceptor.testing.postgres import PostgresServer
from tests.differential.conftest import EXAMPLES, TIMEOUT
from tests.differential.scripts.interleaved import INTERLEAVINGS
from tests.differential.scripts.interleaved_known import KNOWN_DIFFERENCES
from tests.support.compare import Difference
from tests.support.interleave import InterleavedComparison, Interleaving
from tests.support.interleavings import Themes, interleavings
from tests.support.leaks import LEAKS, LeakingRelay
from tests.support.proxy import Tables, run_proxy
from tests.support.session_world import BOSS, SessionWorld
from tests.support.wire import Endpoint

# The name of a leak of tests.support.leaks: it lets sessions cross on their way to the proxy. The tests that look at
# what leaks must fail then.
LEAK = os.environ.get("DIFFERENTIAL_LEAK", "")

FEW_EXAMPLES = 30

COMBINATIONS = [(18, 1), (18, 2), *([(16, 1), (16, 2)] if EXAMPLES else [])]
"""Version of PostgreSQL, and size of the pool. What a session is hardly differs between versions."""

OF_ONE_BACKEND = frozenset(
    [
        "a Parse under a setting that is rolled back",
        "a cached plan that fails within a transaction",
        "a cached plan that fails behind a write of its batch",
    ]
)
"""What is parsed in a transaction, under settings that end with it, is parsed elsewhere under those of the moment. And
a plan is old only on the backend that made it, where the client need not be by then."""

Comparer = Callable[[int, int], InterleavedComparison]


def session_world(server: PostgresServer) -> SessionWorld:
    return SessionWorld(Endpoint(server.host, server.port, "postgres"))


@pytest.fixture(scope="module")
def comparisons(request: pytest.FixtureRequest) -> Iterator[Comparer]:
    """Comparisons by version and size of the pool, each made when it is first asked for."""
    made: dict[tuple[int, int], InterleavedComparison] = {}
    worlds: dict[int, SessionWorld] = {}
    with ExitStack() as stack:

        def get(version: int, size: int) -> InterleavedComparison:
            if version not in worlds:
                server = request.getfixturevalue(f"postgres{version}")
                worlds[version] = stack.enter_context(session_world(server))
            if (version, size) not in made:
                made[version, size] = stack.enter_context(_comparison(worlds[version], size))
            return made[version, size]

        yield get


@contextmanager
def _comparison(world: SessionWorld, size: int) -> Iterator[InterleavedComparison]:
    backend = world.compared
    tables: Tables = {
        "server": {"pool_mode": "transaction", "listen": "pin", "default_pool_size": size},
        "databases.app": {"primary": f"postgresql://{BOSS}@{backend.host}:{backend.port}/{backend.database}"},
    }
    with ExitStack() as stack:
        proxy = stack.enter_context(run_proxy(tables))
        port = proxy.port
        if LEAK:
            port = stack.enter_context(LeakingRelay((proxy.host, port), *LEAKS[LEAK])).port
        endpoint = Endpoint(proxy.host, port, "app", BOSS)
        comparison = stack.enter_context(closing(InterleavedComparison(world, endpoint, timeout=TIMEOUT)))
        comparison.moves_clients = size > 1
        yield comparison


@pytest.fixture(params=COMBINATIONS, ids=lambda each: f"pg{each[0]}-pool{each[1]}")
def comparison(request: pytest.FixtureRequest, comparisons: Comparer) -> InterleavedComparison:
    """The proxy with a pool of one or two before a version."""
    return comparisons(*request.param)


def test_names_are_unique() -> None:
    assert len({each.name for each in INTERLEAVINGS}) == len(INTERLEAVINGS)


@pytest.mark.parametrize("conversation", INTERLEAVINGS, ids=lambda each: each.name)
def test_each_client_is_answered_as_by_a_session_of_its_own(
    comparison: InterleavedComparison, conversation: Interleaving
) -> None:
    if comparison.moves_clients and conversation.name in OF_ONE_BACKEND:
        pytest.skip("docs/design/session-following.md: what comes of it depends on which backend it gets")
    comparison.check_interleaving(conversation)


@pytest.mark.parametrize("conversation", KNOWN_DIFFERENCES, ids=lambda each: each.name)
def test_known_differences_are_no_others(comparisons: Comparer, conversation: Interleaving) -> None:
    """Whoever mends one moves it to the others."""
    with pytest.raises(Difference):
        comparisons(18, 1).check_interleaving(conversation)


@pytest.mark.timeout(0 if EXAMPLES else 300)
@pytest.mark.parametrize(
    "themes", [Themes(pins=False, hidden=False), Themes(pins=False), Themes()], ids=["settings", "hidden", "pins"]
)
def test_random_clients_are_answered_as_by_sessions_of_their_own(
    comparison: InterleavedComparison, themes: Themes
) -> None:
    """The suite takes the same few conversations each time, ``DIFFERENTIAL_EXAMPLES=2000`` as many new ones."""

    @settings(
        max_examples=EXAMPLES or FEW_EXAMPLES,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        # Making the first failure small takes minutes, more than the suite has.
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(conversation=interleavings(themes))
    def check(conversation: Interleaving) -> None:
        comparison.check_interleaving(conversation)

    check()
