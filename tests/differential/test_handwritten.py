"""Each conversation written by hand, in each pool mode that it suits."""

from __future__ import annotations

import pytest

from tests.differential.conftest import Pair
from tests.differential.scripts.copying import COPY_STREAMS
from tests.differential.scripts.extended import EXTENDED_STREAMS
from tests.differential.scripts.simple import SIMPLE_STREAMS
from tests.support.frontend import PROTOCOL_3_0
from tests.support.script import Stream

STREAMS = (*SIMPLE_STREAMS, *EXTENDED_STREAMS, *COPY_STREAMS)


def test_names_are_unique() -> None:
    assert len({stream.name for stream in STREAMS}) == len(STREAMS)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_replies_are_those_of_postgresql(pair: Pair, stream: Stream) -> None:
    if pair.mode not in stream.modes:
        pytest.skip(f"{pair.mode.value} mode allows no transaction blocks")
    if stream.opening.version > PROTOCOL_3_0 and pair.version < 18:
        pytest.skip("PostgreSQL speaks 3.2 since version 18; what the proxy speaks does not depend on the server")
    pair.comparison.check(stream)
