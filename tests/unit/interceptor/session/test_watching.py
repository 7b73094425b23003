"""Executions that somebody looks after, however the bytes of their answers are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interceptor.errors import ClientError, Failure
from interceptor.protocol.messages import decode_error_fields
from interceptor.session import PoolMode
from tests.support.conversations import BOUND, CLOSED, CONVERSATIONS, PARSED, Turn
from tests.support.plugged import PluggedRecorder
from tests.support.recorder import (
    COPY_DONE,
    COPY_IN,
    FLUSH,
    RESULT,
    ROW_DESCRIPTION,
    SYNC,
    TERMINATE,
    bind,
    close,
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

OBSERVES = """
class All(Observer):
    def started(self, execution):
        state(execution).append("started")
    def described(self, execution, description):
        state(execution).append("described")
    def received(self, execution, rows):
        state(execution).append(("rows", rows))
    def finished(self, execution, completion):
        state(execution).append(("finished", completion.tag, completion.rows, completion.size))
    def failed(self, execution, failure):
        state(execution).append(("failed", failure.sqlstate, failure.by))

KEY = StateKey(list)
ALL = All()

def state(execution):
    return execution.session.get(KEY)

@hookimpl
def observe(statement, session):
    return ALL

@hookimpl
def transaction_ended(session, committed):
    session.get(KEY).append(("ended", committed))
"""
LIMITS = """
@hookimpl
def guard(statement, session):
    return Forward(limits=Limits(rows=2))
"""

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


cuts = pytest.mark.parametrize("cut", [whole, by_byte])


def told(recorder: PluggedRecorder) -> list[object]:
    """What observers heard; rows that came in pieces are one."""
    logs = [value for value in (recorder.facts._state or {}).values() if isinstance(value, list)]
    log = logs[0] if logs else []
    joined: list[object] = []
    for one in log:
        last = joined[-1] if joined else None
        if one[0] == "rows" and isinstance(last, tuple) and last[0] == "rows":
            joined[-1] = ("rows", last[1] + one[1])
        else:
            joined.append(one)
    return joined


def run(recorder: PluggedRecorder, turns: list[Turn], cut: Cut) -> None:
    for turn in turns:
        # Whole, for of a batch that comes in parts each is looked at when the one before it is answered.
        recorder.from_client(turn.sent)
        to_backend, early = recorder.take()
        injected = turn.forwarded is not None and turn.forwarded.endswith(turn.sent) and turn.forwarded != turn.sent
        assert to_backend == (turn.sent if turn.forwarded is None else turn.forwarded)
        answer = (b"1" if turn.forwarded and turn.forwarded[:1] == b"P" else b"3") + b"\0\0\0\x04" if injected else b""
        for piece in cut(answer + turn.answer):
            recorder.from_backend(piece)
        assert early + recorder.take()[1] == turn.answer
    if recorder.linked and not recorder.finished:
        recorder.interception.executions.give_up()


# Those where plugins see one batch at a time wait in another way, or say that what can't be told apart is not judged.
ONE_AT_A_TIME = {
    name: turns
    for name, turns in CONVERSATIONS.items()
    if name
    not in (
        "several queries in one write",
        "two batches in one write",
        "error, and the rest of the batch comes later",
        "copy in that fails, extended, with a Sync that counts",
    )
}


@pytest.mark.parametrize("name", ONE_AT_A_TIME)
def test_a_client_sees_no_difference_and_each_beginning_has_one_end(tmp_path: Path, name: str) -> None:
    turns = ONE_AT_A_TIME[name]
    first = PluggedRecorder(tmp_path, OBSERVES)
    run(first, turns, whole)
    heard = told(first)
    ends = [one for one in heard if isinstance(one, tuple) and one[0] in ("finished", "failed")]
    assert heard.count("started") == len(ends)
    assert not first.interception.executions.runs
    offsets = range(1, max(len(turn.sent) + len(turn.answer) for turn in turns), 23)
    for cut in [by_byte, *map(cut_at, offsets)]:
        recorder = PluggedRecorder(tmp_path, OBSERVES)
        run(recorder, turns, cut)
        assert told(recorder) == heard


@cuts
def test_what_is_heard_of_a_query(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, OBSERVES)
    run(recorder, [Turn(query("select 1; select 2"), RESULT + ROW_DESCRIPTION + row() * 3 + complete() + ready())], cut)
    rows = [("rows", row()), "described", ("rows", row() * 3)]
    ended = ("finished", "SELECT 1", 4, 4 * len(row()))
    assert told(recorder) == ["started", "described", *rows, ended, ("ended", True)]


def test_the_end_is_heard_before_the_client_is_told(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, OBSERVES)
    recorder.from_client(query("select 1"))
    recorder.from_backend(RESULT[:-1])
    assert told(recorder)[-1] == ("rows", row())
    assert recorder.take()[1] == ROW_DESCRIPTION + row()
    recorder.from_backend(RESULT[-1:] + ready()[:-1])
    assert told(recorder)[-1] == ("finished", "SELECT 1", 1, len(row()))
    assert recorder.take()[1] == complete()
    recorder.from_backend(ready()[-1:])
    assert told(recorder)[-1] == ("ended", True)


@cuts
def test_what_is_skipped_has_failed(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, OBSERVES)
    batch = (parse("select 1") + bind() + execute()) * 3 + SYNC
    run(recorder, [Turn(batch, PARSED + BOUND + row() + complete() + PARSED + error() + ready())], cut)
    assert [one for one in told(recorder) if isinstance(one, tuple) and one[0] != "rows"] == [
        ("finished", "SELECT 1", 1, len(row())),
        ("failed", "42601", "backend"),
        ("failed", "57014", "proxy"),
        ("ended", False),
    ]


PREPARES = """
@hookimpl
def rewrite(statement, session):
    def step(execution):
        if "refused" in statement.text:
            execution.transaction.before_commit(lambda: Block("P0002", "not now"))
        return Rewrite(statement.text, before=("select 0",))
    return step
