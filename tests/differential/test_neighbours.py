"""What one client did is not seen by the next, though both have the same backend.

Each conversation written by hand is run again; it ends without the last words that the comparison otherwise adds, and a
neighbour comes, whose view has to be that of somebody who logs in to PostgreSQL for the first time.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.differential.conftest import COMBINATIONS, Pair
from tests.differential.scripts.copying import COPY_STREAMS
from tests.differential.scripts.extended import EXTENDED_STREAMS
from tests.differential.scripts.simple import SIMPLE_STREAMS
from tests.support.frontend import PROTOCOL_3_0, bind, execute, parse, query, sync
from tests.support.script import NOT_STATEMENT, Ending, PoolMode, Stream, part, stream

NEIGHBOUR = stream(
    "a neighbour",
    query("SELECT 'hello'"),
    # A library that was loaded stays loaded, and its settings with it: those have a dot.
    query("SELECT name, setting FROM pg_settings WHERE name NOT LIKE '%.%' ORDER BY name"),
    query("SELECT current_user, session_user"),
    query("SELECT name, statement FROM pg_prepared_statements ORDER BY name"),
    query("SELECT name FROM pg_cursors ORDER BY name"),
    query("SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() ORDER BY relname"),
    query("SELECT pg_listening_channels()"),
    query("SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"),
)

LEFT_BEHIND = (
    # PostgreSQL 18 reports I after this Sync, and fails whatever comes next with XX000, once.
    stream(
        "a Query instead of a Sync, then the Sync",
        part(parse("SELECT 1"), bind(), execute(), query("SELECT 2")),
        modes=NOT_STATEMENT,
    ),
    stream("a prepared statement left behind", part(parse("SELECT 1", "left"), sync())),
    stream("an advisory lock left behind", query("SELECT pg_advisory_lock(1)")),
    stream("a channel left behind", query("LISTEN gong")),
    stream("a temporary table left behind", query("CREATE TEMP TABLE scratch (x int)")),
    stream(
        "a setting left behind", query("SET work_mem = '5MB'; SET search_path = harness; SET TimeZone = 'Asia/Tokyo'")
    ),
    stream(
        "a cursor left behind", query("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT"), modes=NOT_STATEMENT
    ),
    stream("a transaction left open", query("BEGIN"), query("SET LOCAL work_mem = '5MB'"), modes=NOT_STATEMENT),
)

# Backends change hands in every mode; what they carry over is most varied in this one. Big messages leave nothing more.
COMBINATIONS_AND_STREAMS = [
    pytest.param(combination, stream, id=f"pg{combination[0]}-{combination[1].value}-{stream.name}")
    for combination in COMBINATIONS
    for stream in (*SIMPLE_STREAMS, *EXTENDED_STREAMS, *COPY_STREAMS, *LEFT_BEHIND)
    if combination[1] in stream.modes
    and (combination[0] >= 18 or stream.opening.version == PROTOCOL_3_0)
    and (stream in LEFT_BEHIND or combination == (18, PoolMode.TRANSACTION))
    and sum(len(message.data) for message in stream.messages) < 1_000_000
]


@pytest.mark.parametrize(("pair", "stream"), COMBINATIONS_AND_STREAMS, indirect=["pair"])
def test_nothing_is_left_for_the_next_client(pair: Pair, stream: Stream) -> None:
    if stream.ending is Ending.TIDY:
        stream = replace(stream, parts=(*stream.parts, part(sync())), ending=Ending.TERMINATE)
    pair.comparison.check(stream)
    pair.comparison.check(NEIGHBOUR)
