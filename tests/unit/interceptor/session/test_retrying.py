"""A routed statement that fails before anything of it was shown, and goes to another target."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interceptor.errors import BACKEND_CONNECT, BackendError
from tests.support.conversations import BOUND, CLOSED, NO_PARAMETERS, PARSED
from tests.support.plugged import PluggedRecorder
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

ROUTES = """
@hookimpl
def route(statement, session):
    if "elsewhere" in statement.text:
        return Route("replica1", Retry("primary", frozenset({"40001"})))
"""
REWRITES = """
@hookimpl
def rewrite(statement, session):
    if "elsewhere" in statement.text and "tagged" not in statement.text:
        return lambda execution: Rewrite("/* tagged */ " + statement.text)
"""
READ = "select elsewhere from t"
STATUS = message("S", b"TimeZone\0CET\0")
NOTICE = message("N", b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0")


def failed(sqlstate: str = "40001", severity: str = "ERROR") -> bytes:
    return message("E", f"S{severity}\0V{severity}\0C{sqlstate}\0Mno\0\0".encode())


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def by_byte(data: bytes) -> Iterator[bytes]:
    for position in range(len(data)):
        yield data[position : position + 1]


Cut = Callable[[bytes], Iterator[bytes]]
cuts = pytest.mark.parametrize("cut", [whole, by_byte])


def answer(recorder: PluggedRecorder, data: bytes, cut: Cut) -> bytes:
    for piece in cut(data):
        recorder.from_backend(piece)
    return recorder.take()[1]


@cuts
@pytest.mark.parametrize("source", [ROUTES, ROUTES + REWRITES], ids=["as it is", "rewritten"])
def test_a_query(tmp_path: Path, cut: Cut, source: str) -> None:
    recorder = PluggedRecorder(tmp_path, source)
    recorder.from_client(query(READ) + query("select 2"))
    first, _ = recorder.take()
    for piece in cut(ROW_DESCRIPTION + NOTICE + failed() + ready()):
        recorder.from_backend(piece)
    again, told = recorder.take()
    assert told == b""
    assert again == first
    assert recorder.targets == ["replica1", "primary"]
    assert recorder.released == 1
    recorder.from_backend(RESULT + ready())
    assert recorder.take() == (query("select 2"), RESULT + ready())
    recorder.from_backend(RESULT + ready())
    assert recorder.released == 2


@cuts
@pytest.mark.parametrize("answered", range(4))
@pytest.mark.parametrize("source", [ROUTES, ROUTES + REWRITES], ids=["as it is", "rewritten"])
def test_a_batch(tmp_path: Path, cut: Cut, answered: int, source: str) -> None:
    recorder = PluggedRecorder(tmp_path, source)
    recorder.from_client(parse(READ) + bind() + describe("P") + execute() + SYNC)
    first, _ = recorder.take()
    swallowed = [CLOSED + PARSED, CLOSED] if source != ROUTES else [b"", b""]
    answers = [PARSED, swallowed[0] + BOUND + swallowed[1], ROW_DESCRIPTION, row()][:answered]
    for piece in cut(b"".join(answers[:3]) + failed() + ready()):
        recorder.from_backend(piece)
    assert recorder.take() == (first, b"")
    shown = answer(recorder, b"".join([PARSED, swallowed[0], BOUND, swallowed[1], RESULT, ready()]), cut)
    assert shown == PARSED + BOUND + RESULT + ready()
    assert recorder.targets == ["replica1", "primary"]
    assert recorder.released == 2


LIMITED = """
@hookimpl
def guard(statement, session):
    return Forward(limits=Limits(rows=2)) if "elsewhere" in statement.text else None
"""
ASKED = """
@hookimpl
def guard(statement, session):
    if "elsewhere" in statement.text:
        return lambda execution: execution.transaction.before_commit(lambda: None)
