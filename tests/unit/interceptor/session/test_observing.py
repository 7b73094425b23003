"""Batches that pass by as they came though somebody is to hear how they end."""

from __future__ import annotations

from pathlib import Path

import pytest

from interceptor.errors import NOT_JUDGED, STATEMENT_POOLING, ClientError
from interceptor.protocol import messages
from interceptor.session import PoolMode
from interceptor.session.interception import Interception
from tests.support.conversations import BOUND, PARSED
from tests.support.plugged import PluggedRecorder
from tests.support.recorder import (
    FLUSH,
    RESULT,
    ROW_DESCRIPTION,
    SYNC,
    bind,
    complete,
    describe,
    error,
    execute,
    message,
    parse,
    query,
    ready,
    row,
)
from tests.unit.interceptor.session.test_watching import ONE_AT_A_TIME, Cut, by_byte, cut_at, cuts, run, told, whole

ENDS = """
class Ends(Observer):
    shared = True
    def finished(self, execution, completion):
        state(execution).append(("finished", completion.tag, completion.rows, completion.size))
    def failed(self, execution, failure):
        state(execution).append(("failed", failure.sqlstate, failure.by))

KEY = StateKey(list)
ENDS = Ends()

def state(execution):
    return execution.session.get(KEY)

@hookimpl
def observe(statement, session):
    return ENDS
"""
STARTS = ENDS.replace("shared = True", "def started(self, execution): pass")
"""The same, of whose executions each is looked at message by message."""
ONE = ("finished", "SELECT 1", 1, len(row()))
ASKED = parse("select 1") + bind() + describe("P") + execute() + SYNC
ANSWERED = PARSED + BOUND + ROW_DESCRIPTION + row() + complete() + ready()


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was looked at message by message."""
    seen: list[bytes] = []
    really = Interception.look_at

    def look_at(interception: Interception, data: bytes, position: int) -> bytes | None:
        seen.append(data[position:])
        return really(interception, data, position)

    monkeypatch.setattr(Interception, "look_at", look_at)
    return seen


def known(recorder: PluggedRecorder, *texts: str) -> PluggedRecorder:
    """See that these texts are planned."""
    for text in texts:
        recorder.harness.tables.lookup(recorder.facts, text.encode())
    return recorder


# Those that tell of messages of ours between the client's are written for backends that are shared.
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        (name, mode)
        for name, turns in ONE_AT_A_TIME.items()
        for mode in (PoolMode.TRANSACTION, PoolMode.SESSION)
        if mode is PoolMode.TRANSACTION or all([turn.forwarded is None for turn in turns])
    ],
)
def test_the_same_ends_are_heard_as_of_what_is_looked_at(tmp_path: Path, name: str, mode: PoolMode) -> None:
    turns = ONE_AT_A_TIME[name]
    (tmp_path / "looked at").mkdir()
    looked_at = PluggedRecorder(tmp_path / "looked at", STARTS, mode)
    run(looked_at, turns, whole)
    for cut in [whole, by_byte, *map(cut_at, range(1, 60, 13))]:
        recorder = PluggedRecorder(tmp_path, ENDS, mode)
        for turn in turns:
            # What is known already passes by.
            known(recorder, *[text.decode() for text in texts_of(turn.sent)])
        run(recorder, turns, cut)
        assert told(recorder) == told(looked_at)
        assert not recorder.interception.executions.runs
        assert recorder.interception.passing is None


def texts_of(sent: bytes) -> list[bytes]:
    found, at = [], 0
    while len(sent) - at >= 5:
        end = at + 1 + int.from_bytes(sent[at + 1 : at + 5], "big")
        if sent[at] == messages.QUERY:
            found.append(sent[at + 5 : end - 1])
        elif sent[at] == messages.PARSE:
            found.append(sent[sent.find(0, at + 5) + 1 : end].partition(b"\0")[0])
        at = end
    return found


@cuts
@pytest.mark.parametrize("sent", [query("select 1"), ASKED, ASKED.replace(describe("P"), b"")])
def test_it_passes_by(tmp_path: Path, looks: list[bytes], sent: bytes, cut: Cut) -> None:
    recorder = known(PluggedRecorder(tmp_path, ENDS), "select 1")
    answer = RESULT + ready() if sent[0] == messages.QUERY else ANSWERED
    if sent[0] == messages.PARSE and describe("P") not in sent:
        answer = answer.replace(ROW_DESCRIPTION, b"")
    for _ in range(2):
        recorder.from_client(sent)
        assert recorder.take()[0] == sent
        for piece in cut(answer):
            recorder.from_backend(piece)
        assert recorder.take()[1] == answer
    assert told(recorder) == [ONE] * 2
    assert looks == []
    assert recorder.released == 2


@cuts
def test_a_named_statement(tmp_path: Path, looks: list[bytes], cut: Cut) -> None:
    recorder = known(PluggedRecorder(tmp_path, ENDS), "select 1")
    recorder.from_client(parse("select 1", "s") + SYNC)
    recorder.from_backend(PARSED + ready())
    looks.clear()
    for _ in range(2):
        recorder.from_client(bind("s") + execute() + SYNC)
        for piece in cut(BOUND + row() * 3 + complete("SELECT 3") + ready()):
            recorder.from_backend(piece)
    assert told(recorder) == [("finished", "SELECT 3", 3, 3 * len(row()))] * 2
    assert looks == []


@cuts
@pytest.mark.parametrize("answered", [b"", PARSED, PARSED + BOUND, PARSED + BOUND + ROW_DESCRIPTION + row()])
def test_an_error_anywhere_is_its_failure(tmp_path: Path, looks: list[bytes], answered: bytes, cut: Cut) -> None:
    recorder = known(PluggedRecorder(tmp_path, ENDS), "select 1")
    recorder.from_client(ASKED)
    for piece in cut(answered + error() + ready()):
        recorder.from_backend(piece)
    assert told(recorder) == [("failed", "42601", "backend")]
    assert recorder.take()[1] == answered + error() + ready()
    recorder.from_client(ASKED)
    recorder.from_backend(ANSWERED)
    assert told(recorder)[1:] == [ONE]
    assert looks == []


@cuts
def test_an_error_of_a_query(tmp_path: Path, looks: list[bytes], cut: Cut) -> None:
    recorder = known(PluggedRecorder(tmp_path, ENDS), "select 1")
    recorder.from_client(query("select 1"))
    for piece in cut(ROW_DESCRIPTION + row() + error() + ready()):
        recorder.from_backend(piece)
    assert told(recorder) == [("failed", "42601", "backend")]
    assert looks == []


@pytest.mark.parametrize("sent", [query("select 1"), ASKED])
def test_what_waits_for_a_backend_is_decided_about_once(
    tmp_path: Path, looks: list[bytes], sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = known(PluggedRecorder(tmp_path, ENDS), "select 1")
    monkeypatch.setattr("interceptor.session.observed._clock", lambda: 5.0)
    recorder.has_backends = False
    recorder.from_client(sent)
    began = recorder.interception.passing
    assert began is not None
    recorder.from_client(query("select 1"))
    monkeypatch.setattr("interceptor.session.observed._clock", lambda: 7.0)
    recorder.give_backend()
    assert recorder.take()[0] == sent + FLUSH
    assert next(iter(recorder.interception.executions.runs)) is began
    assert began.began == 5.0
    recorder.from_backend(RESULT + ready() if sent[0] == messages.QUERY else ANSWERED)
    assert told(recorder) == [ONE]


@pytest.mark.parametrize("database", [None, "app"])
@pytest.mark.parametrize("sent", [query("select 1"), ASKED])
def test_what_waits_is_judged_anew_where_plans_were_forgotten(
    tmp_path: Path, looks: list[bytes], sent: bytes, database: str | None
) -> None:
    recorder = known(PluggedRecorder(tmp_path, ENDS), "select 1")
    recorder.has_backends = False
    recorder.from_client(sent)
    recorder.harness.tables.invalidate(database)
    recorder.give_backend()
    assert recorder.take() == (sent, b"")
    assert looks == [sent]
    recorder.from_backend(RESULT + ready() if sent[0] == messages.QUERY else ANSWERED)
    assert told(recorder) == [("failed", NOT_JUDGED.sqlstate, "proxy"), ONE]


@pytest.mark.parametrize("sent", [query("select 1"), ASKED])
def test_what_waits_in_vain_has_failed(tmp_path: Path, sent: bytes) -> None:
    recorder = known(PluggedRecorder(tmp_path, ENDS), "select 1")
    recorder.has_backends = False
    recorder.from_client(sent)
    recorder.client.refuse(messages.encode_failure(ClientError(STATEMENT_POOLING, "it took too long", fatal=False)))
    assert told(recorder) == [("failed", STATEMENT_POOLING.sqlstate, "proxy")]
    recorder.has_backends = True
    recorder.from_client(sent)
    recorder.from_backend(RESULT + ready() if sent[0] == messages.QUERY else ANSWERED)
    assert told(recorder)[1:] == [ONE]


@pytest.mark.parametrize("waits", [True, False])
def test_a_client_that_leaves(tmp_path: Path, waits: bool) -> None:
    recorder = known(PluggedRecorder(tmp_path, ENDS), "select 1")
    recorder.has_backends = not waits
    recorder.from_client(query("select 1"))
    recorder.interception.executions.give_up()
    assert told(recorder) == [("failed", "57014", "proxy")]


def test_what_comes_before_its_answer_is_looked_at(tmp_path: Path, looks: list[bytes]) -> None:
    recorder = known(PluggedRecorder(tmp_path, ENDS), "select 1")
    recorder.from_client(query("select 1") + ASKED)
    recorder.from_client(query("select 1"))
    sent = recorder.take()[0]
    recorder.from_backend(RESULT + ready())
    sent += recorder.take()[0]
    recorder.from_backend(ANSWERED)
    sent += recorder.take()[0]
    recorder.from_backend(RESULT + ready())
    assert sent.replace(FLUSH, b"") == query("select 1") + ASKED + query("select 1")
    assert told(recorder) == [ONE] * 3
    assert looks


def test_a_stale_plan_is_tried_again_and_has_one_end(tmp_path: Path, looks: list[bytes]) -> None:
    recorder = known(PluggedRecorder(tmp_path, ENDS), "select 1")
    recorder.from_client(parse("select 1", "s") + SYNC)
    recorder.from_backend(PARSED + ready())
    looks.clear()
    recorder.take()
    recorder.from_client(bind("s") + describe("P") + execute() + SYNC)
    stale = message("E", b"SERROR\0VERROR\0C0A000\0Mcached plan\0RRevalidateCachedQuery\0\0")
    recorder.from_backend(stale + ready())
    assert told(recorder) == []
    again = recorder.take()[0]
    assert again[-len(SYNC) :] == SYNC
    recorder.from_backend(message("3") + PARSED + ready())
    recorder.from_backend(BOUND + ROW_DESCRIPTION + row() + complete() + ready())
    assert told(recorder) == [ONE]
    assert looks == []


BOUND_VALUES = """
class Values(Observer):
    def finished(self, execution, completion):
        execution.session.get(KEY).append(
            ([(one.type, one.format, one.data) for one in execution.parameters], execution.result_formats,
             execution.protocol, execution.statement.text, execution.original is execution, execution.rewritten)
        )
    failed = finished
