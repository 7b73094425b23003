"""Named statements among the messages of a pipeline."""

from __future__ import annotations

import pytest

from tests.support.recorder import SYNC, Recorder, bind, close, complete, error, execute, message, parse, query, ready

PARSED, BOUND, CLOSED = message("1"), message("2"), message("3")


@pytest.fixture
def recorder() -> Recorder:
    """A client and a backend that knows a statement which another client has prepared."""
    recorder = Recorder()
    recorder.from_client(parse("SELECT 1", "others") + SYNC)
    recorder.from_backend(PARSED + ready())
    recorder.new_client()
    recorder.take()
    return recorder


def test_a_known_statement_is_answered_here(recorder: Recorder) -> None:
    recorder.from_client(parse("SELECT 1", "mine") + SYNC)
    assert recorder.to_backend == SYNC
    recorder.from_backend(ready())
    assert recorder.to_client == PARSED + ready()


def test_behind_more_of_its_own_batch_too(recorder: Recorder) -> None:
    batch = parse("SELECT 2") + bind() + execute()
    recorder.from_client(batch + parse("SELECT 1", "mine") + SYNC)
    assert recorder.to_backend == batch + SYNC
    recorder.from_backend(PARSED + BOUND + complete() + ready())
    assert recorder.to_client == PARSED + BOUND + complete() + PARSED + ready()


@pytest.mark.parametrize("batch", [query("BEGIN; SELECT 1/0"), parse("BEGIN") + bind() + execute() + SYNC], ids="QP")
def test_where_a_transaction_may_have_failed_by_then_the_server_says_whether_it_can_be_prepared(
    recorder: Recorder, batch: bytes
) -> None:
    recorder.from_client(batch + parse("SELECT 1", "mine") + bind("mine") + SYNC)
    kinds = recorder.to_backend[len(batch) :]
    assert kinds.startswith(b"C"), "what it has is closed, so that it can be prepared anew"
    assert b"SELECT 1\0" in kinds
    first = complete("BEGIN") + error("division by zero") + ready("E")
    recorder.from_backend(first if batch[:1] == b"Q" else PARSED + BOUND + complete("BEGIN") + ready("E"))
    recorder.to_client = b""
    recorder.from_backend(CLOSED + error("aborted") + ready("E"))
    assert recorder.to_client == error("aborted") + ready("E")


def test_a_pipeline_far_ahead_is_not_looked_through(recorder: Recorder) -> None:
    recorder.from_client((parse("SELECT 2") + bind() + execute()) * 1000)
    recorder.to_backend = b""
    recorder.from_client(parse("SELECT 1", "mine") + SYNC)
    assert recorder.to_backend.startswith(b"C")


@pytest.mark.parametrize("begin", [False, True])
def test_a_deallocate_that_is_carried_out_here_takes_the_unnamed_statement_too(recorder: Recorder, begin: bool) -> None:
    if begin:
        recorder.from_client(query("BEGIN"))
        recorder.from_backend(complete("BEGIN") + ready("T"))
    status = "T" if begin else "I"
    recorder.from_client(parse("SELECT 1", "mine") + parse("SELECT 2") + SYNC)
    # In a transaction what is known is parsed anew.
    recorder.from_backend(CLOSED * begin + PARSED * (1 + begin) + ready(status))
    recorder.take()
    recorder.from_client(query("DEALLOCATE mine"))
    assert recorder.take() == (b"", complete("DEALLOCATE") + ready(status))
    recorder.from_client(bind() + SYNC)
    assert recorder.to_backend == close("S") + bind() + SYNC
