"""Every conversation, however its bytes are cut: fed whole, byte by byte, cut in two at every offset, and cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from interceptor.session import PoolMode
from tests.support.conversations import CONVERSATIONS, WITHOUT_BACKEND, Turn
from tests.support.recorder import Recorder

Cut = Callable[[bytes], Iterator[bytes]]


def whole(data: bytes) -> Iterator[bytes]:
    if data:
        yield data


def by_byte(data: bytes) -> Iterator[bytes]:
    for position in range(len(data)):
        yield data[position : position + 1]


def cut_at(offset: int) -> Cut:
    def cut(data: bytes) -> Iterator[bytes]:
        yield from whole(data[:offset])
        yield from whole(data[offset:])

    return cut


def run(recorder: Recorder, turns: list[Turn], cut: Cut) -> None:
    for turn in turns:
        released = recorder.released
        for piece in cut(turn.sent):
            recorder.from_client(piece)
        to_backend, to_client = recorder.take()
        assert to_backend == (turn.sent if turn.forwarded is None else turn.forwarded)
        assert to_client == b""
        injected = turn.forwarded is not None and turn.forwarded.endswith(turn.sent) and turn.forwarded != turn.sent
        # What was put in is answered first, and the client must not see that.
        answer = (b"1" if turn.forwarded and turn.forwarded[:1] == b"P" else b"3") + b"\0\0\0\x04" if injected else b""
        for piece in cut(answer + turn.answer):
            recorder.from_backend(piece)
        to_backend, to_client = recorder.take()
        assert to_client == turn.answer
        if turn.answer or turn.forwarded is None:
            assert (recorder.released > released) == turn.released
            assert recorder.linked != turn.released


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_whole(name: str) -> None:
    run(Recorder(), CONVERSATIONS[name], whole)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_byte_by_byte(name: str) -> None:
    run(Recorder(), CONVERSATIONS[name], by_byte)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_cut_in_two_at_every_offset(name: str) -> None:
    turns = CONVERSATIONS[name]
    for offset in range(1, max(len(turn.sent) + len(turn.answer) for turn in turns)):
        run(Recorder(), turns, cut_at(offset))


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_in_session_mode_the_backend_stays(name: str) -> None:
    recorder = Recorder(PoolMode.SESSION)
    for turn in CONVERSATIONS[name]:
        recorder.from_client(turn.sent)
        if turn.answer:
            recorder.from_backend(turn.answer)
    assert recorder.released == 0
    assert recorder.to_client == b"".join(turn.answer for turn in CONVERSATIONS[name])


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_client_that_is_cut_off_at_any_byte_leaves_no_backend_that_passes_for_clean(name: str) -> None:
    for turns in (CONVERSATIONS[name][: count + 1] for count in range(len(CONVERSATIONS[name]))):
        for offset in range(1, len(turns[-1].sent)):
            recorder = Recorder()
            run(recorder, turns[:-1], whole)
            before = recorder.linked
            recorder.from_client(turns[-1].sent[:offset])
            sent, _ = recorder.take()
            if sent or before:
                assert recorder.linked
                assert not recorder.backend.reusable


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_backend_that_is_cut_off_at_any_byte_has_sent_a_beginning_and_is_not_clean(name: str) -> None:
    for turns in (CONVERSATIONS[name][: count + 1] for count in range(len(CONVERSATIONS[name]))):
        turn = turns[-1]
        if turn.forwarded is not None or not turn.released:
            continue
        for offset in range(len(turn.answer)):
            recorder = Recorder()
            run(recorder, turns[:-1], whole)
            recorder.from_client(turn.sent)
            if offset:
                recorder.from_backend(turn.answer[:offset])
            assert turn.answer.startswith(recorder.to_client)
            assert recorder.linked
            assert not recorder.backend.reusable


@pytest.mark.parametrize("name", WITHOUT_BACKEND)
def test_what_needs_no_backend_takes_none(name: str) -> None:
    sent, answer = WITHOUT_BACKEND[name]
    for cut in (whole, by_byte):
        recorder = Recorder()
        for piece in cut(sent):
            recorder.from_client(piece)
        assert (recorder.to_backend, recorder.to_client) == (b"", answer)
        assert recorder.acquired == 0
