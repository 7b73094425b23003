"""Random conversations, compared with PostgreSQL.

``DIFFERENTIAL_EXAMPLES`` says how many streams for each server version and pool mode. The suite's own number takes the
same streams each time; any other takes new ones each time, and prints the one that failed.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings

from tests.differential.conftest import Pair
from tests.support.frontend import PROTOCOL_3_0, PROTOCOL_3_2
from tests.support.script import PoolMode, Stream
from tests.support.streams import Vocabulary, streams

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "0"))
FEW_EXAMPLES = 80


# Finding the smallest stream that fails may take minutes; a pass in the suite takes seconds.
@pytest.mark.timeout(0 if EXAMPLES else 600)
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
        suppress_health_check=list(HealthCheck),
    )
    @given(stream=streams(vocabulary))
    def check(stream: Stream) -> None:
        pair.comparison.check(stream)

    check()
