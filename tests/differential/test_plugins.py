"""The proxy with a plugin that decides something else for each statement, and nothing that a client could notice.

Each statement is forwarded at once or after a while, rewritten to a text that means the same, or answered with what a
private connection of the plugin's was told: at each execution anew (``plugins/undecided.py``), or always the same for a
text, with an observer of everything (``plugins/decided.py``). The replies are PostgreSQL's all the same.
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
from tests.differential.scripts.names import NAME_STREAMS
from tests.differential.scripts.simple import SIMPLE_STREAMS
from tests.support.compare import Comparison
from tests.support.frontend import PROTOCOL_3_0, PROTOCOL_3_2
from tests.support.proxy import Tables, run_proxy
from tests.support.script import PoolMode, Stream
from tests.support.streams import Vocabulary, streams
from tests.support.wire import Endpoint
from tests.support.world import ROLE, World

PLUGINS = Path(__file__).parent / "plugins"
PLUGIN_NAMES = ("undecided", "decided", "passing")
FEW_EXAMPLES = 40

COMBINATIONS = [
    ("undecided", 18, PoolMode.TRANSACTION),
    ("undecided", 18, PoolMode.SESSION),
    ("decided", 18, PoolMode.TRANSACTION),
    ("passing", 18, PoolMode.TRANSACTION),
    ("passing", 18, PoolMode.SESSION),
]
"""Plugin, version and mode. The others were equal too, and are compared where there is time for it."""
if EXAMPLES:
    COMBINATIONS = [(plugin, version, mode) for plugin in PLUGIN_NAMES for version in (18, 16) for mode in PoolMode]

DIFFERENT = frozenset(
    [
        # After these nobody can tell what is a statement, or nobody who decides about it.
        "a Query behind a row that fails its COPY",
        "a Parse behind a row that fails its COPY",
        "a Query during COPY closes the connection",
        "a Parse during extended COPY closes the connection",
    ]
)


@pytest.fixture(scope="module", params=COMBINATIONS, ids=lambda each: f"{each[0]}-pg{each[1]}-{each[2].value}")
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """The proxy with a plugin, in a pool mode before a version."""
    plugin: str = request.param[0]
    version: int = request.param[1]
    mode: PoolMode = request.param[2]
    world = request.getfixturevalue(f"world{version}")
    assert isinstance(world, World)
    backend = world.compared
    tables: Tables = {
        "server": {"pool_mode": mode.value, "listen": "pin", "default_pool_size": 2},
        "databases.app": {"primary": f"postgresql://{ROLE}@{backend.host}:{backend.port}/{backend.database}"},
        "plugins": {"modules": [str(PLUGINS / f"{plugin}.py")]},
        f"plugins.{plugin}": {
            "host": backend.host,
            "port": backend.port,
            "database": backend.database,
            "user": ROLE,
        },
    }
    with run_proxy(tables) as proxy:
        endpoint = Endpoint(proxy.host, proxy.port, "app", ROLE)
        with closing(Comparison(world, endpoint, compare_places=False, timeout=TIMEOUT)) as comparison:
            yield Pair(comparison, mode, version)
        assert "unexpected for an observer" not in proxy.log


@pytest.mark.parametrize(
    "stream", [*SIMPLE_STREAMS, *EXTENDED_STREAMS, *NAME_STREAMS, *COPY_STREAMS], ids=lambda stream: stream.name
)
def test_handwritten_streams_are_answered_as_by_postgresql(pair: Pair, stream: Stream) -> None:
    if pair.mode not in stream.modes or (pair.version < 18 and stream.opening.version != PROTOCOL_3_0):
        pytest.skip("the stream is not for this pool mode")
    too_long = any(len(one.data) > MAX_JUDGED and one.name != "CopyData" for one in stream.messages)
    if stream.name in DIFFERENT or too_long:
        pytest.skip("the answers are to be others")
    pair.comparison.check(stream)


def breaks_into_a_batch(stream: Stream) -> bool:
    """Whether a FunctionCall comes in the midst of a batch.

    PostgreSQL goes astray behind it, and refuses the next statement (XX000). In session mode that may be a question of
    the proxy's own.
    """
    is_open = False
    for message in stream.messages:
        if message.name in ("Sync", "Query"):
            is_open = False
        elif message.name in ("Parse", "Bind", "Describe", "Execute", "Close"):
            is_open = True
        elif message.name == "FunctionCall" and is_open:
            return True
    return False


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_generated_streams_are_answered_as_by_postgresql(pair: Pair) -> None:
    vocabulary = Vocabulary(
        transactions=pair.mode is not PoolMode.STATEMENT,
        newest_protocol=PROTOCOL_3_2 if pair.version >= 18 else PROTOCOL_3_0,
    )

    @settings(
        max_examples=EXAMPLES or FEW_EXAMPLES,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(stream=streams(vocabulary))
    def check(stream: Stream) -> None:
        if pair.mode is PoolMode.SESSION and breaks_into_a_batch(stream):
            return
        pair.comparison.check(stream)

    check()
