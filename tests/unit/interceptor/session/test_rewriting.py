"""Rewritten statements, byte by byte: what the server is sent, and where its errors point to."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest

from interceptor.session import PoolMode
from tests.support.conversations import BOUND, CLOSED, NO_PARAMETERS, PARSED
from tests.support.plugged import PluggedRecorder, positions
from tests.support.recorder import (
    FLUSH,
    RESULT,
    ROW_DESCRIPTION,
    SYNC,
    bind,
    complete,
    describe,
    execute,
    message,
    parse,
    query,
    ready,
    row,
)

OLD, NEW = "select nope", "/* tagged */ select nope limit 9"
CONSTANT = """
@hookimpl
def rewrite(statement, session):
    if "nope" in statement.text:
        return Rewrite("/* tagged */ " + statement.text + " limit 9")
"""
STEP = """
@hookimpl
def rewrite(statement, session):
    if "nope" in statement.text:
        return lambda execution: Rewrite("/* tagged */ " + statement.text + " limit 9")
"""


def failed_at(position: int) -> bytes:
    return message("E", b"SERROR\0VERROR\0C42703\0Mno\0P%d\0p7\0qselect 7\0\0" % position)


HERE, NOWHERE = NEW.index("nope") + 1, NEW.index("limit") + 1


@pytest.mark.parametrize("source", [CONSTANT, STEP], ids=["constant", "step"])
def test_an_error_of_a_query(tmp_path: Path, source: str) -> None:
    recorder = PluggedRecorder(tmp_path, source)
    recorder.from_client(query(OLD) * 2)
    assert recorder.take()[0] == query(NEW) + FLUSH
    recorder.from_backend(failed_at(HERE) + ready())
    sent, answer = recorder.take()
    assert sent == query(NEW)
    assert answer == failed_at(OLD.index("nope") + 1) + ready()
    recorder.from_backend(failed_at(NOWHERE) + ready())
    assert positions(recorder.take()[1]) == [""]


def test_an_error_of_a_query_whose_answer_comes_in_pieces(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, CONSTANT)
    recorder.from_client(query(OLD))
    for byte in RESULT + failed_at(HERE) + ready():
        recorder.from_backend(bytes([byte]))
    assert recorder.to_client == RESULT + failed_at(8) + ready()


def test_an_error_about_the_clients_own_text_is_left_alone(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, CONSTANT)
    recorder.from_client(query(OLD))
    recorder.from_backend(RESULT + ready())
    recorder.from_client(query("select other"))
    recorder.take()
    recorder.from_backend(failed_at(21) + ready())
    assert positions(recorder.take()[1]) == ["21"]


@pytest.mark.parametrize("name", ["", "s"], ids=["unnamed", "named"])
@pytest.mark.parametrize("mode", [PoolMode.TRANSACTION, PoolMode.SESSION])
@pytest.mark.parametrize("answered", [0, 1, 2, 3], ids=["at Parse", "at Describe", "at Bind", "at Execute"])
def test_an_error_of_a_batch_whose_text_was_rewritten_at_parse(
    tmp_path: Path, name: str, mode: PoolMode, answered: int
) -> None:
    recorder = PluggedRecorder(tmp_path, CONSTANT, mode)
    recorder.from_client(parse(OLD, name) + describe("S", name) + bind(name) + execute() + SYNC)
    answers = [PARSED, NO_PARAMETERS + ROW_DESCRIPTION, BOUND]
    recorder.from_backend(b"".join(answers[:answered]) + failed_at(HERE) + ready())
    sent, answer = recorder.take()
    assert NEW.encode() in sent
    assert answer == b"".join(answers[:answered]) + failed_at(8) + ready()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("answered", [0, 1, 2], ids=["at Parse", "at Bind", "at Execute"])
def test_an_error_of_a_statement_that_is_rewritten_at_bind(tmp_path: Path, shared: bool, answered: int) -> None:
    recorder = PluggedRecorder(tmp_path, STEP, shared=shared)
    recorder.from_client(parse(OLD) + SYNC)
    assert parse(OLD) in recorder.take()[0]
    recorder.from_backend(PARSED + ready())
    recorder.take()
    recorder.from_client(bind() + execute() + SYNC)
    sent, _ = recorder.take()
    assert NEW.encode() in sent
    assert OLD.encode() + b"\0" not in sent
    # It is closed before it is made, and after it is bound.
    swallowed = [CLOSED, CLOSED + PARSED, CLOSED + PARSED + BOUND + CLOSED][answered]
    recorder.from_backend(swallowed + failed_at(HERE) + ready())
    _, answer = recorder.take()
    assert answer == (BOUND if answered == 2 else b"") + failed_at(8) + ready()


def test_errors_in_later_batches_about_a_statement_that_was_rewritten_at_parse(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, CONSTANT)
    recorder.from_client(parse(OLD, "s") + SYNC)
    recorder.from_backend(PARSED + ready())
    for batch in (bind("s") + execute() + SYNC, describe("S", "s") + SYNC):
        recorder.take()
        recorder.from_client(batch)
        recorder.from_backend(failed_at(HERE) + ready())
        assert positions(recorder.take()[1]) == ["8"]


def test_an_error_of_a_portal_that_goes_on_in_another_batch(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, CONSTANT)
    recorder.from_client(query("begin"))
    recorder.from_backend(complete("BEGIN") + ready("T"))
    recorder.from_client(parse(OLD) + bind(portal="p") + execute("p", 1) + SYNC)
    recorder.from_backend(PARSED + BOUND + row() + message("s") + ready("T"))
    recorder.take()
    recorder.from_client(execute("p", 1) + SYNC)
    recorder.from_backend(failed_at(HERE) + ready("E"))
    assert positions(recorder.take()[1]) == ["8"]
    recorder.from_client(query("rollback"))
    recorder.from_backend(complete("ROLLBACK") + ready())
    recorder.take()
    # Another portal of the same name runs another text.
    recorder.from_client(parse("select other") + bind(portal="p") + execute("p") + SYNC)
    recorder.from_backend(PARSED + BOUND + failed_at(3) + ready())
    assert positions(recorder.take()[1]) == ["3"]


def test_a_batch_that_is_sent_again_for_a_changed_table_still_knows_its_text(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, CONSTANT)
    recorder.from_client(parse(OLD, "s") + SYNC)
    recorder.from_backend(PARSED + ready())
    recorder.take()
    recorder.from_client(bind("s") + describe("P") + execute() + SYNC)
    stale = message("E", b"SERROR\0VERROR\0C0A000\0Mcached plan\0RRevalidateCachedQuery\0\0")
    recorder.from_backend(stale + ready())
    sent, answer = recorder.take()
    assert answer == b""
    assert NEW.encode() in sent
    recorder.from_backend(message("3") + PARSED + failed_at(HERE) + ready())
    assert positions(recorder.take()[1]) == ["8"]


def test_a_guard_that_blocks_the_rewritten_text_points_into_the_clients(tmp_path: Path) -> None:
    guard = """
