"""Queries that are none: no plugin is asked about them, and no server."""

from __future__ import annotations

from pathlib import Path

import pytest

from interceptor.protocol import messages
from interceptor.session.substitutes import REFUSED_QUERY
from tests.support.plugged import PluggedRecorder
from tests.support.recorder import error, message, ready

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
