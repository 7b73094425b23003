"""What is held back, byte by byte, while plugins are asked before a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.conversations import BOUND, CLOSED, PARSED
from tests.support.plugged import PluggedRecorder
from tests.support.recorder import (
    FLUSH,
    ROW_DESCRIPTION,
    SYNC,
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

ASKS = """
@hookimpl
def guard(statement, session):
    if "asks" not in statement.text:
        return None
    def step(execution):
        def asked():
            if "refused" in statement.text:
                return Block("P0002", "not now")
            if "broken" in statement.text:
                raise ValueError("no")
            if "wrong" in statement.text:
                return "yes"
        execution.transaction.before_commit(asked)
    return step
"""
SETS = """
@hookimpl(specname="guard")
def settings(statement, session):
    return Forward(settings={"work_mem": "1MB"}) if "settings" in statement.text else None
"""
INSERT = "insert into t values (1)"
TAG = complete("INSERT 0 1")
NO_DATA = message("n")


def refusal(recorder: PluggedRecorder) -> bytes:
    """The SQLSTATE of the one error that went to the client since the last call."""
    _, answer = recorder.take()
    assert answer[:1] == b"E"
    assert answer[-6:] == ready()
    return answer[answer.index(b"\0C") + 2 :][:5]


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def by_byte(data: bytes) -> Iterator[bytes]:
    for position in range(len(data)):
        yield data[position : position + 1]


cuts = pytest.mark.parametrize("cut", [whole, by_byte])
Cut = Callable[[bytes], Iterator[bytes]]


def answer(recorder: PluggedRecorder, data: bytes, cut: Cut) -> tuple[bytes, bytes]:
    for piece in cut(data):
        recorder.from_backend(piece)
    return recorder.take()


@cuts
def test_the_tag_of_a_query_waits_for_its_commit(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    recorder.from_client(query(f"{INSERT} returning 1 -- asks"))
    assert recorder.take()[0].endswith(FLUSH)
    recorder.by_hand = True
    said = answer(recorder, PARSED + BOUND + ROW_DESCRIPTION + row() * 2 + TAG + CLOSED, cut)
    assert said == (b"", ROW_DESCRIPTION + row() * 2)
    recorder.by_hand = False
    recorder.go_on()
    assert recorder.take() == (SYNC, b"")
    assert answer(recorder, ready(), cut) == (b"", TAG + ready())
    assert recorder.released == 1


@cuts
@pytest.mark.parametrize("word", ["refused", "broken", "wrong"])
def test_a_query_that_must_not_commit(tmp_path: Path, cut: Cut, word: str) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    recorder.from_client(query(f"{INSERT} -- asks {word}"))
    sent, shown = answer(recorder, PARSED + BOUND + NO_DATA + TAG + CLOSED, cut)
    assert sent[-5 - 5 :].endswith(SYNC)
    assert b"interceptor" in sent
    assert shown == b""
    for piece in cut(error() + ready()):
        recorder.from_backend(piece)
    assert refusal(recorder) == (b"P0002" if word == "refused" else b"58000")


@cuts
def test_a_commit_that_fails_takes_the_tag_away(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    recorder.from_client(query(f"{INSERT} -- asks"))
    answer(recorder, PARSED + BOUND + NO_DATA + TAG + CLOSED, cut)
    assert answer(recorder, error() + ready(), cut) == (b"", error() + ready())


@cuts
def test_a_query_that_fails_is_not_asked_about(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    recorder.from_client(query(f"{INSERT} -- asks refused"))
    recorder.take()
    assert answer(recorder, PARSED + BOUND + error(), cut) == (SYNC, error())
    assert answer(recorder, ready(), cut) == (b"", ready())


def test_a_sync_waits_until_all_has_gone_well(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    batch = parse(f"{INSERT} -- asks") + bind() + execute()
    recorder.from_client(batch + SYNC + query("select 2"))
    assert recorder.take() == (batch + FLUSH, b"")
    recorder.from_backend(PARSED + BOUND)
    assert SYNC not in recorder.take()[0]
    recorder.from_backend(TAG)
    assert recorder.take()[0] == SYNC + FLUSH
    recorder.from_backend(ready())
    assert recorder.take()[0] == query("select 2")


def test_a_sync_behind_an_error_does_not_wait(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    recorder.from_client(parse(f"{INSERT} -- asks refused") + bind() + execute() + SYNC)
    recorder.take()
    recorder.from_backend(PARSED + error())
    assert recorder.take() == (SYNC, PARSED + error())
    recorder.from_backend(ready())
    recorder.from_client(parse(INSERT) + bind() + execute() + SYNC)
    assert recorder.take()[0].endswith(SYNC)


def test_a_commit_that_is_refused_is_a_rollback(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    recorder.from_client(query("begin"))
    recorder.from_backend(complete("BEGIN") + ready("T"))
    recorder.from_client(query(f"{INSERT} -- asks refused"))
    recorder.from_backend(TAG + ready("T"))
    recorder.take()
    recorder.from_client(query("commit"))
    assert recorder.take() == (query("ROLLBACK"), b"")
    recorder.from_backend(complete("ROLLBACK") + ready())
    assert refusal(recorder) == b"P0002"
    assert recorder.released == 1


@pytest.mark.parametrize("sql", ["rollback to savepoint a", "savepoint a", "release a", "commit prepared 'x'"])
def test_what_does_not_commit_does_not_wait(tmp_path: Path, sql: str) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    recorder.from_client(query("begin"))
    recorder.from_backend(complete("BEGIN") + ready("T"))
    recorder.from_client(query(f"{INSERT} -- asks refused"))
    recorder.from_backend(TAG + ready("T"))
    recorder.take()
    recorder.from_client(query(sql))
    assert recorder.take()[0] == query(sql)


def test_a_client_cancels_what_it_waits_for_before_a_commit(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    recorder.by_hand = True
    recorder.from_client(parse(f"{INSERT} -- asks") + bind() + execute() + SYNC)
    recorder.from_backend(PARSED + BOUND + TAG)
    recorder.take()
    assert recorder.waits
    assert recorder.interception.cancel()
    assert not recorder.interception.cancel()
    recorder.go_on()
    assert recorder.take()[0] == SYNC


@pytest.mark.parametrize("text", ["call p() -- asks", "do $$ begin insert into t values (1); commit; end $$ -- asks"])
@pytest.mark.parametrize("simple", [True, False])
def test_what_may_commit_within_is_refused(tmp_path: Path, text: str, simple: bool) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    recorder.from_client(query(text) if simple else parse(text) + bind() + execute() + SYNC)
    if not simple:
        assert bind() not in recorder.take()[0]
        recorder.from_backend(PARSED + error())
        recorder.from_backend(ready())
    said = recorder.take()[1]
    assert b"(rewrite_refused)" in said
    assert said.endswith(ready())


@pytest.mark.parametrize(
    "behind",
    [
        parse("call p()") + bind() + execute() + SYNC,
        parse("do $$ begin commit; end $$") + bind() + execute() + SYNC,
        query("insert into t values (2)"),
        query("select 1; commit"),
        message("F", bytes(10)),
    ],
    ids=["call", "do", "query", "several", "function call"],
)
def test_what_commits_unasked_behind_it_is_refused_though_nobody_wants_it(tmp_path: Path, behind: bytes) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    # Nothing of this is executed on the server before what comes behind it.
    recorder.from_client(parse(f"{INSERT} -- asks") + bind() + behind)
    assert b"interceptor: a plugin blocked" in recorder.take()[0]
    recorder.from_backend(PARSED + BOUND)
    recorder.from_backend(PARSED + error() if behind[:1] == b"P" else error())
    recorder.from_backend(ready())
    said = recorder.take()[1]
    assert b"(rewrite_refused)" in said
    assert said.endswith(ready())


@pytest.mark.parametrize("text", ["do $$ begin null; end $$", "select 1"])
def test_what_commits_nothing_behind_it_is_not_refused(tmp_path: Path, text: str) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    recorder.from_client(parse(f"{INSERT} -- asks") + bind() + parse(text) + bind() + execute() + SYNC)
    assert parse(text) + bind() + execute() in recorder.take()[0]


def test_a_do_that_commits_nothing_is_asked_about(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    recorder.from_client(query("do $$ begin insert into t values (1); end $$ -- asks"))
    assert b"insert into t" in recorder.take()[0]


def test_an_empty_query_commits_nothing(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    recorder.from_client(query("-- asks refused"))
    assert recorder.take() == (query("-- asks refused"), b"")
    recorder.from_backend(message("I") + ready())
    assert recorder.take() == (b"", message("I") + ready())
    assert not recorder.interception.committing.wanted


@cuts
def test_what_comes_behind_the_tag_stays_behind_it(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, ASKS)
    recorder.from_client(query(f"{INSERT} -- asks"))
    answer(recorder, PARSED + BOUND + NO_DATA + TAG + CLOSED, cut)
    behind = message("S", b"TimeZone\0CET\0") + message("A", b"\0\0\0\1c\0p\0")
    assert answer(recorder, behind + ready(), cut) == (b"", TAG + behind + ready())


@pytest.mark.parametrize("text", [f"{INSERT} -- asks", "settings select 1"])
def test_a_query_that_runs_as_a_batch_and_gets_no_backend_is_answered_like_a_query(tmp_path: Path, text: str) -> None:
    recorder = PluggedRecorder(
        tmp_path,
        ASKS + SETS,
    )
    recorder.has_backends = False
    recorder.from_client(query(text) + query("select 2"))
    assert recorder.client.waiting
    recorder.client.refuse(error())
    assert recorder.take() == (b"", error() + ready())
    recorder.give_backend()
    assert recorder.take()[0] == query("select 2")