@hookimpl
def guard(statement, session):
    if "limit" in statement.text and "block" in statement.text:
        return Block("42501", "no", position=statement.text.index(WORD) + 1)
"""
    text = "select nope -- block"
    for word, expected in (("nope", "8"), ("tagged", "")):
        recorder = PluggedRecorder(tmp_path, CONSTANT + guard.replace("WORD", repr(word)))
        recorder.from_client(query(text + "\n"))
        assert positions(recorder.take()[1]) == [expected]
        recorder.from_client(parse(text + "\n") + SYNC)
        assert positions(recorder.take()[1]) == [expected]
    assert recorder.acquired == 0


def bind_of(*values: bytes, statement: str = "") -> bytes:
    parameters = b"".join(pack("!I", len(value)) + value for value in values)
    return message("B", b"\0" + statement.encode() + b"\0" + pack("!HH", 0, len(values)) + parameters + b"\0\0")


def test_parameters_that_the_new_text_has_not_are_left_out(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, STEP.replace("+ statement.text +", "+ statement.text.replace('$2', '2') +"))
    recorder.from_client(parse("select nope, $1, $2") + bind_of(b"7", b"7") + execute() + SYNC)
    sent, _ = recorder.take()
    assert (pack("!I", 1) + b"7") in sent
    assert (pack("!I", 1) + b"7") * 2 not in sent


SWAPS = """
@hookimpl
def rewrite(statement, session):
    if "swap" in statement.text:
        return lambda execution: Rewrite("select $2, $1 /* done */", (2, 1))

class All(Observer):
    def failed(self, execution, failure):
        execution.session.get(HEARD).append((failure.sqlstate, failure.by))

HEARD = StateKey(list)

@hookimpl
def observe(statement, session):
    return All()
"""


@pytest.mark.parametrize("values", [[], [b"1"], [b"1", b"2", b"3"]])
def test_a_bind_with_another_count_of_values_is_no_failure_of_a_plugin(tmp_path: Path, values: list[bytes]) -> None:
    recorder = PluggedRecorder(tmp_path, SWAPS)
    for _ in range(7):
        recorder.from_client(parse("select $1, $2 /* swap */") + bind_of(*values) + execute() + SYNC)
        assert b"done" not in recorder.take()[0]
        recorder.from_backend(PARSED + message("E", b"SERROR\0C42601\0Mno\0\0") + ready())
        said = recorder.take()[1]
        assert b"C08P01\0" in said
        assert b'supplies %d parameters, but prepared statement "" requires 2' % len(values) in said
    (heard,) = (recorder.facts._state or {}).values()
    assert heard == [("08P01", "proxy")] * 7
    recorder.from_client(parse("select $1, $2 /* swap */") + bind_of(b"1", b"2") + execute() + SYNC)
    assert b"done" in recorder.take()[0]


@pytest.mark.parametrize("text", ["prepare swap as select $1", "copy (select $1 as swap) to stdout"])
def test_a_text_that_has_no_parameters_is_bound_without(tmp_path: Path, text: str) -> None:
    recorder = PluggedRecorder(tmp_path, SWAPS.replace("swap", "never"))
    recorder.from_client(parse(text) + bind() + execute() + SYNC)
    assert bind() in recorder.take()[0]
