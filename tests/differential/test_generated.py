"""Random conversations, compared with PostgreSQL.

The suite takes the same few streams each time. ``DIFFERENTIAL_EXAMPLES=2000`` takes as many new ones for each server
version and pool mode, and prints the one that failed as small as it could be made.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.differential.conftest import EXAMPLES, Pair
from tests.support.frontend import PROTOCOL_3_0, PROTOCOL_3_2
from tests.support.script import PoolMode, Stream
from tests.support.streams import Vocabulary, streams

FEW_EXAMPLES = 60


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_replies_are_those_of_postgresql(pair: Pair) -> None:
    vocabulary = Vocabulary(
        transactions=pair.mode is not PoolMode.STATEMENT,
        newest_protocol=PROTOCOL_3_2 if pair.version >= 18 else PROTOCOL_3_0,
    )

    @settings(
        max_examples=EXAMPLES or FEW_EXAMPLES,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        # Making the first failure small takes minutes, more than the suite has.
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(stream=streams(vocabulary))
    def check(stream: Stream) -> None:
        pair.comparison.check(stream)

    check()
