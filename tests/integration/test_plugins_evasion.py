"""A guard that judges at execution sees the text that really runs, whatever a client does with names of statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import decode_error
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Tables, run_proxy
from tests.support.wire import WireClient

PLUGIN = """
from interceptor import Block, Decision, Execution, Plan, Rewrite, SessionClass, Statement, hookimpl

@hookimpl
def guard(statement: Statement, session: SessionClass) -> Plan | None:
    return Plan(judge) if "forbidden" in statement.text else None

def judge(execution: Execution) -> Decision | None:
    return Block("42501", "not this") if execution.session.user == "postgres" else None

@hookimpl
def rewrite(statement: Statement, session: SessionClass) -> Plan | None:
    return Plan(other) if "original" in statement.text else None

def other(execution: Execution) -> Decision | None:
    return Rewrite(execution.statement.text.replace("original", "another"))
"""
GOOD, BAD = "select 'allowed'", "select 'forbidden'"
MODES = ("transaction", "session", "nothing shared")


@contextmanager
def client_of(server: PostgresServer, mode: str, directory: Path) -> Iterator[WireClient]:
    (directory / "judge.py").write_text(PLUGIN)
    tables: Tables = {
        "databases.app": {
            "primary": upstream(server, "postgres"),
            "pool_size": 1,
            "pool_mode": "session" if mode == "session" else "transaction",
        },
        "server": {"max_prepared_statements": 0 if mode == "nothing shared" else 100},
        "plugins": {"modules": [str(directory / "judge.py")]},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as clients:
        yield clients.connect("app")


@pytest.fixture(scope="module", params=MODES)
def mode_client(
    request: pytest.FixtureRequest, postgres18: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WireClient]:
    with ExitStack() as stack:
        yield stack.enter_context(client_of(postgres18, request.param, tmp_path_factory.mktemp("judge")))


@pytest.fixture
def client(mode_client: WireClient) -> WireClient:
    say(mode_client, f.query("rollback"))
    say(mode_client, f.close_statement("s"), f.sync())
    return mode_client


def say(client: WireClient, *sent: Frontend, readies: int = 1) -> list[str]:
    """The replies in short: rows in full, errors by their SQLSTATE."""
    seen = len(client.replies)
    client.send(*sent)
    client.read_until_ready(client.ready_count + readies)
    return [
        f"Error {decode_error(reply.body)['C']}" if reply.tag == b"E" else str(reply) for reply in client.replies[seen:]
    ]


def run(client: WireClient, name: str = "s") -> list[str]:
    return say(client, f.bind(statement=name), f.execute(), f.sync())


RUNS_BAD = ["Error 42501", "ReadyForQuery I"]
FAILS = (f.parse("select 1/0"), f.bind(), f.execute())


def test_the_guard_judges_at_execution(client: WireClient) -> None:
    say(client, f.parse(BAD, "s"), f.sync())
    assert run(client) == RUNS_BAD


def test_a_name_taken_over_in_a_failed_batch(client: WireClient) -> None:
    """The batch fails, so the name stands for what it did before."""
    say(client, f.parse(BAD, "s"), f.sync())
    say(client, *FAILS, f.close_statement("s"), f.parse(GOOD, "s"), f.sync())
    assert run(client) == RUNS_BAD


def test_a_name_taken_over_behind_an_error_that_is_known_already(client: WireClient) -> None:
    say(client, f.parse(BAD, "s"), f.sync())
    seen = len(client.replies)
    client.send(*FAILS, f.flush())
    client.read_until(lambda: any(reply.tag == b"E" for reply in client.replies[seen:]))
    say(client, f.close_statement("s"), f.parse(GOOD, "s"), f.sync())
    assert run(client) == RUNS_BAD


def test_a_name_closed_before_the_error_stays_closed(client: WireClient) -> None:
    say(client, f.parse(BAD, "s"), f.sync())
    say(client, f.close_statement("s"), f.parse(GOOD, "s"), *FAILS, f.close_statement("s"), f.sync())
    assert "DataRow b'allowed'" in run(client)


def test_a_name_prepared_twice_keeps_its_first_text(client: WireClient) -> None:
    say(client, f.parse(BAD, "s"), f.sync())
    assert "Error 42P05" in say(client, f.parse(GOOD, "s"), f.sync())
    assert run(client) == RUNS_BAD


def test_a_name_that_sql_deallocated_and_a_message_prepared_anew(client: WireClient) -> None:
    say(client, f.parse(GOOD, "s"), f.sync())
    say(client, f.query("deallocate s"))
    say(client, f.parse(BAD, "s"), f.sync())
    assert run(client) == RUNS_BAD


def test_the_unnamed_statement_of_a_failed_batch(client: WireClient) -> None:
    say(client, f.parse(BAD), f.sync())
    say(client, f.bind(statement="nowhere"), f.parse(GOOD), f.sync())
    assert run(client, "") == RUNS_BAD


def test_messages_at_every_cut(client: WireClient) -> None:
    data = b"".join(one.data for one in (f.parse(GOOD), f.bind(), f.execute(), f.parse(BAD), f.bind(), f.sync()))
    for cut in range(1, len(data)):
        seen, ready = len(client.replies), client.ready_count
        client.write(data[:cut])
        client.write(data[cut:])
        client.read_until_ready(ready + 1)
        assert b"".join(reply.tag for reply in client.replies[seen:]) == b"12DC1EZ"


def test_a_statement_behind_a_copy_that_fails_unnoticed(client: WireClient) -> None:
    """The COPY fails at its data, and the client does not wait for that: nobody would have looked at what follows."""
    other = client
    say(other, f.query("create temp table if not exists numbers (i int)"))
    seen = len(other.replies)
    other.send(f.query("copy numbers from stdin"))
    other.read_until(lambda: any(reply.tag == b"G" for reply in other.replies[seen:]))
    other.send(f.copy_data(b"no number\n"), f.copy_done(), f.query(BAD))
    other.read_until_ready(other.ready_count + 2)
    assert not any(b"forbidden" in reply.body for reply in other.replies[seen:] if reply.tag == b"D")


def test_a_rewritten_statement_runs_in_every_mode(client: WireClient) -> None:
    say(client, f.parse("select 'original' || $1::text", "s"), f.sync())
    for _ in range(2):
        replies = say(client, f.bind([b"!"], statement="s"), f.execute(), f.sync())
        assert replies == ["BindComplete", "DataRow b'another!'", "CommandComplete 'SELECT 1'", "ReadyForQuery I"]
    replies = say(client, f.bind([b"!"], statement="s"), f.execute(), *FAILS, f.sync())
    assert "DataRow b'another!'" in replies
    assert "DataRow b'another!'" in say(client, f.bind([b"!"], statement="s"), f.execute(), f.sync())


def test_executes_alone_do_not_confuse(client: WireClient) -> None:
    assert say(client, f.execute("nowhere"), f.sync()) == ["Error 34000", "ReadyForQuery I"]
    assert say(client, f.execute("nowhere"), f.flush(), f.sync()) == ["Error 34000", "ReadyForQuery I"]
    assert say(client, f.query(BAD)) == RUNS_BAD


@pytest.mark.parametrize("before", [[], [f.query("begin")], [*FAILS], [f.parse(GOOD)]])
def test_a_message_type_of_our_own_is_refused(
    postgres18: PostgresServer, tmp_path: Path, before: list[Frontend]
) -> None:
    with client_of(postgres18, "transaction", tmp_path) as client:
        client.send(*before, Frontend("ours", "", b"\x01\0\0\0\x04"), f.query("select 1"))
        client.read_to_end()
        fatal = decode_error(client.replies[-1].body)
    assert (fatal["S"], fatal["C"]) == ("FATAL", "08P01")
