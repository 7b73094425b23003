"""Several clients over a pool of two, with plugins whose decisions must change nothing: each has its own session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from interceptor.testing.postgres import PostgresServer
from tests.differential.conftest import EXAMPLES, TIMEOUT
from tests.differential.scripts.interleaved import INTERLEAVINGS
from tests.support.interleave import InterleavedComparison, Interleaving
from tests.support.interleavings import Themes, interleavings
from tests.support.proxy import Tables, run_proxy
from tests.support.session_world import BOSS, SessionWorld
from tests.support.wire import Endpoint

PLUGINS = Path(__file__).parent / "plugins"
COMBINATIONS = [("undecided", 2), *([("undecided", 1), ("decided", 1), ("decided", 2)] if EXAMPLES else [])]
"""Plugin, and size of the pool."""
FEW_EXAMPLES = 15
EVERY = 1 if EXAMPLES else 8
"""The suite takes one of so many of the conversations that are written down."""

DIFFERENT = frozenset(
    [
        # What is rewritten at its execution is parsed then, under the settings of that moment.
        "a Parse under a setting that is rolled back",
        "a timestamp folded at Parse",
        "a date folded at Parse",
        "an interval folded at Parse",
        "a backslash read at Parse",
        "a literal keeps its meaning on another backend",
        "statements of clients with other startup parameters",
        # It has no plan from before.
        "a cached plan that fails within a transaction",
        "a cached plan that fails behind a write of its batch",
        # Its text is shown.
        "a client with a pin prepares statements by message and by name",
        # The private connection of the plugin is what they set something in.
        "a domain whose check sets",
        "an operator that sets",
    ]
)


@pytest.fixture(scope="module", params=COMBINATIONS, ids=lambda each: f"{each[0]}-pool{each[1]}")
def comparison(request: pytest.FixtureRequest, postgres18: PostgresServer) -> Iterator[InterleavedComparison]:
    plugin: str = request.param[0]
    size: int = request.param[1]
    with ExitStack() as stack:
        world = stack.enter_context(SessionWorld(Endpoint(postgres18.host, postgres18.port, "postgres")))
        backend = world.compared
        tables: Tables = {
            "server": {"pool_mode": "transaction", "listen": "pin", "default_pool_size": size},
            "databases.app": {"primary": f"postgresql://{BOSS}@{backend.host}:{backend.port}/{backend.database}"},
            "plugins": {"modules": [str(PLUGINS / f"{plugin}.py")]},
            f"plugins.{plugin}": {
                "host": backend.host,
                "port": backend.port,
                "database": backend.database,
                "user": BOSS,
            },
        }
        proxy = stack.enter_context(run_proxy(tables))
        endpoint = Endpoint(proxy.host, proxy.port, "app", BOSS)
        made = stack.enter_context(closing(InterleavedComparison(world, endpoint, timeout=TIMEOUT)))
        made.moves_clients = size > 1
        yield made
        assert "unexpected for an observer" not in proxy.log


@pytest.mark.parametrize("conversation", INTERLEAVINGS[::EVERY], ids=lambda each: each.name)
def test_each_client_is_answered_as_by_a_session_of_its_own(
    comparison: InterleavedComparison, conversation: Interleaving
) -> None:
    if conversation.name in DIFFERENT:
        pytest.skip("the answers are to be others")
    comparison.check_interleaving(conversation)


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_random_clients_are_answered_as_by_sessions_of_their_own(comparison: InterleavedComparison) -> None:
    @settings(
        max_examples=EXAMPLES or FEW_EXAMPLES,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(conversation=interleavings(Themes()))
    def check(conversation: Interleaving) -> None:
        comparison.check_interleaving(conversation)

    check()