"""
PRELUDE = CLOSED + PARSED + CLOSED + BOUND + complete() + CLOSED * 2


@cuts
@pytest.mark.parametrize("commits", [True, False])
def test_a_query_that_runs_as_a_batch_ends_with_its_commit(tmp_path: Path, cut: Cut, commits: bool) -> None:
    recorder = PluggedRecorder(tmp_path, OBSERVES + PREPARES)
    recorder.from_client(query("insert into t values (1)"))
    answered = PRELUDE + PARSED + BOUND + message("n") + complete("INSERT 0 1") + CLOSED
    assert feed(recorder, answered, cut) == []
    assert told(recorder) == ["started"]
    assert feed(recorder, ready() if commits else error() + ready(), cut) == (["C", "Z"] if commits else ["42601", "Z"])
    ended = ("finished", "INSERT 0 1", 0, 0) if commits else ("failed", "42601", "backend")
    assert told(recorder)[1:] == [ended, ("ended", commits)]


def test_a_query_that_runs_as_a_batch_in_a_transaction(tmp_path: Path) -> None:
    recorder = PluggedRecorder(
        tmp_path, OBSERVES + PREPARES.replace("return Rewrite", "return None if 'begin' in statement.text else Rewrite")
    )
    recorder.from_client(query("begin"))
    recorder.from_backend(complete("BEGIN") + ready("T"))
    recorder.from_client(query("insert into t values (1)"))
    recorder.from_backend(PRELUDE + PARSED + BOUND + message("n") + complete("INSERT 0 1"))
    assert told(recorder)[-1] == ("finished", "INSERT 0 1", 0, 0)


def test_what_runs_before_a_text_that_stays_as_it_is(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, PREPARES)
    recorder.from_client(parse("select 1") + bind() + execute() + SYNC)
    assert b"select 0" in recorder.take()[0]


@cuts
def test_a_query_whose_commit_is_refused_has_failed(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, OBSERVES + PREPARES)
    recorder.from_client(query("insert into t values (1) -- refused"))
    feed(recorder, PRELUDE + PARSED + BOUND + message("n") + complete("INSERT 0 1") + CLOSED, cut)
    assert feed(recorder, error() + ready(), cut) == ["P0002", "Z"]
    assert told(recorder) == ["started", ("failed", "P0002", "plugin"), ("ended", False)]


def test_a_client_that_says_goodbye_in_the_midst(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, OBSERVES)
    recorder.from_client(query("select 1") + TERMINATE)
    recorder.from_backend(RESULT + ready())
    assert recorder.finished
    assert told(recorder)[-2:] == [("finished", "SELECT 1", 1, len(row())), ("ended", True)]


ADMITS = """
@hookimpl
def admit(session):
    return None if session.reads_alike else Block("28000", "not like this")

