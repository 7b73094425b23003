"""Each conversation written by hand, in each pool mode that it suits."""

from __future__ import annotations

import pytest

from tests.differential.conftest import COMBINATIONS, Pair
from tests.differential.scripts.copying import COPY_STREAMS
from tests.differential.scripts.extended import EXTENDED_STREAMS
from tests.differential.scripts.simple import SIMPLE_STREAMS
from tests.support.frontend import PROTOCOL_3_0
from tests.support.script import Stream

STREAMS = (*SIMPLE_STREAMS, *EXTENDED_STREAMS, *COPY_STREAMS)


def test_names_are_unique() -> None:
    assert len({stream.name for stream in STREAMS}) == len(STREAMS)


# PostgreSQL speaks 3.2 since version 18; what the proxy speaks does not depend on the server.
COMBINATIONS_AND_STREAMS = [
    pytest.param(combination, stream, id=f"pg{combination[0]}-{combination[1].value}-{stream.name}")
    for combination in COMBINATIONS
    for stream in STREAMS
    if combination[1] in stream.modes and (combination[0] >= 18 or stream.opening.version == PROTOCOL_3_0)
]


@pytest.mark.parametrize(("pair", "stream"), COMBINATIONS_AND_STREAMS, indirect=["pair"])
def test_replies_are_those_of_postgresql(pair: Pair, stream: Stream) -> None:
    pair.comparison.check(stream)
