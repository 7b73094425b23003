"""Batches that no plugin wants anything of: forwarded as they came, and never past a plugin that wants one."""

from __future__ import annotations

from pathlib import Path

import pytest

from interceptor.session import PoolMode
from interceptor.session.interception import Interception
from tests.support.conversations import BOUND, CLOSED, PARSED
from tests.support.plugged import PluggedRecorder
from tests.support.recorder import (
    RESULT,
    ROW_DESCRIPTION,
    SYNC,
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

GUARD = """
@plugin(depends_on=("role",))
class Guard:
    def __init__(self, context):
        pass
    @hookimpl
    def guard(self, statement, session):
        if b"secret" in statement.sql or session.role == "boss":
            return lambda execution: Block("42501", "no")
"""
REFUSAL = b"C42501\0"


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was looked at message by message."""
    seen: list[bytes] = []
    really = Interception.look_at

    def look_at(interception: Interception, data: bytes, position: int) -> bytes | None:
        seen.append(data[position:])
        return really(interception, data, position)

    monkeypatch.setattr(Interception, "look_at", look_at)
    return seen


class Server:
    """Answers what a recorder's backend is sent, and remembers it."""

    def __init__(self, recorder: PluggedRecorder) -> None:
        self.recorder = recorder
        self.sent = b""
        self.told = b""
        self.fails = False

    def run(self, sent: bytes) -> bytes:
        """Let the client send this, and answer until nothing more comes. What the client was told."""
        self.told = b""
        self.recorder.from_client(sent)
        self.answer_all()
        return self.told

    def answer_all(self) -> None:
        while True:
            to_backend, to_client = self.recorder.take()
            self.told += to_client
            self.sent += to_backend
            if not to_backend:
                return
            answer = self.answer(to_backend)
            if answer:
                self.recorder.from_backend(answer)

    def answer(self, data: bytes) -> bytes:
        """What PostgreSQL would say: to what has "nonsense" in it, or stands for what was blocked, an error."""
        answer = b""
        while data:
            end = 1 + int.from_bytes(data[1:5], "big")
            kind, body, data = data[:1], data[5:end], data[end:]
            fails = b"nonsense" in body or b"a plugin blocked" in body
            if kind == b"S":
                answer += ready()
                self.fails = False
            elif kind == b"Q":
                answer += (error() if fails else RESULT) + ready()
            elif not self.fails and fails:
                answer += error()
                self.fails = True
            elif not self.fails:
                answer += ANSWERS[kind]
        return answer


ANSWERS = {b"P": PARSED, b"B": BOUND, b"D": ROW_DESCRIPTION, b"E": row() + complete(), b"C": CLOSED, b"H": b""}


def batch(sql: str) -> bytes:
    return parse(sql) + bind() + describe("P") + execute() + SYNC


@pytest.fixture
def server(tmp_path: Path, mode: PoolMode) -> Server:
    return Server(PluggedRecorder(tmp_path, GUARD, mode))


@pytest.fixture(params=[PoolMode.TRANSACTION, PoolMode.SESSION])
def mode(request: pytest.FixtureRequest) -> PoolMode:
    found: PoolMode = request.param
    return found


def test_an_extended_batch_is_forwarded_as_it_came(server: Server, looks: list[bytes]) -> None:
    server.run(batch("select 1"))
    looks.clear()
    server.sent = b""
    for _ in range(3):
        assert server.run(batch("select 1")) == PARSED + BOUND + RESULT + ready()
    assert server.sent == batch("select 1") * 3
    assert looks == []


def test_named_statements(server: Server, looks: list[bytes]) -> None:
    server.run(parse("select 1", "s") + SYNC)
    looks.clear()
    for _ in range(3):
        assert server.run(bind(statement="s") + execute() + SYNC) == BOUND + row() + complete() + ready()
    assert looks == []


def test_a_pipeline_of_them_does_not_wait(server: Server, looks: list[bytes]) -> None:
    server.run(query("select 1"))
    looks.clear()
    sent = query("select 1") * 3 + batch("select 1") * 3
    server.recorder.from_client(sent)
    assert server.recorder.take() == (sent, b"")
    assert looks == []


def test_one_that_is_wanted_among_them(server: Server) -> None:
    server.run(query("select 1"))
    told = server.run(query("select 1") + query("select secret") + query("select 1") + batch("select secret"))
    assert told.count(RESULT) == 2
    assert told.count(REFUSAL) == 2
    assert told.index(RESULT) < told.index(REFUSAL) < told.rindex(RESULT) < told.rindex(REFUSAL)
    assert b"secret" not in server.sent.replace(parse("select secret"), b"")


def test_a_name_that_is_given_to_another_text(server: Server) -> None:
    server.run(parse("select 1", "s") + SYNC)
    server.run(bind(statement="s") + execute() + SYNC)
    server.sent = b""
    again = close("S", "s") + parse("select secret", "s") + SYNC
    told = server.run(again + bind(statement="s") + execute() + SYNC)
    assert REFUSAL in told
    assert row() not in told


def test_a_name_that_was_not_given_to_another_text_after_all(server: Server) -> None:
    server.run(parse("select secret", "s") + SYNC)
    server.run(query("select 1"))
    fails = parse("select nonsense", "t") + close("S", "s") + parse("select 1", "s") + SYNC
    told = server.run(fails + bind(statement="s") + execute() + SYNC)
    assert REFUSAL in told
    assert row() not in told


def test_the_unnamed_statement_of_an_earlier_batch(server: Server) -> None:
    server.run(query("select 1"))
    server.run(parse("select secret") + SYNC)
    # Its Parse is skipped, so the unnamed statement is still the other.
    server.run(bind(statement="nonsense") + parse("select 1") + bind() + execute() + SYNC)
    told = server.run(bind() + execute() + SYNC)
    assert REFUSAL in told
    assert row() not in told


def test_the_unnamed_statement_of_an_earlier_batch_that_nobody_wanted(server: Server) -> None:
    for _ in range(2):
        server.run(parse("select 1") + SYNC)
        assert server.run(bind() + execute() + SYNC) == BOUND + row() + complete() + ready()


@pytest.mark.parametrize("extended", [False, True])
def test_a_role_that_is_taken_in_front_of_it(server: Server, *, extended: bool) -> None:
    recorder = server.recorder
    server.run(query("select 1"))
    # Nobody wants this either, as long as the role is another.
    assert recorder.harness.tables.lookup(recorder.facts, b"set role boss") is False
    sets = parse("set role boss") + bind() + execute() + SYNC if extended else query("set role boss")
    recorder.from_client(sets + query("select 1"))
    assert query("select 1") not in recorder.take()[0]


@pytest.mark.parametrize("database", [None, "app"])
def test_plans_that_are_forgotten(server: Server, looks: list[bytes], database: str | None) -> None:
    server.run(batch("select 1"))
    looks.clear()
    server.recorder.harness.tables.invalidate(database)
    server.run(batch("select 1"))
    assert len(looks) == 1


def test_in_pieces(server: Server) -> None:
    server.run(query("select 1"))
    sent = query("select 1") + batch("select 1") + query("select 1") + batch("select secret") + query("select 1")
    whole = server.run(sent)
    for place in range(1, len(sent)):
        server.recorder.from_client(sent[:place])
        assert server.run(sent[place:]) == whole
        assert server.recorder.linked is (server.recorder.client.mode is PoolMode.SESSION)


SETS = """
@hookimpl
def guard(statement, session):
    if b"slow" in statement.sql:
        return Forward(settings={"statement_timeout": "5s"})
"""


def test_a_portal_with_settings_in_later_batches(tmp_path: Path, mode: PoolMode, looks: list[bytes]) -> None:
    server = Server(PluggedRecorder(tmp_path, SETS, mode))
    recorder = server.recorder
    recorder.from_client(query("begin"))
    recorder.from_backend(complete("BEGIN") + ready("T"))
    recorder.from_client(parse("select slow") + bind(portal="p") + execute("p", 1) + SYNC)
    ours = CLOSED + PARSED + CLOSED + BOUND + row() + complete() + CLOSED * 2
    recorder.from_backend(PARSED + ours + BOUND + row() + message("s") + ours + ready("T"))
    assert recorder.take()[0].count(execute("p", 1)) == 1
    for _ in range(2):
        recorder.from_client(execute("p", 1) + SYNC)
        sets, _, resets = recorder.take()[0].partition(execute("p", 1))
        assert b"set_config" in sets
        assert b"set_config" in resets
        recorder.from_backend(ours + row() + message("s") + ours + ready("T"))
        assert recorder.take()[1] == row() + message("s") + ready("T")
    recorder.from_client(query("commit"))
    recorder.from_backend(complete("COMMIT") + ready())
    looks.clear()
    server.run(batch("select 1"))
    server.run(batch("select 1"))
    assert not looks[1:]