"""


def take_but_flushes(recorder: PluggedRecorder) -> tuple[bytes, bytes]:
    sent, told = recorder.take()
    return sent.replace(FLUSH, b""), told


@cuts
@pytest.mark.parametrize("held", [LIMITED, ASKED], ids=["limits", "before_commit"])
@pytest.mark.parametrize("again", [True, False])
def test_a_batch_whose_sync_is_held(tmp_path: Path, cut: Cut, held: str, again: bool) -> None:
    recorder = PluggedRecorder(tmp_path, ROUTES + held)
    recorder.from_client(parse(READ) + bind() + execute() + SYNC + query("select 2"))
    first, _ = recorder.take()
    assert first == parse(READ) + bind() + execute() + FLUSH
    for piece in cut(PARSED + BOUND + failed()):
        recorder.from_backend(piece)
    assert take_but_flushes(recorder) == (SYNC, b"")
    recorder.from_client(query("select 3"))
    for piece in cut(ready()):
        recorder.from_backend(piece)
    assert recorder.take() == (first, b"")
    assert recorder.targets == ["replica1", "primary"]
    second = row() + complete() if again else failed()
    assert answer(recorder, PARSED + BOUND + second, cut) == PARSED + BOUND + second
    recorder.from_backend(ready())
    assert take_but_flushes(recorder) == (query("select 2"), ready())
    recorder.from_backend(RESULT + ready())
    assert recorder.take() == (query("select 3"), RESULT + ready())


@cuts
def test_what_succeeds_is_shown_as_it_comes(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, ROUTES)
    recorder.from_client(parse(READ) + bind() + describe("P") + execute() + SYNC)
    assert answer(recorder, PARSED + BOUND + ROW_DESCRIPTION, cut) == b""
    assert answer(recorder, row(), cut) == PARSED + BOUND + ROW_DESCRIPTION + row()
    assert answer(recorder, complete() + ready(), cut) == complete() + ready()


@cuts
def test_a_row_that_was_shown_makes_it_too_late(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, ROUTES)
    recorder.from_client(query(READ))
    assert answer(recorder, ROW_DESCRIPTION + row() + failed() + ready(), cut) == (
        ROW_DESCRIPTION + row() + failed() + ready()
    )
    assert recorder.targets == ["replica1"]


@cuts
@pytest.mark.parametrize("batch", [query(READ), parse(READ) + bind() + execute() + SYNC], ids=["simple", "extended"])
def test_another_error_is_shown_with_what_was_held_back(tmp_path: Path, cut: Cut, batch: bytes) -> None:
    recorder = PluggedRecorder(tmp_path, ROUTES)
    recorder.from_client(batch)
    before = ROW_DESCRIPTION if batch[:1] == b"Q" else PARSED + BOUND
    said = before + failed("22012") + ready()
    assert answer(recorder, said, cut) == said
    assert recorder.released == 1


@cuts
def test_what_a_server_says_at_any_time_is_not_held_back(tmp_path: Path, cut: Cut) -> None:
    recorder = PluggedRecorder(tmp_path, ROUTES)
    recorder.from_client(query(READ))
    assert answer(recorder, ROW_DESCRIPTION + STATUS, cut) == STATUS
    assert answer(recorder, RESULT[len(ROW_DESCRIPTION) :] + ready(), cut)[-6:] == ready()


def test_a_second_failure_is_shown(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, ROUTES)
    recorder.from_client(query(READ))
    recorder.from_backend(failed() + ready())
    recorder.take()
    recorder.from_backend(failed() + ready())
    assert recorder.take() == (b"", failed() + ready())


@pytest.mark.parametrize(
    "batch",
    [
        parse(READ, "s") + bind("s") + execute() + SYNC,
        parse(READ) + bind() + execute() + bind() + execute() + SYNC,
        query(READ + "; select 1"),
        query("do 'begin perform elsewhere(); end'"),
        query("call elsewhere()"),
        query("copy elsewhere from stdin"),
        query("vacuum elsewhere"),
        parse(READ) + describe("S") + SYNC,
    ],
)
def test_what_is_not_alone_or_not_undone_is_not_tried_again(tmp_path: Path, batch: bytes) -> None:
    recorder = PluggedRecorder(tmp_path, ROUTES)
    recorder.from_client(batch)
    recorder.from_backend(failed() + ready())
    assert recorder.take()[1] == failed() + ready()


def test_not_within_a_transaction(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, ROUTES)
    recorder.from_client(query("begin"))
    recorder.from_backend(complete("BEGIN") + ready("T"))
    recorder.take()
    recorder.from_client(query(READ))
    recorder.from_backend(failed() + ready("E"))
    assert recorder.take()[1] == failed() + ready("E")


def test_a_read_goes_on_when_its_server_hangs_up_with_such_an_error(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, ROUTES)
    recorder.from_client(parse(READ) + bind() + execute() + SYNC + query("select 2"))
    first, _ = recorder.take()
    recorder.from_backend(PARSED + BOUND + failed(severity="FATAL"))
    assert recorder.take() == (b"", b"")
    recorder.backend.unlink()
    recorder.new_backend()
    lost = BackendError(BACKEND_CONNECT, "gone")
    assert recorder.client.go_elsewhere(lost)
    assert recorder.take() == (first, b"")
    recorder.from_backend(PARSED + BOUND + row() + complete() + ready())
    assert recorder.take() == (query("select 2"), PARSED + BOUND + row() + complete() + ready())


def test_a_server_that_hangs_up_without_a_word_may_have_run_it(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, ROUTES)
    recorder.from_client(parse(READ) + bind() + execute() + SYNC)
    recorder.from_backend(PARSED + BOUND)
    recorder.backend.unlink()
    assert not recorder.client.go_elsewhere(BackendError(BACKEND_CONNECT, "gone"))
    assert recorder.take()[1] == PARSED + BOUND


def test_a_write_whose_server_hangs_up_is_not_repeated(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, ROUTES)
    recorder.from_client(query("insert into elsewhere values (1)"))
    recorder.from_backend(failed(severity="FATAL"))
    assert recorder.take()[1] == failed(severity="FATAL")


def test_a_target_without_backends_is_left(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, ROUTES)
    recorder.has_backends = False
    recorder.from_client(parse(READ) + bind() + execute() + SYNC + query("select 2"))
    assert recorder.client.may_go_elsewhere
    recorder.has_backends = True
    assert recorder.client.go_elsewhere(BackendError(BACKEND_CONNECT, "gone"))
    assert recorder.targets == ["replica1", "primary"]
    assert recorder.take()[0] == parse(READ) + bind() + execute() + SYNC + FLUSH
    recorder.from_backend(PARSED + BOUND + row() + complete() + ready())
    assert recorder.take()[0] == query("select 2")
    recorder.from_backend(failed() + ready())
    assert recorder.take()[1] == failed() + ready()


def test_described_parameters_are_held_back_too(tmp_path: Path) -> None:
    recorder = PluggedRecorder(tmp_path, ROUTES)
    recorder.from_client(parse(READ) + describe("S") + bind() + execute() + SYNC)
    recorder.from_backend(PARSED + NO_PARAMETERS + ROW_DESCRIPTION + BOUND + failed() + ready())
    assert recorder.take()[1] == b""


# --- Batches of several statements -----------------------------------------------------------------------------------

TWO = """
@hookimpl
def route(statement, session):
    for name in ("replica1", "replica2"):
        if name in statement.text:
            return lambda execution: Route(name)
