"""The client's half: waiting, holding, pinning, and leaving."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.errors import STATEMENT_POOLING, ClientError, ProtocolViolation
from interceptor.session import PoolMode
from interceptor.session.bounds import MAX_OWED, WHOLE_MESSAGE
from interceptor.session.client_state import MAX_KEPT_INPUT
from interceptor.sql.effects import Effect
from tests.support.recorder import (
    ASKS_FOR_ALL,
    COPY_DONE,
    COPY_IN,
    FLUSH,
    RESULT,
    SYNC,
    TERMINATE,
    Recorder,
    answer,
    bind,
    complete,
    error,
    execute,
    message,
    parse,
    query,
    ready,
    row,
)

PARSED, BOUND, CLOSED = message("1"), message("2"), message("3")


# --- Waiting for a backend -------------------------------------------------------------------------------------------


def test_what_came_while_waiting_is_sent_once_there_is_a_backend() -> None:
    recorder = Recorder(backends=False)
    recorder.from_client(query("SELECT 1"))
    recorder.from_client(query("SELECT 2")[:7])
    assert recorder.take() == (b"", b"")
    recorder.give_backend()
    assert recorder.take() == (query("SELECT 1"), b"")
    recorder.from_client(query("SELECT 2")[7:])
    assert recorder.take() == (query("SELECT 2"), b"")


def test_a_waiting_client_that_sends_ahead_is_not_read_without_bound() -> None:
    recorder = Recorder(backends=False)
    recorder.from_client(query("SELECT 1"))
    while not recorder.paused:
        recorder.from_client(query("SELECT 1") * 1000)
        assert len(recorder.client.rest) < 2 * MAX_KEPT_INPUT
    recorder.give_backend()
    assert not recorder.paused


def test_a_refused_query_is_answered_like_a_failed_one_and_the_next_goes_on_waiting() -> None:
    recorder = Recorder(backends=False)
    recorder.from_client(query("SELECT 1") + query("SELECT 2"))
    recorder.client.refuse(error())
    assert recorder.take() == (b"", error() + ready())
    assert recorder.client.waiting
    recorder.give_backend()
    assert recorder.take() == (query("SELECT 2"), b"")


def test_a_refused_batch_is_skipped_to_its_sync() -> None:
    recorder = Recorder(backends=False)
    recorder.from_client(parse("SELECT 1") + bind() + execute())
    recorder.client.refuse(error())
    assert recorder.take() == (b"", error())
    recorder.from_client(parse("SELECT 2") + query("SELECT 3") + SYNC)
    assert recorder.take() == (b"", ready())
    assert not recorder.client.waiting


def test_a_refused_query_whose_end_has_not_come_yet_is_dropped_whole() -> None:
    recorder = Recorder(backends=False)
    long = query("SELECT '" + "x" * 2 * WHOLE_MESSAGE + "'")
    recorder.from_client(long[: WHOLE_MESSAGE + 100])
    recorder.client.refuse(error())
    recorder.from_client(long[WHOLE_MESSAGE + 100 :] + query("SELECT 2"))
    recorder.give_backend()
    assert recorder.take() == (query("SELECT 2"), error() + ready())


# --- What streams ----------------------------------------------------------------------------------------------------


def test_a_long_message_streams_through_and_the_backend_is_asked_what_it_did() -> None:
    recorder = Recorder()
    long = query("SELECT '" + "x" * 3 * WHOLE_MESSAGE + "'")
    for start in range(0, len(long), 1000):
        recorder.from_client(long[start : start + 1000])
        assert len(recorder.client.rest) <= WHOLE_MESSAGE + 1000
    assert recorder.take() == (long, b"")
    recorder.from_backend(RESULT + ready())
    assert recorder.to_client == RESULT + ready()
    assert recorder.released == 0
    recorder.to_client = b""
    assert recorder.take_question().startswith(ASKS_FOR_ALL)
    recorder.from_backend(answer(count=0))
    assert (recorder.released, recorder.pins, recorder.to_client) == (1, [], b"")


def test_a_slow_sender_of_a_short_message_takes_no_backend() -> None:
    recorder = Recorder()
    recorder.from_client(query("SELECT 1")[:-1])
    assert recorder.acquired == 0


def test_a_long_row_streams_to_the_client() -> None:
    recorder = Recorder()
    recorder.from_client(query("SELECT 1"))
    answer = row(b"x" * 1_000_000) + complete() + ready()
    for start in range(0, len(answer), 4096):
        recorder.from_backend(answer[start : start + 4096])
        assert len(recorder.backend.partial) < 100
    assert recorder.to_client == answer
    assert recorder.released == 1


def test_a_pipeline_that_runs_far_ahead_waits_for_answers() -> None:
    recorder = Recorder()
    recorder.from_client(query("SELECT 1") * (MAX_OWED + 10))
    recorder.from_client(query("SELECT 2") * 10)
    assert len(recorder.backend.owed) == MAX_OWED + 10
    recorder.from_backend((RESULT + ready()) * (MAX_OWED // 2))
    assert recorder.to_backend.count(b"SELECT 2") == 0
    recorder.from_backend((RESULT + ready()) * 10)
    assert recorder.to_backend.count(b"SELECT 2") == 10


# --- COPY data that comes before its time ----------------------------------------------------------------------------


def test_copy_data_sent_blindly_waits_until_the_backend_copies() -> None:
    recorder = Recorder()
    blind = message("d", b"1\n") + COPY_DONE + SYNC
    recorder.from_client(parse("COPY t FROM STDIN") + bind() + execute() + blind)
    assert recorder.take() == (parse("COPY t FROM STDIN") + bind() + execute() + FLUSH, b"")
    recorder.from_backend(PARSED + BOUND + COPY_IN)
    assert recorder.take() == (blind, PARSED + BOUND + COPY_IN)
    recorder.from_backend(complete("COPY 1") + ready())
    assert recorder.released == 1


def test_copy_data_sent_blindly_is_dropped_where_there_is_no_copy() -> None:
    recorder = Recorder()
    recorder.from_client(query("COPY nowhere FROM STDIN") + message("d", b"1\n") + COPY_DONE + query("SELECT 1"))
    assert recorder.take() == (query("COPY nowhere FROM STDIN") + FLUSH, b"")
    recorder.from_backend(error() + ready())
    assert recorder.take() == (query("SELECT 1"), error() + ready())
    recorder.from_backend(RESULT + ready())
    assert recorder.released == 1


@pytest.mark.parametrize(
    "kind",
    [query("SELECT 1"), bind("s"), message("F", bytes(10)), message("!"), message("p"), message("H", b"x")],
    ids="QBF!pH",
)
@pytest.mark.parametrize("mode", PoolMode)
def test_behind_a_statement_that_was_sent_into_a_copy_nothing_is_counted_and_the_backend_stays(
    mode: PoolMode, kind: bytes
) -> None:
    recorder = Recorder(mode)
    recorder.from_client(query("COPY t FROM STDIN"))
    recorder.from_backend(COPY_IN)
    recorder.from_client(message("d", b"bad\n") + kind)
    recorder.take()
    # The COPY had failed before: the statement was run, and its answer is nobody else's.
    recorder.from_backend(error() + ready())
    assert recorder.released == 0
    assert not recorder.backend.reusable
    recorder.from_client(message("d", b"y\n") + COPY_DONE + query("SELECT 1") * (2 * MAX_OWED))
    recorder.from_backend((RESULT + ready()) * 3)
    assert recorder.take()[1] == error() + ready() + (RESULT + ready()) * 3
    assert recorder.released == 0
    assert not recorder.backend.reusable
    assert recorder.pins == ([] if mode is PoolMode.SESSION else [frozenset({Effect.UNCOUNTED})])


def test_who_says_terminate_behind_a_statement_in_a_copy_hears_the_answers_to_their_end() -> None:
    recorder = Recorder()
    recorder.from_client(query("COPY t FROM STDIN"))
    recorder.from_backend(COPY_IN)
    sent = message("d", b"bad\n") + query("SELECT 1") + TERMINATE
    recorder.from_client(sent)
    recorder.to_client = b""
    for byte in error() + ready() + RESULT + ready():
        recorder.from_backend(bytes([byte]))
        assert not recorder.finished
    assert recorder.take() == (query("COPY t FROM STDIN") + sent, error() + ready() + RESULT + ready())


def test_where_a_copy_with_a_sync_in_it_ends_in_a_farewell_the_client_is_told_once() -> None:
    recorder = Recorder()
    recorder.from_client(query("COPY t FROM STDIN") + SYNC + TERMINATE)
    recorder.from_backend(COPY_IN + error("no", "FATAL"))
    assert recorder.to_client == COPY_IN + error("no", "FATAL")
    assert recorder.backend.said_why
    assert not recorder.finished


def test_a_sync_that_was_on_its_way_when_the_copy_began_is_not_owed() -> None:
    recorder = Recorder()
    recorder.from_client(query("COPY t FROM STDIN") + SYNC)
    recorder.from_backend(COPY_IN)
    recorder.from_client(COPY_DONE)
    recorder.from_backend(complete("COPY 0") + ready())
    assert recorder.released == 1


# --- The unnamed statement -------------------------------------------------------------------------------------------


def test_a_bind_behind_an_unanswered_parse_of_an_earlier_batch_waits_for_its_fate() -> None:
    recorder = Recorder()
    recorder.from_client(parse("SELECT 1") + SYNC + bind() + SYNC)
    assert recorder.take() == (parse("SELECT 1") + SYNC, b"")
    recorder.from_backend(PARSED + ready())
    assert recorder.take() == (bind() + SYNC, PARSED + ready())
    assert recorder.released == 0
    recorder.from_backend(BOUND + ready())
    assert recorder.released == 1


def test_a_parse_that_was_skipped_does_not_become_the_unnamed_statement() -> None:
    recorder = Recorder()
    recorder.from_client(parse("SELECT 1") + SYNC)
    recorder.from_backend(PARSED + ready())
    recorder.from_client(bind("nowhere") + parse("SELECT 2") + SYNC)
    recorder.from_backend(error() + ready())
    recorder.take()
    recorder.from_client(bind() + SYNC)
    assert recorder.take()[0] == parse("SELECT 1") + bind() + SYNC


def test_another_clients_unnamed_statement_is_out_of_reach() -> None:
    recorder = Recorder()
    recorder.from_client(bind() + SYNC)
    assert recorder.take()[0] == message("C", b"S\0") + bind() + SYNC


# --- Pins ------------------------------------------------------------------------------------------------------------


def test_discard_all_is_no_reason_to_keep_a_backend() -> None:
    recorder = Recorder()
    recorder.from_client(query("DISCARD ALL"))
    recorder.from_backend(complete("DISCARD ALL") + ready())
    assert (recorder.released, recorder.pins) == (1, [])


def test_statement_mode_ends_a_client_that_opens_a_transaction() -> None:
    recorder = Recorder(PoolMode.STATEMENT)
    recorder.from_client(query("BEGIN"))
    recorder.from_backend(complete("BEGIN") + ready("T"))
    assert isinstance(recorder.failure, ClientError)
    assert recorder.failure.failure is STATEMENT_POOLING


# --- Replies of our own ----------------------------------------------------------------------------------------------


def test_a_reply_of_our_own_leaves_in_its_turn() -> None:
    recorder = Recorder()
    recorder.from_client(query("SELECT 1") + query("SELECT 2"))
    recorder.backend.reply_in_turn(b"ours")
    recorder.from_backend(RESULT + ready())
    assert recorder.take()[1] == RESULT + ready()
    recorder.from_backend(RESULT + ready())
    assert recorder.take()[1] == RESULT + ready() + b"ours"
    assert recorder.released == 1


def test_a_reply_of_our_own_behind_an_error_in_its_batch_is_dropped() -> None:
    recorder = Recorder()
    recorder.from_client(parse("SELECT x"))
    recorder.backend.reply_in_turn(b"ours")
    recorder.from_client(SYNC)
    recorder.from_backend(error() + ready())
    assert recorder.take()[1] == error() + ready()


# --- Leaving ---------------------------------------------------------------------------------------------------------


def test_terminate_behind_a_query_waits_for_its_end() -> None:
    recorder = Recorder()
    recorder.from_client(query("INSERT INTO t VALUES (1)") + TERMINATE + query("SELECT 1"))
    # Or a batch without a Sync would never be answered.
    assert recorder.take() == (query("INSERT INTO t VALUES (1)") + FLUSH, b"")
    assert (recorder.finished, recorder.released) == (False, 0)
    recorder.from_backend(complete("INSERT 0 1") + ready())
    assert (recorder.finished, recorder.released) == (True, 1)


def test_terminate_behind_a_batch_without_a_sync_waits_for_its_answers_and_no_longer() -> None:
    recorder = Recorder()
    recorder.from_client(parse("SELECT 1") + TERMINATE)
    assert recorder.take() == (parse("SELECT 1") + FLUSH, b"")
    assert (recorder.finished, recorder.client.on_hung_up()) == (False, True)
    recorder.from_backend(PARSED)
    assert recorder.finished
    assert not recorder.backend.reusable


@pytest.mark.parametrize("before", [b"", query("BEGIN"), parse("SELECT 1")])
def test_terminate_with_nothing_owed_ends_at_once(before: bytes) -> None:
    recorder = Recorder()
    if before:
        recorder.from_client(before)
        recorder.from_backend(PARSED if before[:1] == b"P" else complete("BEGIN") + ready("T"))
    recorder.from_client(TERMINATE)
    assert recorder.finished
    assert recorder.linked == bool(before)
    assert not (before and recorder.backend.reusable)


@pytest.mark.parametrize("rows", [b"", message("d", b"1\n"), message("d", b"1\n") + SYNC])
def test_terminate_in_a_copy_is_for_the_server_to_end(rows: bytes) -> None:
    recorder = Recorder()
    recorder.from_client(query("COPY t FROM STDIN"))
    recorder.from_backend(COPY_IN)
    recorder.from_client(rows + TERMINATE)
    assert recorder.to_backend == query("COPY t FROM STDIN") + rows + TERMINATE
    assert (recorder.finished, recorder.client.on_hung_up(), recorder.pins) == (False, True, [])
    recorder.from_backend(error() + ready())
    assert recorder.to_client == COPY_IN + error() + ready()
    assert not recorder.backend.reusable


def test_terminate_before_a_copy_has_begun_goes_to_the_server_when_it_has() -> None:
    recorder = Recorder()
    recorder.from_client(query("COPY t FROM STDIN") + TERMINATE)
    assert recorder.take() == (query("COPY t FROM STDIN") + FLUSH, b"")
    for byte in COPY_IN:
        assert TERMINATE not in recorder.to_backend
        recorder.from_backend(bytes([byte]))
    assert recorder.take() == (TERMINATE, COPY_IN)
    assert not recorder.finished


@pytest.mark.parametrize("mode", PoolMode)
@pytest.mark.parametrize("before", [query("SELECT 1"), parse("SELECT 1") + SYNC], ids="QP")
def test_a_flush_with_a_body_is_answered_with_an_error_before_the_backend_is_free(
    mode: PoolMode, before: bytes
) -> None:
    recorder = Recorder(mode)
    flush = message("H", b"x")
    recorder.from_client(before + flush)
    first = (RESULT if before[:1] == b"Q" else PARSED) + ready()
    recorder.from_backend(first)
    assert not recorder.backend.reusable
    recorder.from_backend(error())
    assert (recorder.released, recorder.backend.reusable) == (0, False)
    recorder.from_client(query("SELECT 2") + SYNC)
    assert recorder.to_backend == before + flush + SYNC
    recorder.from_backend(ready())
    assert recorder.to_client == first + error() + ready()
    assert recorder.backend.reusable


# --- Bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(
    "bad",
    [
        message("p", b"secret\0"),
        b"\x00\x00\x00\x00\x04",
        b"Q\x00\x00\x00\x03",
        b"Q\xff\xff\xff\xff",
        b"S\x00\x00\xff\xff",
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_what_is_no_message_is_a_violation(bad: bytes, *, linked: bool) -> None:
    recorder = Recorder()
    if linked:
        recorder.from_client(query("BEGIN"))
    with pytest.raises(ProtocolViolation):
        recorder.from_client(bad)


_KINDS = st.sampled_from([bytes((kind,)) for kind in b"QPBDECSHFdcfXp\x00"])
_FRAMES = st.builds(lambda kind, body: message(kind.decode(), body), _KINDS, st.binary(max_size=40))
_PIECES = st.lists(st.one_of(_FRAMES, st.binary(max_size=12), st.just(SYNC)), max_size=12)


@given(_PIECES, st.lists(st.binary(min_size=1, max_size=12), max_size=6))
def test_no_bytes_from_a_client_or_a_server_raise_anything_but_their_own_error(
    pieces: list[bytes], answers: list[bytes]
) -> None:
    recorder = Recorder()
    try:
        for piece in pieces:
            if piece:
                recorder.from_client(piece)
            if answers and recorder.linked and recorder.failure is None:
                recorder.from_backend(answers.pop())
    except ProtocolViolation:
        pass


# --- Named statements -------------------------------------------------------------------------------------------------


def test_deallocate_in_the_midst_of_a_batch_waits_for_the_parse_before_it() -> None:
    recorder = Recorder()
    recorder.from_client(parse("SELECT 1", "s") + query("DEALLOCATE s"))
    parsed, to_client = recorder.take()
    assert to_client == b""
    assert parsed.endswith(FLUSH)
    recorder.from_backend(PARSED)
    to_backend, to_client = recorder.take()
    assert to_client == PARSED
    # By now the backend has the statement under the client's own name, and drops it itself.
    assert to_backend.endswith(parse("SELECT 1", "s") + query("DEALLOCATE s"))
    recorder.from_backend(CLOSED + PARSED + complete("DEALLOCATE") + ready())
    assert recorder.take() == (b"", complete("DEALLOCATE") + ready())