@hookimpl
def guard(statement, session):
    return None
"""


def test_a_session_is_admitted_again_when_sql_reads_in_another_way(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, ADMITS)
    recorder.from_client(query("set standard_conforming_strings = off"))
    recorder.from_backend(message("S", b"standard_conforming_strings\0off\0") + complete("SET") + ready())
    assert isinstance(recorder.failure, ClientError)
    assert recorder.failure.failure == Failure("session_refused", "28000")


REPLAYS = """
@hookimpl
def guard(statement, session):
    return Forward(limits=Limits(rows=2))

@hookimpl
def cache(statement, session):
    row = b"D" + (11).to_bytes(4, "big") + b"\\0\\1\\0\\0\\0\\1x"
    return Replay(b"\\0\\0", (row, row * 2), 3, "SELECT 3")
"""


@pytest.mark.parametrize("rows", [0, 1])
def test_a_replay_has_limits(tmp_path: Path, rows: int) -> None:
    recorder = PluggedRecorder(tmp_path, REPLAYS)
    recorder.from_client(parse("select 1") + SYNC)
    recorder.from_backend(PARSED + ready())
    recorder.take()
    recorder.from_client(bind() + (execute(rows=rows) * 3 if rows else execute()) + SYNC)
    said = "".join(sqlstates(recorder.take()[1]))
    assert said == ("2DsDs54000Z" if rows else "2D54000Z")


# --- Results that are cut off ----------------------------------------------------------------------------------------


def sqlstates(answer: bytes) -> list[str]:
    """The types of the messages of an answer, and the SQLSTATE of each error."""
    found, at = [], 0
    while at < len(answer):
        end = at + 1 + int.from_bytes(answer[at + 1 : at + 5], "big")
        kind = chr(answer[at])
        found.append(decode_error_fields(answer[at + 5 : end])["C"] if kind == "E" else kind)
        at = end
    return found


def feed(recorder: PluggedRecorder, data: bytes, cut: Cut) -> list[str]:
    for piece in cut(data):
        recorder.from_backend(piece)
    answer, recorder.to_client = recorder.to_client, b""
    return sqlstates(answer)


@cuts
def test_a_query_is_stopped(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, LIMITS)
    recorder.from_client(query("select 1") + query("select 2"))
    assert recorder.take()[0] == query("select 1")
    said = feed(recorder, ROW_DESCRIPTION + row() * 2 + row(b"x" * 500), cut)
    assert said == ["T", "D", "D", "54000"]
    assert len(recorder.cancels) == 1
    assert feed(recorder, row() * 9 + error("canceled") + ready(), cut) == ["Z"]
    # The request could hit what comes next.
    assert recorder.take()[0] == b""
    recorder.cancels.pop()(True)
    assert recorder.take()[0] == query("select 2")
    assert feed(recorder, RESULT + ready(), cut) == ["T", "D", "C", "Z"]
    assert recorder.released == 1


@cuts
def test_a_query_that_ended_before_it_was_stopped_fails_its_transaction(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, LIMITS)
    recorder.from_client(query("begin"))
    feed(recorder, complete("BEGIN") + ready("T"), cut)
    recorder.from_client(query("select 1"))
    recorder.to_backend = b""
    feed(recorder, RESULT[: -len(complete())] + row() * 5, cut)
    recorder.cancels.pop()(True)
    assert feed(recorder, complete("SELECT 6") + ready("T"), cut) == []
    refused = recorder.to_backend
    assert refused[:1] == b"Q"
    assert feed(recorder, error() + ready("E"), cut) == ["Z"]
    assert recorder.released == 0


@cuts
@pytest.mark.parametrize("stopped", [True, False])
def test_an_execute_is_stopped(tmp_path: Path, cut: Cut, stopped: bool) -> None:
    recorder = PluggedRecorder(tmp_path, LIMITS)
    recorder.from_client(parse("select 1") + bind() + execute() + parse("select 2") + bind() + execute() + SYNC)
    assert recorder.take()[0] == parse("select 1") + bind() + execute() + FLUSH
    assert feed(recorder, PARSED + BOUND + row() * 5, cut) == ["1", "2", "D", "D", "54000"]
    if stopped:
        assert feed(recorder, error(), cut) == []
    else:
        assert feed(recorder, complete(), cut) == []
        assert recorder.take()[0][:1] == b"P"
        assert feed(recorder, error(), cut) == []
    assert recorder.take()[0] == b""
    recorder.cancels.pop()(True)
    assert recorder.take()[0] == SYNC
    assert feed(recorder, ready(), cut) == ["Z"]
    assert recorder.released == 1


COPIED = message("d", b"1\n") + COPY_DONE


@cuts
def test_what_is_copied_in_is_not_held_for_limits(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, LIMITS)
    recorder.from_client(query("copy t from stdin") + COPIED + query("select 2"))
    assert recorder.take()[0] == query("copy t from stdin")
    assert feed(recorder, COPY_IN, cut) == ["G"]
    assert recorder.take()[0].startswith(COPIED)
    assert feed(recorder, complete("COPY 1") + ready(), cut) == ["C", "Z"]
    assert recorder.take()[0].endswith(query("select 2"))


@cuts
def test_what_is_copied_in_is_not_held_for_limits_in_the_extended_protocol(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, LIMITS)
    copies = parse("copy t from stdin") + bind() + execute()
    recorder.from_client(copies + COPIED + parse("select 2") + bind() + execute() + SYNC)
    assert recorder.take()[0] == copies + FLUSH
    assert feed(recorder, PARSED + BOUND + COPY_IN, cut) == ["1", "2", "G"]
    assert recorder.take()[0] == COPIED + FLUSH
    assert feed(recorder, complete("COPY 1"), cut) == ["C"]
    assert recorder.take()[0] == parse("select 2") + bind() + execute() + FLUSH
    assert feed(recorder, PARSED + BOUND + row() + complete(), cut) == ["1", "2", "D", "C"]
    assert recorder.take()[0] == SYNC
    assert feed(recorder, ready(), cut) == ["Z"]
    assert recorder.released == 1


@cuts
def test_what_is_behind_a_copy_waits_for_rows_of_the_same_query(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, LIMITS)
    recorder.from_client(query("copy t from stdin; select 1"))
    feed(recorder, COPY_IN, cut)
    recorder.take()
    recorder.from_client(COPIED + SYNC)
    assert recorder.take()[0] == COPIED + FLUSH
    assert feed(recorder, complete("COPY 1") + ROW_DESCRIPTION + row() * 3, cut) == ["C", "T", "D", "D", "54000"]
    assert feed(recorder, error("canceled") + ready(), cut) == ["Z"]
    assert recorder.take()[0] == b""
    recorder.cancels.pop()(True)
    assert feed(recorder, ready(), cut) == ["Z"]
    assert recorder.released == 1


@cuts
def test_a_copy_behind_a_result_that_was_cut_off(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, LIMITS)
    recorder.from_client(query("select 1; copy t from stdin"))
    recorder.take()
    assert feed(recorder, ROW_DESCRIPTION + row() * 3, cut) == ["T", "D", "D", "54000"]
    assert feed(recorder, complete() + COPY_IN, cut) == []
    assert recorder.take()[0][:1] == b"f"
    recorder.cancels.pop()(True)
    assert feed(recorder, error("COPY failed") + ready(), cut) == ["Z"]
    assert recorder.released == 1


def test_a_server_that_can_not_be_asked_to_stop_is_given_up(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, LIMITS)
    recorder.from_client(query("select 1"))
    recorder.from_backend(ROW_DESCRIPTION + row() * 3)
    recorder.cancels.pop()(False)
    assert recorder.failure is not None
    assert "stop" in str(recorder.failure)


@cuts
def test_a_long_row_that_is_dropped(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, LIMITS)
    recorder.from_client(query("select 1"))
    rows = row() * 2 + row(b"x" * 3000) + row(b"y" * 3000)
    assert feed(recorder, ROW_DESCRIPTION + rows + complete() + ready(), cut) == ["T", "D", "D", "54000", "Z"]
    recorder.cancels.pop()(True)
    assert recorder.released == 1
    assert recorder.backend.partial == b""


def test_a_closed_portal_is_over(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, OBSERVES)
    recorder.from_client(query("begin"))
    recorder.from_backend(complete("BEGIN") + ready("T"))
    recorder.from_client(parse("select 1") + bind(portal="p") + execute("p", 1) + SYNC)
    recorder.from_backend(PARSED + BOUND + row() + message("s") + ready("T"))
    assert ("finished", "PORTAL SUSPENDED", 1, len(row())) not in told(recorder)
    recorder.from_client(close("P", "p") + SYNC)
    recorder.from_backend(CLOSED + ready("T"))
    assert told(recorder)[-1] == ("finished", "PORTAL SUSPENDED", 1, len(row()))


# --- Descriptions of rows that another statement tells of ------------------------------------------------------------

ORIGINAL = """
@hookimpl
def rewrite(statement, session):
    return Rewrite("select 2", describe="original") if statement.text == "select 1" else None
