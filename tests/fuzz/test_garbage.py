"""Bytes that no honest peer sends, to both halves of a session: only errors that are meant for people come out."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import strategies as st

from interceptor.errors import ClientError
from interceptor.session import PoolMode, bounds, client_state, linked, sending
from interceptor.session import client as client_module
from tests.fuzz.running import attempt, fuzz
from tests.support.conversations import CONVERSATIONS
from tests.support.recorder import Recorder, message

PIECE = 1000
_kinds = st.sampled_from([bytes([kind]) for kind in b"QPBDECSHFXdcfpTZ1" + bytes([0, 255])])
_lengths = st.one_of(st.integers(0, 30), st.sampled_from([0x3FFFFFFE, 0x3FFFFFFF, 0x40000000, 0x7FFFFFFF, 0xFFFFFFFF]))
_torn = st.builds(lambda kind, length, body: kind + pack("!I", length) + body, _kinds, _lengths, st.binary(max_size=40))
_framed = st.builds(
    lambda kind, body: message(kind.decode("latin-1"), body),
    _kinds.filter(lambda kind: kind < b"\x80"),
    st.binary(max_size=40),
)
_known = st.sampled_from([turn.sent for turns in CONVERSATIONS.values() for turn in turns if turn.sent])
_answers = st.sampled_from([turn.answer for turns in CONVERSATIONS.values() for turn in turns if turn.answer])

_client_bytes = st.one_of(_known, _known, _framed, _torn, st.binary(min_size=1, max_size=20))
_answer_kinds = st.sampled_from("RKCDEGHIWNASTVZcdnst123!")
_server_bytes = st.one_of(
    _answers,
    _answers,
    st.builds(message, _answer_kinds, st.binary(max_size=20)),
    _torn,
    st.binary(min_size=1, max_size=20),
)

_events = st.lists(st.one_of(st.tuples(st.just("client"), _client_bytes), st.tuples(st.just("server"), _server_bytes)))
"""Who says what, in which order."""


@pytest.fixture(autouse=True)
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that short streams go beyond."""
    monkeypatch.setattr(bounds, "WHOLE_MESSAGE", 150)
    monkeypatch.setattr(client_state, "MAX_KEPT_INPUT", 400)
    for module in (bounds, client_module, linked, sending):
        monkeypatch.setattr(module, "MAX_OWED", 10)


def talk(recorder: Recorder, events: list[tuple[str, bytes]]) -> None:
    """Let both say what they want, until one of them breaks the protocol or the client leaves."""
    for speaker, data in events:
        if recorder.failure is not None or recorder.finished:
            return
        if speaker == "client":
            if not recorder.paused:
                recorder.from_client(data)
        elif recorder.linked:
            recorder.from_backend(data)
        assert_bounded(recorder)


def assert_bounded(recorder: Recorder) -> None:
    assert len(recorder.client.rest) <= client_state.MAX_KEPT_INPUT + PIECE
    assert len(recorder.backend.owed) <= bounds.MAX_OWED + (client_state.MAX_KEPT_INPUT + PIECE) // 5 * 3
    assert len(recorder.backend.partial) <= PIECE * len(recorder.backend.partial or b"x")
    if recorder.backend.reusable:
        assert not recorder.backend.owed
        assert not recorder.backend.parses
        assert not recorder.backend.local_replies
        assert not recorder.backend.changes


@pytest.mark.parametrize("mode", [PoolMode.TRANSACTION, PoolMode.STATEMENT])
def test_a_backend_that_says_more_than_it_was_asked_for_serves_nobody_else(mode: PoolMode) -> None:
    turn = CONVERSATIONS["simple query"][0]
    assert turn.answer
    recorder = Recorder(mode)
    backend = recorder.backend
    talk(recorder, [("client", turn.sent), ("server", turn.answer * 2)])
    assert recorder.to_client == turn.answer
    assert recorder.released == 1
    assert recorder.backend is not backend


@pytest.mark.parametrize("shared", [False, True], ids=["", "statements shared"])
@pytest.mark.parametrize("mode", PoolMode)
def test_only_errors_for_people_come_out(mode: PoolMode, shared: bool) -> None:
    @fuzz(_events)
    def check(events: list[tuple[str, bytes]]) -> None:
        recorder = Recorder(mode, shared=shared)
        error = attempt(lambda: talk(recorder, events), ClientError)
        assert error is None or error.fatal

    check()