KEY = StateKey(list)

@hookimpl
def observe(statement, session):
    return Values()
"""


@pytest.mark.parametrize("name", ["", "s"])
def test_parameters_are_there_when_somebody_asks(tmp_path: Path, looks: list[bytes], name: str) -> None:
    recorder = known(PluggedRecorder(tmp_path, BOUND_VALUES), "select $1, $2")
    prepare = message("P", name.encode() + b"\0select $1, $2\0\0\1\0\0\0\x17")
    bound = message("B", b"\0" + name.encode() + b"\0\0\2\0\1\0\0\0\2\0\0\0\4\0\0\0\7\xff\xff\xff\xff\0\1\0\1")
    if name:
        recorder.from_client(prepare + SYNC)
        recorder.from_backend(PARSED + ready())
        looks.clear()
    recorder.from_client((b"" if name else prepare) + bound + execute() + SYNC)
    recorder.from_backend((b"" if name else PARSED) + BOUND + row() + complete() + ready())
    values = [(23, 1, b"\0\0\0\7"), (0, 0, None)]
    assert told(recorder) == [(values, (1,), "extended", "select $1, $2", True, False)]
    assert looks == []


def test_a_bind_that_can_not_be_read_has_no_parameters(tmp_path: Path) -> None:
    recorder = known(PluggedRecorder(tmp_path, BOUND_VALUES), "select $1")
    recorder.from_client(parse("select $1") + message("B", b"\0\0\0\1") + execute() + SYNC)
    recorder.from_backend(PARSED + error() + ready())
    assert told(recorder) == [([], (), "extended", "select $1", True, False)]


@pytest.mark.parametrize("more", ["started", "described", "received"])
def test_who_wants_to_hear_more_hears_it(tmp_path: Path, looks: list[bytes], more: str) -> None:
    heard = f"    def {more}(self, execution, *what):\n        state(execution).append('{more}')\n"
    recorder = known(
        PluggedRecorder(tmp_path, ENDS.replace("    shared = True\n", "    shared = True\n" + heard)), "select 1"
    )
    recorder.from_client(query("select 1"))
    recorder.from_backend(RESULT + ready())
    assert told(recorder) == [more, ONE]
    assert looks


def test_a_step_is_asked_all_the_same(tmp_path: Path) -> None:
    guard = """
@hookimpl
def guard(statement, session):
    return lambda execution: Block("42501", "no")
"""
    recorder = known(PluggedRecorder(tmp_path, ENDS + guard), "select 1")
    recorder.from_client(query("select 1"))
    assert recorder.take()[0] == b""
    assert told(recorder) == [("failed", "42501", "plugin")]