"""
SETTINGS = """
@hookimpl
def guard(statement, session):
    return Forward(settings={"work_mem": "1MB"})
"""
DESCRIBED = message("t", bytes(2)) + ROW_DESCRIPTION


@cuts
def test_the_description_of_the_clients_own_text_is_heard(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, OBSERVES + ORIGINAL)
    recorder.from_client(parse("select 1") + bind() + describe("P", "") + execute() + SYNC)
    parsed, bound, closed = message("1"), message("2"), message("3")
    passing = parsed + closed + parsed + bound + closed
    answer = passing + closed + parsed + DESCRIBED + closed + row() + complete() + ready()
    for piece in cut(answer):
        recorder.from_backend(piece)
    assert recorder.take()[1] == PARSED + BOUND + ROW_DESCRIPTION + row() + complete() + ready()
    assert told(recorder)[:3] == ["started", "described", ("rows", row())]


@cuts
@pytest.mark.parametrize("source", [ORIGINAL, SETTINGS], ids=["original", "settings"])
def test_the_description_of_a_query_that_runs_as_a_batch_is_heard(tmp_path: Path, cut: Cut, source: str) -> None:
    recorder = PluggedRecorder(tmp_path, OBSERVES + source)
    recorder.from_client(query("select 1"))
    if source is ORIGINAL:
        answer = message("1") + message("2") + message("1") + DESCRIBED
    else:
        sets = b"".join(message(kind) for kind in "3132") + row(b"set") + complete() + message("3") * 2
        answer = sets + message("1") + message("2") + ROW_DESCRIPTION
    for piece in cut(answer + row() + complete() + message("3") + ready()):
        recorder.from_backend(piece)
    assert recorder.take()[1] == ROW_DESCRIPTION + row() + complete() + ready()
    assert told(recorder)[:3] == ["started", "described", ("rows", row())]


# --- Texts that the server can't parse -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "s"])
@pytest.mark.parametrize("mode", [PoolMode.TRANSACTION, PoolMode.SESSION])
def test_a_parse_that_the_server_refuses_is_heard(tmp_path: Path, name: str, mode: PoolMode) -> None:
    recorder = PluggedRecorder(tmp_path, OBSERVES, mode)
    recorder.from_client(parse("select from nowhere", name) + describe("S", name) + SYNC)
    recorder.from_backend(error() + ready())
    assert told(recorder)[:2] == ["started", ("failed", "42601", "backend")]
    assert recorder.take()[1] == error() + ready()
    assert len(told(recorder)) == 2


@pytest.mark.parametrize("name", ["", "s"])
def test_what_was_to_be_executed_fails_with_its_parse_and_is_heard_of_once(tmp_path: Path, name: str) -> None:
    recorder = PluggedRecorder(tmp_path, OBSERVES)
    recorder.from_client(parse("select from nowhere", name) + bind(name) + execute() + SYNC)
    recorder.from_backend(error() + ready())
    assert told(recorder)[:2] == ["started", ("failed", "42601", "backend")]
    assert len([one for one in told(recorder) if isinstance(one, tuple) and one[0] == "failed"]) == 1


def test_a_parse_that_goes_well_is_not_heard_of(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, OBSERVES)
    recorder.from_client(parse("select 1", "s") + describe("S", "s") + SYNC)
    recorder.from_backend(PARSED + message("t", bytes(2)) + ROW_DESCRIPTION + ready())
    assert told(recorder) == []


def test_a_statement_that_another_backend_can_not_parse_fails_with_that_error(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, OBSERVES)
    recorder.from_client(parse("select from t", "s") + SYNC)
    recorder.from_backend(PARSED + ready())
    recorder.backend = recorder.new_backend()
    recorder.take()
    recorder.from_client(bind("s") + execute() + SYNC)
    assert recorder.take()[0].startswith(b"P")
    recorder.from_backend(error() + ready())
    assert told(recorder)[:2] == ["started", ("failed", "42601", "backend")]
    assert len([one for one in told(recorder) if isinstance(one, tuple) and one[0] == "failed"]) == 1
