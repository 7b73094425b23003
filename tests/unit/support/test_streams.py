"""What the generator generates."""

from __future__ import annotations

import functools
import re
from collections import Counter

from hypothesis import HealthCheck, given, settings

from tests.support.frontend import PROTOCOL_3_2
from tests.support.script import EVERY_MODE, Ending, Part, Stream
from tests.support.statements import TRANSACTION_CONTROL
from tests.support.streams import Vocabulary, streams

# What a client may send between the login and the end.
IN_CONVERSATION = {
    "Query", "Parse", "Bind", "Describe", "Execute", "Close", "Sync", "Flush", "CopyData", "CopyDone", "CopyFail",
    "FunctionCall",
}  # fmt: skip
EXAMPLES = 300
ALL = Vocabulary(newest_protocol=PROTOCOL_3_2)


@functools.cache
def _generate(vocabulary: Vocabulary) -> list[Stream]:
    found: list[Stream] = []

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(stream=streams(vocabulary))
    def collect(stream: Stream) -> None:
        found.append(stream)

    collect()
    return found


def test_every_message_type_is_generated_often() -> None:
    generated = _generate(ALL)
    counts = Counter(message.name for stream in generated for message in stream.messages)
    assert set(counts) == IN_CONVERSATION
    assert min(counts.values()) >= EXAMPLES / 10, counts
    preludes = Counter(prelude for stream in generated for prelude in stream.opening.preludes)
    assert set(preludes) == {"ssl", "gss", "cancel"}
    assert {stream.opening.version for stream in generated} == {3 << 16, PROTOCOL_3_2}
    assert {stream.ending for stream in generated} == set(Ending)


def test_every_way_to_cut_and_wait_is_generated() -> None:
    parts: list[Part] = [part for stream in _generate(ALL) for part in stream.parts]
    assert any(part.bytewise for part in parts)
    assert any(part.cuts for part in parts)
    assert any(not part.wait for part in parts)
    assert any(len(part.messages) > 20 for part in parts)
    assert max(len(part.data) for part in parts) > 100_000


def test_a_stream_ends_at_rest() -> None:
    assert all(stream.parts[-1].wait for stream in _generate(ALL))


def test_without_transactions_no_block_is_opened() -> None:
    # Not the BEGIN of a DO.
    opener = re.compile(r"""(^|['"]|; )(BEGIN|START|DECLARE c )""")
    assert any(opener.search(text) for text in TRANSACTION_CONTROL)
    for stream in _generate(Vocabulary(transactions=False)):
        assert stream.modes == EVERY_MODE
        assert not any(opener.search(message.note) for message in stream.messages if message.name in ("Query", "Parse"))