"""


def batch(*texts: str) -> bytes:
    return b"".join(parse(text) + bind() + execute() for text in texts)


@pytest.mark.parametrize(
    ("texts", "target"),
    [
        (["select 'replica1'", "select 2, 'replica1'"], "replica1"),
        (["select 'replica1'", "select 'replica2'"], None),
        (["select 'replica1'", "insert into t values (1)"], None),
        (["insert into t values (1)", "select 'replica1'"], None),
    ],
    ids=["agree", "differ", "write behind", "write first"],
)
def test_a_batch_goes_where_all_its_statements_are_sent(tmp_path: Path, texts: list[str], target: str | None) -> None:
    recorder = PluggedRecorder(tmp_path, TWO)
    recorder.from_client(batch(*texts) + SYNC)
    assert recorder.targets == [target]
    assert recorder.take()[0] == batch(*texts) + SYNC


def test_what_comes_later_in_a_batch_is_not_asked_about(tmp_path: Path) -> None:
    asked = "Route(name) if name == 'replica1' else Block('P0001', 'asked')"
    recorder = PluggedRecorder(tmp_path, TWO.replace("Route(name)", asked))
    recorder.from_client(batch("select 'replica1'") + FLUSH)
    recorder.from_backend(PARSED + BOUND + complete())
    recorder.take()
    recorder.from_client(batch("select 'replica2'") + SYNC)
    assert recorder.take()[0] == batch("select 'replica2'") + SYNC
    assert recorder.targets == ["replica1"]
