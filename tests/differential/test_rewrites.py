"""The proxy with a plugin that rewrites each statement into an equal one (``plugins/renumbering.py``).

The replies are PostgreSQL's own, message for message, errors and their positions included. The suite takes a handful of
streams; ``DIFFERENTIAL_EXAMPLES=1000`` all that were written by hand, and as many random ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from interceptor.session.bounds import MAX_JUDGED
from tests.differential.conftest import EXAMPLES, TIMEOUT, Pair
from tests.differential.scripts.copying import COPY_STREAMS
from tests.differential.scripts.extended import EXTENDED_STREAMS
from tests.differential.scripts.simple import SIMPLE_STREAMS
from tests.differential.test_plugins import DIFFERENT as DIFFERENT_WITH_PLUGINS
from tests.support.compare import Comparison, Difference
from tests.support.frontend import PROTOCOL_3_2
from tests.support.proxy import Tables, run_proxy
from tests.support.script import PoolMode, Stream
from tests.support.streams import Vocabulary, streams
from tests.support.wire import Endpoint
from tests.support.world import ROLE, World

PLUGIN = Path(__file__).parent / "plugins" / "renumbering.py"
FEW_EXAMPLES = 4
EVERY = 1 if EXAMPLES else 16
"""Of the streams written by hand."""

STREAMS = (*SIMPLE_STREAMS, *EXTENDED_STREAMS, *COPY_STREAMS)

# PostgreSQL itself goes astray at the end of such a batch.
DIFFERENT = DIFFERENT_WITH_PLUGINS | {"a Query in an extended batch"}


@pytest.fixture(scope="module")
def pair(world18: World) -> Iterator[Pair]:
    """The proxy with the plugin."""
    backend = world18.compared
    tables: Tables = {
        "server": {"listen": "pin", "default_pool_size": 2},
        "databases.app": {"primary": f"postgresql://{ROLE}@{backend.host}:{backend.port}/{backend.database}"},
        "plugins": {"modules": [str(PLUGIN)]},
    }
    with run_proxy(tables) as proxy:
        endpoint = Endpoint(proxy.host, proxy.port, "app", ROLE)
        with closing(Comparison(world18, endpoint, timeout=TIMEOUT, compare_places=False)) as comparison:
            yield Pair(comparison, PoolMode.TRANSACTION, 18)


@pytest.mark.parametrize("stream", STREAMS[::EVERY], ids=lambda stream: stream.name)
def test_handwritten_streams_are_answered_as_by_postgresql(pair: Pair, stream: Stream) -> None:
    if pair.mode not in stream.modes:
        pytest.skip("the stream is not for this pool mode")
    too_long = any(len(one.data) > MAX_JUDGED and one.name != "CopyData" for one in stream.messages)
    if stream.name in DIFFERENT or too_long:
        pytest.skip("the answers are to be others")
    pair.comparison.check(stream)


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_generated_streams_are_answered_as_by_postgresql(pair: Pair) -> None:
    @settings(
        max_examples=EXAMPLES or FEW_EXAMPLES,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(stream=streams(Vocabulary(newest_protocol=PROTOCOL_3_2)))
    def check(stream: Stream) -> None:
        try:
            pair.comparison.check(stream)
        except Difference as difference:
            # An error about a value tells its number, and not before each commit somebody can be asked.
            if " parameter $2" not in str(difference) and "(rewrite_refused)" not in str(difference):
                raise

    check()
