"""A COPY that fails with Syncs in it: which of them count is found out by a marker."""

from __future__ import annotations

from pathlib import Path

import pytest

from interceptor.errors import ProtocolViolation
from interceptor.session.prelude import PASSING_NAME
from tests.support.plugged import PluggedRecorder
from tests.support.recorder import (
    COPY_DONE,
    COPY_IN,
    FLUSH,
    RESULT,
    SYNC,
    Recorder,
    bind,
    close,
    complete,
    error,
    execute,
    message,
    parse,
    query,
    ready,
)

GUARDS = """
@hookimpl
def guard(statement, session):
    return Plan(lambda execution: None)
"""
MARKER = SYNC + close("P", PASSING_NAME.decode()) + FLUSH
MARKED = message("3")
DATA = message("d", b"x\n")
NOTIFIED = message("A", bytes(4) + b"a\0b\0")


@pytest.fixture(params=[False, True], ids=["plain", "plugins"])
def recorder(tmp_path: Path, request: pytest.FixtureRequest) -> Recorder:
    return PluggedRecorder(tmp_path, GUARDS) if request.param else Recorder()


def feed(recorder: Recorder, data: bytes, bytewise: bool) -> None:
    for piece in [data[at : at + 1] for at in range(len(data))] if bytewise else [data]:
        recorder.from_backend(piece)


def begin(recorder: Recorder, simple: bool) -> None:
    if simple:
        recorder.from_client(query("COPY t FROM STDIN"))
        recorder.from_backend(COPY_IN)
    else:
        recorder.from_client(parse("COPY t FROM STDIN") + bind() + execute() + SYNC)
        recorder.from_backend(message("1") + message("2") + COPY_IN)
    recorder.from_client(DATA + SYNC + DATA)
    recorder.to_backend = recorder.to_client = b""


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("counted", [0, 1, 2])
@pytest.mark.parametrize("simple", [False, True])
def test_those_that_were_answered_count(recorder: Recorder, simple: bool, counted: int, bytewise: bool) -> None:
    begin(recorder, simple)
    feed(recorder, error(), bytewise)
    assert recorder.to_backend == MARKER
    shown = error() + ready() * (counted + simple)
    feed(recorder, ready() * (counted + simple + 1) + NOTIFIED + MARKED, bytewise)
    assert recorder.to_client == shown + NOTIFIED
    assert recorder.released == 1
    recorder.to_client = b""
    recorder.from_client(COPY_DONE + SYNC + query("SELECT 1"))
    recorder.from_backend(RESULT + ready())
    assert recorder.to_client == ready() + RESULT + ready()
    assert recorder.failure is None


@pytest.mark.parametrize("simple", [False, True])
def test_what_comes_meanwhile_waits(recorder: Recorder, simple: bool) -> None:
    begin(recorder, simple)
    recorder.from_backend(error())
    recorder.from_client(COPY_DONE + query("SELECT 2") + SYNC)
    assert recorder.to_backend == MARKER
    recorder.from_backend(ready("E") * (1 + simple) + MARKED)
    assert recorder.to_client == error() + ready("E") * simple
    # In the extended protocol the server would have skipped the Query.
    assert recorder.to_backend == MARKER + query("SELECT 2") * simple + SYNC


def test_the_marker_goes_behind_a_message_that_is_still_coming(recorder: Recorder) -> None:
    begin(recorder, simple=True)
    large = message("d", b"x" * 100_000)
    recorder.from_client(large[:50_000])
    recorder.from_backend(error() + ready())
    assert recorder.to_backend == large[:50_000]
    recorder.from_client(large[50_000:] + SYNC)
    assert recorder.to_backend == large + MARKER
    recorder.from_backend(ready() + MARKED)
    assert recorder.to_client == error() + ready()
    assert recorder.to_backend == large + MARKER + SYNC


@pytest.mark.parametrize("wrong", [MARKED, message("T", b"\0\0"), message("Z", b"I?"), ready("x")])
def test_another_answer_is_a_violation(recorder: Recorder, wrong: bytes) -> None:
    begin(recorder, simple=False)
    recorder.from_backend(error() + wrong)
    assert recorder.failure is not None


def test_named_statements_are_still_the_clients(recorder: Recorder) -> None:
    recorder.from_client(parse("SELECT 1", "mine") + SYNC)
    recorder.from_backend(message("1") + ready())
    begin(recorder, simple=False)
    recorder.from_backend(error() + ready() * 2 + MARKED)
    recorder.to_client = recorder.to_backend = b""
    recorder.from_client(COPY_DONE + SYNC + bind("mine") + execute() + SYNC)
    answer = message("2") + complete() + ready()
    recorder.from_backend(answer)
    assert b"mine" not in recorder.to_backend
    assert recorder.to_client == ready() + answer


def test_a_statement_that_came_before_its_copy_had_begun_is_refused_when_it_has(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, GUARDS)
    recorder.from_client(query("COPY t FROM STDIN") + query("SELECT 1"))
    with pytest.raises(ProtocolViolation):
        recorder.from_backend(COPY_IN)


@pytest.mark.parametrize(("severity", "says_why"), [("ERROR", False), ("FATAL", True)])
def test_an_error_that_comes_meanwhile_is_a_farewell_or_not(recorder: Recorder, severity: str, says_why: bool) -> None:
    begin(recorder, simple=True)
    # As of a Sync with a body.
    recorder.from_backend(error() + ready() + error("no", severity))
    assert recorder.backend.said_why == says_why
