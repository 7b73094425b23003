"""The backend's half: what it says in pieces, and its errors."""

from __future__ import annotations

import pytest

from interceptor.session import backend as backend_module
from tests.support.recorder import (
    RESULT,
    SYNC,
    Recorder,
    bind,
    error,
    execute,
    message,
    parse,
    query,
    ready,
)

FAREWELL = error("terminating connection", "FATAL")


@pytest.mark.parametrize("asked", [b"", query("SELECT 1"), parse("SELECT 1") + SYNC], ids=["nothing", "query", "batch"])
def test_a_farewell_is_known_as_one_however_it_is_cut(asked: bytes) -> None:
    for cut in range(1, len(FAREWELL)):
        recorder = Recorder()
        recorder.from_client(query("BEGIN"))
        recorder.from_backend(RESULT + ready("T"))
        if asked:
            recorder.from_client(asked)
        recorder.to_client = b""
        recorder.from_backend(FAREWELL[:cut])
        assert recorder.to_client == b"", "half an error can't be taken back, if the connection ends here"
        recorder.from_backend(FAREWELL[cut:])
        assert recorder.backend.said_why
        assert recorder.to_client == FAREWELL


@pytest.mark.parametrize("text", ["VFATAL", "VPANIC"])
def test_an_error_that_only_speaks_of_a_farewell_is_none(text: str) -> None:
    recorder = Recorder()
    recorder.from_client(query("DO"))
    recorder.from_backend(error(text))
    assert not recorder.backend.said_why


def test_a_long_error_streams_once_its_beginning_is_there() -> None:
    recorder = Recorder()
    recorder.from_client(query("DO"))
    long = error("x" * backend_module.MAX_WHOLE_ERROR)
    for start in range(0, len(long), 1000):
        recorder.from_backend(long[start : start + 1000])
        assert len(recorder.backend.partial) <= 1000 + backend_module.MAX_ERROR_HEAD
    recorder.from_backend(ready())
    assert recorder.to_client == long + ready()
    assert recorder.errors == [b"42601"]


@pytest.mark.parametrize("size", [100_000, 2 * backend_module.MAX_WHOLE_ERROR])
def test_a_long_error_that_names_a_statement_stays_one_message(size: int) -> None:
    recorder = Recorder()
    recorder.from_client(parse("SELECT 1", "mine") + bind("mine") + execute() + SYNC)
    (prepared,) = recorder.backend.prepared
    recorder.from_backend(message("1"))
    recorder.to_client = b""
    long = error(f'"{prepared.name.decode()}" {"x" * size}')
    for start in range(0, len(long), 5000):
        recorder.from_backend(long[start : start + 5000])
    recorder.from_backend(ready())
    renamed = long if size > backend_module.MAX_WHOLE_ERROR else error(f'"mine" {"x" * size}')
    assert recorder.to_client == renamed + ready()
    assert recorder.released == 1
