"""What plugins are asked about: no Query that is none, and what a name really stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from interceptor.protocol import messages
from interceptor.session.substitutes import REFUSED_QUERY
from tests.support.plugged import PluggedRecorder
from tests.support.recorder import SYNC, bind, error, execute, message, parse, ready

GUARDS = """
@hookimpl
def guard(statement, session):
    return Plan(Block("42501", "not this"))
"""


@pytest.mark.parametrize(
    ("body", "text"),
    [
        # As FunctionCalls are known by.
        (b"\0ROP TABLE t\0", "invalid message format"),
        (b"\x001598\0", "invalid message format"),
        (b"SELECT 1\0; DROP TABLE t\0", "invalid message format"),
        (b"SELECT 1\0\0", "invalid message format"),
        (b"SELECT 1", "invalid string in message"),
        (b"", "invalid string in message"),
    ],
)
def test_a_query_that_is_no_text_is_refused_as_by_postgresql(tmp_path: Path, body: bytes, text: str) -> None:
    recorder = PluggedRecorder(tmp_path, GUARDS)
    recorder.from_client(message("Q", body))
    if recorder.to_backend:
        assert recorder.to_backend == REFUSED_QUERY
        recorder.from_backend(error() + ready())
    fields = messages.decode_error_fields(recorder.to_client[5 : -len(ready())])
    assert (fields["C"], fields["M"]) == ("08P01", text)
    assert recorder.to_client.endswith(ready())
    assert recorder.failure is None


BLOCKS_DELETE = """
@hookimpl
def guard(statement, session):
    return Plan(lambda execution: Block("42501", "no") if "DELETE" in statement.text else None)
"""


def test_a_name_that_was_refused_stands_for_what_it_stood_for(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, BLOCKS_DELETE)
    recorder.from_client(parse("DELETE FROM t", "s") + SYNC)
    recorder.from_backend(message("1") + ready())
    # Elsewhere it has to be prepared first, which goes well; and then the name is taken.
    recorder.new_backend()
    recorder.from_client(parse("SELECT 1", "s") + SYNC)
    recorder.from_backend(message("1") + error("already exists") + ready())
    recorder.take()
    recorder.from_client(bind("s") + execute() + SYNC)
    assert recorder.to_backend == b""
    assert messages.decode_error_fields(recorder.to_client[5 : -len(ready())])["C"] == "42501"
